#include "mirror/link.h"

#include <utility>

#include "pg/builders.h"

namespace mirror {

Link::Link(io::Loop* loop, backend::BackendMetrics* metrics, bool protocol_log, std::string key)
    : loop_(loop), connection_(loop, metrics, protocol_log), pump_(loop), key_(std::move(key)) {}

io::Task<absl::Status> Link::Open(const config::Server* server, const backend::Dialler* dialler,
                                  const backend::LoginFacts* facts, base::Deadline deadline) {
  backend::Dialled dialled;
  const absl::Status status = co_await backend::DialAndLogin(&connection_, dialler, server, facts,
                                                             deadline, &dialled);
  if (status.ok()) {
    pump_.Spawn(connection_.Pump());
  }
  co_return status;
}

io::Task<void> Link::Close() {
  const bool polite = pump_.running() > 0 && alive() && !connection_.machine().owes();
  connection_.EndLease();
  connection_.Stop();
  co_await pump_.Join();
  if (polite) {
    std::string terminate;
    pg::AppendTerminate(&terminate);
    connection_.stream().WriteCopy(terminate);
  }
  const base::Deadline until = polite ? loop_->In(absl::Seconds(1)) : loop_->now();
  co_await connection_.stream().Close(until);
}

}  // namespace mirror
