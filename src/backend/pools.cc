#include "backend/pools.h"

#include <utility>

namespace backend {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(250);

// 0: no bound.
uint32_t MaxConns(const config::PoolSettings& pool) {
  return pool.mode == config::PoolMode::kSession && !pool.max_conns_given ? 0 : pool.max_conns;
}

}  // namespace

// From another shard: about a place.
class Pools::Notice final : public io::Message {
 public:
  enum class Kind : uint8_t { kPlace, kYield };
  Notice(Pools* pools, SharedPool* shared, Kind kind)
      : pools_(pools), shared_(shared), kind_(kind) {}
  void Deliver() override {
    Pool* const pool = pools_->FindShared(shared_);
    if (kind_ == Kind::kYield) {
      if (pool != nullptr) {
        pool->YieldOne();
      }
    } else if (pool != nullptr) {
      pool->OnPlace();
    } else {
      pools_->tools_.shared->GiveBack(shared_);
    }
  }

 private:
  Pools* const pools_;
  SharedPool* const shared_;
  const Kind kind_;
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
        tools_.shared->Find(key, service->primary.name, MaxConns(service->pool));
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

Pool* Pools::FindShared(SharedPool* shared) {
  const auto found = pools_.find(shared->key);
  return found == pools_.end() ? nullptr : found->second.get();
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
  loop()->Post(std::make_unique<Notice>(this, pool, Notice::Kind::kPlace));
}

void Pools::PostYield(SharedPool* pool) {
  loop()->Post(std::make_unique<Notice>(this, pool, Notice::Kind::kYield));
}

void Pools::Describe(base::MetricSink* sink, std::string_view labels) const {
  metrics_.Describe(sink, labels);
}

}  // namespace backend
