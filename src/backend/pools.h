// Pools: all pools of one shard.
//
// Made by server/ with the shard, used on its thread but for the Post calls. A pool is made when a
// session first needs it and taken away when it has neither sessions nor connections. A tick each
// second closes what is idle or old and opens what is missing. A reload keeps the pools whose
// server and login did not change.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend_metrics.h"
#include "backend/epoch.h"
#include "backend/pool.h"
#include "backend/pool_metrics.h"
#include "backend/pool_shared.h"
#include "backend/prepared.h"
#include "base/keyed_hash.h"
#include "io/event.h"
#include "io/scope.h"
#include "io/task.h"

namespace backend {

// What Pools needs of its shard; everything outlives it.
struct PoolsTools {
  io::Loop* loop = nullptr;
  Epoch epoch;
  SharedPools* shared = nullptr;
  BackendMetrics* metrics = nullptr;
  Deriver* deriver = nullptr;
  uint32_t shard = 0;
};

class Pools final : public PlaceUser {
 public:
  explicit Pools(const PoolsTools& tools);
  ~Pools() override;
  Pools(const Pools&) = delete;
  Pools& operator=(const Pools&) = delete;

  // The pool of who logs in to `service`'s server as `login`, made if there is none, for a session
  // that calls Pool::Leave() at its end. Its secret is replaced by the one in `login`.
  // `service` is of the current epoch.
  Pool* Join(const config::Service* service, const LoginFacts& login);
  // The configuration is another one.
  void Follow(const Epoch& epoch);
  // After the sessions have ended: closes every connection, returns when that is done.
  io::Task<void> Drain();

  // -- any thread -------------------------------------------------------------------------------
  void PostPlace(SharedPool* pool) override;
  void PostYield(const std::string& key) override;
  void Describe(base::MetricSink* sink, std::string_view labels) const;

  // -- for pools --------------------------------------------------------------------------------
  const PoolsTools& tools() const { return tools_; }
  io::Loop* loop() const { return tools_.loop; }
  io::Scope& tasks() { return tasks_; }
  StatementTable& statements() { return statements_; }
  PoolMetrics& metrics() { return metrics_; }
  // Something changed that should not wait for the next tick.
  void Tend() { tend_.Raise(1); }

 private:
  class PlaceNotice;
  class YieldNotice;

  io::Task<void> Tick();
  Pool* FindPool(const std::string& key);
  void YieldAny();

  PoolsTools tools_;
  PoolMetrics metrics_;
  StatementTable statements_;
  base::NameTable<std::unique_ptr<Pool>> pools_;  // by SharedPool::key
  std::vector<std::unique_ptr<Pool>> leaving_;  // whose place another has taken, or nobody
  io::Event tend_;
  io::Scope tasks_;
  bool ticking_ = false;
  bool draining_ = false;
};

}  // namespace backend
