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
      epoch_(surroundings->epoch),
      pumps_(loop_),
      reader_(pg::Side::kFrontend, loop_->limits().frame_held_max,
              loop_->limits().statement_memory_first) {}

Session::~Session() = default;

io::Task<void> Session::Run(int descriptor, bool beyond) {
  SessionMetrics& metrics = *around_->metrics;
  metrics.opened.Add();
  metrics.clients.Add(1);
  metrics.logging_in.Add(1);
  client_.Adopt(descriptor, io::Traffic::kClient);
  client_.NotifyReadable(&event_, kClientReadable);
  const base::Instant began = loop_->now();
  const bool in = co_await Enter(beyond);
  metrics.logging_in.Add(-1);
  if (in) {
    metrics.logins.Add();
    metrics.login_time.Record(loop_->now() - began);
    if (pools_transactions()) {
      co_await RelayPooled();
    } else {
      co_await Relay();
    }
    base::Log(base::LogLevel::kInfo, "session.closed", {{"session", id_}});
  }
  co_await Finish();
  metrics.clients.Add(-1);
}

// From the first byte to the first ReadyForQuery. True if there was one.
io::Task<bool> Session::Enter(bool beyond) {
  const base::Deadline deadline = loop_->In(limits().login_timeout);
  // Not for life: an idle session is small.
  const std::unique_ptr<Opening> opening = std::make_unique<Opening>();
  const bool opened = co_await ReadOpening(opening.get(), deadline);
  if (!opened) {
    co_return false;
  }
  epoch_ = around_->epoch;  // it may have taken its time to ask
  if (!MayBePlain(opening.get())) {
    co_return false;
  }
  if (opening->packet.kind == pg::StartupKind::kCancelRequest) {
    co_await Cancel(opening.get());
    co_return false;
  }
  if (beyond) {
    around_->metrics->refused_full.Add();
    Refuse("53300", "sorry, too many clients already");
    co_return false;
  }
  if (!FindService(opening.get())) {
    co_return false;
  }
  const bool in = co_await LogIn(opening.get(), deadline);
  if (in) {
    base::Log(base::LogLevel::kInfo, "session.opened",
              {{"session", id_},
               {"client", client_.PeerName()},
               {"user", opening->packet.user},
               {"database", opening->packet.database}});
    OpenRecorder(opening.get());
  }
  co_return in;
}

// Which names there are is told to nobody who has not logged in, where logins are pgbraid's: until
// then the first service stands in for one that does not exist.
bool Session::FindService(Opening* opening) {
  const pg::StartupPacket& packet = opening->packet;
  const config::Config& config = epoch_->config;
  database_ = packet.database.empty() ? packet.user : packet.database;
  service_ = config::FindService(config, database_);
  opening->no_service = service_ == nullptr;
  if (!opening->no_service) {
    return true;
  }
  service_ = &config.services.front();
  if (around_->authenticator == nullptr || !around_->authenticator->Decides(*service_)) {
    RefuseService();
    return false;
  }
  return true;
}

void Session::RefuseService() {
  Refuse("3D000", "database \"" + database_ + "\" does not exist");
}

io::Task<bool> Session::LogIn(Opening* opening, base::Deadline deadline) {
  if (around_->authenticator != nullptr && around_->authenticator->Decides(*service_)) {
    const bool in = co_await EnterPooled(opening, deadline);
    co_return in;
  }
  NewServer();
  const bool connected = co_await Connect(opening, deadline);
  if (!connected) {
    co_return false;
  }
  const bool in = co_await Login(opening, deadline);
  co_return in;
}

bool Session::pools_transactions() const {
  return borrower_ != nullptr && service_->pool.mode != config::PoolMode::kSession;
}

void Session::Drain() {
  draining_ = true;
  event_.Raise(kDrain);
  if (client_.shaking()) {
    client_.Abort();
  }
}

void Session::Stop() {
  if (!ended_) {
    Refuse("57P01", "terminating connection due to administrator command");
  }
  if (client_.shaking()) {
    client_.Abort();
  }
  event_.Raise(io::Event::kStop);
}

// A FATAL of our own: the last thing the client hears. In the middle of a server's message it
// could only be taken for a part of that, so then the connection just ends.
void Session::Refuse(std::string_view sqlstate, std::string_view message) {
  ended_ = true;
  if (has_server() && server().mid_reply()) {
    return;
  }
  std::string error;
  const pg::ErrorText text{.severity = "FATAL", .sqlstate = sqlstate, .message = message};
  pg::AppendErrorResponse(&error, text);
  client_.WriteCopy(error);
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
  if (own_server_ != nullptr) {
    own_server_->Stop();
    co_await pumps_.Join();
    own_server_->EndLease();
    if (cancels_) {
      co_await CancelOwn();
    }
    co_await own_server_->stream().Close(loop_->now());
  }
  if (borrower_ != nullptr) {
    borrower_->End();
    borrower_.reset();
  }
  recorder_.reset();  // nobody tells it of answers any more
  if (!cancel_secret_.empty()) {
    around_->cancels->Remove(cancel_pid_, cancel_secret_);
  }
  CountOut();
  client_.NotifyReadable(nullptr, 0);
  client_.NotifyDrained(nullptr, 0);
  client_slice_.Reset();
  co_await client_.Close(loop_->In(limits().close_timeout));
}

}  // namespace session
