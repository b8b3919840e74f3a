// What the session room counts, one per shard.
#pragma once

#include <string_view>

#include "base/counters.h"

namespace session {

struct SessionMetrics {
  base::Gauge clients;     // sessions open now
  base::Gauge logging_in;  // of them, those that are not logged in
  base::Counter opened;
  base::Counter logins;
  base::Counter login_failures;  // refused by us or by the server
  base::Counter login_timeouts;
  base::Counter ssl_refused;          // SSLRequest or GSSENCRequest answered N
  base::Counter protocol_violations;  // closed with 08P01
  base::Counter cancels;              // CancelRequest packets
  base::Counter timeouts;             // closed because a wait took too long
  base::Counter server_lost;          // the server's connection ended first
  base::Counter refused_full;         // over --max-clients
  base::Counter pauses;               // times a client was not read because its server was slow
  base::Histogram login_time;         // accept to the first ReadyForQuery
  void Describe(base::MetricSink* sink, std::string_view labels) const;
};

}  // namespace session
