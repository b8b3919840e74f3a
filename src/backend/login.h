// Login: pgbraid's own login to a server, by trust, password, md5, SCRAM-SHA-256 (-PLUS over TLS)
// or a client certificate, which TLS has shown already.
//
// LoginDialogue is the pure part: what the server says in, what to answer out; one per login, on
// its connection's shard. Login() runs it over a Connection before its pump does; keys are derived
// by the shard's Deriver, on another thread. Every other method is an error that names it, and so
// is one that the server's require_auth forbids. An AuthenticationOk in the middle of SCRAM is not
// believed: only a server that knows the password may receive what is mirrored.
//
// Errors: kPermissionDenied (refused, or a method we do not have or allow), kNotFound (no such
// database), kInvalidArgument (a setting of the StartupMessage), kResourceExhausted (no more
// connections), kDeadlineExceeded, kUnavailable (everything else). A refusal's text starts with its
// SQLSTATE and carries the server's message; none carries a password.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/connection.h"
#include "backend/deriver.h"
#include "backend/dial.h"
#include "base/instant.h"
#include "config/server_auth.h"
#include "io/task.h"
#include "io/tls_facts.h"
#include "pg/password.h"
#include "pg/scram.h"
#include "pg/views.h"

namespace backend {

// Whom to log in as. `parameters`: of the StartupMessage but user and database.
struct LoginFacts {
  std::string user;
  std::string password;
  std::string md5_secret;                     // likewise enough where the server asks for md5
  std::optional<pg::Credential::Keys> scram;  // likewise where it stores the same SCRAM secret
  std::string database;
  std::vector<std::pair<std::string, std::string>> parameters;
  config::ServerAuth auth;     // what the server may ask for
  Deriver* deriver = nullptr;  // null: keys are derived on the spot (tests, simulations)

  void Use(const pg::Credential& credential);
};

class LoginDialogue {
 public:
  enum class Step : uint8_t {
    kGoOn,
    kDerive,  // Derived() is due, with the keys of the password for challenge()
    kOver,    // ReadyForQuery
  };
  // `facts` outlives it. `nonce`: for SCRAM; pg::ScramClient::NewNonce() outside of tests. `tls`:
  // of the connection, null without.
  LoginDialogue(const LoginFacts* facts, std::string_view nonce, const io::TlsFacts* tls);

  // A whole message of the server. Appends what is to be answered to `*answer`.
  absl::StatusOr<Step> OnMessage(const pg::Piece& piece, std::string* answer);
  const pg::ScramChallenge& challenge() const { return challenge_; }
  absl::Status Derived(const pg::ScramKeys& keys, std::string* answer);

 private:
  absl::StatusOr<Step> OnAuthentication(std::string_view body, std::string* answer);
  absl::Status OnPasswordRequest(const pg::AuthenticationView& view, std::string* answer);
  absl::Status BeginSasl(std::string_view mechanisms, std::string* answer);
  absl::StatusOr<pg::ChannelBinding> ChooseBinding(bool plus, bool plain) const;
  absl::StatusOr<Step> OnChallenge(std::string_view server_first, std::string* answer);
  absl::Status OnOk();
  absl::Status CheckAllowed(config::ServerMethod method) const;

  const LoginFacts* const facts_;
  const std::string nonce_;
  const io::TlsFacts* const tls_;
  std::optional<pg::ScramClient> scram_;  // present exactly when SCRAM was begun
  pg::ScramChallenge challenge_;
  bool asked_ = false;  // true exactly when the server has asked for something
  bool ok_ = false;     // true exactly when AuthenticationOk was believed
};

// Sends the StartupMessage and talks until ReadyForQuery. `facts` outlives the task. A server's
// refusal is "SQLSTATE: message": kPermissionDenied of the login, kNotFound of the database,
// kInvalidArgument of a setting in `parameters`, else kUnavailable.
io::Task<absl::Status> Login(Connection* connection, const LoginFacts* facts,
                             base::Deadline deadline);

// Dials and logs in. With sslmode=allow, a server that refuses the login without TLS is dialled
// once more, with TLS; if it has none, the refusal stands. The arguments outlive the task; after an
// error the connection is to be closed all the same.
io::Task<absl::Status> DialAndLogin(Connection* connection, const Dialler* dialler,
                                    const config::Server* server, const LoginFacts* facts,
                                    base::Deadline deadline, Dialled* dialled);

}  // namespace backend
