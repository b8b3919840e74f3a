// SpillReplay: brings to a mirror what an earlier process has left in its spills.
//
// One per mirror that something was left for, on one shard, owned by its Shadow. What one process
// has left is a generation: a folder of logs, whose units are delivered one after the other in the
// order of their stamps, each session's on connections of its own. Until all are, whatever is
// offered to the mirror, on any shard, goes to the spill, behind them (PerMirror::replaying).
//
// How far it has come is on the disk before a unit is delivered, kLease units at a time: after
// another crash so many may have been delivered or not, and are named as outcome_unknown. What the
// sessions had set before what was left is not known any more.
// Failure: a generation that cannot be read is set aside, named as any table, and reported.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/event.h"
#include "io/task.h"
#include "io/worker.h"
#include "mirror/lane.h"
#include "mirror/shared.h"
#include "mirror/spill_batch.h"
#include "mirror/spill_cursor.h"

namespace mirror {

class Shadow;
class SpillRoot;

class SpillReplay final : private UnitTeller {
 public:
  SpillReplay(Shadow* shadow, SpillRoot* root, Shared::PerMirror* shared, io::Worker::Kind worker);
  SpillReplay(const SpillReplay&) = delete;
  SpillReplay& operator=(const SpillReplay&) = delete;

  io::Task<void> Run();
  // It ends soon: what was not delivered stays for the next start.
  void Stop();

 private:
  static constexpr uint64_t kLease = 64;
  struct Entry {  // a unit, by its place among all
    uint64_t stamp = 0;
    uint64_t acked = 0;
    uint64_t sequence = 0;  // of its record
    uint32_t log = 0;
    uint32_t index = 0;     // in its record
    auto operator<=>(const Entry&) const = default;
  };
  struct Log {
    std::string folder;
    uint64_t end = 0;  // behind its last record
    std::unique_ptr<SpillCursor> cursor;
  };
  struct Batch {
    std::vector<SpillOwner> owners;
    std::vector<SpilledUnit> units;
    size_t left = 0;
  };
  class IndexJob;
  class FetchJob;
  class MarkJob;
  class RemoveJob;
  using Position = std::pair<uint32_t, uint64_t>;  // log and record

  void OnSettled(uint64_t number) override;
  io::Task<void> RunGeneration(std::string folder);
  io::Task<void> NameDoubtful();
  io::Task<void> DeliverFrom(uint64_t first);
  io::Task<void> Deliver(uint64_t number);
  io::Task<void> Fetch(const Entry* entry);
  io::Task<void> Mark(uint64_t handed, uint64_t done);
  void Forget(const Entry& entry);
  Lane* LaneFor(const Entry& entry);
  void EndLanes();
  void OnFailed();

  Shadow* const shadow_;
  SpillRoot* const root_;
  Shared::PerMirror* const shared_;
  io::Loop* const loop_;
  io::Worker worker_;
  io::Event event_;
  bool stopping_ = false;
  bool settled_ = false;
  absl::Status failure_;
  // Of the generation.
  std::string folder_;
  SpillMark mark_;  // counts entries_
  io::File mark_file_;
  std::vector<Log> logs_;
  std::vector<Entry> entries_;
  std::map<Position, Batch> batches_;
  std::map<std::pair<uint32_t, uint64_t>, uint64_t> lanes_;  // by log and old lane
};

}  // namespace mirror
