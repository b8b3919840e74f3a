#include "session/opening.h"

#include <utility>

#include "base/fault_point.h"
#include "base/log.h"
#include "base/status.h"
#include "pg/builders.h"
#include "pg/messages.h"
#include "session/proxy_header.h"

namespace session {
namespace {

constexpr std::string_view kNoEncryption = "N";
constexpr std::string_view kTlsFollows = "S";
constexpr unsigned char kTlsHandshake = 0x16;  // a TLS record of that type (RFC 8446, 5.1)

}  // namespace

// True with a StartupMessage or a CancelRequest in `opening`; false when the client is to go.
io::Task<bool> Session::ReadOpening(Opening* opening, base::Deadline deadline) {
  if (ExpectsProxyHeader()) {
    const bool taken = co_await TakeProxyHeader(deadline);
    if (!taken) {
      co_return false;
    }
  }
  for (;;) {
    if (opening->tls_begins) {
      const bool secured = co_await Secure(opening, deadline);
      if (!secured) {
        co_return false;
      }
    }
    pg::StartupError error;
    const pg::StartupResult result =
        pg::ParseStartup(opening->bytes, opening->allowed, &opening->packet, &error);
    if (result == pg::StartupResult::kBad) {
      around_->metrics->protocol_violations.Add();
      if (error.tell) {
        Refuse(error.sqlstate, error.message);
      } else if (LooksLikeProxyHeader(opening->bytes)) {
        base::Log(base::LogLevel::kWarn, "session.proxy_header_refused",
                  {{"session", id_},
                   {"client", client_.PeerName()},
                   {"why", "this peer is not in proxy-protocol-from"}});
      }
      co_return false;
    }
    if (result == pg::StartupResult::kComplete) {
      const bool more = Negotiate(opening, opening->packet);
      if (!more) {
        co_return !ended_;
      }
      continue;
    }
    if (client_.ended() || ended_) {
      co_return false;
    }
    if (!client_.has_input()) {
      const uint32_t bits = co_await event_.Wait(deadline);
      if ((bits & io::Event::kTimeout) != 0) {
        around_->metrics->login_timeouts.Add();
        co_return false;
      }
      if ((bits & (io::Event::kStop | kDrain)) != 0) {
        co_return false;
      }
      continue;
    }
    const bool first = std::exchange(opening->fresh, false);
    if (first && OffersTls() && client_.first_input() == kTlsHandshake) {
      opening->direct = opening->tls_begins = true;
      continue;
    }
    const base::Slice slice = client_.TakeInput();
    opening->bytes += slice.view();
  }
}

// Not over a Unix socket, as PostgreSQL: nobody can listen there.
bool Session::OffersTls() const {
  return epoch_->client_tls != nullptr && !client_.PeerAddress().is_unix();
}

// True if another packet must follow.
bool Session::Negotiate(Opening* opening, const pg::StartupPacket& packet) {
  if (packet.kind == pg::StartupKind::kStartupMessage ||
      packet.kind == pg::StartupKind::kCancelRequest) {
    return false;
  }
  const bool ssl = packet.kind == pg::StartupKind::kSslRequest;
  (ssl ? opening->allowed.ssl_request : opening->allowed.gssenc_request) =
      HISTORICAL_BUG("a5-requests-without-end");
  opening->bytes.erase(0, packet.length);
  const bool yes = ssl && OffersTls() && client_.tls() == nullptr;
  const bool alone = opening->bytes.empty() && !client_.has_input();
  if (yes && (alone || HISTORICAL_BUG("b1-bytes-before-the-handshake"))) {
    client_.WriteCopy(kTlsFollows);
    opening->tls_begins = true;
    return true;
  }
  if (!yes) {
    around_->metrics->ssl_refused.Add();
    client_.WriteCopy(kNoEncryption);
  }
  if (yes || !opening->bytes.empty()) {
    // As PostgreSQL does: what was sent before the answer could have been injected.
    Violation(ssl ? "received unencrypted data after SSL request"
                  : "received unencrypted data after GSSAPI encryption request");
    return false;
  }
  return true;
}

// The handshake, in its place of the conversation. From now on no encryption may be asked for: it
// is decided upon once.
io::Task<bool> Session::Secure(Opening* opening, base::Deadline deadline) {
  opening->tls_begins = false;
  opening->allowed.ssl_request = opening->allowed.gssenc_request =
      HISTORICAL_BUG("b16-encryption-decided-twice");
  if (around_->epoch->client_tls != nullptr) {
    epoch_ = around_->epoch;
  }
  const io::TlsContext* const context = epoch_->client_tls.get();
  const absl::Status done = co_await client_.StartTls(context, &opening->tls, deadline);
  std::string why(base::Message(done));
  if (done.ok() && opening->direct && !client_.tls()->alpn) {
    why = "direct TLS without the protocol's name (ALPN postgresql)";
  }
  if (why.empty() && !ended_ && !draining_) {
    co_return true;
  }
  if (absl::IsDeadlineExceeded(done)) {
    around_->metrics->login_timeouts.Add();
  }
  base::Log(base::LogLevel::kInfo, "session.tls_failed",
            {{"session", id_},
             {"client", client_.PeerName()},
             {"why", why},
             {"message", "TLS handshake failed"}});
  co_return false;
}

// False if the client had to use TLS and did not. A cancel may come in the clear, as PostgreSQL has
// it: libpq before version 17 sends it so even where the session is encrypted.
bool Session::MayBePlain(const Opening* opening) {
  const bool wanted = epoch_->config.tls.required && OffersTls() && client_.tls() == nullptr;
  if (!wanted || opening->packet.kind == pg::StartupKind::kCancelRequest) {
    return true;
  }
  Refuse("28000", "this server accepts encrypted connections only; use sslmode=require");
  return false;
}

io::Task<void> Session::Cancel(const Opening* opening) {
  around_->metrics->cancels.Add();
  backend::BackendMetrics& metrics = *around_->backend_metrics;
  const std::optional<backend::CancelTarget> found =
      around_->cancels->Find(opening->packet.cancel_pid, opening->packet.cancel_secret);
  if (!found.has_value()) {
    metrics.cancels_unknown.Add();
    co_return;
  }
  if (found->receiver != nullptr) {
    co_await CancelPooled(*found);
    co_return;
  }
  co_await Deliver(&*found);
}

// What the session's own server connection runs.
io::Task<void> Session::CancelOwn() {
  const std::optional<backend::CancelTarget> found =
      around_->cancels->Find(cancel_pid_, cancel_secret_);
  if (found.has_value()) {
    co_await Deliver(&*found);
  }
}

io::Task<void> Session::Deliver(const backend::CancelTarget* target) {
  backend::BackendMetrics& metrics = *around_->backend_metrics;
  if (metrics.cancels_in_flight.value() >= limits().cancels_in_flight_max) {
    metrics.cancels_shed.Add();
    co_return;
  }
  metrics.cancels_forwarded.Add();
  metrics.cancels_in_flight.Add(1);
  const backend::Dialler* const dialler = target->epoch->dialler.get();
  const absl::Status done = co_await backend::ForwardCancel(loop_, dialler, *target,
                                                            loop_->In(limits().cancel_timeout));
  metrics.cancels_in_flight.Add(-1);
  if (!done.ok()) {
    base::Log(base::LogLevel::kWarn, "session.cancel_failed",
              {{"session", id_}, {"why", base::Message(done)}});
  }
}

// A session's own shard knows what runs for it. This connection ends when that is done with, as a
// server's does: its client may then ask for something else.
io::Task<void> Session::CancelPooled(backend::CancelTarget target) {
  const base::Deadline deadline = loop_->In(2 * limits().cancel_timeout);  // its own, and its turn
  target.receiver->PostCancel(target.session, {around_->receiver, id_});
  uint32_t bits = 0;
  while ((bits & (kCancelDone | io::Event::kTimeout | io::Event::kStop)) == 0 &&
         !client_.ended() && !client_.broken()) {
    bits = co_await event_.Wait(deadline);
  }
}

// The client's own StartupMessage, unless the primary's URL decides the database.
std::string Session::StartupFor(const pg::StartupPacket& packet) const {
  std::vector<pg::Setting> parameters = packet.parameters;
  const std::string& database = service_->primary.dbname;
  if (!database.empty()) {
    std::erase_if(parameters,
                  [](const pg::Setting& setting) { return setting.name == "database"; });
    parameters.push_back(pg::Setting{"database", database});
  }
  std::string startup;
  if (!pg::AppendStartupMessage(&startup, packet.version, parameters)) {
    startup.clear();
  }
  return startup;
}

// Gives the session to the mirrors, if any of them wants it. Replication is not mirrored.
void Session::OpenRecorder(const Opening* opening) {
  if (!around_->mirrors->any() || !service_->mirrored) {
    return;
  }
  mirror::SessionFacts facts;
  facts.session = id_;
  facts.user = service_->primary.user.empty() ? opening->packet.user : service_->primary.user;
  facts.database =
      opening->packet.database.empty() ? opening->packet.user : opening->packet.database;
  for (const pg::Setting& setting : opening->packet.parameters) {
    if (setting.name == "replication") {
      return;
    }
    if (setting.name != "user" && setting.name != "database") {
      facts.parameters.emplace_back(setting.name, setting.value);
    }
  }
  if (!service_->primary.dbname.empty()) {
    facts.database = service_->primary.dbname;
  }
  facts.reported = own_server_ != nullptr ? own_server_->parameters() : opening->reported;
  recorder_ = around_->mirrors->Open(facts);
}

}  // namespace session
