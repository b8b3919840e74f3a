// House: one shard's surroundings for session tests: a real epoll engine, a scripted server and
// clients, all on loopback sockets and all turned by the test's own thread. Its receive pools are
// the smallest there can be: a session that keeps a chunk leaves none for the others.
#pragma once

#include <sys/socket.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/cancel.h"
#include "config/config.h"
#include "io/epoll_engine.h"
#include "io/loop.h"
#include "io/resolver.h"
#include "io/scope.h"
#include "mirror/mirrors.h"
#include "session/session.h"

namespace session {

// A socket of the test: what it sends and what has come back, never blocking.
class Peer {
 public:
  explicit Peer(int descriptor) : descriptor_(descriptor) {}
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  void Send(std::string_view bytes);
  // Takes what has arrived; false once the other side has ended.
  bool Receive();
  void HalfClose() { shutdown(descriptor_, SHUT_WR); }
  const std::string& got() const { return got_; }
  void Forget() { got_.clear(); }
  bool ended() const { return ended_; }

 private:
  const int descriptor_;
  std::string got_;
  bool ended_ = false;
};

class House {
 public:
  explicit House(turn::Judge* judge = nullptr, std::vector<config::NetRange> proxies = {});
  ~House();

  // A client that is connected, and the session that serves it.
  Peer& Client() { return *clients_.front(); }
  Session& TheSession() { return *session_; }
  // One more, with a session of its own.
  Peer& AnotherClient();
  // The connection the session made to the server; waits for it.
  Peer& Server();
  // Another connection to the server (a cancel, another client's), in order of arrival.
  Peer& NextServer();
  // Turns the loop until `peer` has received `bytes`, or for too long; true if it has.
  bool Until(Peer& peer, std::string_view bytes);
  bool UntilEnded(Peer& peer);
  // Turns the loop some rounds, in which nothing is expected to happen.
  void Settle();
  // Start-up and login of user u; both sides have forgotten it afterwards.
  void LogIn();
  bool session_over() const { return serving_->running() == 0; }
  SessionMetrics& metrics() { return metrics_; }
  backend::CancelRegistry& cancels() { return cancels_; }
  config::Config& config() { return config_; }

 private:
  void Turn();
  io::Task<void> Serve(int descriptor, uint64_t id);

  static constexpr io::ReceiveShape kOneChunk{4096, 1, 1};

  config::Config config_;
  io::EpollEngine engine_{kOneChunk, kOneChunk};
  std::unique_ptr<io::Loop> loop_;
  io::Resolver resolver_;
  backend::Epochs epochs_;
  backend::CancelRegistry cancels_;
  std::unique_ptr<mirror::Mirrors> mirrors_;
  SessionMetrics metrics_;
  backend::BackendMetrics backend_metrics_;
  Surroundings surroundings_;
  std::unique_ptr<io::Scope> serving_;
  Session* session_ = nullptr;  // of the first client
  int listener_ = -1;
  std::vector<std::unique_ptr<Peer>> clients_;
  std::vector<std::unique_ptr<Peer>> servers_;
};

std::string StartupMessage(std::string_view user);

}  // namespace session
