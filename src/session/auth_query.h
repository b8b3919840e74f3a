// AuthQuery: asks a server for users' stored secrets (--auth-user, --auth-query), over a connection
// that carries nothing else.
//
// One per shard and service, on the shard. A reload after which it would ask the same of the same
// server changes nothing; else another takes its place, and this one closes when nobody asks any
// more. One question at a time; who asks while another is being
// asked waits for its turn, and finds the answer if it was the same. No setting of a client ever
// reaches the connection (case A3): the user's name is a parameter, and the StartupMessage is ours.
// Answers are kept for auth_query_max_age, so a changed password or a revoked login is noticed
// after that at the latest, or at once after Forget() (case C13). After a failure nobody is asked
// for kRetryAfter: whoever waits fails with the same error (case C14).
//
// Errors: kUnavailable, kDeadlineExceeded, kPermissionDenied (the server refused auth_user); for
// the log, never for a client. Bounds: kAnswersMax answers, a secret of pg::kSecretMax bytes.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/connection.h"
#include "backend/deriver.h"
#include "backend/epoch.h"
#include "backend/login.h"
#include "base/keyed_hash.h"
#include "config/config.h"
#include "io/event.h"
#include "io/task.h"

namespace session {

inline constexpr size_t kAnswersMax = 10'000;

struct AuthQueryTools {
  io::Loop* loop = nullptr;
  backend::Epoch epoch;
  const config::Service* service = nullptr;  // in epoch
  backend::Deriver* deriver = nullptr;
  backend::BackendMetrics* metrics = nullptr;
};

class AuthQuery {
 public:
  explicit AuthQuery(const AuthQueryTools& tools);  // loop, deriver and metrics outlive it
  ~AuthQuery();                                     // after Close()
  AuthQuery(const AuthQuery&) = delete;
  AuthQuery& operator=(const AuthQuery&) = delete;

  // The stored secret of `user`; empty: there is no such user, or no password lets it in. The
  // deadline is for getting a turn; a question has connect_timeout.
  io::Task<absl::StatusOr<std::string>> Find(std::string user, base::Deadline deadline);
  // What is kept of `user` is asked anew the next time.
  void Forget(std::string_view user);
  // True if it goes on by the new configuration, of which `service` is; false if another is needed.
  bool Follow(const backend::Epoch& epoch, const config::Service* service);
  // When nobody asks any more, ends the connection. Nobody begins to ask.
  io::Task<void> Close();
  uint64_t asked() const { return asked_; }

 private:
  struct Answer {
    std::string secret;
    base::Instant since;
    bool stale = false;  // true exactly when it was forgotten
  };
  const config::Authentication& rules() const { return tools_.epoch->config.authentication; }
  const config::Server& server() const { return tools_.service->primary; }
  const Answer* Kept(const std::string& user) const;
  void Keep(const std::string& user, std::string secret);
  io::Task<bool> TakeTurn(base::Deadline deadline);
  void EndTurn();
  io::Task<absl::StatusOr<std::string>> FindInTurn(std::string user);
  io::Task<absl::StatusOr<std::string>> ConnectAndAsk(const std::string& user,
                                                      base::Deadline deadline);
  io::Task<absl::Status> Connect(base::Deadline deadline);
  io::Task<absl::StatusOr<std::string>> Ask(std::string user, base::Deadline deadline);
  absl::Status Send(std::string_view user);
  io::Task<void> Hangup();

  AuthQueryTools tools_;
  backend::LoginFacts login_;
  std::unique_ptr<backend::Connection> connection_;  // null: none, or none that works
  io::Event idle_;         // raised when nobody asks any more
  uint32_t asking_ = 0;    // calls of Find() under way
  bool busy_ = false;
  std::deque<io::Event*> waiting_;
  base::NameTable<Answer> answers_;
  std::deque<std::string> order_;  // of answers_, oldest first
  absl::Status failure_;           // of the last attempt; OK: it worked
  base::Instant failed_at_;
  uint64_t asked_ = 0;
};

}  // namespace session
