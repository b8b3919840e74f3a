#include "backend/pools.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace backend {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(250);

// 0: no bound.
uint32_t MaxConns(const config::PoolSettings& pool) {
  return pool.mode == config::PoolMode::kSession && !pool.max_conns_given ? 0 : pool.max_conns;
}

}  // namespace

class Pools::PlaceNotice final : public io::Message {
 public:
  PlaceNotice(Pools* pools, SharedPool* shared) : pools_(pools), shared_(shared) {}
  void Deliver() override {
    Pool* const pool = pools_->FindPool(shared_->key);
    if (pool != nullptr) {
      pool->OnPlace();
    } else {
      pools_->tools_.shared->GiveBack(shared_);
    }
  }

 private:
  Pools* const pools_;
  SharedPool* const shared_;  // whose place keeps it
};

class Pools::YieldNotice final : public io::Message {
 public:
  YieldNotice(Pools* pools, std::string key) : pools_(pools), key_(std::move(key)) {}
  void Deliver() override {
    if (key_.empty()) {
      pools_->YieldAny();
    } else if (Pool* const pool = pools_->FindPool(key_); pool != nullptr) {
      pool->YieldOne();
    }
  }

 private:
  Pools* const pools_;
  const std::string key_;
};

Pools::Pools(const PoolsTools& tools)
    : tools_(tools), statements_(tools.shard), tend_(tools.loop), tasks_(tools.loop) {
  if (tools_.shared != nullptr) {
    tools_.shared->Register(this);
  }
}

Pools::~Pools() = default;

Pool* Pools::Join(const config::Service* service, const LoginFacts& login) {
  std::string key = service->name;
  key += '\0' + login.user + '\0' + login.database + '\0' + service->primary.Address();
  std::unique_ptr<Pool>& pool = pools_[key];
  if (pool == nullptr) {
    SharedPool* const shared =
        tools_.shared->Find(key, service->primary.Address(), MaxConns(service->pool));
    pool = std::make_unique<Pool>(this, service, login, shared);
  } else {
    pool->SetSecret(login);
  }
  pool->Enter();
  Pool* const joined = pool.get();
  if (!ticking_ && !draining_) {
    ticking_ = true;
    tasks_.Spawn(Tick());
  }
  return joined;
}

Pool* Pools::FindPool(const std::string& key) {
  const auto found = pools_.find(key);
  return found == pools_.end() ? nullptr : found->second.get();
}

// Gives up the one that was not used for longest, of those that somebody has a use for.
void Pools::YieldAny() {
  if (metrics_.free.value() == 0) {
    return;
  }
  std::vector<std::pair<base::Instant, Pool*>> free;
  for (const auto& [key, pool] : pools_) {
    if (pool->free_count() > 0) {
      free.emplace_back(pool->unused_since(), pool.get());
    }
  }
  std::sort(free.begin(), free.end());
  static_cast<void>(std::any_of(free.begin(), free.end(),
                                [](const auto& each) { return each.second->YieldOne(); }));
}

// Runs as long as there is a pool.
io::Task<void> Pools::Tick() {
  while (!draining_ && !(pools_.empty() && leaving_.empty())) {
    for (auto at = pools_.begin(); at != pools_.end();) {
      at = at->second->Tend() ? std::next(at) : pools_.erase(at);
    }
    std::erase_if(leaving_, [](const std::unique_ptr<Pool>& pool) { return !pool->Tend(); });
    co_await tend_.Wait(loop()->In(kTick));
  }
  ticking_ = false;
}

void Pools::Follow(const Epoch& epoch) {
  tools_.epoch = epoch;
  for (auto at = pools_.begin(); at != pools_.end();) {
    Pool* const pool = at->second.get();
    if (pool->Follow(epoch)) {
      tools_.shared->SetMax(pool->shared(), MaxConns(pool->service().pool));
      ++at;
      continue;
    }
    pool->Vacate();
    leaving_.push_back(std::move(at->second));
    at = pools_.erase(at);
  }
  Tend();
}

io::Task<void> Pools::Drain() {
  draining_ = true;
  for (const auto& [key, pool] : pools_) {
    pool->Close();
  }
  for (const std::unique_ptr<Pool>& pool : leaving_) {
    pool->Close();
  }
  Tend();
  co_await tasks_.Join();
}

void Pools::PostPlace(SharedPool* pool) {
  loop()->Post(std::make_unique<PlaceNotice>(this, pool));
}

void Pools::PostYield(const std::string& key) {
  loop()->Post(std::make_unique<YieldNotice>(this, key));
}

void Pools::Describe(base::MetricSink* sink, std::string_view labels) const {
  metrics_.Describe(sink, labels);
}

}  // namespace backend
