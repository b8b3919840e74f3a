// RecordLog: appends records to files and tells when they are on stable storage. One page on its
// bytes and its promises: docs/record_log.md. Read back with RecordReader.
//
//   absl::StatusOr<uint64_t> sequence = co_await log->Append(payload);  // OK: it survives a crash
//
// On one shard; its writes and syncs run on a thread of its own. Whatever is appended while a sync
// runs goes into the next group: one write and one fdatasync for all of it.
//
// The first write or sync that fails is the last: it is never repeated, every append from then on
// fails with it, and only a new Open, which reads what really is there, goes on. A disk that is
// full when a new segment must begin fails those appends alone (kResourceExhausted): nothing was
// written.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "io/event.h"
#include "io/file.h"
#include "io/record_reader.h"
#include "io/scope.h"
#include "io/task.h"
#include "io/worker.h"

namespace io {

struct RecordLogOptions {
  uint64_t segment_bytes = 64u << 20;  // allocated at once; more for a record that needs it
  uint64_t group_bytes = 4u << 20;     // at most so much in one write, but one record always
  Worker::Kind worker = Worker::Kind::kThread;
};

// The logs below `folder` that shard number `shard` of `shards` claims: its own, made by Open if it
// is missing, and its part of those that a run with more shards has left. Blocking.
absl::StatusOr<std::vector<std::string>> LogsOfShard(const std::string& folder, uint32_t shard,
                                                     uint32_t shards);

class RecordLog {
 public:
  // Blocking. Makes the folder if it is missing, claims it, checks its newest segment and cuts off
  // what a crash left unfinished. kFailedPrecondition if somebody else holds it; else as
  // RecordReader.
  static absl::StatusOr<std::unique_ptr<RecordLog>> Open(Loop* loop, const std::string& folder,
                                                         const RecordLogOptions& options);
  ~RecordLog();  // closed
  RecordLog(const RecordLog&) = delete;
  RecordLog& operator=(const RecordLog&) = delete;

  // What the log held when it was opened, for RecordReader.
  const LogFolder& found() const { return found_; }

  // The record's sequence number, once it is on stable storage. `payload` lives until then; at most
  // kRecordBytesMax. Records of one shard are in the order of their appends.
  Task<absl::StatusOr<uint64_t>> Append(std::string_view payload);

  // Removes segments that hold only records up to `through`, oldest first, never the newest. One
  // at a time. After a crash some of them may be there again.
  Task<absl::Status> Release(uint64_t through);

  // Removes every segment: nobody needs any record. Only while nothing is being appended or
  // released; what is appended from now on begins a new segment.
  Task<absl::Status> ReleaseAll();

  // After the appends that wait have ended; none may come later.
  Task<void> Close();

  uint64_t next_sequence() const { return next_sequence_; }
  size_t segments() const { return segments_.size(); }  // that there are, the newest included
  uint64_t groups() const { return groups_; }           // synced since it was opened
  const absl::Status& failure() const { return failure_; }  // of what ended it; OK: nothing did

 private:
  struct Waiter;
  class GroupJob;
  class ReleaseJob;
  class ReleaseAllJob;
  class EndJob;

  RecordLog(Loop* loop, const RecordLogOptions& options, LogFolder found, File identity);
  Task<void> WriteGroups();
  std::vector<Waiter*> TakeGroup();
  Task<absl::Status> RunRelease(ReleaseJob* job);
  void Settle(const GroupJob& job, const std::vector<Waiter*>& group);
  // On the worker's thread.
  absl::Status BeginSegment(uint64_t first_sequence, uint64_t group_bytes, bool* final);
  void EndSegment();

  Loop* const loop_;
  const RecordLogOptions options_;
  const LogFolder found_;
  const File identity_;  // holds the lock
  Scope scope_;
  Event work_;
  std::deque<Waiter*> waiting_;
  std::deque<uint64_t> segments_;  // by their first sequence
  uint64_t next_sequence_ = 1;
  uint64_t groups_ = 0;
  absl::Status failure_;
  bool closing_ = false;
  bool releasing_ = false;

  // The newest segment: the running job's, else nobody's.
  File segment_;
  uint64_t segment_used_ = 0;
  uint64_t segment_size_ = 0;
  std::string buffer_;

  Worker worker_;  // ends first
};

}  // namespace io
