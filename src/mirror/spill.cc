#include "mirror/spill.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "mirror/lane.h"
#include "mirror/mirrors.h"
#include "mirror/shadow.h"
#include "mirror/spill_root.h"

namespace mirror {
namespace {

// Memory of a unit on the disk: its two places in Order.
constexpr int64_t kPlaceBytes = 48;
// A record, and what one reading brings: at least one unit, of any size.
constexpr int64_t kBatchBytes = 1 << 20;
constexpr uint64_t kReadBytes = 256 << 10;
constexpr uint64_t kSegmentBytes = 4 << 20;
// How often a reader without room looks again: other shards' lanes give back room, too.
absl::Duration LookEvery() { return absl::Milliseconds(20); }
// How long a disk that was full is left alone.
absl::Duration FullFor() { return absl::Seconds(1); }

constexpr std::string_view kAdvice =
    "make room below --spill-dir or raise --spill-max; until then what does not fit "
    "--mirror-queue-bytes is dropped, and --state-dir keeps its name";

}  // namespace

Spill::Spill(Shadow* shadow, SpillRoot* root, Shared::PerMirror* shared, uint32_t shard)
    : shadow_(shadow),
      root_(root),
      shared_(shared),
      loop_(shadow->mirrors()->tools().loop),
      folder_(root->FolderFor(shadow->server()->name, shard)),
      in_flight_(&shared->spill_in_flight),
      places_(&shared->spill_places),
      disk_(root->disk()),
      cursor_(folder_),
      write_work_(loop_),
      read_work_(loop_),
      scope_(loop_) {}

Spill::~Spill() = default;

absl::Status Spill::TryOpen(io::Worker::Kind worker) {
  io::RecordLogOptions options;
  options.segment_bytes = kSegmentBytes;
  options.group_bytes = kSegmentBytes / 2;
  options.worker = worker;
  ASSIGN_OR_RETURN(log_, io::RecordLog::Open(loop_, folder_, options));
  next_read_ = stored_end_ = log_->next_sequence();
  if (root_->keeps()) {
    ASSIGN_OR_RETURN(mark_,
                     io::File::OpenForWriting(folder_ + "/" + std::string(kSpillMarkName)));
    RETURN_IF_ERROR(WriteSpillMark(&mark_, SpillMark{}));
    RETURN_IF_ERROR(io::SyncFolder(folder_));
  }
  return absl::OkStatus();
}

void Spill::Open(io::Worker::Kind worker) {
  worker_ = std::make_unique<io::Worker>(worker);
  const absl::Status status = TryOpen(worker);
  if (!status.ok()) {
    shadow_->metrics().spill_failures.Add();
    base::Log(base::LogLevel::kWarn, "mirror.spill_failed",
              {{"mirror", shadow_->server()->name}, {"why", base::Message(status)},
               {"what", "nothing is spilled on this shard until the next start"}});
    lost_ = true;
    return;
  }
  scope_.Spawn(Write());
  scope_.Spawn(Read());
}

bool Spill::usable() const {
  return !lost_ && !closing_ && log_->failure().ok() && loop_->now() >= blocked_until_;
}

bool Spill::IsFull(bool waits) const {
  const int64_t part = waits ? 2 : 4;
  // What is on its way to the disk will need its room, too.
  const base::CreditPool& coming = shared_->spill_in_flight;
  const base::CreditPool& disk = *root_->disk();
  const int64_t left = disk.left() - (coming.ceiling() - coming.left());
  return !usable() || coming.LessThan(part) || shared_->spill_places.LessThan(part) ||
         left < disk.ceiling() / part;
}

// -- to the disk ----------------------------------------------------------------------------------

bool Spill::Take(const Lane& lane, const Unit& unit) {
  Pending pending;
  const bool room = pending.charge.Take(&in_flight_, unit.bytes) || unit.ends_prepared();
  if (!usable() || !room || !places_.Take(kPlaceBytes)) {
    return false;
  }
  pending.spilled.lane = lane.id();
  pending.spilled.after_state = lane.has_state();
  pending.spilled.unit = unit;
  pending.spilled.committed = absl::Now() - (loop_->now() - unit.committed);
  pending_.push_back(std::move(pending));
  KeepStored(unit);
  ++units_;
  shadow_->order().Add(unit.place, true);
  MirrorMetrics& metrics = shadow_->metrics();
  metrics.queued_units.Add(1);
  metrics.queued_bytes.Add(unit.bytes);
  write_work_.Raise(1);
  return true;
}

void Spill::KeepStored(const Unit& unit) {
  for (const Step& step : unit.steps) {
    if (step.stored) {
      elsewhere_[step.stored->number] = step.stored;
    }
  }
}

// It goes its way with the unit, or ends with it.
void Spill::TakeStored(Unit* unit) {
  for (Step& step : unit->steps) {
    const auto found =
        !step.stored ? elsewhere_.end() : elsewhere_.find(step.stored->number);
    if (found != elsewhere_.end()) {
      step.stored = std::move(found->second);
      elsewhere_.erase(found);
    }
  }
}

// Encodes and seals a batch on the worker's thread: the units' bytes do not change.
class Spill::EncodeJob final : public io::Job {
 public:
  EncodeJob(Spill* spill, std::vector<SpillOwner> owners)
      : spill_(spill), owners_(std::move(owners)) {}
  void Run() override {
    BatchWriter batch(owners_);
    for (const Pending& pending : spill_->writing_) {
      batch.Add(pending.spilled);
    }
    summary_ = batch.summary();
    record_ = batch.Seal(spill_->root_->seal(), spill_->shadow_->server()->name);
  }
  const std::string& record() const { return record_; }
  const SpillSummary& summary() const { return summary_; }

 private:
  Spill* const spill_;
  const std::vector<SpillOwner> owners_;
  std::string record_;
  SpillSummary summary_;
};

io::Task<void> Spill::Write() {
  for (;;) {
    while (pending_.empty() && !closing_ && !lost_) {
      co_await write_work_.Wait();
    }
    if (pending_.empty() || lost_ || (closing_ && !root_->keeps())) {
      break;
    }
    std::vector<SpillOwner> owners = TakeBatch();
    EncodeJob job(this, std::move(owners));
    co_await worker_->Run(loop_, &job);
    co_await Store(&job);
    writing_.clear();
    read_work_.Raise(1);
  }
}

// The oldest go to writing_; whose they are.
std::vector<SpillOwner> Spill::TakeBatch() {
  std::vector<SpillOwner> owners;
  int64_t bytes = 0;
  while (!pending_.empty()) {
    bytes += pending_.front().spilled.unit.bytes;
    if (!writing_.empty() && bytes > kBatchBytes) {
      break;
    }
    writing_.push_back(std::move(pending_.front()));
    pending_.pop_front();
    const uint64_t id = writing_.back().spilled.lane;
    const bool known = std::any_of(owners.begin(), owners.end(),
                                   [id](const SpillOwner& owner) { return owner.lane == id; });
    const Lane* const lane = shadow_->mirrors()->FindLane(id);
    if (!known && lane != nullptr) {
      owners.push_back(lane->Owner());
    }
  }
  return owners;
}

io::Task<void> Spill::Store(const EncodeJob* job) {
  const auto bytes = static_cast<int64_t>(io::RecordSize(job->record().size()));
  if (!disk_.Take(bytes)) {
    OnNotStored(base::ResourceExhausted("as much as --spill-max allows is on the disk"));
    co_return;
  }
  const absl::StatusOr<uint64_t> sequence = co_await log_->Append(job->record());
  if (sequence.ok() && !lost_) {
    OnStored(*job, bytes);
    co_return;
  }
  disk_.Give(bytes);
  if (!lost_) {
    OnNotStored(sequence.status());
  }
}

void Spill::OnStored(const EncodeJob& job, int64_t bytes) {
  ++stored_end_;
  stored_.Add(job.summary());
  stored_bytes_ += bytes;
  MirrorMetrics& metrics = shadow_->metrics();
  metrics.spilled.Add(writing_.size());
  metrics.spilled_bytes.Add(static_cast<uint64_t>(bytes));
  metrics.spill_units.Add(static_cast<int64_t>(writing_.size()));
  metrics.spill_bytes.Add(bytes);
  for (const Pending& pending : writing_) {
    metrics.queued_bytes.Add(-pending.spilled.unit.bytes);
  }
}

// A disk that is full may have room later; after another failure the log takes nothing more.
void Spill::OnNotStored(const absl::Status& status) {
  shadow_->metrics().spill_failures.Add();
  const bool final = !log_->failure().ok();
  base::Log(base::LogLevel::kWarn, "mirror.spill_failed",
            {{"mirror", shadow_->server()->name},
             {"why", base::Message(status)},
             {"transactions", writing_.size()},
             {"final", final},
             {"what", final ? "the disk below --spill-dir has failed: nothing more is spilled "
                              "until the next start, and what does not fit "
                              "--mirror-queue-bytes is dropped"
                            : kAdvice}});
  blocked_until_ = loop_->In(FullFor());
  for (Pending& pending : writing_) {
    shadow_->metrics().queued_bytes.Add(-pending.spilled.unit.bytes);
    Lose(&pending.spilled, Cause::kSpillLost);
  }
}

// One that its lane has not got back.
void Spill::Lose(SpilledUnit* spilled, Cause cause) {
  TakeStored(&spilled->unit);
  --units_;
  places_.Give(kPlaceBytes);
  shadow_->metrics().queued_units.Add(-1);
  shadow_->metrics().Drop(cause);
  shadow_->ledger()->RecordUnit(spilled->unit, cause, "");
  shadow_->order().Back(spilled->unit.place);
  shadow_->order().Resolve(spilled->unit.place, false);
  if (Lane* const lane = shadow_->mirrors()->FindLane(spilled->lane); lane != nullptr) {
    lane->OnAwayLost(spilled->unit);
  }
}

// -- from the disk --------------------------------------------------------------------------------

// Reads some records and opens them. Before anything is handed out it is noted that it was, so that
// after a crash nothing is applied a second time.
class Spill::ReadJob final : public io::Job {
 public:
  struct Opened {
    std::string body;
    SpillSummary summary;
    int64_t bytes = 0;
  };
  explicit ReadJob(Spill* spill)
      : spill_(spill), first_(spill->next_read_), end_(spill->stored_end_) {
    mark_.done = spill->next_read_ - spill->handed_.size() - 1;
  }
  void Run() override { status_ = Read(); }
  const absl::Status& status() const { return status_; }
  std::vector<Opened>& opened() { return opened_; }

 private:
  absl::Status Read() {
    uint64_t bytes = 0;
    while (first_ + opened_.size() < end_ && bytes < kReadBytes) {
      ASSIGN_OR_RETURN(const std::string_view record,
                       spill_->cursor_.Read(first_ + opened_.size(), end_));
      Opened opened;
      if (!ReadSummary(record, &opened.summary)) {
        return base::DataLoss(spill_->folder_ + " holds a record that is none of a spill");
      }
      ASSIGN_OR_RETURN(opened.body, OpenBatch(spill_->root_->seal(),
                                              spill_->shadow_->server()->name, record));
      bytes += record.size();
      opened.bytes = static_cast<int64_t>(io::RecordSize(record.size()));
      opened_.push_back(std::move(opened));
    }
    if (first_ + opened_.size() == end_) {
      spill_->cursor_.Forget();
    }
    mark_.handed = first_ + opened_.size() - 1;
    return spill_->root_->keeps() ? WriteSpillMark(&spill_->mark_, mark_) : absl::OkStatus();
  }

  Spill* const spill_;
  const uint64_t first_;
  const uint64_t end_;  // as it was: it may grow meanwhile
  SpillMark mark_;
  std::vector<Opened> opened_;
  absl::Status status_;
};

io::Task<void> Spill::Read() {
  while (!closing_ && !lost_) {
    if (next_read_ == stored_end_) {
      if (IsEmpty() && log_->segments() > 0) {
        co_await RemoveFiles();
      } else {
        co_await read_work_.Wait();
      }
      continue;
    }
    if (!MayRead()) {
      co_await read_work_.Wait(loop_->In(LookEvery()));
      continue;
    }
    co_await ReadSome();
    if (!lost_) {
      co_await ReleaseDone();
    }
  }
}

io::Task<void> Spill::ReadSome() {
  ReadJob job(this);
  co_await worker_->Run(loop_, &job);
  const absl::Status status = job.status().ok() ? HandOut(&job) : job.status();
  if (!status.ok()) {
    OnUnreadable(status);
  }
}

bool Spill::MayRead() const {
  const base::CreditPool& budget = shared_->budget;
  if (shared_->replaying.load(std::memory_order_acquire)) {
    return false;
  }
  const bool all_here = shadow_->metrics().queued_units.value() == static_cast<int64_t>(units_);
  return all_here || shadow_->order().FirstIsAway() || budget.left() >= budget.ceiling() / 2;
}

bool Spill::IsEmpty() const {
  return units_ == 0 && writing_.empty() && handed_.empty();
}

absl::Status Spill::HandOut(ReadJob* job) {
  for (ReadJob::Opened& opened : job->opened()) {
    std::vector<SpillOwner> owners;
    std::vector<SpilledUnit> units;
    if (!ParseBatch(opened.body, &owners, &units)) {
      return base::DataLoss(folder_ + " holds a record that cannot be read");
    }
    opened.body = std::string();
    stored_.Subtract(opened.summary);
    stored_bytes_ -= opened.bytes;
    shadow_->metrics().spill_units.Add(-static_cast<int64_t>(units.size()));
    handed_.push_back(Handed{.units = units.size(), .bytes = opened.bytes});
    const uint64_t sequence = next_read_++;
    for (SpilledUnit& spilled : units) {
      HandBack(&spilled, sequence);
    }
  }
  return absl::OkStatus();
}

void Spill::HandBack(SpilledUnit* spilled, uint64_t sequence) {
  TakeStored(&spilled->unit);
  Lane* const lane = shadow_->mirrors()->FindLane(spilled->lane);
  if (lane == nullptr || lane->stopped()) {
    Lose(spilled, Cause::kShutdown);
    OnSettled(sequence);
    return;
  }
  --units_;
  places_.Give(kPlaceBytes);
  shadow_->order().Back(spilled->unit.place);
  shadow_->metrics().queued_bytes.Add(spilled->unit.bytes);
  spilled->unit.committed = loop_->now() + (spilled->committed - absl::Now());
  Charge charge;
  static_cast<void>(charge.Take(shadow_->credit(), spilled->unit.bytes));  // else without room
  lane->Return(std::move(spilled->unit), std::move(charge), sequence);
}

void Spill::OnSettled(uint64_t sequence) {
  --handed_[sequence - (next_read_ - handed_.size())].units;
  while (!handed_.empty() && handed_.front().units == 0) {
    disk_.Give(handed_.front().bytes);
    released_bytes_ += handed_.front().bytes;
    shadow_->metrics().spill_bytes.Add(-handed_.front().bytes);
    handed_.pop_front();
  }
  read_work_.Raise(1);
}

// Whole segments only.
io::Task<void> Spill::ReleaseDone() {
  if (log_->segments() < 2 || released_bytes_ < static_cast<int64_t>(kSegmentBytes)) {
    co_return;
  }
  released_bytes_ = 0;
  const absl::Status status = co_await log_->Release(next_read_ - handed_.size() - 1);
  if (!status.ok()) {
    OnNotRemoved(status);
  }
}

io::Task<void> Spill::RemoveFiles() {
  released_bytes_ = 0;
  const absl::Status status = co_await log_->ReleaseAll();
  if (!status.ok()) {
    OnNotRemoved(status);
    co_await read_work_.Wait();  // for more work, not for a disk
  }
}

void Spill::OnNotRemoved(const absl::Status& status) {
  shadow_->metrics().spill_failures.Add();
  base::Log(base::LogLevel::kWarn, "mirror.spill_not_removed",
            {{"mirror", shadow_->server()->name}, {"why", base::Message(status)}});
}

// What is on the disk cannot be had. What is on its way there is lost with it: it would have to
// come later.
void Spill::OnUnreadable(const absl::Status& status) {
  lost_ = true;
  shadow_->metrics().spill_failures.Add();
  base::Log(base::LogLevel::kError, "mirror.spill_lost",
            {{"mirror", shadow_->server()->name},
             {"why", base::Message(status)},
             {"transactions", units_},
             {"what", "the mirror lacks them, see its gap ledger; nothing more is spilled until "
                      "the next start"}});
  for (const Pending& pending : writing_) {
    shadow_->ledger()->RecordUnit(pending.spilled.unit, Cause::kSpillLost, "");
  }
  CountLeft(Cause::kSpillLost);
  shadow_->order().LoseAway();
  shadow_->mirrors()->OnAwayLost(shadow_);
  write_work_.Raise(1);
}

// All that is here is lost, but for what writing_ tells itself.
void Spill::CountLeft(Cause cause) {
  MirrorMetrics& metrics = shadow_->metrics();
  for (const Pending& pending : pending_) {
    shadow_->ledger()->RecordUnit(pending.spilled.unit, cause, "");
    metrics.queued_bytes.Add(-pending.spilled.unit.bytes);
  }
  for (const Pending& pending : writing_) {
    metrics.queued_bytes.Add(-pending.spilled.unit.bytes);
  }
  pending_.clear();
  shadow_->ledger()->RecordGaps(stored_.Gaps(cause), stored_.statements);
  metrics.dropped[static_cast<size_t>(cause)].Add(units_);
  metrics.queued_units.Add(-static_cast<int64_t>(units_));
  ForgetStored();
}

void Spill::ForgetStored() {
  MirrorMetrics& metrics = shadow_->metrics();
  metrics.spill_units.Add(-static_cast<int64_t>(stored_.units));
  metrics.spill_bytes.Add(-stored_bytes_);
  places_.Give(kPlaceBytes * static_cast<int64_t>(units_));
  disk_.Give(stored_bytes_);
  elsewhere_.clear();
  stored_ = SpillSummary();
  stored_bytes_ = 0;
  units_ = 0;
}

// -- the end --------------------------------------------------------------------------------------

class Spill::CloseJob final : public io::Job {
 public:
  explicit CloseJob(Spill* spill) : spill_(spill) {}
  void Run() override {
    if (spill_->root_->keeps() && spill_->mark_.is_open()) {
      const uint64_t handed = spill_->next_read_ - 1;  // their lanes say what became of them
      status_ = WriteSpillMark(&spill_->mark_, SpillMark{.handed = handed, .done = handed});
    } else {
      status_ = SpillRoot::RemoveLog(spill_->folder_);
    }
  }
  const absl::Status& status() const { return status_; }

 private:
  Spill* const spill_;
  absl::Status status_;
};

io::Task<void> Spill::Close() {
  if (closing_) {
    co_return;
  }
  closing_ = true;
  write_work_.Raise(1);
  read_work_.Raise(1);
  co_await scope_.Join();
  if (log_ != nullptr) {
    co_await log_->Close();
    log_.reset();
    const bool keeps = root_->keeps() && !lost_;
    if (units_ > 0 && keeps) {
      base::Log(base::LogLevel::kInfo, "mirror.spill_kept",
                {{"mirror", shadow_->server()->name}, {"transactions", units_},
                 {"what", "they are replayed at the next start"}});
      ForgetStored();
    } else {
      CountLeft(Cause::kShutdown);
    }
    CloseJob job(this);
    co_await worker_->Run(loop_, &job);
    if (!job.status().ok()) {
      OnNotRemoved(job.status());
    }
  }
  mark_ = io::File();
  worker_.reset();
  closed_ = true;
  shadow_->mirrors()->OnSpillClosed();
}

}  // namespace mirror
