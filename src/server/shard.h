// Shard: one thread with one ring, one listener per address, its own sessions, timers and metrics.
//
// Created, run and destroyed on its own thread (RunShard). Other threads reach it only through
// Post() messages, its published load, and metrics that are read with relaxed loads.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "admin/endpoint.h"
#include "admin/source.h"
#include "backend/backend_metrics.h"
#include "backend/cancel.h"
#include "backend/deriver.h"
#include "backend/epoch.h"
#include "backend/pools.h"
#include "base/published.h"
#include "config/config.h"
#include "io/engine.h"
#include "io/event.h"
#include "io/loop.h"
#include "io/scope.h"
#include "io/uring_probe.h"
#include "io/worker.h"
#include "mirror/mirrors.h"
#include "session/authenticator.h"
#include "session/session.h"

namespace server {

class Shard;

// What the shards of a process share. Outlives them.
struct Common {
  const config::Config* config = nullptr;  // of the start; for what cannot change
  io::UringSupport uring;
  bool use_uring = false;
  io::Worker::Kind worker = io::Worker::Kind::kThread;  // of each shard; in a simulation, inline
  backend::CancelRegistry* cancels = nullptr;
  mirror::Shared* mirrors = nullptr;
  backend::SharedPools* pools = nullptr;
  std::string auth_secret;  // random bytes: of the salts and stand-ins that clients are shown
  uint64_t seed = 0;  // of the shards' random sources, for tests; 0: each has one of its own
  std::atomic<uint64_t> next_session{1};
  std::atomic<int64_t> clients{0};  // of all shards, against Limits::clients_max
  base::Published<admin::Readiness> readiness{admin::Readiness::kStarting};  // by the main thread
  const backend::Epochs* epochs = nullptr;
  base::Counter reloads;          // by the main thread
  base::Counter reload_failures;  // likewise
  base::Published<uint32_t> stalled_shards{0};  // by the main thread's watchdog
  std::atomic<uint32_t> drained{0};  // shards that serve no client any more
  std::vector<Shard*> shards;        // complete before the first accept; not changed until the end
};

struct ShardMetrics {
  base::Counter handed_off;  // fresh sockets given to a less loaded shard
  base::Gauge config_epoch;  // the number of the configuration in force; see Report
  void Describe(base::MetricSink* sink, std::string_view labels) const;
};

class Shard final : private io::Acceptor, private backend::CancelReceiver {
 public:
  // On the shard's thread. `engine` is its own.
  Shard(Common* common, uint32_t index, std::unique_ptr<io::Engine> engine,
        backend::Epoch epoch);
  ~Shard() override;
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  // Listens on every address; returns the first error. `bound` gets the addresses.
  absl::Status Listen(const std::vector<io::Address>& addresses, std::vector<io::Address>* bound);
  // Also accepts from `descriptor`, which other shards share; takes it over.
  absl::Status ListenShared(int descriptor) { return engine_->ListenShared(descriptor, this); }
  // The admin endpoint, on this shard; `source` and `orders` outlive it. It answers until every
  // shard has drained. Returns the bound address.
  absl::StatusOr<io::Address> ListenAdmin(const io::Address& address,
                                          const admin::Source* source, admin::Orders* orders);
  // Serves until a drain has ended.
  void Run();

  // -- any thread -------------------------------------------------------------------------------
  // Stops accepting, ends sessions between transactions, and all others at the deadline.
  void PostDrain(absl::Duration within);
  // The configuration is another one.
  void PostEpoch(backend::Epoch epoch);
  // A connected socket whose session does not exist yet.
  void PostSocket(int descriptor);
  uint32_t load() const { return load_.load(std::memory_order_relaxed); }
  void Describe(base::MetricSink* sink) const;
  uint32_t index() const { return index_; }
  std::string_view engine_name() const { return engine_->name(); }
  const session::SessionMetrics& session_metrics() const { return session_metrics_; }
  const backend::BackendMetrics& backend_metrics() const { return backend_metrics_; }
  const ShardMetrics& shard_metrics() const { return shard_metrics_; }
  const mirror::Mirrors& mirrors() const { return mirrors_; }
  const backend::Pools& pools() const { return pools_; }
  const io::EngineMetrics& engine_metrics() const { return engine_->metrics(); }
  io::Loop* loop() { return &loop_; }

 private:
  class DrainMessage;
  class EpochMessage;
  class SocketMessage;
  class CancelMessage;
  class CancelDoneMessage;

  void OnAccepted(int descriptor) override;
  void OnAcceptFailed(int error) override;
  void PostCancel(uint64_t session, const backend::CancelAsker& asker) override;
  void PostCancelDone(uint64_t session) override;
  void Follow(backend::Epoch epoch);
  void Serve(int descriptor);
  io::Task<void> ServeOne(int descriptor);
  io::Task<void> ServeOneBeyond(int descriptor);
  io::Task<void> RunSession(int descriptor, bool beyond);
  io::Task<void> TurnAway(int descriptor, std::string_view sqlstate, std::string_view message);
  io::Task<void> Drain(absl::Duration within);
  io::Task<void> StopAdmin();
  Shard* LessLoaded();
  session::AuthenticatorTools AuthTools();
  backend::PoolsTools PoolsTools();
  const base::Limits& limits() const { return loop_.limits(); }

  Common* const common_;
  const uint32_t index_;
  backend::Epoch epoch_;
  std::unique_ptr<io::Engine> engine_;
  io::Loop loop_;
  session::SessionMetrics session_metrics_;
  backend::BackendMetrics backend_metrics_;
  ShardMetrics shard_metrics_;
  io::Worker worker_;  // of the deriver; it goes before the loop that it posts to
  backend::Deriver deriver_;
  mirror::Mirrors mirrors_;
  backend::Pools pools_;
  session::Authenticator authenticator_;
  session::Surroundings surroundings_;
  io::Scope serving_;
  std::unique_ptr<admin::Endpoint> admin_;  // on shard 0, if configured
  std::unordered_map<uint64_t, session::Session*> sessions_;
  // Sockets given to this shard and not closed yet. Not base::Published: whoever accepts writes it
  // too, at once, since a burst that saw the load of before would go to one shard as a whole.
  alignas(64) std::atomic<uint32_t> load_{0};
  uint32_t beyond_ = 0;  // sessions beyond clients_max, which may only cancel
  bool draining_ = false;
};

}  // namespace server
