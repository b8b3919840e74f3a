// Overflow: what open transactions hold beyond their share of memory waits on the disk, and is read
// again when a lane sends it.
//
// One per shard, made by Mirrors if there is a spill_dir, used on the shard's thread; a worker
// reads and writes. A transaction has one file without a name, so that nothing is left of it after a
// crash (it had not been delivered; whoever has committed by then stands in no ledger, as whatever
// waited in memory). Its records are sealed with the spill's key. The last Stored that refers to a
// file closes it.
//
// Failure: after the first the file takes and gives nothing more; failure() says why. Bounds: the
// disk's share of all spills, and `in_flight` for what is on its way there.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/credit.h"
#include "base/counters.h"
#include "base/held.h"
#include "io/file.h"
#include "io/scope.h"
#include "io/task.h"
#include "io/worker.h"
#include "mirror/spill_root.h"
#include "mirror/unit.h"

namespace mirror {

class Overflow;

class OverflowFile {
 public:
  OverflowFile(Overflow* overflow, std::string path);
  ~OverflowFile();
  OverflowFile(const OverflowFile&) = delete;
  OverflowFile& operator=(const OverflowFile&) = delete;

  // The bytes of a record that was stored, once it is written.
  io::Task<absl::StatusOr<std::string>> Read(uint32_t record);
  // Why what it holds cannot be had; OK: it can, as far as is known by now.
  const absl::Status& failure() const { return failure_; }
  // The tables that its statements write, with how many; while some are on their way to the disk
  // sql::kAnyTable stands for theirs. Any thread.
  std::map<std::string, uint64_t> Tables() const;

 private:
  friend class Overflow;
  struct Place {
    uint64_t offset = 0;
    uint64_t size = 0;
  };
  class ReadJob;
  class WriteJob;

  Overflow* const overflow_;
  const std::string path_;
  std::vector<Place> places_;  // of records, as far as they are written
  uint32_t records_ = 0;       // with those on their way
  int64_t bytes_ = 0;          // taken of the disk's share
  absl::Status failure_;
  // The worker's.
  io::File file_;
  uint64_t end_ = 0;
  mutable std::mutex mutex_;
  std::map<std::string, uint64_t> tables_;
  uint64_t unwritten_ = 0;  // statements
};

// What a Step stands for that waits on the disk: statements, or, of a COPY, the data before its
// `copy`.
struct Stored {
  base::Held<OverflowFile> file;  // null: another process had it
  std::vector<uint32_t> records;
  uint64_t statements = 0;  // 0: data
  uint64_t number = 0;      // its own in this process
};

struct OverflowMetrics {
  base::Counter transactions;  // that have put something there
  base::Counter bytes;
  base::Counter failures;

  void Describe(base::MetricSink* sink, std::string_view labels) const;
};

class Overflow {
 public:
  // All outlive it. `name`: of the shard, within the process.
  Overflow(io::Loop* loop, SpillRoot* root, base::CreditPool* in_flight, uint32_t name,
           io::Worker::Kind worker);
  ~Overflow();  // nothing refers to any of its files, and Close() has returned
  Overflow(const Overflow&) = delete;
  Overflow& operator=(const Overflow&) = delete;

  base::Held<OverflowFile> NewFile();
  base::Held<Stored> NewStored(base::Held<OverflowFile> file);
  // Add a record to `to`; kNone: it is on its way, else why not. Of `unit`, the steps go there.
  Cause Store(Stored* to, Unit unit);
  Cause Store(Stored* to, std::vector<base::Slice> data);
  // As Shadow::IsFull.
  bool IsFull(bool waits) const;
  // Waits for what is on its way.
  io::Task<void> Close();
  const OverflowMetrics& metrics() const { return metrics_; }

 private:
  friend class OverflowFile;
  class CloseJob;

  Cause Put(Stored* to, int64_t bytes, Unit unit, std::vector<base::Slice> data);
  io::Task<void> Write(base::Held<OverflowFile> file,
                       std::unique_ptr<OverflowFile::WriteJob> job);
  io::Task<void> CloseFile(io::File file);
  void Forget(OverflowFile* file);

  io::Loop* const loop_;
  SpillRoot* const root_;
  const uint32_t name_;
  base::CreditPool* const in_flight_pool_;
  base::Credit in_flight_;
  base::Credit disk_;
  OverflowMetrics metrics_;
  uint64_t files_ = 0;   // made so far
  uint64_t stored_ = 0;  // likewise
  io::Worker worker_;
  io::Scope scope_;
};

}  // namespace mirror
