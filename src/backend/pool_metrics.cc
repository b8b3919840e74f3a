#include "backend/pool_metrics.h"

namespace backend {

void PoolMetrics::Describe(base::MetricSink* sink, std::string_view labels) const {
  sink->Add("pgbraid_backend_pool_connections", "Pooled server connections open now.", labels,
            connections);
  sink->Add("pgbraid_backend_pool_free", "Pooled server connections lent to nobody now.", labels,
            free);
  sink->Add("pgbraid_backend_pool_waiting", "Clients that wait for a server connection.", labels,
            waiting);
  sink->Add("pgbraid_backend_pool_grants", "Times a client was lent a server connection.", labels,
            grants);
  sink->Add("pgbraid_backend_pool_opened", "Pooled server connections opened.", labels, opened);
  sink->Add("pgbraid_backend_pool_open_failures", "Pooled server connections that failed to open.",
            labels, open_failures);
  sink->Add("pgbraid_backend_pool_denied", "Clients told that they get no server connection.",
            labels, denied);
  sink->Add("pgbraid_backend_pool_repeated",
            "Turns asked again because a prepared statement's result type had changed.", labels,
            repeated);
  sink->Add("pgbraid_backend_pool_cleaned", "Times the reset query was run.", labels, cleaned);
  sink->Add("pgbraid_backend_pool_discarded",
            "Pooled server connections closed because of the state they were left in.", labels,
            discarded);
  sink->Add("pgbraid_backend_pool_retired",
            "Pooled server connections closed because of age or idleness.", labels, retired);
  sink->Add("pgbraid_backend_pool_yielded",
            "Pooled server connections closed so that others could open one.", labels,
            yielded);
  sink->Add("pgbraid_backend_pool_wait_seconds",
            "How long clients waited for a server connection, if they had to.", labels, wait_time);
}

}  // namespace backend
