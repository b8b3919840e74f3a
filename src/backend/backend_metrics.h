// What the backend room counts, one per shard.
#pragma once

#include <string_view>

#include "base/counters.h"

namespace backend {

struct BackendMetrics {
  base::Counter connects;
  base::Counter connect_failures;
  base::Gauge connections;
  base::Counter turns;
  base::Counter statements;
  base::Counter errors;
  base::Counter mismatches;
  base::Counter pauses;
  base::Counter cancels_forwarded;
  base::Counter cancels_unknown;
  base::Counter cancels_shed;
  base::Gauge cancels_in_flight;

  void Describe(base::MetricSink* sink, std::string_view labels) const;
};

}  // namespace backend
