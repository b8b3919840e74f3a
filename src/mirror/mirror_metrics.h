// What a shard counts of one mirror. offered == delivered + refused + dropped + queued_units at
// every moment.
#pragma once

#include <array>
#include <string_view>

#include "base/counters.h"
#include "mirror/unit.h"

namespace mirror {

struct MirrorMetrics {
  base::Counter offered;
  base::Counter delivered;
  base::Counter refused;
  std::array<base::Counter, kCauses> dropped;  // by Cause; kNone stays 0
  base::Counter statements;                    // of delivered units
  base::Counter filtered_statements;    // succeeded, and the mirror's filter does not want them
  base::Counter outside_statements;     // of those, that no mirror gets whatever its filter
  base::Counter filtered_transactions;  // committed, and not in its sample
  base::Counter different;      // of those delivered: with other tags than the primary's
  base::Counter found_applied;  // likewise: their answer was lost, and their marker found
  base::Counter reordered;      // run again behind those that go before
  base::Counter retries;
  base::Counter reconnects;
  base::Counter spilled;         // transactions that have gone to the disk
  base::Counter spilled_bytes;
  base::Counter spill_failures;  // of the disk
  base::Gauge spill_units;       // on the disk, waiting; queued_units counts them, too
  base::Gauge spill_bytes;       // what they, and those being delivered, take there
  base::Gauge queued_units;
  base::Gauge queued_bytes;
  base::Gauge connections;
  base::Histogram lag;
  base::Histogram start_wait;
  base::Histogram commit_wait;
  base::Histogram apply;
  base::Gauge breakers;  // open

  void Drop(Cause cause) { dropped[static_cast<size_t>(cause)].Add(); }
  void Describe(base::MetricSink* sink, std::string_view labels) const;
};

// "over_budget", ...: the label, and what the log says.
std::string_view Name(Cause cause);

}  // namespace mirror
