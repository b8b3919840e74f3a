#include "session/authenticator.h"

#include <utility>

#include "base/check.h"
#include "base/crypto.h"
#include "base/fault_point.h"
#include "base/log.h"
#include "base/status.h"
#include "pg/builders.h"
#include "session/admission.h"

namespace session {

using config::AuthMethod;

// A login's place among those of its address, for as long as it lives.
class Authenticator::Place {
 public:
  Place(std::map<config::NetAddress, uint32_t>* logins, const config::NetAddress& address)
      : logins_(logins), at_(logins->try_emplace(address, 0u).first) {
    ++at_->second;
  }
  ~Place() {
    if (--at_->second == 0) {
      logins_->erase(at_);
    }
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  uint32_t taken() const { return at_->second; }

 private:
  std::map<config::NetAddress, uint32_t>* const logins_;
  const std::map<config::NetAddress, uint32_t>::iterator at_;
};

Authenticator::Authenticator(AuthenticatorTools tools)
    : tools_(std::move(tools)),
      mock_deriver_(tools_.loop, tools_.worker),
      ending_(tools_.loop) {}

Authenticator::~Authenticator() { CHECK(queries_.empty() && logins_.empty()); }

bool Authenticator::Decides(const config::Service& service) const {
  return rules().configured() || !service.primary.user.empty();
}

AuthQuery* Authenticator::QueryOf(const config::Service* service) {
  const config::Service* const now = config::FindService(tools_.epoch->config, service->name);
  if (now == nullptr || now->name != service->name) {
    return nullptr;
  }
  std::unique_ptr<AuthQuery>& query = queries_[now->name];
  if (query == nullptr) {
    AuthQueryTools tools;
    tools.loop = tools_.loop;
    tools.epoch = tools_.epoch;
    tools.service = now;
    tools.deriver = tools_.deriver;
    tools.metrics = tools_.backend_metrics;
    query = std::make_unique<AuthQuery>(tools);
  }
  return query.get();
}

void Authenticator::OnServerRefused(const config::Service& service, std::string_view user) {
  const auto found = queries_.find(service.name);
  if (found != queries_.end() && !HISTORICAL_BUG("c13-stale-secret-is-kept")) {
    found->second->Forget(user);
  }
}

io::Task<void> Authenticator::Close() {
  for (const auto& [service, query] : queries_) {
    co_await query->Close();
  }
  queries_.clear();
  co_await ending_.Join();
}

void Authenticator::Follow(const backend::Epoch& epoch) {
  tools_.epoch = epoch;
  for (auto at = queries_.begin(); at != queries_.end();) {
    const config::Service* const service = config::FindService(epoch->config, at->first);
    const bool stays = service != nullptr && service->name == at->first &&
                       at->second->Follow(epoch, service);
    if (stays) {
      ++at;
      continue;
    }
    ending_.Spawn(EndQuery(std::move(at->second)));
    at = queries_.erase(at);
  }
}

io::Task<void> Authenticator::EndQuery(std::unique_ptr<AuthQuery> query) {
  co_await query->Close();
}

io::Task<std::optional<Identity>> Authenticator::Admit(const Claim* claim, ClientLink* link,
                                                       base::Deadline deadline) {
  const std::optional<config::NetAddress> peer = PeerOf(*link->stream);
  const Place place(&logins_, peer.value_or(config::NetAddress()));
  if (place.taken() > tools_.loop->limits().logins_per_address_max) {
    SendAway(*claim, link, Refusal{"53300", "too many logins of one address are under way", ""},
             "max-logins-per-address");
    co_return std::nullopt;
  }
  const std::optional<Identity> identity = co_await Decide(claim, link, deadline);
  co_return identity;
}

// Told to the client as it is; the log has the cause.
void Authenticator::SendAway(const Claim& claim, ClientLink* link, const Refusal& refusal,
                             std::string_view why) {
  tools_.metrics->login_failures.Add();
  base::Log(base::LogLevel::kInfo, "session.login_refused",
            {{"session", claim.session},
             {"client", link->stream->PeerName()},
             {"user", claim.user},
             {"database", claim.database},
             {"sqlstate", refusal.sqlstate},
             {"why", why}});
  std::string error;
  pg::AppendErrorResponse(&error, pg::ErrorText{.severity = "FATAL",
                                                .sqlstate = refusal.sqlstate,
                                                .message = refusal.message,
                                                .detail = refusal.detail});
  link->stream->WriteCopy(error);
}

// -- the exchange ---------------------------------------------------------------------------------

io::Task<std::optional<Identity>> Authenticator::Decide(const Claim* claim, ClientLink* link,
                                                        base::Deadline deadline) {
  const Ruling ruling = RuleFor(rules(), *claim, PeerOf(*link->stream));
  const std::optional<Refusal> refused =
      CheckRuling(rules(), *claim, ruling, *link->stream);
  if (refused.has_value()) {
    SendAway(*claim, link, *refused, refused->message);
    co_return std::nullopt;
  }
  absl::StatusOr<Found> found = co_await FindSecret(claim, ruling.method, deadline);
  if (!found.ok()) {
    SendAway(*claim, link, Refusal{"08006", "authentication is not possible at the moment", ""},
             base::Message(found.status()));
    co_return std::nullopt;
  }
  if (ruling.method == AuthMethod::kTrust || ruling.method == AuthMethod::kCert) {
    Identity identity;
    identity.user = claim->user;
    identity.credential = found->CredentialWithoutProof();
    co_return identity;
  }
  const Exchange exchange = ExchangeFor(ruling.method, found->secret.kind);
  if (exchange == Exchange::kScram) {
    co_await PrepareScram(claim, &*found);
  }
  std::optional<Identity> identity =
      co_await Converse(claim, link, &*found, exchange, deadline);
  if (!identity.has_value()) {
    // A cached secret may be what is wrong.
    OnServerRefused(*claim->service, claim->user);
  }
  co_return identity;
}

// A plain secret, or what stands in for one, becomes a verifier. An md5 secret cannot: nobody comes
// in, after the whole exchange.
io::Task<void> Authenticator::PrepareScram(const Claim* claim, Found* found) {
  pg::Secret& secret = found->secret;
  if (secret.kind == pg::SecretKind::kMd5) {
    pg::Secret like;
    like.kind = pg::SecretKind::kScram;
    like.verifier.iterations = pg::kScramIterationsDefault;
    secret = pg::MockSecret(tools_.process_secret, claim->user, like);
    found->doomed = true;
  }
  if (secret.kind == pg::SecretKind::kScram) {
    co_return;
  }
  const std::string salt = secrets().SaltOf(claim->user);
  backend::Deriver* const deriver = found->doomed ? &mock_deriver_ : tools_.deriver;
  const pg::ScramKeys keys =
      co_await deriver->Derive(secret.text, salt, pg::kScramIterationsDefault);
  secret.kind = pg::SecretKind::kScram;
  secret.verifier = pg::VerifierOf(salt, pg::kScramIterationsDefault, keys);
}

io::Task<std::optional<Identity>> Authenticator::Converse(const Claim* claim, ClientLink* link,
                                                          Found* found, Exchange exchange,
                                                          base::Deadline deadline) {
  ClientDialogue::Facts facts;
  facts.exchange = exchange;
  facts.user = claim->user;
  facts.secret = found->secret;
  facts.doomed = found->doomed;
  facts.random =
      exchange == Exchange::kMd5 ? base::SecureRandom(4) : pg::ScramClient::NewNonce();
  if (claim->tls != nullptr) {
    facts.binding = claim->tls->server_end_point;
  }
  ClientDialogue dialogue(std::move(facts));
  std::optional<Identity> identity = co_await Run(claim, link, &dialogue, deadline);
  if (identity.has_value() && !found->password.empty()) {
    identity->credential.password = found->password;  // good for every method of a server
  }
  co_return identity;
}

io::Task<std::optional<Identity>> Authenticator::Run(const Claim* claim, ClientLink* link,
                                                     ClientDialogue* dialogue,
                                                     base::Deadline deadline) {
  std::string message;
  ClientDialogue::Step step = dialogue->Begin(&message);
  while (step == ClientDialogue::Step::kAsk) {
    link->stream->WriteCopy(message);
    message.clear();
    std::string body;
    const bool answered = co_await NextAnswer(claim, link, &body, deadline);
    if (!answered) {
      co_return std::nullopt;
    }
    step = dialogue->OnAnswer(body, &message);
    if (step == ClientDialogue::Step::kDerive) {
      const pg::ScramChallenge asked = dialogue->challenge();
      const pg::ScramKeys keys = co_await tools_.deriver->DeriveOnce(
          dialogue->password(), asked.salt, asked.iterations);
      step = dialogue->Derived(keys);
    }
  }
  if (step == ClientDialogue::Step::kRefused) {
    SendAway(*claim, link, dialogue->refusal(), dialogue->refusal().message);
    co_return std::nullopt;
  }
  if (!message.empty()) {
    link->stream->WriteCopy(message);
  }
  Identity identity;
  identity.user = claim->user;
  identity.credential = dialogue->credential();
  co_return identity;
}

// The body of the client's next message, which must be a 'p': anything else, above all a second
// StartupMessage, ends the session. False if the client was sent away or has gone.
io::Task<bool> Authenticator::NextAnswer(const Claim* claim, ClientLink* link, std::string* body,
                                         base::Deadline deadline) {
  for (;;) {
    pg::Piece piece;
    const pg::ReadResult result = link->reader->Next(&piece);
    const bool answer = piece.type == 'p' || HISTORICAL_BUG("a6-any-message-is-an-answer");
    if (result == pg::ReadResult::kPiece && answer && piece.whole()) {
      *body = piece.body;
      co_return true;
    }
    if (result != pg::ReadResult::kMore) {
      tools_.metrics->protocol_violations.Add();
      const std::string error = AnswerFault(result, piece, link->reader->error());
      SendAway(*claim, link, Refusal{"08P01", error, ""}, error);
      co_return false;
    }
    link->stream->ResumeReceive();
    const base::Slice input = link->stream->TakeInput();
    if (!input.empty()) {
      // A copy: a client may take its time between two frames, and must not hold the pool's memory.
      *link->slice = base::Slice::CopyOf(input.view());
      link->reader->Feed(link->slice->view());
      continue;
    }
    if (link->stream->ended() || link->stream->broken()) {
      tools_.metrics->login_failures.Add();
      co_return false;
    }
    const uint32_t bits = co_await link->event->Wait(deadline);
    if ((bits & link->stop_bits) != 0) {
      SendAway(*claim, link,
               Refusal{"57P01", "terminating connection due to administrator command", ""},
               "draining");
      co_return false;
    }
    if ((bits & io::Event::kTimeout) != 0) {
      tools_.metrics->login_timeouts.Add();
      SendAway(*claim, link, Refusal{"08006", "authentication timeout", ""}, "timeout");
      co_return false;
    }
  }
}

// -- what it is checked against -------------------------------------------------------------------

pg::Credential Authenticator::Found::CredentialWithoutProof() const {
  pg::Credential credential;
  credential.password = password;
  if (!doomed && secret.kind == pg::SecretKind::kMd5) {
    credential.md5_secret = secret.text;
  }
  return credential;
}

// The users file first, then the server; where neither is configured, the server's URL.
io::Task<absl::StatusOr<Authenticator::Found>> Authenticator::FindSecret(const Claim* claim,
                                                                         AuthMethod method,
                                                                         base::Deadline deadline) {
  Found found;
  const config::Server& server = claim->service->primary;
  const bool certain = method == AuthMethod::kTrust || method == AuthMethod::kCert;
  std::optional<pg::Secret> secret;
  pg::Secret fallback;
  if (const pg::Secret* known = secrets().Find(claim->user); known != nullptr) {
    secret = *known;
  } else if (certain && !server.user.empty()) {
    co_return found;  // nothing is checked, and the server's URL has what its login needs
  } else if (!rules().auth_user.empty()) {
    fallback.kind = pg::SecretKind::kScram;
    fallback.verifier.iterations = pg::kScramIterationsDefault;
    AuthQuery* const query = QueryOf(claim->service);
    if (query == nullptr) {
      co_return base::Unavailable("the service was removed from the configuration");
    }
    const absl::StatusOr<std::string> stored =
        co_await query->Find(std::string(claim->user), deadline);
    CO_RETURN_IF_ERROR(stored.status());
    secret = pg::ParseSecret(*stored);
  } else if (rules().users_file.empty() && claim->user == server.user) {
    secret = pg::ParseSecret(server.password);
  }
  found.doomed = !secret.has_value();
  found.secret = found.doomed ? secrets().Mock(claim->user, fallback) : *std::move(secret);
  if (!found.doomed && found.secret.kind == pg::SecretKind::kPlain) {
    found.password = found.secret.text;
  }
  co_return found;
}

}  // namespace session
