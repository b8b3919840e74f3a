#include "io/tls_metrics.h"

#include <string>

namespace io {
namespace {

void DescribeSide(const TlsMetrics::Side& side, std::string_view role, std::string_view labels,
                  base::MetricSink* sink) {
  const std::string with_role =
      (labels.empty() ? "" : std::string(labels) + ",") + "role=\"" + std::string(role) + "\"";
  sink->Add("pgbraid_io_tls_handshakes", "TLS handshakes that succeeded.", with_role,
            side.handshakes);
  sink->Add("pgbraid_io_tls_resumptions", "TLS handshakes that resumed a session by a ticket.",
            with_role, side.resumptions);
  for (size_t i = 1; i < kTlsFailures; ++i) {
    const std::string with_cause =
        with_role + ",cause=\"" + std::string(Name(static_cast<TlsFailure>(i))) + "\"";
    sink->Add("pgbraid_io_tls_handshake_failures", "TLS handshakes that failed, by cause.",
              with_cause, side.failures[i]);
  }
  sink->Add("pgbraid_io_tls_handshake_seconds", "Time a TLS handshake took, waiting included.",
            with_role, side.handshake_time);
}

}  // namespace

void TlsMetrics::Describe(base::MetricSink* sink, std::string_view labels) const {
  DescribeSide(accepted, "server", labels, sink);
  DescribeSide(dialled, "client", labels, sink);
  sink->Add("pgbraid_io_tls_broken", "TLS connections that failed after their handshake.", labels,
            broken);
}

}  // namespace io
