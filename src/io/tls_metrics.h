// What a shard counts of TLS, in both roles.
#pragma once

#include <array>
#include <string_view>

#include "base/counters.h"
#include "io/tls_facts.h"

namespace io {

struct TlsMetrics {
  struct Side {
    base::Counter handshakes;                          // that succeeded
    base::Counter resumptions;                         // of them, those by a ticket
    std::array<base::Counter, kTlsFailures> failures;  // handshakes, by TlsFailure
    base::Histogram handshake_time;                    // of those that succeeded
  };
  Side accepted;         // in the server's role: from clients
  Side dialled;          // in the client's role: to servers
  base::Counter broken;  // connections that failed after their handshake
  void Describe(base::MetricSink* sink, std::string_view labels) const;
};

}  // namespace io
