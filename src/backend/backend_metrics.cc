#include "backend/backend_metrics.h"

namespace backend {

void BackendMetrics::Describe(base::MetricSink* sink, std::string_view labels) const {
  sink->Add("pgbraid_backend_connects", "Connections made to servers.", labels, connects);
  sink->Add("pgbraid_backend_connect_failures", "Connections to servers that failed.", labels,
            connect_failures);
  sink->Add("pgbraid_backend_connections", "Server connections open now.", labels, connections);
  sink->Add("pgbraid_backend_turns", "ReadyForQuery messages of servers.", labels, turns);
  sink->Add("pgbraid_backend_statements", "Statements that succeeded.", labels, statements);
  sink->Add("pgbraid_backend_errors", "ErrorResponse messages of servers.", labels, errors);
  sink->Add("pgbraid_backend_mismatches", "Server connections closed: a reply nobody asked for.",
            labels, mismatches);
  sink->Add("pgbraid_backend_pauses", "Times a server was not read because its client was slow.",
            labels, pauses);
  sink->Add("pgbraid_backend_cancels_forwarded", "Cancel requests sent on to a server.", labels,
            cancels_forwarded);
  sink->Add("pgbraid_backend_cancels_unknown", "Cancel requests with a key that is not ours.",
            labels, cancels_unknown);
  sink->Add("pgbraid_backend_cancels_shed", "Cancel requests dropped: too many at once.", labels,
            cancels_shed);
  sink->Add("pgbraid_backend_cancels_in_flight", "Cancel requests being sent on now.", labels,
            cancels_in_flight);
}

}  // namespace backend
