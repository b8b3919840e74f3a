// Authenticator: lets a client in or sends it away: which rule decides, where its secret is found,
// and the exchange of messages with it.
//
// One per shard, on it; sessions call Admit() after the StartupMessage. It owns the look-ups of
// users' secrets (one connection per server, AuthQuery) and keeps derived keys, so that a login
// costs hashes only. Nothing that it sends away with tells an unknown user from a wrong password:
// stand-in secrets run through the same exchange, and derivations too.
//
// Failure: the client is told (FATAL) before Admit() returns nothing, and one line of the log says
// why. Bounds: the caller's deadline, Limits::logins_per_address_max, one message at a time of at
// most Limits::frame_held_max.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "backend/deriver.h"
#include "backend/epoch.h"
#include "io/scope.h"
#include "io/stream.h"
#include "io/task.h"
#include "io/tls_facts.h"
#include "io/worker.h"
#include "pg/frame_reader.h"
#include "pg/password.h"
#include "session/auth_query.h"
#include "session/client_dialogue.h"
#include "session/session_metrics.h"

namespace session {

// Who a client says it is. What the views show lives until Admit() has returned.
struct Claim {
  uint64_t session = 0;  // for the log
  std::string_view user;
  std::string_view database;  // never empty: the user's name if none was given
  bool replication = false;   // physical: no database
  const config::Service* service = nullptr;
  const io::TlsFacts* tls = nullptr;  // null: no TLS
};

// The client's side of the session, lent for the time of Admit(). `reader` reads what is in
// `*slice`, which begins behind the StartupMessage.
struct ClientLink {
  io::Stream* stream = nullptr;
  pg::FrameReader* reader = nullptr;
  base::Slice* slice = nullptr;
  io::Event* event = nullptr;  // raised when the stream is readable
  uint32_t stop_bits = 0;      // bits of it that end the session
};

// Who it is.
struct Identity {
  std::string user;
  // What it can be logged in to a server with, if the server's URL names no user; may be empty.
  pg::Credential credential;
};

struct AuthenticatorTools {
  io::Loop* loop = nullptr;
  backend::Epoch epoch;
  backend::Deriver* deriver = nullptr;
  io::Worker* worker = nullptr;  // of the stand-ins' derivations
  SessionMetrics* metrics = nullptr;
  backend::BackendMetrics* backend_metrics = nullptr;
  std::string process_secret;  // random bytes, the same for all shards
};

class Authenticator {
 public:
  explicit Authenticator(AuthenticatorTools tools);  // what they point to outlives it
  ~Authenticator();
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;

  // True exactly when clients of this service show themselves to pgbraid, not to the server.
  bool Decides(const config::Service& service) const;
  // Everything up to, not including, AuthenticationOk, which it leaves to the caller.
  io::Task<std::optional<Identity>> Admit(const Claim* claim, ClientLink* link,
                                          base::Deadline deadline);
  // The server refused what Admit() gave: what was looked up is asked anew the next time.
  void OnServerRefused(const config::Service& service, std::string_view user);
  // The configuration is another one; for logins under way from their next step on.
  void Follow(const backend::Epoch& epoch);
  // Ends the look-ups' connections. No Admit() runs any more.
  io::Task<void> Close();

 private:
  // What a client is checked against.
  struct Found {
    pg::Secret secret;
    bool doomed = false;   // true exactly when it is a stand-in: nobody comes in
    std::string password;  // if it is known
    // For a login to a server without any proof of the client's.
    pg::Credential CredentialWithoutProof() const;
  };
  class Place;

  io::Task<absl::StatusOr<Found>> FindSecret(const Claim* claim, config::AuthMethod method,
                                             base::Deadline deadline);
  const config::Authentication& rules() const { return tools_.epoch->config.authentication; }
  const backend::KnownSecrets& secrets() const { return *tools_.epoch->secrets; }
  // Null if there is no such service any more.
  AuthQuery* QueryOf(const config::Service* service);
  io::Task<void> EndQuery(std::unique_ptr<AuthQuery> query);
  io::Task<void> PrepareScram(const Claim* claim, Found* found);
  io::Task<std::optional<Identity>> Decide(const Claim* claim, ClientLink* link,
                                           base::Deadline deadline);
  io::Task<std::optional<Identity>> Converse(const Claim* claim, ClientLink* link, Found* found,
                                             Exchange exchange, base::Deadline deadline);
  io::Task<std::optional<Identity>> Run(const Claim* claim, ClientLink* link,
                                        ClientDialogue* dialogue, base::Deadline deadline);
  io::Task<bool> NextAnswer(const Claim* claim, ClientLink* link, std::string* body,
                            base::Deadline deadline);
  void SendAway(const Claim& claim, ClientLink* link, const Refusal& refusal, std::string_view why);

  AuthenticatorTools tools_;
  backend::Deriver mock_deriver_;  // its own: guessed names must not push out those of users
  std::map<std::string, std::unique_ptr<AuthQuery>, std::less<>> queries_;  // by service
  io::Scope ending_;  // look-ups that another configuration has no use for
  std::map<config::NetAddress, uint32_t> logins_;  // under way, by client address
};

}  // namespace session
