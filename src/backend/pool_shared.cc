#include "backend/pool_shared.h"

#include <algorithm>

#include "backend/pools.h"

namespace backend {
namespace {

constexpr uint32_t kClearlyMore = 2;  // connections
constexpr absl::Duration kPatience = absl::Milliseconds(20);  // of a shard that has none

}  // namespace

void SharedPools::Register(Pools* shard) {
  const std::lock_guard<std::mutex> lock(mutex_);
  shards_.push_back(shard);
}

SharedPool* SharedPools::Find(const std::string& key, const std::string& server, uint32_t max) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::unique_ptr<SharedPool>& pool = pools_[key];
  if (pool == nullptr) {
    pool = std::make_unique<SharedPool>();
    pool->key = key;
    pool->server = server;
  }
  pool->max = max;
  CountSurplus(pool.get());
  return pool.get();
}

bool SharedPools::EnterClient(const std::string& key, uint32_t max) {
  const std::lock_guard<std::mutex> lock(mutex_);
  uint32_t& count = clients_[key];
  if (max != 0 && count >= max) {
    return false;
  }
  ++count;
  return true;
}

void SharedPools::LeaveClient(const std::string& key) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = clients_.find(key);
  if (--found->second == 0) {
    clients_.erase(found);
  }
}

bool SharedPools::Take(SharedPool* pool, Pools* shard, uint32_t has, base::Instant now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto mine = std::find_if(pool->waiting.begin(), pool->waiting.end(),
                                 [&](const SharedPool::Want& want) { return want.shard == shard; });
  const bool first = pool->waiting.empty() || mine == pool->waiting.begin();
  const bool room =
      (pool->max == 0 || pool->places < pool->max) && (total_ == 0 || taken_ < total_);
  if (room && first) {
    ++pool->places;
    ++taken_;
  }
  const bool taken = room && first;
  if (mine != pool->waiting.end()) {
    mine->has = has;
    if (taken) {
      pool->waiting.erase(mine);
    }
  } else if (!taken) {
    pool->waiting.push_back(SharedPool::Want{shard, has, now});
    for (Pools* other : shards_) {
      if (other != shard) {
        other->PostYield(pool);
      }
    }
  }
  pool->wants.store(static_cast<uint32_t>(pool->waiting.size()), std::memory_order_relaxed);
  return taken;
}

void SharedPools::Forget(SharedPool* pool, const Pools* shard) {
  if (pool->wants.load(std::memory_order_relaxed) == 0) [[likely]] {
    return;  // a want of this shard would have been stored by it
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  std::erase_if(pool->waiting,
                [&](const SharedPool::Want& want) { return want.shard == shard; });
  pool->wants.store(static_cast<uint32_t>(pool->waiting.size()), std::memory_order_relaxed);
}

// -- another bound --------------------------------------------------------------------------------

void SharedPools::CountSurplus(SharedPool* pool) {
  const uint32_t staying = pool->places - pool->leaving;
  pool->surplus = pool->max == 0 || staying <= pool->max ? 0 : staying - pool->max;
}

void SharedPools::SetMax(SharedPool* pool, uint32_t max) {
  const std::lock_guard<std::mutex> lock(mutex_);
  pool->max = max;
  CountSurplus(pool);
}

bool SharedPools::TakeSurplus(SharedPool* pool) {
  if (pool->surplus.load(std::memory_order_relaxed) == 0) [[likely]] {
    return false;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  if (pool->surplus == 0) {
    return false;
  }
  ++pool->leaving;
  CountSurplus(pool);
  return true;
}

void SharedPools::GiveBack(SharedPool* pool, bool surplus) {
  const std::lock_guard<std::mutex> lock(mutex_);
  pool->leaving -= surplus ? 1 : 0;
  if (pool->waiting.empty() || (pool->max != 0 && pool->places > pool->max)) {
    --pool->places;
    --taken_;
    CountSurplus(pool);
    return;
  }
  Pools* const next = pool->waiting.front().shard;
  pool->waiting.pop_front();
  pool->wants.store(static_cast<uint32_t>(pool->waiting.size()), std::memory_order_relaxed);
  next->PostPlace(pool);
}

bool SharedPools::ShouldYield(const SharedPool& pool, const Pools* shard, uint32_t has, bool idle,
                              base::Instant now) {
  if (pool.wants.load(std::memory_order_relaxed) == 0) [[likely]] {
    return false;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::any_of(pool.waiting.begin(), pool.waiting.end(), [&](const SharedPool::Want& want) {
    const bool starves = want.has == 0 && (idle || now - want.since > kPatience);
    return want.shard != shard && (starves || want.has + kClearlyMore <= has);
  });
}

}  // namespace backend
