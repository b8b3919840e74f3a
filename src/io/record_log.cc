#include "io/record_log.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/status.h"
#include "io/record_format.h"

namespace io {
namespace {

// The identity is there and on stable storage before anything else is.
absl::Status BeginLog(LogFolder* folder, File* identity) {
  const std::string id = base::SecureRandom(sizeof(uint64_t));
  folder->identity.log_id = base::LoadLe64(id.data()) | 1;  // never 0
  std::string header;
  AppendLogHeader(&header, LogFileKind::kIdentity, folder->identity);
  RETURN_IF_ERROR(identity->WriteAt(0, header));
  RETURN_IF_ERROR(identity->Sync());
  return SyncFolder(folder->path);
}

// The last group may be in the page cache only, because the process was killed before its sync, or
// because that failed and the kernel forgot: it is written once more. What a crash left behind it
// is cut off.
absl::Status SecureEnd(LogFolder* folder, const RecordReader::LastGroup& last) {
  const std::string path = SegmentPath(folder->path, folder->first_sequences.back());
  if (last.bytes.empty()) {
    base::Log(base::LogLevel::kInfo, "record_log.removed", {{"segment", path}});
    folder->first_sequences.pop_back();
    RETURN_IF_ERROR(RemoveFile(path));
    return SyncFolder(folder->path);
  }
  const uint64_t end = last.offset + last.bytes.size();
  base::Log(base::LogLevel::kInfo, "record_log.recovered", {{"segment", path}, {"end", end}});
  ASSIGN_OR_RETURN(File file, File::OpenForWriting(path));
  RETURN_IF_ERROR(file.WriteAt(last.offset, last.bytes));
  RETURN_IF_ERROR(file.Truncate(end));
  return file.Sync();
}

// The sequence of the next record. Reads the newest segment only: the others were whole before it
// was begun.
absl::StatusOr<uint64_t> FindEnd(LogFolder* folder) {
  LogFolder newest = *folder;
  newest.first_sequences.assign(1, folder->first_sequences.back());
  RecordReader reader(std::move(newest));
  Record record;
  bool more = true;
  while (more) {
    ASSIGN_OR_RETURN(more, reader.Next(&record));
  }
  RETURN_IF_ERROR(SecureEnd(folder, reader.last_group()));
  return reader.next_sequence();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> LogsOfShard(const std::string& folder, uint32_t shard,
                                                     uint32_t shards) {
  CHECK(shard < shards);
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(folder));
  std::vector<std::string> logs = {folder + "/" + std::to_string(shard)};
  for (const std::string& name : names) {
    uint32_t number = 0;
    const char* const end = name.data() + name.size();
    const auto [stopped, error] = std::from_chars(name.data(), end, number);
    if (error == std::errc() && stopped == end && number != shard && number % shards == shard) {
      logs.push_back(folder + "/" + name);
    }
  }
  return logs;
}

// -- opening --------------------------------------------------------------------------------------

absl::StatusOr<std::unique_ptr<RecordLog>> RecordLog::Open(Loop* loop, const std::string& folder,
                                                           const RecordLogOptions& options) {
  RETURN_IF_ERROR(MakeFolder(folder));
  ASSIGN_OR_RETURN(File identity,
                   File::OpenForWriting(folder + "/" + std::string(kIdentityName)));
  ASSIGN_OR_RETURN(const bool claimed, identity.TryLock());
  if (!claimed) {
    return base::Error(absl::StatusCode::kFailedPrecondition,
                       "the record log " + folder + " is in use, by this process or another");
  }
  ASSIGN_OR_RETURN(LogFolder found, LookInto(folder));
  uint64_t next_sequence = 1;
  if (found.first_sequences.empty()) {
    RETURN_IF_ERROR(BeginLog(&found, &identity));  // again, if a crash came before the first record
  } else {
    ASSIGN_OR_RETURN(next_sequence, FindEnd(&found));
  }
  std::unique_ptr<RecordLog> log(
      new RecordLog(loop, options, std::move(found), std::move(identity)));
  log->next_sequence_ = next_sequence;
  log->scope_.Spawn(log->WriteGroups());
  return log;
}

RecordLog::RecordLog(Loop* loop, const RecordLogOptions& options, LogFolder found, File identity)
    : loop_(loop),
      options_(options),
      found_(std::move(found)),
      identity_(std::move(identity)),
      scope_(loop),
      work_(loop),
      segments_(found_.first_sequences.begin(), found_.first_sequences.end()),
      worker_(options.worker) {}

RecordLog::~RecordLog() { CHECK(scope_.running() == 0 && waiting_.empty() && !releasing_); }

// -- appending ------------------------------------------------------------------------------------

// An append, in its coroutine's frame.
struct RecordLog::Waiter {
  Waiter(Loop* loop, std::string_view bytes) : payload(bytes), settled(loop) {}
  const std::string_view payload;
  Event settled;
  uint64_t sequence = 0;
  absl::Status status;
};

Task<absl::StatusOr<uint64_t>> RecordLog::Append(std::string_view payload) {
  CHECK(!closing_);
  if (payload.size() > kRecordBytesMax) {
    co_return base::InvalidArgument("a record of " + std::to_string(payload.size()) +
                                    " bytes is too long for a record log");
  }
  if (!failure_.ok()) {
    co_return failure_;
  }
  Waiter waiter(loop_, payload);
  waiting_.push_back(&waiter);
  work_.Raise(1);
  co_await waiter.settled.Wait();
  if (!waiter.status.ok()) {
    co_return waiter.status;
  }
  co_return waiter.sequence;
}

// Writes what waits and syncs it, on the worker's thread; reads the payloads where they are.
class RecordLog::GroupJob final : public Job {
 public:
  GroupJob(RecordLog* log, const std::vector<Waiter*>* group)
      : log_(log), group_(group), first_(log->next_sequence_) {}
  void Run() override {
    Encode();
    const uint64_t bytes = log_->buffer_.size();
    if (!log_->segment_.is_open() || bytes > log_->segment_size_ - log_->segment_used_) {
      status_ = log_->BeginSegment(first_, bytes, &final_);
      if (!status_.ok()) {
        return;
      }
      began_ = true;
    }
    status_ = log_->segment_.WriteAt(log_->segment_used_, log_->buffer_);
    if (status_.ok()) {
      status_ = log_->segment_.Sync();
    }
    final_ = !status_.ok();
    if (status_.ok()) {
      log_->segment_used_ += bytes;
    }
  }

  uint64_t first() const { return first_; }
  const absl::Status& status() const { return status_; }
  bool final() const { return final_; }
  bool began() const { return began_; }  // a segment

 private:
  void Encode() {
    log_->buffer_.clear();
    uint32_t place = 0;
    for (const Waiter* waiter : *group_) {
      AppendRecord(&log_->buffer_, log_->found_.identity.log_id, first_ + place, place,
                   waiter->payload);
      ++place;
    }
  }

  RecordLog* const log_;
  const std::vector<Waiter*>* const group_;
  const uint64_t first_;
  absl::Status status_;
  bool final_ = false;
  bool began_ = false;
};

// Ends the segment that is full and makes the next one. `*final`: whether a write or a sync failed
// for another reason than a full disk; else nothing has changed and it may be tried again.
absl::Status RecordLog::BeginSegment(uint64_t first_sequence, uint64_t group_bytes, bool* final) {
  EndSegment();
  const std::string path = SegmentPath(found_.path, first_sequence);
  const uint64_t size = std::max(options_.segment_bytes, kLogHeaderBytes + group_bytes);
  LogHeader header = found_.identity;
  header.first_sequence = first_sequence;
  std::string bytes;
  AppendLogHeader(&bytes, LogFileKind::kSegment, header);

  *final = false;
  ASSIGN_OR_RETURN(File file, File::OpenForWriting(path));
  absl::Status made = file.Allocate(size);
  if (made.ok()) {
    made = file.WriteAt(0, bytes);
  }
  if (!made.ok()) {
    *final = !absl::IsResourceExhausted(made);
    static_cast<void>(RemoveFile(path));  // gives its blocks back; empty, it would do no harm
    return made;
  }
  *final = true;
  RETURN_IF_ERROR(file.Sync());
  RETURN_IF_ERROR(SyncFolder(found_.path));
  *final = false;
  segment_ = std::move(file);
  segment_used_ = bytes.size();
  segment_size_ = size;
  return absl::OkStatus();
}

// Gives back what was allocated and not used. It may fail: readers know where the records end.
void RecordLog::EndSegment() {
  if (segment_.is_open()) {
    static_cast<void>(segment_.Truncate(segment_used_));
    segment_ = File();
  }
}

std::vector<RecordLog::Waiter*> RecordLog::TakeGroup() {
  std::vector<Waiter*> group;
  uint64_t bytes = 0;
  while (!waiting_.empty()) {
    bytes += RecordSize(waiting_.front()->payload.size());
    if (!group.empty() && bytes > options_.group_bytes) {
      break;
    }
    group.push_back(waiting_.front());
    waiting_.pop_front();
  }
  return group;
}

Task<void> RecordLog::WriteGroups() {
  for (;;) {
    if (waiting_.empty()) {
      if (closing_) {
        co_return;
      }
      co_await work_.Wait();
      continue;
    }
    const std::vector<Waiter*> group = TakeGroup();
    if (!failure_.ok()) {
      for (Waiter* waiter : group) {
        waiter->status = failure_;
        waiter->settled.Raise(1);
      }
      continue;
    }
    GroupJob job(this, &group);
    co_await worker_.Run(loop_, &job);
    Settle(job, group);
  }
}

void RecordLog::Settle(const GroupJob& job, const std::vector<Waiter*>& group) {
  if (job.began() && job.status().ok()) {  // else it holds nothing, and an older one must stay
    segments_.push_back(job.first());
  }
  if (job.status().ok()) {
    next_sequence_ += group.size();
    ++groups_;
  } else if (job.final()) {
    failure_ = base::Error(job.status().code(),
                           "the record log " + found_.path + " has stopped: " +
                               std::string(base::Message(job.status())));
    base::Log(base::LogLevel::kError, "record_log.stopped", {{"reason", base::Message(failure_)}});
  }
  uint64_t sequence = job.first();
  for (Waiter* waiter : group) {
    waiter->sequence = sequence++;
    waiter->status = job.final() ? failure_ : job.status();
    waiter->settled.Raise(1);
  }
}

// -- the end of records and of the log ------------------------------------------------------------

class RecordLog::ReleaseJob : public Job {
 public:
  ReleaseJob(std::string folder, std::vector<uint64_t> segments)
      : folder_(std::move(folder)), segments_(std::move(segments)) {}
  // One by one: were a newer one gone and an older one not, a segment would seem to be missing.
  void Run() override {
    for (const uint64_t first : segments_) {
      status_ = RemoveFile(SegmentPath(folder_, first));
      if (status_.ok()) {
        ++removed_;
        status_ = SyncFolder(folder_);
      }
      if (!status_.ok()) {
        return;
      }
    }
  }
  const absl::Status& status() const { return status_; }
  size_t removed() const { return removed_; }

 private:
  const std::string folder_;
  const std::vector<uint64_t> segments_;
  absl::Status status_;
  size_t removed_ = 0;
};

// The newest one, too: it must not be written to any more.
class RecordLog::ReleaseAllJob final : public ReleaseJob {
 public:
  ReleaseAllJob(RecordLog* log, std::vector<uint64_t> segments)
      : ReleaseJob(log->found_.path, std::move(segments)), log_(log) {}
  void Run() override {
    log_->EndSegment();
    ReleaseJob::Run();
  }

 private:
  RecordLog* const log_;
};

Task<absl::Status> RecordLog::Release(uint64_t through) {
  std::vector<uint64_t> done;
  for (size_t i = 0; i + 1 < segments_.size() && segments_[i + 1] <= through + 1; ++i) {
    done.push_back(segments_[i]);
  }
  ReleaseJob job(found_.path, std::move(done));
  const absl::Status status = co_await RunRelease(&job);
  co_return status;
}

Task<absl::Status> RecordLog::ReleaseAll() {
  CHECK(waiting_.empty());
  ReleaseAllJob job(this, std::vector<uint64_t>(segments_.begin(), segments_.end()));
  const absl::Status status = co_await RunRelease(&job);
  co_return status;
}

Task<absl::Status> RecordLog::RunRelease(ReleaseJob* job) {
  CHECK(!releasing_);
  releasing_ = true;
  co_await worker_.Run(loop_, job);
  segments_.erase(segments_.begin(), segments_.begin() + static_cast<ptrdiff_t>(job->removed()));
  releasing_ = false;
  co_return job->status();
}

class RecordLog::EndJob final : public Job {
 public:
  explicit EndJob(RecordLog* log) : log_(log) {}
  void Run() override { log_->EndSegment(); }

 private:
  RecordLog* const log_;
};

Task<void> RecordLog::Close() {
  closing_ = true;
  work_.Raise(1);
  co_await scope_.Join();
  EndJob job(this);
  co_await worker_.Run(loop_, &job);
}

}  // namespace io
