#include "io/engine.h"

namespace io {

void EngineMetrics::Describe(base::MetricSink* sink, std::string_view labels) const {
  sink->Add("pgbraid_io_rounds", "Rounds of the event loop.", labels, rounds);
  sink->Add("pgbraid_io_system_calls", "System calls of the event loop.", labels, system_calls);
  sink->Add("pgbraid_io_receives", "Receives that brought bytes.", labels, receives);
  sink->Add("pgbraid_io_received_bytes", "Bytes received from clients and servers.", labels,
            received_bytes);
  sink->Add("pgbraid_io_sends", "Sends handed to the kernel.", labels, sends);
  sink->Add("pgbraid_io_sent_bytes", "Bytes sent to clients and servers.", labels, sent_bytes);
  sink->Add("pgbraid_io_receive_restarts", "Receives the kernel ended by itself, armed again.",
            labels, receive_restarts);
  sink->Add("pgbraid_io_starved", "Receives that had to wait for a free buffer.", labels, starved);
  sink->Add("pgbraid_io_queue_overflows", "Rounds that found the completion queue overflowed.",
            labels, queue_overflows);
  sink->Add("pgbraid_io_accepts", "Connections accepted.", labels, accepts);
  sink->Add("pgbraid_io_accept_failures", "Accepts that failed.", labels, accept_failures);
  sink->Add("pgbraid_io_copied_out_bytes",
            "Bytes copied because the peer did not take them at once.", labels, copied_out_bytes);
}

}  // namespace io
