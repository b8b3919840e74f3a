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
  base::Counter filtered_transactions;  // committed, and not in its sample
  base::Counter retries;
  base::Counter reconnects;
  base::Gauge queued_units;
  base::Gauge queued_bytes;
  base::Gauge connections;
  base::Histogram lag;

  void Drop(Cause cause) { dropped[static_cast<size_t>(cause)].Add(); }
  void Describe(base::MetricSink* sink, std::string_view labels) const;
};

// "over_budget", ...: the label, and what the log says.
std::string_view Name(Cause cause);

}  // namespace mirror
