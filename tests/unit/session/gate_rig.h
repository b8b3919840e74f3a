// GateRig: an Authenticator with clients over Unix sockets and, where it asks a server, a scripted
// one over TCP: all turned by the test's own thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/deriver.h"
#include "config/config.h"
#include "io/epoll_engine.h"
#include "io/loop.h"
#include "io/resolver.h"
#include "io/scope.h"
#include "io/worker.h"
#include "session/authenticator.h"

namespace session {

class GateRig;

// One client at its login, and the task that admits it.
class GateClient {
 public:
  GateClient(GateRig* rig, std::string_view user, absl::Duration within = absl::Seconds(30));
  ~GateClient();
  GateClient(const GateClient&) = delete;
  GateClient& operator=(const GateClient&) = delete;

  void Send(std::string_view bytes);
  // The next whole frame; empty once the login is over and all of it was taken.
  std::string NextFrame();
  // Waits for the end: "in", "SQLSTATE message" of the last ErrorResponse, or "".
  std::string End();
  void Hangup();
  const std::optional<Identity>& identity() const { return identity_; }

 private:
  io::Task<void> Run(absl::Duration within);
  io::Task<void> Close();
  void Turn();

  GateRig* const rig_;
  const std::string user_;
  Claim claim_;
  io::Stream stream_;
  pg::FrameReader reader_;
  base::Slice slice_;
  io::Event event_;
  std::optional<Identity> identity_;
  bool over_ = false;
  int descriptor_ = -1;
  std::string got_;
  std::string error_;
  io::Scope scope_;
};

// A server that answers auth_query.
class GateServer {
 public:
  GateServer();
  ~GateServer();
  void Turn();
  void LoseAll();

  uint16_t port = 0;
  std::map<std::string, std::string> users;
  std::string answer_as;  // the user's name in every row, if not empty
  bool refuse_logins = false;
  bool fail_questions = false;
  int logins = 0;
  int questions = 0;
  std::string startup;
  std::string query;

 private:
  struct Link {
    int descriptor = -1;
    std::string bytes;
    bool started = false;
    std::string user;
  };
  bool TurnLink(Link* link);
  std::string Reply(Link* link, char type, std::string_view body);
  std::string RowsFor(const std::string& user);

  int listener_ = -1;
  std::vector<Link> links_;
};

class GateRig {
 public:
  GateRig();
  ~GateRig();

  // Before the first login.
  config::Authentication& rules() { return config_.authentication; }
  base::Limits& limits() { return config_.limits; }
  config::Service& service() { return config_.services.front(); }
  void AskServer();
  void UseTls(const io::TlsFacts* tls) { tls_ = tls; }
  void SendSlowly(bool slowly) { slowly_ = slowly; }

  // A whole login, as a client with this password.
  std::string LogIn(std::string_view user, std::string_view password);
  // The same step by step.
  void Begin(std::string_view user, absl::Duration within = absl::Seconds(30));
  std::string ReceiveRequest() { return client_->NextFrame(); }
  void Send(std::string_view bytes) { client_->Send(bytes); }
  void Hangup() { client_->Hangup(); }
  std::string End() { return client_->End(); }
  const std::optional<Identity>& identity() const { return identity_; }

  // Of the last LogIn().
  const std::string& salt() const { return salt_; }
  uint32_t iterations() const { return iterations_; }
  const std::string& method() const { return method_; }

  std::map<std::string, std::string>& server_users() { return server_.users; }
  int server_logins() const { return server_.logins; }
  int server_questions() const { return server_.questions; }
  const std::string& server_startup() const { return server_.startup; }
  const std::string& server_query() const { return server_.query; }
  void AnswerAs(std::string_view user) { server_.answer_as = user; }
  void RefuseLogins() { server_.refuse_logins = true; }
  void FailQuestions() { server_.fail_questions = true; }
  void LoseServer() { server_.LoseAll(); }

  Authenticator& authenticator();
  backend::Deriver& deriver() { return deriver_; }
  SessionMetrics& metrics() { return metrics_; }
  io::Loop* loop() { return &loop_; }
  const io::TlsFacts* tls() const { return tls_; }
  bool slowly() const { return slowly_; }
  void Turn();

 private:
  void Answer(std::string_view frame, std::string_view user, std::string_view password,
              pg::ScramClient* scram);
  io::Task<void> Close();

  config::Config config_;
  io::EpollEngine engine_{64 * 1024};
  io::Loop loop_{&engine_, &config_.limits, 1};
  io::Resolver resolver_;
  backend::Epochs epochs_;
  io::Worker worker_;
  backend::Deriver deriver_{&loop_, &worker_};
  SessionMetrics metrics_;
  backend::BackendMetrics backend_metrics_;
  GateServer server_;
  const io::TlsFacts* tls_ = nullptr;
  bool slowly_ = false;
  std::unique_ptr<Authenticator> authenticator_;
  std::unique_ptr<GateClient> client_;
  std::optional<Identity> identity_;
  std::string salt_;
  uint32_t iterations_ = 0;
  std::string method_;
};

}  // namespace session
