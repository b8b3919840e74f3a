#include "mirror/spill_replay.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "io/record_reader.h"
#include "mirror/mirrors.h"
#include "mirror/shadow.h"
#include "mirror/spill_root.h"
#include "sql/tables.h"

namespace mirror {

SpillReplay::SpillReplay(Shadow* shadow, SpillRoot* root, Shared::PerMirror* shared,
                         io::Worker::Kind worker)
    : shadow_(shadow),
      root_(root),
      shared_(shared),
      loop_(shadow->mirrors()->tools().loop),
      worker_(worker),
      event_(loop_) {}

// -- on the worker's thread -----------------------------------------------------------------------

// Every unit of a generation, in the order in which they are to be delivered.
class SpillReplay::IndexJob final : public io::Job {
 public:
  explicit IndexJob(SpillReplay* replay) : replay_(replay) {}
  void Run() override { status_ = Index(); }
  const absl::Status& status() const { return status_; }

 private:
  absl::Status Index() {
    ASSIGN_OR_RETURN(const std::vector<std::string> logs,
                     SpillRoot::LogsOf(replay_->folder_));
    for (const std::string& log : logs) {
      RETURN_IF_ERROR(IndexLog(log));
    }
    std::sort(replay_->entries_.begin(), replay_->entries_.end());
    ASSIGN_OR_RETURN(replay_->mark_, ReadSpillMark(replay_->folder_));
    const std::string mark = replay_->folder_ + "/" + std::string(kSpillMarkName);
    ASSIGN_OR_RETURN(replay_->mark_file_, io::File::OpenForWriting(mark));
    return io::SyncFolder(replay_->folder_);
  }
  absl::Status IndexLog(const std::string& log) {
    ASSIGN_OR_RETURN(const SpillMark mark, ReadSpillMark(log));
    ASSIGN_OR_RETURN(io::LogFolder folder, io::LookInto(log));
    io::RecordReader reader(std::move(folder));
    io::Record record;
    const auto number = static_cast<uint32_t>(replay_->logs_.size());
    for (;;) {
      ASSIGN_OR_RETURN(const bool more, reader.Next(&record));
      if (!more) {
        break;
      }
      if (record.sequence > mark.handed) {
        RETURN_IF_ERROR(IndexRecord(record, number));
      }
    }
    replay_->logs_.push_back(
        Log{log, reader.next_sequence(), std::make_unique<SpillCursor>(log)});
    return absl::OkStatus();
  }
  absl::Status IndexRecord(const io::Record& record, uint32_t log) {
    ASSIGN_OR_RETURN(const std::string body,
                     OpenBatch(replay_->root_->seal(), replay_->shadow_->server()->name,
                               record.payload));
    std::vector<SpillOwner> owners;
    std::vector<SpilledUnit> units;
    if (!ParseBatch(body, &owners, &units)) {
      return base::DataLoss("a record of another version of pgbraid");
    }
    for (uint32_t i = 0; i < units.size(); ++i) {
      const Place& place = units[i].unit.place;
      replay_->entries_.push_back(Entry{place.stamp, place.acked, record.sequence, log, i});
    }
    return absl::OkStatus();
  }

  SpillReplay* const replay_;
  absl::Status status_;
};

class SpillReplay::FetchJob final : public io::Job {
 public:
  FetchJob(SpillReplay* replay, const Entry* entry) : replay_(replay), entry_(entry) {}
  void Run() override {
    const Log& log = replay_->logs_[entry_->log];
    const absl::StatusOr<std::string_view> record = log.cursor->Read(entry_->sequence, log.end);
    if (!record.ok()) {
      body_ = record.status();
      return;
    }
    body_ = OpenBatch(replay_->root_->seal(), replay_->shadow_->server()->name, *record);
  }
  const absl::StatusOr<std::string>& body() const { return body_; }

 private:
  SpillReplay* const replay_;
  const Entry* const entry_;
  absl::StatusOr<std::string> body_;
};

class SpillReplay::MarkJob final : public io::Job {
 public:
  explicit MarkJob(SpillReplay* replay) : replay_(replay) {}
  void Run() override { status_ = WriteSpillMark(&replay_->mark_file_, replay_->mark_); }
  const absl::Status& status() const { return status_; }

 private:
  SpillReplay* const replay_;
  absl::Status status_;
};

class SpillReplay::RemoveJob final : public io::Job {
 public:
  explicit RemoveJob(std::string folder) : folder_(std::move(folder)) {}
  void Run() override { status_ = SpillRoot::RemoveGeneration(folder_); }
  const absl::Status& status() const { return status_; }

 private:
  const std::string folder_;
  absl::Status status_;
};

// -- a mirror's -----------------------------------------------------------------------------------

io::Task<void> SpillReplay::Run() {
  for (const std::string& folder : root_->Leftovers(shadow_->server()->name)) {
    if (!stopping_) {
      std::string generation = folder;
      co_await RunGeneration(std::move(generation));
    }
  }
  if (!stopping_) {
    shared_->replaying.store(false, std::memory_order_release);
  }
}

void SpillReplay::Stop() {
  stopping_ = true;
  event_.Raise(1);
}

io::Task<void> SpillReplay::RunGeneration(std::string folder) {
  folder_ = std::move(folder);
  logs_.clear();
  entries_.clear();
  failure_ = absl::OkStatus();
  IndexJob index(this);
  co_await worker_.Run(loop_, &index);
  failure_ = index.status();
  if (failure_.ok()) {
    base::Log(base::LogLevel::kInfo, "mirror.spill_replayed",
              {{"mirror", shadow_->server()->name}, {"folder", folder_},
               {"transactions", entries_.size() - std::min<size_t>(entries_.size(), mark_.handed)},
               {"state", "begins"}});
    co_await NameDoubtful();
  }
  if (failure_.ok()) {
    co_await DeliverFrom(mark_.handed);
  }
  EndLanes();
  batches_.clear();
  mark_file_ = io::File();
  if (!failure_.ok()) {
    OnFailed();
  } else if (!stopping_) {
    RemoveJob remove(folder_);
    co_await worker_.Run(loop_, &remove);
    base::Log(remove.status().ok() ? base::LogLevel::kInfo : base::LogLevel::kWarn,
              "mirror.spill_replayed",
              {{"mirror", shadow_->server()->name}, {"folder", folder_}, {"state", "ended"},
               {"why", base::Message(remove.status())}});
  }
}

// Those that an earlier replay was delivering when it was killed.
io::Task<void> SpillReplay::NameDoubtful() {
  const uint64_t handed = std::min<uint64_t>(mark_.handed, entries_.size());
  for (uint64_t i = mark_.done; i < handed && failure_.ok(); ++i) {
    const Entry& entry = entries_[i];
    co_await Fetch(&entry);
    if (failure_.ok()) {
      const SpilledUnit& spilled = batches_[Position(entry.log, entry.sequence)].units[entry.index];
      shadow_->ledger()->RecordUnit(spilled.unit, Cause::kOutcomeUnknown, "");
      Forget(entry);
    }
  }
  if (failure_.ok() && mark_.done < handed) {
    co_await Mark(handed, handed);
  }
}

io::Task<void> SpillReplay::DeliverFrom(uint64_t first) {
  uint64_t number = first;
  uint64_t leased = first;
  while (number < entries_.size() && !stopping_ && failure_.ok()) {
    if (number == leased) {
      leased = std::min<uint64_t>(number + kLease, entries_.size());
      co_await Mark(leased, number);
    }
    if (failure_.ok()) {
      co_await Deliver(number);
      ++number;
    }
  }
  if (failure_.ok()) {
    co_await Mark(number, number);
  }
}

// One at a time, and none before the one before it has met its fate.
io::Task<void> SpillReplay::Deliver(uint64_t number) {
  const Entry& entry = entries_[number];
  co_await Fetch(&entry);
  if (!failure_.ok()) {
    co_return;
  }
  Lane* const lane = LaneFor(entry);
  Unit unit = std::move(batches_[Position(entry.log, entry.sequence)].units[entry.index].unit);
  Forget(entry);
  if (unit.stored()) {  // the rest of it went with the process that had it
    shadow_->metrics().offered.Add();
    shadow_->metrics().Drop(Cause::kSpillLost);
    shadow_->ledger()->RecordUnit(unit, Cause::kSpillLost, "");
    co_return;
  }
  Clock* const clock = shadow_->mirrors()->tools().shared->clock();
  shadow_->order().Expect(clock->now());
  unit.place.acked = clock->Tick();
  unit.place.stamp = unit.place.acked;
  unit.after = 0;
  unit.committed = loop_->now();
  settled_ = false;
  lane->Bring(std::move(unit), this, number);
  while (!settled_) {
    co_await event_.Wait();
  }
}

void SpillReplay::OnSettled(uint64_t /*number*/) {
  settled_ = true;
  event_.Raise(1);
}

io::Task<void> SpillReplay::Fetch(const Entry* entry) {
  if (batches_.contains(Position(entry->log, entry->sequence))) {
    co_return;
  }
  FetchJob job(this, entry);
  co_await worker_.Run(loop_, &job);
  if (!job.body().ok()) {
    failure_ = job.body().status();
    co_return;
  }
  Batch batch;
  if (!ParseBatch(*job.body(), &batch.owners, &batch.units)) {
    failure_ = base::DataLoss("a record that cannot be read");
    co_return;
  }
  batch.left = batch.units.size();
  batches_[Position(entry->log, entry->sequence)] = std::move(batch);
}

// What is left of a record that others, earlier ones, were taken from is not asked for again.
void SpillReplay::Forget(const Entry& entry) {
  const auto found = batches_.find(Position(entry.log, entry.sequence));
  if (--found->second.left == 0) {
    batches_.erase(found);
  }
}

io::Task<void> SpillReplay::Mark(uint64_t handed, uint64_t done) {
  mark_ = SpillMark{.handed = handed, .done = done};
  MarkJob job(this);
  co_await worker_.Run(loop_, &job);
  if (!job.status().ok()) {
    failure_ = job.status();
  }
}

Lane* SpillReplay::LaneFor(const Entry& entry) {
  const Batch& batch = batches_[Position(entry.log, entry.sequence)];
  const uint64_t old = batch.units[entry.index].lane;
  const auto known = lanes_.find({entry.log, old});
  if (known != lanes_.end()) {
    return shadow_->mirrors()->FindLane(known->second);
  }
  const auto owner = std::find_if(batch.owners.begin(), batch.owners.end(),
                                  [old](const SpillOwner& other) { return other.lane == old; });
  const SpillOwner nobody;
  Lane* const lane = shadow_->mirrors()->MakeLaneFor(
      shadow_, owner == batch.owners.end() ? nobody : *owner);
  lanes_[{entry.log, old}] = lane->id();
  if (batch.units[entry.index].after_state) {
    lane->LoseState();
  }
  return lane;
}

// Their sessions have ended long ago.
void SpillReplay::EndLanes() {
  for (const auto& [old, id] : std::exchange(lanes_, {})) {
    if (Lane* const lane = shadow_->mirrors()->FindLane(id); lane != nullptr) {
      lane->End();
    }
  }
}

void SpillReplay::OnFailed() {
  shadow_->metrics().spill_failures.Add();
  base::Log(base::LogLevel::kError, "mirror.spill_lost",
            {{"mirror", shadow_->server()->name},
             {"folder", folder_},
             {"why", base::Message(failure_)},
             {"what", "the mirror lacks what is left of it; the folder is set aside"}});
  Gap anything;
  anything.table = sql::kAnyTable;
  anything.cause = Cause::kSpillLost;
  anything.first = anything.last = absl::FromUnixMillis(absl::ToUnixMillis(absl::Now()));
  shadow_->ledger()->Restore(anything);
  const absl::Status aside = SpillRoot::SetAside(folder_);
  if (!aside.ok()) {
    base::Log(base::LogLevel::kWarn, "mirror.spill_not_removed",
              {{"folder", folder_}, {"why", base::Message(aside)}});
  }
}

}  // namespace mirror
