// Shared: what the shards of a process have in common for their mirrors: budgets, gates, ledgers of
// gaps.
//
// Made by server/ before the shards, destroyed after them; any thread. Bounds: mirror_bytes_max
// for each mirror, as much again per mirror and an eighth more for the process, what sessions are
// recording included, and a fourth of it for the texts of prepared statements.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/credit.h"
#include "config/config.h"
#include "mirror/gap_ledger.h"
#include "mirror/gate.h"

namespace mirror {

class Shared {
 public:
  explicit Shared(const config::Config& config);

  struct PerMirror {
    PerMirror(const std::string& name, const base::Limits& limits, int64_t chunk,
              base::CreditPool* process)
        : budget(limits.mirror_bytes_max, chunk, process),
          gate(limits.mirror_connections_max),
          ledger(name) {}
    base::CreditPool budget;
    Gate gate;
    GapLedger ledger;
  };
  PerMirror* mirror(size_t index) { return mirrors_[index].get(); }
  // In the order of the configuration; they live as long as this.
  std::vector<GapLedger*> ledgers() const;
  // What belongs to no shard. Any thread.
  void Describe(base::MetricSink* sink) const;
  base::CreditPool* recording() { return &recording_; }
  base::CreditPool* names() { return &names_; }

 private:
  base::CreditPool process_;
  base::CreditPool recording_;
  base::CreditPool names_;
  std::vector<std::unique_ptr<PerMirror>> mirrors_;
};

}  // namespace mirror
