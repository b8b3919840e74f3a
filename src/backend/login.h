// Login: pgbraid's own login to a server, by trust, password, md5 or SCRAM-SHA-256.
//
// LoginDialogue is the pure part: what the server says in, what to answer out; one per login, on
// its connection's shard. Login() runs it over a Connection before its pump does. Every other
// method is an error that names it. An AuthenticationOk in the middle of SCRAM is not believed:
// only a server that knows the password may receive what is mirrored.
//
// Errors: kPermissionDenied (refused, or a method we do not have), kNotFound (no such database),
// kDeadlineExceeded, kUnavailable (everything else). A refusal's text starts with its SQLSTATE and
// carries the server's message; none carries a password.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/connection.h"
#include "base/instant.h"
#include "io/task.h"
#include "pg/scram.h"
#include "pg/views.h"

namespace backend {

// Whom to log in as. `parameters`: of the StartupMessage but user and database.
struct LoginFacts {
  std::string user;
  std::string password;
  std::string database;
  std::vector<std::pair<std::string, std::string>> parameters;
};

class LoginDialogue {
 public:
  // `nonce`: for SCRAM; pg::ScramClient::NewNonce() outside of tests.
  LoginDialogue(std::string_view user, std::string_view password, std::string_view nonce);

  // A whole message of the server. Appends what is to be answered to `*answer`. True exactly when
  // the login is over (ReadyForQuery).
  absl::StatusOr<bool> OnMessage(const pg::Piece& piece, std::string* answer);

 private:
  absl::Status OnAuthentication(std::string_view body, std::string* answer);
  absl::Status BeginSasl(std::string_view mechanisms, std::string* answer);
  absl::Status OnOk();

  const std::string user_;
  const std::string password_;
  const std::string nonce_;
  std::optional<pg::ScramClient> scram_;  // present exactly when SCRAM was begun
  bool ok_ = false;                       // true exactly when AuthenticationOk was believed
};

// Sends the StartupMessage and talks until ReadyForQuery. `facts` outlives the task.
io::Task<absl::Status> Login(Connection* connection, const LoginFacts* facts,
                             base::Deadline deadline);

}  // namespace backend
