// Endpoint: the admin HTTP server: /metrics, /livez, /readyz and /v1/ on a loopback address.
//
// Owned by one shard, on its loop; made, stopped and destroyed there. It asks for no password:
// config/ allows loopback addresses only, and no order is taken that could come from a browser.
// Failure: Listen returns the bind's error; a connection's failure is its own.
// Bound: kConnectionsMax connections; one more is closed at once.
#pragma once

#include <cstdint>
#include <unordered_set>
#include <vector>

#include "absl/status/statusor.h"
#include "admin/connection.h"
#include "admin/pages.h"
#include "admin/source.h"
#include "io/address.h"
#include "io/engine.h"
#include "io/event.h"
#include "io/loop.h"
#include "io/scope.h"
#include "io/task.h"

namespace admin {

class Endpoint final : private io::Acceptor {
 public:
  static constexpr uint32_t kConnectionsMax = 64;

  // All outlive the endpoint.
  Endpoint(io::Loop* loop, const Source* source, Orders* orders,
           const Patience& patience = Patience());
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;
  ~Endpoint() override = default;  // stopped, or never listened

  // Once. Returns the bound address.
  absl::StatusOr<io::Address> Listen(const io::Address& address);
  // Closes the listener and every connection; returns when they are gone.
  io::Task<void> Stop();
  const AdminMetrics& metrics() const { return metrics_; }

 private:
  enum Bit : uint32_t { kAccepted = 1 };

  void OnAccepted(int descriptor) override;
  void OnAcceptFailed(int error) override;
  io::Task<void> ServeAll();
  io::Task<void> ServeOne(int descriptor);

  io::Loop* const loop_;
  const Source* const source_;
  Orders* const orders_;
  const Patience patience_;
  AdminMetrics metrics_;
  io::Event event_;
  io::Scope tasks_;
  std::vector<int> accepted_;  // not served yet
  std::unordered_set<Connection*> connections_;
  bool stopping_ = false;
};

}  // namespace admin
