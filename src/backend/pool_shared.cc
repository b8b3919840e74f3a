#include "backend/pool_shared.h"

#include <algorithm>

#include "base/check.h"

namespace backend {
namespace {

constexpr uint32_t kClearlyMore = 2;                          // connections
constexpr absl::Duration kPatience = absl::Milliseconds(20);  // of a shard that has none
constexpr absl::Duration kPoolPatience = absl::Milliseconds(100);  // of another pool
// A connection that was closed for a want is gone by then: if the want is still there, its place
// went to another.
constexpr absl::Duration kClosing = absl::Milliseconds(50);

}  // namespace

void SharedPools::Register(PlaceUser* shard) {
  const std::lock_guard<std::mutex> lock(mutex_);
  shards_.push_back(shard);
}

void SharedPools::SetBounds(const Bounds& bounds) {
  const std::lock_guard<std::mutex> lock(mutex_);
  bounds_ = bounds;
  HandOut();
}

void SharedPools::KeepWelcome(SharedPool* pool, const Parameters& welcome) {
  const std::lock_guard<std::mutex> lock(mutex_);
  pool->welcome = welcome;
}

Parameters SharedPools::Welcome(const SharedPool& pool) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return pool.welcome;
}

SharedPool* SharedPools::Find(const std::string& key, const std::string& server, uint32_t max) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::unique_ptr<SharedPool>& pool = pools_[key];
  if (pool == nullptr) {
    pool = std::make_unique<SharedPool>();
    pool->key = key;
    pool->server_name = server;
    pool->server = &servers_[server];
    ++pool->server->pools;
  }
  ++pool->users;
  pool->max = max;
  CountSurplus(pool.get());
  HandOut();
  return pool.get();
}

void SharedPools::Drop(SharedPool* pool) {
  const std::lock_guard<std::mutex> lock(mutex_);
  CHECK(pool->users > 0);
  --pool->users;
  EraseIfUnused(pool);
}

// A place that was handed to a shard and has not come there yet keeps its pool.
void SharedPools::EraseIfUnused(SharedPool* pool) {
  if (pool->users > 0 || pool->places.load(std::memory_order_relaxed) > 0) {
    return;
  }
  const auto server = servers_.find(pool->server_name);
  if (--server->second.pools == 0) {
    servers_.erase(server);
  }
  pools_.erase(pools_.find(pool->key));
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

// -- places ---------------------------------------------------------------------------------------

SharedPools::Blocked SharedPools::BlockedBy(const SharedPool& pool) const {
  if (pool.max != 0 && pool.places.load(std::memory_order_relaxed) >= pool.max) {
    return Blocked::kByPool;
  }
  if (bounds_.per_server != 0 && pool.server->places >= bounds_.per_server) {
    return Blocked::kByServer;
  }
  const bool full =
      bounds_.total != 0 && taken_.load(std::memory_order_relaxed) >= bounds_.total;
  return full ? Blocked::kByTotal : Blocked::kNo;
}

void SharedPools::Occupy(SharedPool* pool) {
  pool->places.fetch_add(1, std::memory_order_relaxed);
  ++pool->server->places;
  taken_.fetch_add(1, std::memory_order_relaxed);
}

SharedPools::Wants::iterator SharedPools::FindWant(const SharedPool* pool,
                                                   const PlaceUser* shard) {
  return std::find_if(waiting_.begin(), waiting_.end(), [&](const Want& want) {
    return want.pool == pool && want.shard == shard;
  });
}

// Whatever fits was handed out, so no older want is passed over by who finds a place here.
bool SharedPools::Take(SharedPool* pool, PlaceUser* shard, uint32_t has, base::Instant now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto mine = FindWant(pool, shard);
  const Blocked blocked = BlockedBy(*pool);
  if (blocked == Blocked::kNo) {
    Occupy(pool);
    if (mine != waiting_.end()) {
      Erase(mine);
    }
    Recount();
    return true;
  }
  if (mine != waiting_.end()) {
    mine->has = has;
    return false;
  }
  Want& want = waiting_.emplace_back();
  want.pool = pool;
  want.shard = shard;
  want.has = has;
  want.since = now;
  pool->wants.fetch_add(1, std::memory_order_relaxed);
  Count(&want, blocked);
  const bool own_pool = blocked == Blocked::kByPool;
  for (PlaceUser* each : shards_) {
    if (each != shard || !own_pool) {
      each->PostYield(own_pool ? pool->key : std::string());
    }
  }
  return false;
}

bool SharedPools::TakeSpare(SharedPool* pool) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (BlockedBy(*pool) != Blocked::kNo) {
    return false;
  }
  Occupy(pool);
  Recount();
  return true;
}

void SharedPools::Forget(SharedPool* pool, const PlaceUser* shard) {
  if (pool->wants.load(std::memory_order_relaxed) == 0) [[likely]] {
    return;  // a want of this shard would have been stored by it
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto mine = FindWant(pool, shard);
  if (mine != waiting_.end()) {
    Erase(mine);
  }
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
  HandOut();
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
  pool->places.fetch_sub(1, std::memory_order_relaxed);
  --pool->server->places;
  taken_.fetch_sub(1, std::memory_order_relaxed);
  CountSurplus(pool);
  HandOut();
  EraseIfUnused(pool);
}

void SharedPools::HandOut() {
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    if (BlockedBy(*at->pool) != Blocked::kNo) {
      ++at;
      continue;
    }
    Occupy(at->pool);
    at->shard->PostPlace(at->pool);
    at = Erase(at);
  }
  Recount();
}

SharedPools::Wants::iterator SharedPools::Erase(Wants::iterator want) {
  Count(&*want, Blocked::kNo);
  want->pool->wants.fetch_sub(1, std::memory_order_relaxed);
  return waiting_.erase(want);
}

// Who is to look whether it has something for it: its pool, which counts it always, the pools of
// its server, or all.
void SharedPools::Count(Want* want, Blocked as) {
  const auto add = [&](Blocked kind, uint32_t by) {
    if (kind == Blocked::kByServer) {
      want->pool->server->wants.fetch_add(by, std::memory_order_relaxed);
    } else if (kind == Blocked::kByTotal) {
      wants_.fetch_add(by, std::memory_order_relaxed);
    }
  };
  add(want->counted, UINT32_MAX);  // one less
  add(as, 1);
  want->counted = as;
}

void SharedPools::Recount() {
  for (Want& want : waiting_) {
    const Blocked now = BlockedBy(*want.pool);
    if (now != want.counted) {
      Count(&want, now);
    }
  }
}

// -- yielding -------------------------------------------------------------------------------------

bool SharedPools::GoodFor(const SharedPool& giver, const Want& want) const {
  if (want.pool == &giver) {
    return true;
  }
  const Blocked blocked = BlockedBy(*want.pool);
  return blocked == Blocked::kByTotal ||
         (blocked == Blocked::kByServer && want.pool->server == giver.server);
}

bool SharedPools::Deserves(const SharedPool& giver, uint32_t has, bool idle, bool unused,
                           const Want& want, base::Instant now) {
  const absl::Duration waited = now - want.since;
  if (want.pool == &giver) {
    return (want.has == 0 && (idle || waited > kPatience)) || want.has + kClearlyMore <= has ||
           unused;
  }
  const uint32_t its = want.pool->places.load(std::memory_order_relaxed);
  if (idle) {
    return its == 0 || waited > kPoolPatience;
  }
  return waited > kPoolPatience &&
         (its == 0 || its + kClearlyMore <= giver.places.load(std::memory_order_relaxed));
}

bool SharedPools::Yield(SharedPool* pool, const PlaceUser* shard, uint32_t has, bool idle,
                        bool unused, base::Instant now) {
  if (!Wanted(*pool)) [[likely]] {
    return false;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  for (Want& want : waiting_) {
    const bool mine = want.pool == pool && want.shard == shard;
    const bool promised =
        want.promised != base::Instant() && now - want.promised < kClosing;
    if (mine || promised || !GoodFor(*pool, want) ||
        !Deserves(*pool, has, idle, unused, want, now)) {
      continue;
    }
    want.promised = now;
    const auto own = FindWant(pool, shard);
    if (own != waiting_.end()) {  // who gives up a place does not take it back
      waiting_.splice(waiting_.end(), waiting_, own);
    }
    return true;
  }
  return false;
}

}  // namespace backend
