#include "mirror/link.h"

#include <utility>

#include "mirror/marker.h"
#include "mirror/replay.h"
#include "pg/builders.h"

namespace mirror {
namespace {

absl::Duration Politeness() { return absl::Seconds(1); }

}  // namespace

Link::Link(io::Loop* loop, backend::BackendMetrics* metrics, bool protocol_log, std::string key)
    : loop_(loop),
      connection_(loop, metrics, protocol_log),
      pump_(loop),
      key_(std::move(key)),
      number_(loop->prng().Next()) {}

io::Task<absl::Status> Link::Open(const config::Server* server, const backend::Dialler* dialler,
                                  const backend::LoginFacts* facts, base::Deadline deadline) {
  const absl::Status status = co_await backend::DialAndLogin(&connection_, dialler, server, facts,
                                                             deadline, &dialled_);
  if (status.ok()) {
    pump_.Spawn(connection_.Pump());
  }
  co_return status;
}

backend::CancelTarget Link::cancel() const {
  backend::CancelTarget target;
  target.server = dialled_;
  target.pid = connection_.key_pid();
  target.secret = connection_.key_secret();
  return target;
}

// As the user that it has logged in as, to whom the row belongs.
io::Task<void> Link::DeleteMarker() {
  io::Event event(loop_);
  backend::Leg leg;
  leg.event = &event;
  leg.over_bit = leg.ready_bit = 1;
  connection_.Lease(leg);
  Replay replay(&connection_);
  if (!role_.empty() || stained_) {
    replay.Query(kAsLogin);
  }
  replay.Query(marker::CloseText(number_));
  replay.Finish();
  const base::Deadline until = loop_->In(Politeness());
  while (alive() && connection_.machine().owes() && loop_->now() < until) {
    co_await event.Wait(until);
  }
  connection_.EndLease();
}

io::Task<void> Link::Close() {
  connection_.EndLease();
  const bool whole = pump_.running() > 0 && alive() && !connection_.machine().owes();
  if (whole && marked_ && connection_.machine().status() == 'I') {
    co_await DeleteMarker();
  }
  const bool polite = whole && alive() && !connection_.machine().owes();
  connection_.Stop();
  co_await pump_.Join();
  if (polite) {
    std::string terminate;
    pg::AppendTerminate(&terminate);
    connection_.stream().WriteCopy(terminate);
  }
  const base::Deadline until = polite ? loop_->In(Politeness()) : loop_->now();
  co_await connection_.stream().Close(until);
}

}  // namespace mirror
