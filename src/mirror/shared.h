// Shared: what the shards of a process have in common for their mirrors: budgets, order, gates,
// ledgers of gaps.
//
// Made by server/ before the shards, destroyed after them; any thread. Bounds: mirror_bytes_max
// for each mirror, as much again per mirror and an eighth more for the process, what sessions are
// recording included, and a fourth of it for the texts of prepared statements.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/credit.h"
#include "config/config.h"
#include "mirror/gap_ledger.h"
#include "mirror/gate.h"
#include "mirror/last_writers.h"
#include "mirror/order_board.h"
#include "mirror/overlaps.h"
#include "mirror/tally.h"

namespace mirror {

class SpillRoot;

class Shared {
 public:
  explicit Shared(const config::Config& config);
  ~Shared();

  struct PerMirror {
    PerMirror(const config::Config& config, const std::string& name, int64_t chunk,
              base::CreditPool* process)
        : budget(config.limits.mirror_bytes_max, chunk, process),
          ordered(config.mirror_order == config::MirrorOrder::kCausal),
          gate(config.limits.mirror_connections_max, ordered ? &board : nullptr),
          ledger(name),
          spill_in_flight(SpillInFlight(config.limits), chunk),
          spill_places(SpillPlaces(config.limits), chunk) {}
    base::CreditPool budget;
    const bool ordered;
    std::atomic<uint64_t> hurried{0};  // what ended a prepared transaction before its turn
    OrderBoard board;
    Gate gate;
    // True until the mirror has refused to keep markers.
    std::atomic<bool> marks{true};
    // Grows when a mirrored statement may have changed what its tables are like.
    std::atomic<uint64_t> schema{1};
    // True exactly when a prepared transaction has done so: then the end of one may, too.
    std::atomic<bool> schema_prepared{false};
    GapLedger ledger;
    base::CreditPool spill_in_flight;  // on their way to the disk
    base::CreditPool spill_places;     // of those on the disk, in memory
    std::atomic<uint32_t> shards{0};   // that have come for it
    // True exactly while what an earlier process has left is being delivered.
    std::atomic<bool> replaying{false};
    Tally tally;
  };
  PerMirror* mirror(size_t index) { return mirrors_[index].get(); }
  // Memory of units on their way to the disk: room for the largest transaction twice.
  static int64_t SpillInFlight(const base::Limits& limits);
  // Memory of what open transactions hold, on its way there: a disk that has to write out what it
  // has taken pauses for a second, and a COPY does not.
  static int64_t Overflowing(const base::Limits& limits);
  // A small part of what they take on the disk.
  static int64_t SpillPlaces(const base::Limits& limits);
  // Before the shards.
  void SetSpill(std::unique_ptr<SpillRoot> root);
  SpillRoot* spill() const { return spill_.get(); }
  // In the order of the configuration; they live as long as this.
  std::vector<GapLedger*> ledgers() const;
  // What belongs to no shard. Any thread.
  void Describe(base::MetricSink* sink) const;
  base::CreditPool* recording() { return &recording_; }
  base::CreditPool* names() { return &names_; }
  // Of what open transactions hold, on its way to the disk.
  base::CreditPool* overflowing() { return &overflowing_; }
  // Another one for each shard that asks.
  uint32_t NextOverflow() { return overflows_.fetch_add(1, std::memory_order_relaxed); }
  Clock* clock() { return &clock_; }
  Overlaps* overlaps() { return &overlaps_; }
  LastWriters* last_writers() { return &last_writers_; }
  // Tells the shards' captures apart.
  uint32_t NextCapture() { return captures_.fetch_add(1, std::memory_order_relaxed); }

 private:
  Clock clock_;
  Overlaps overlaps_;
  LastWriters last_writers_;
  std::atomic<uint32_t> captures_{0};
  base::CreditPool process_;
  base::CreditPool recording_;
  base::CreditPool names_;
  base::CreditPool overflowing_;
  std::atomic<uint32_t> overflows_{0};
  std::unique_ptr<SpillRoot> spill_;
  std::vector<std::unique_ptr<PerMirror>> mirrors_;
};

}  // namespace mirror
