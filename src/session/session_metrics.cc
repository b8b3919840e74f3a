#include "session/session_metrics.h"

#include <string>

namespace session {

std::string_view Name(Timeout timeout) {
  switch (timeout) {
    case Timeout::kQueryWait:
      return "query_wait";
    case Timeout::kQuery:
      return "query";
    case Timeout::kTransaction:
      return "transaction";
    case Timeout::kIdleTransaction:
      return "idle_transaction";
    case Timeout::kClientIdle:
      return "client_idle";
    case Timeout::kClientStall:
      return "client_stall";
  }
  return "";
}

void SessionMetrics::Describe(base::MetricSink* sink, std::string_view labels) const {
  sink->Add("pgbraid_session_clients", "Client connections open now.", labels, clients);
  sink->Add("pgbraid_session_logging_in", "Client connections that are not logged in yet.", labels,
            logging_in);
  sink->Add("pgbraid_session_opened", "Client connections accepted.", labels, opened);
  sink->Add("pgbraid_session_logins", "Logins that succeeded.", labels, logins);
  sink->Add("pgbraid_session_login_failures", "Logins that failed.", labels, login_failures);
  sink->Add("pgbraid_session_login_timeouts", "Clients that did not log in in time.", labels,
            login_timeouts);
  sink->Add("pgbraid_session_ssl_refused", "SSLRequest and GSSENCRequest messages answered with N.",
            labels, ssl_refused);
  sink->Add("pgbraid_session_protocol_violations", "Clients closed for a protocol violation.",
            labels, protocol_violations);
  sink->Add("pgbraid_session_cancels", "Cancel requests received.", labels, cancels);
  for (size_t i = 0; i < kTimeouts; ++i) {
    const std::string with_cause = (labels.empty() ? "" : std::string(labels) + ",") + "cause=\"" +
                                   std::string(Name(static_cast<Timeout>(i))) + "\"";
    sink->Add("pgbraid_session_timeouts", "Clients closed because a wait took too long, by cause.",
              with_cause, timeouts[i]);
  }
  sink->Add("pgbraid_session_server_lost", "Sessions ended because the server's connection ended.",
            labels, server_lost);
  sink->Add("pgbraid_session_refused_full", "Clients refused because there were too many.", labels,
            refused_full);
  sink->Add("pgbraid_session_pauses", "Times a client was not read because its server was slow.",
            labels, pauses);
  sink->Add("pgbraid_session_mirror_wait_seconds",
            "Time that a client's input was held back because a mirror had no room.", labels,
            mirror_wait);
  sink->Add("pgbraid_session_login_seconds", "Time from accept to the first ReadyForQuery.", labels,
            login_time);
}

}  // namespace session
