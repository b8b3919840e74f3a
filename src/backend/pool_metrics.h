// What the pools of a shard count.
#pragma once

#include <string_view>

#include "base/counters.h"

namespace backend {

struct PoolMetrics {
  base::Gauge connections;  // open, logged in
  base::Gauge free;         // of these, lent to nobody
  base::Gauge waiting;      // clients in a queue
  base::Counter grants;
  base::Counter opened;
  base::Counter open_failures;
  base::Counter denied;       // clients told that they get none
  base::Counter repeated;     // turns asked again because a result type had changed
  base::Counter cleaned;      // the reset query was run
  base::Counter discarded;    // closed because a session left them in an unknown state
  base::Counter retired;      // closed because of age or idleness
  base::Counter yielded;      // closed so that another shard or pool may open one
  base::Histogram wait_time;  // of those who had to wait
  void Describe(base::MetricSink* sink, std::string_view labels) const;
};

}  // namespace backend
