#include "session/session.h"

#include <utility>

#include "base/log.h"
#include "pg/builders.h"
#include "session/opening.h"

namespace session {

Session::Session(const Surroundings* surroundings, uint64_t id)
    : around_(surroundings),
      loop_(surroundings->loop),
      id_(id),
      event_(loop_),
      client_(loop_),
      server_(loop_, surroundings->backend_metrics, surroundings->config->log_protocol),
      pumps_(loop_),
      reader_(pg::Side::kFrontend, loop_->limits().frame_held_max,
              loop_->limits().statement_memory_first) {}

Session::~Session() = default;

io::Task<void> Session::Run(int descriptor) {
  around_->metrics->opened.Add();
  around_->metrics->clients.Add(1);
  client_.Adopt(descriptor, io::Traffic::kClient);
  client_.NotifyReadable(&event_, kClientReadable);
  const base::Instant began = loop_->now();
  const base::Deadline deadline = loop_->In(limits().login_timeout);
  bool in = false;
  {
    auto opening = std::make_unique<Opening>();  // not for life: an idle session is small
    const bool opened = co_await ReadOpening(opening.get(), deadline);
    if (opened && opening->packet.kind == pg::StartupKind::kCancelRequest) {
      co_await Cancel(opening.get());
    } else if (opened) {
      in = co_await Connect(opening.get(), deadline);
    }
    if (in) {
      in = co_await Login(deadline);
    }
    if (in) {
      OpenRecorder(opening.get());
    }
  }
  if (in) {
    around_->metrics->logins.Add();
    around_->metrics->login_time.Record(loop_->now() - began);
    if (base::LogEnabled(base::LogLevel::kDebug)) {
      base::Log(base::LogLevel::kDebug, "session.opened",
                {{"session", id_}, {"client", client_.PeerName()}});
    }
    co_await Relay();
  }
  co_await Finish();
  around_->metrics->clients.Add(-1);
}

void Session::Drain() {
  draining_ = true;
  event_.Raise(kDrain);
}

void Session::Stop() {
  ended_ = true;
  event_.Raise(io::Event::kStop);
}

// A FATAL of our own: the last thing the client hears.
void Session::Refuse(std::string_view sqlstate, std::string_view message) {
  std::string error;
  const pg::ErrorText text{.severity = "FATAL", .sqlstate = sqlstate, .message = message};
  pg::AppendErrorResponse(&error, text);
  client_.WriteCopy(error);
  ended_ = true;
}

void Session::Violation(std::string_view message) {
  around_->metrics->protocol_violations.Add();
  if (base::LogEnabled(base::LogLevel::kInfo)) {
    base::Log(base::LogLevel::kInfo, "session.protocol_violation",
              {{"session", id_}, {"client", client_.PeerName()}, {"what", message}});
  }
  Refuse("08P01", message);
}

// The server goes first: nothing it still says is for anybody.
io::Task<void> Session::Finish() {
  if (!cancel_secret_.empty()) {
    around_->cancels->Remove(cancel_pid_, cancel_secret_);
  }
  recorder_.reset();
  server_.Stop();
  co_await pumps_.Join();
  server_.EndLease();
  co_await server_.stream().Close(loop_->now());
  client_.NotifyReadable(nullptr, 0);
  client_.NotifyDrained(nullptr, 0);
  client_slice_.Reset();
  co_await client_.Close(loop_->In(limits().close_timeout));
}

}  // namespace session
