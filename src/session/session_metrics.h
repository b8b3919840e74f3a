// What the session room counts, one per shard.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/counters.h"

namespace session {

// The waits of a client after its login that may have an end.
enum class Timeout : uint8_t {
  kQueryWait,        // for a server connection
  kQuery,            // for an answer
  kTransaction,      // for the end of a transaction
  kIdleTransaction,  // for a request within one
  kClientIdle,       // for a request outside of one
  kClientStall,      // for the client to read
};
inline constexpr size_t kTimeouts = 6;
std::string_view Name(Timeout timeout);

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
  std::array<base::Counter, kTimeouts> timeouts;  // closed because a wait took too long
  base::Counter server_lost;          // the server's connection ended first
  base::Counter refused_full;         // over --max-clients
  base::Counter pauses;               // times a client was not read because its server was slow
  base::Histogram mirror_wait;        // of input that was held back because a mirror was full
  base::Histogram login_time;         // accept to the first ReadyForQuery
  void Describe(base::MetricSink* sink, std::string_view labels) const;
};

}  // namespace session
