#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/log.h"
#include "base/status.h"
#include "pg/builders.h"
#include "pg/views.h"
#include "session/opening.h"
#include "session/session.h"

namespace session {
namespace {

constexpr std::string_view kScramPlus = "SCRAM-SHA-256-PLUS";

}  // namespace

void Session::NewServer() {
  own_server_ = std::make_unique<backend::Connection>(loop_, around_->backend_metrics,
                                                      epoch_->config.log_protocol);
  if (around_->mirrors->any()) {
    own_server_->KeepParameters();  // the recorder asks for them
  }
}

io::Task<bool> Session::Connect(const Opening* opening, base::Deadline deadline) {
  const std::string startup = StartupFor(opening->packet);
  if (startup.empty()) {
    Violation("invalid startup packet layout");
    co_return false;
  }
  // Nobody reads the client meanwhile.
  client_.PauseReceive();
  const config::Server* const primary = &service_->primary;
  const base::Deadline until =
      std::min(deadline, loop_->In(backend::ConnectTimeout(*primary, limits())));
  const backend::Dialler* const dialler = epoch_->dialler.get();
  const absl::Status connected =
      co_await dialler->Dial(&server().stream(), primary, until, &server_address_);
  if (!connected.ok()) {
    around_->backend_metrics->connect_failures.Add();
    base::Log(base::LogLevel::kWarn, "session.connect_failed",
              {{"session", id_}, {"server", primary->name}, {"why", base::Message(connected)}});
    // The log knows the host; who is not logged in does not.
    Refuse("08006", absl::IsFailedPrecondition(connected)
                        ? "the server behind pgbraid is pgbraid itself"
                        : "could not connect to the server behind pgbraid");
    co_return false;
  }
  around_->backend_metrics->connects.Add();
  server().stream().WriteCopy(startup);
  KeepRest(opening);
  if (!client_.has_input()) {
    client_.ResumeReceive();
  }
  co_return true;
}

// What the client sent behind its StartupMessage, not waiting for an answer.
void Session::KeepRest(const Opening* opening) {
  const std::string_view rest = std::string_view(opening->bytes).substr(opening->packet.length);
  if (!rest.empty()) {
    client_slice_ = base::Slice::CopyOf(rest);
  }
  reader_.Feed(client_slice_.view());
}

// Both directions until the first ReadyForQuery. True if there was one.
io::Task<bool> Session::Login(const Opening* opening, base::Deadline deadline) {
  server().stream().NotifyReadable(&event_, kServerReadable);
  bool in = false;
  while (!ended_ && !in) {
    const bool go_on = RelayLoginReplies();
    if (!refused_.empty()) {
      co_await ConnectOtherWay(opening, deadline);
      continue;
    }
    in = !server().machine().starting();
    if (!go_on || in || !RelayLoginRequests()) {
      break;
    }
    const uint32_t bits = co_await event_.Wait(deadline);
    if ((bits & io::Event::kTimeout) != 0) {
      around_->metrics->login_timeouts.Add();
      Refuse("08006", "authentication timeout");
    }
    if ((bits & kDrain) != 0) {
      Refuse("57P01", "terminating connection due to administrator command");
    }
  }
  server().stream().NotifyReadable(nullptr, 0);
  if (!in) {
    around_->metrics->login_failures.Add();
  }
  co_return in && !ended_;
}

// sslmode=allow: a server that says no at once may say yes to a connection with TLS. The client has
// heard nothing of it yet.
bool Session::RefusesPlain(const pg::Piece& piece) {
  const bool first = !std::exchange(heard_, true);
  return first && piece.type == 'E' && piece.whole() &&
         epoch_->dialler->OtherWay(service_->primary, server_address_).has_value();
}

// After RefusesPlain(): with TLS, or the client is told what the server said.
io::Task<void> Session::ConnectOtherWay(const Opening* opening, base::Deadline deadline) {
  const std::string refusal = std::exchange(refused_, {});
  const std::optional<backend::Dialled> other =
      epoch_->dialler->OtherWay(service_->primary, server_address_);
  server().stream().NotifyReadable(nullptr, 0);
  co_await server().stream().Close(loop_->now());
  NewServer();
  const base::Deadline until =
      std::min(deadline, loop_->In(backend::ConnectTimeout(service_->primary, limits())));
  const absl::Status dialled =
      co_await epoch_->dialler->DialAgain(&server().stream(), &*other, until);
  if (!dialled.ok()) {
    base::Log(base::LogLevel::kInfo, "session.no_tls_either",
              {{"session", id_}, {"server", service_->primary.name},
               {"why", base::Message(dialled)}});
    client_.WriteCopy(refusal);
    ended_ = true;
    co_return;
  }
  server_address_ = *other;
  server().stream().WriteCopy(StartupFor(opening->packet));
  server().stream().NotifyReadable(&event_, kServerReadable);
}

// What the server says before it is ready. False when login is over, one way or the other.
bool Session::RelayLoginReplies() {
  pg::Piece piece;
  turn::Reply reply;
  pg::ReadResult result;
  while ((result = server().NextLoginPiece(&piece, &reply)) == pg::ReadResult::kPiece) {
    if ((piece.first && reply.kind == turn::ReplyKind::kMismatch) || !OnLoginReply(piece)) {
      around_->backend_metrics->mismatches.Add();
      Refuse("08P01", "the server sent a message that does not belong to a login");
      return false;
    }
    if (RefusesPlain(piece)) {
      refused_ = piece.bytes;
      return false;
    }
    std::string instead;
    if (!StrikeChannelBinding(piece, &instead)) {
      Refuse("28000",
             "SCRAM cannot pass through two encrypted connections: give pgbraid a users file or "
             "auth_query, or use sslmode=disable on one of them");
      return false;
    }
    if (!instead.empty()) {
      client_.WriteCopy(instead);
    } else if (piece.type == 'K' && piece.whole()) {
      if (!OnBackendKey(piece)) {
        Refuse("08P01", "the server sent an invalid cancel key");
        return false;
      }
    } else {
      client_.WriteCopy(piece.bytes);
    }
    if (!server().machine().starting()) {
      return false;
    }
  }
  if (result == pg::ReadResult::kBad) {
    around_->backend_metrics->mismatches.Add();
    Refuse("08P01", "the server sent a message that cannot be understood");
    return false;
  }
  return !server().stream().ended();
}

// What the server asks of the client. False for a server that is ready before it said who may in.
bool Session::OnLoginReply(const pg::Piece& piece) {
  if (piece.type == 'Z') {
    return authenticated_;
  }
  if (piece.type == 'R' && piece.whole()) {
    const std::optional<pg::AuthenticationView> request = pg::ReadAuthentication(piece.body);
    const bool granted = request.has_value() && request->code == pg::AuthenticationCode::kOk;
    authenticated_ = authenticated_ || granted;
    asked_ = request.has_value() && !granted && request->code != pg::AuthenticationCode::kSaslFinal;
  }
  return true;
}

// Channel binding ties a login to one TLS connection, and there are two of them, or one that the
// other side does not see: the mechanism is taken out of the server's offer (`*instead` is what the
// client gets). A client with TLS would then say that it could have bound, and a server with TLS
// takes that for an attack, so where both legs have TLS the login cannot work: false.
bool Session::StrikeChannelBinding(const pg::Piece& piece, std::string* instead) {
  if (piece.type != 'R' || !piece.whole()) {
    return true;
  }
  const std::optional<pg::AuthenticationView> request = pg::ReadAuthentication(piece.body);
  if (!request.has_value() || request->code != pg::AuthenticationCode::kSasl) {
    return true;
  }
  const auto offered = pg::ReadSaslMechanisms(request->data);
  if (!offered.has_value() ||
      std::find(offered->begin(), offered->end(), kScramPlus) == offered->end()) {
    return true;
  }
  if (client_.tls() != nullptr && server().stream().tls() != nullptr) {
    return false;
  }
  std::string body;
  base::AppendBe32(&body, static_cast<uint32_t>(pg::AuthenticationCode::kSasl));
  for (const std::string_view mechanism : *offered) {
    if (mechanism != kScramPlus) {
      body += mechanism;
      body += '\0';
    }
  }
  body += '\0';
  *instead = 'R';
  base::AppendBe32(instead, static_cast<uint32_t>(body.size() + sizeof(uint32_t)));
  *instead += body;
  return true;
}

// The client keeps the server's pid and gets a secret of ours.
bool Session::OnBackendKey(const pg::Piece& piece) {
  const std::optional<pg::BackendKeyView> key = pg::ReadBackendKey(piece.body);
  if (!key.has_value() || !cancel_secret_.empty()) {
    return false;
  }
  backend::CancelTarget target;
  target.server = server_address_;
  target.epoch = epoch_;
  target.pid = key->pid;
  target.secret = key->secret;
  cancel_pid_ = key->pid;
  cancel_secret_ = around_->cancels->Add(target);
  std::string ours;
  if (!pg::AppendBackendKeyData(&ours, cancel_pid_, cancel_secret_)) {
    return false;
  }
  client_.WriteCopy(ours);
  return true;
}

// What the client answers to the server's authentication requests: one frame for each. The server
// reads no more than that either; whatever else has come waits, until it is asked for or for the
// relay. False if the client is to go.
bool Session::RelayLoginRequests() {
  while (asked_) {
    pg::Piece piece;
    const pg::ReadResult result = reader_.Next(&piece);
    if (result == pg::ReadResult::kBad) {
      Violation(reader_.error());
      return false;
    }
    if (result == pg::ReadResult::kMore) {
      client_.ResumeReceive();
      const base::Slice input = client_.TakeInput();
      if (input.empty()) {
        return !client_.ended();
      }
      // A copy: a client may take its time between two frames, and must not hold the pool's memory.
      client_slice_ = base::Slice::CopyOf(input.view());
      reader_.Feed(client_slice_.view());
      continue;
    }
    if (piece.first && server().machine().OnRequest(piece, id_) != turn::RequestResult::kOk) {
      Violation("expected password response, got message type " +
                std::to_string(static_cast<unsigned char>(piece.type)));
      return false;
    }
    asked_ = !piece.last;
    server().TraceRequest(piece);
    server().stream().WriteCopy(piece.bytes);
  }
  if (client_.has_input()) {
    client_.PauseReceive();
  }
  const bool unread = reader_.consumed() < client_slice_.size();
  return unread || !client_.ended();
}

}  // namespace session
