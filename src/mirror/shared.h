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
#include "mirror/order_board.h"

namespace mirror {

class Shared {
 public:
  explicit Shared(const config::Config& config);

  struct PerMirror {
    PerMirror(const config::Config& config, const std::string& name, int64_t chunk,
              base::CreditPool* process)
        : budget(config.limits.mirror_bytes_max, chunk, process),
          ordered(config.mirror_order == config::MirrorOrder::kCausal),
          gate(config.limits.mirror_connections_max, ordered ? &board : nullptr),
          ledger(name) {}
    base::CreditPool budget;
    const bool ordered;
    OrderBoard board;
    Gate gate;
    // True until the mirror has refused to keep markers.
    std::atomic<bool> marks{true};
    GapLedger ledger;
  };
  PerMirror* mirror(size_t index) { return mirrors_[index].get(); }
  // In the order of the configuration; they live as long as this.
  std::vector<GapLedger*> ledgers() const;
  // What belongs to no shard. Any thread.
  void Describe(base::MetricSink* sink) const;
  base::CreditPool* recording() { return &recording_; }
  base::CreditPool* names() { return &names_; }
  Clock* clock() { return &clock_; }
  // Tells the shards' captures apart.
  uint32_t NextCapture() { return captures_.fetch_add(1, std::memory_order_relaxed); }

 private:
  Clock clock_;
  std::atomic<uint32_t> captures_{0};
  base::CreditPool process_;
  base::CreditPool recording_;
  base::CreditPool names_;
  std::vector<std::unique_ptr<PerMirror>> mirrors_;
};

}  // namespace mirror
