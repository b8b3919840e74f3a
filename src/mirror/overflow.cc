#include "mirror/overflow.h"

#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "mirror/gap_ledger.h"
#include "mirror/unit_codec.h"
#include "sql/tables.h"

namespace mirror {
namespace {

// What a record is sealed together with: it cannot stand for another one.
std::string ContextOf(const std::string& path, uint32_t record) {
  return path + "#" + std::to_string(record);
}

}  // namespace

void OverflowMetrics::Describe(base::MetricSink* sink, std::string_view labels) const {
  sink->Add("pgbraid_mirror_overflow_transactions",
            "Transactions that have put some of what they hold on the disk while they were open.",
            labels, transactions);
  sink->Add("pgbraid_mirror_overflow_bytes", "What they have put there.", labels, bytes);
  sink->Add("pgbraid_mirror_overflow_failures", "Transactions whose file could not be written.",
            labels, failures);
}

// -- a file ---------------------------------------------------------------------------------------

OverflowFile::OverflowFile(Overflow* overflow, std::string path)
    : overflow_(overflow), path_(std::move(path)) {}

OverflowFile::~OverflowFile() { overflow_->Forget(this); }

std::map<std::string, uint64_t> OverflowFile::Tables() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::map<std::string, uint64_t> tables = tables_;
  if (unwritten_ > 0) {
    tables[std::string(sql::kAnyTable)] += unwritten_;
  }
  return tables;
}

// Encodes, seals and writes on the worker's thread: the slices' bytes do not change.
class OverflowFile::WriteJob final : public io::Job {
 public:
  WriteJob(OverflowFile* file, uint32_t record, Unit unit, std::vector<base::Slice> data)
      : file_(file), record_(record), unit_(std::move(unit)), data_(std::move(data)) {}
  void Run() override { status_ = Write(); }
  const absl::Status& status() const { return status_; }
  const Place& place() const { return place_; }
  Charge* charge() { return &charge_; }

 private:
  absl::Status Write() {
    if (!file_->file_.is_open()) {
      ASSIGN_OR_RETURN(file_->file_, io::File::MakeNameless(file_->path_));
    }
    std::string plain;
    if (unit_.steps.empty()) {
      for (const base::Slice& slice : data_) {
        plain += slice.view();
      }
    } else {
      AppendUnit(&plain, unit_, absl::Time());
      const std::map<std::string, uint64_t> tables = TablesOf(unit_);  // it takes its time
      const std::lock_guard<std::mutex> lock(file_->mutex_);
      for (const auto& [table, statements] : tables) {
        file_->tables_[table] += statements;
      }
      file_->unwritten_ -= unit_.steps.size();
    }
    const std::string sealed = file_->overflow_->root_->seal().Close(
        plain, ContextOf(file_->path_, record_));
    RETURN_IF_ERROR(file_->file_.WriteAt(file_->end_, sealed));
    place_ = Place{.offset = file_->end_, .size = sealed.size()};
    file_->end_ += sealed.size();
    return absl::OkStatus();
  }

  OverflowFile* const file_;
  const uint32_t record_;
  const Unit unit_;
  const std::vector<base::Slice> data_;
  Charge charge_;
  Place place_;
  absl::Status status_;
};

class OverflowFile::ReadJob final : public io::Job {
 public:
  ReadJob(OverflowFile* file, uint32_t record)
      : file_(file), record_(record), place_(file->places_[record]) {}
  void Run() override { plain_ = Read(); }
  absl::StatusOr<std::string>& plain() { return plain_; }

 private:
  absl::StatusOr<std::string> Read() {
    ASSIGN_OR_RETURN(const std::string sealed, file_->file_.ReadAt(place_.offset, place_.size));
    return file_->overflow_->root_->seal().Open(sealed, ContextOf(file_->path_, record_));
  }

  OverflowFile* const file_;
  const uint32_t record_;
  const Place place_;
  absl::StatusOr<std::string> plain_ = std::string();
};

// Jobs run in their order: what was on its way is written when this one's turn has come.
class Barrier final : public io::Job {
 public:
  void Run() override {}
};

io::Task<absl::StatusOr<std::string>> OverflowFile::Read(uint32_t record) {
  if (record >= places_.size() && failure_.ok()) {
    Barrier barrier;
    co_await overflow_->worker_.Run(overflow_->loop_, &barrier);
  }
  if (!failure_.ok()) {
    co_return failure_;
  }
  ReadJob job(this, record);
  co_await overflow_->worker_.Run(overflow_->loop_, &job);
  if (!job.plain().ok()) {
    failure_ = job.plain().status();
  }
  co_return std::move(job.plain());
}

// -- the shard's ----------------------------------------------------------------------------------

Overflow::Overflow(io::Loop* loop, SpillRoot* root, base::CreditPool* in_flight, uint32_t name,
                   io::Worker::Kind worker)
    : loop_(loop),
      root_(root),
      name_(name),
      in_flight_pool_(in_flight),
      in_flight_(in_flight),
      disk_(root->disk()),
      worker_(worker),
      scope_(loop) {}

Overflow::~Overflow() = default;

base::Held<OverflowFile> Overflow::NewFile() {
  metrics_.transactions.Add();
  return base::Held<OverflowFile>::Make(this, root_->OverflowPath(name_, ++files_));
}

base::Held<Stored> Overflow::NewStored(base::Held<OverflowFile> file) {
  auto stored = base::Held<Stored>::Make();
  stored->file = std::move(file);
  stored->number = ++stored_;
  return stored;
}

Cause Overflow::Store(Stored* to, Unit unit) {
  const int64_t bytes = unit.bytes;
  return Put(to, bytes, std::move(unit), {});
}

Cause Overflow::Store(Stored* to, std::vector<base::Slice> data) {
  int64_t bytes = 0;
  for (const base::Slice& slice : data) {
    bytes += slice.block()->capacity;
  }
  return Put(to, bytes, Unit(), std::move(data));
}

Cause Overflow::Put(Stored* to, int64_t bytes, Unit unit, std::vector<base::Slice> data) {
  OverflowFile& file = *to->file;
  if (!file.failure_.ok()) {
    return Cause::kSpillLost;
  }
  const size_t statements = unit.steps.size();
  auto job = std::make_unique<OverflowFile::WriteJob>(&file, file.records_, std::move(unit),
                                                      std::move(data));
  if (!job->charge()->Take(&in_flight_, bytes) || !disk_.Take(bytes)) {
    return Cause::kOverBudget;
  }
  {
    const std::lock_guard<std::mutex> lock(file.mutex_);
    file.unwritten_ += statements;
  }
  file.bytes_ += bytes;
  to->statements += statements;
  to->records.push_back(file.records_++);
  metrics_.bytes.Add(static_cast<uint64_t>(bytes));
  scope_.Spawn(Write(to->file, std::move(job)));
  return Cause::kNone;
}

io::Task<void> Overflow::Write(base::Held<OverflowFile> file,
                               std::unique_ptr<OverflowFile::WriteJob> job) {
  co_await worker_.Run(loop_, job.get());
  if (!file->failure_.ok()) {
    co_return;
  }
  if (job->status().ok()) {
    file->places_.push_back(job->place());
    co_return;
  }
  file->failure_ = job->status();
  metrics_.failures.Add();
  base::Log(base::LogLevel::kWarn, "mirror.spill_failed",
            {{"why", base::Message(file->failure_)},
             {"what", "a transaction above --mirror-transaction-bytes is lost for the mirrors"}});
}

bool Overflow::IsFull(bool waits) const { return in_flight_pool_->LessThan(waits ? 2 : 4); }

// Its blocks are given back to the filesystem, which may take a while.
class Overflow::CloseJob final : public io::Job {
 public:
  explicit CloseJob(io::File file) : file_(std::move(file)) {}
  void Run() override { file_ = io::File(); }

 private:
  io::File file_;
};

// Nobody refers to it any more: no job of it is under way.
void Overflow::Forget(OverflowFile* file) {
  disk_.Give(file->bytes_);
  if (file->file_.is_open()) {
    scope_.Spawn(CloseFile(std::move(file->file_)));
  }
}

io::Task<void> Overflow::CloseFile(io::File file) {
  CloseJob job(std::move(file));
  co_await worker_.Run(loop_, &job);
}

io::Task<void> Overflow::Close() {
  while (scope_.running() > 0) {  // the last write of a file is followed by its end
    co_await scope_.Join();
  }
}

}  // namespace mirror
