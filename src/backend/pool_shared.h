// SharedPools: what the shards of a process have in common of their pools: how many server
// connections there are per pool, per server and in total, and which shard waits for a place.
//
// Made by server/ before the shards, destroyed after them; any thread. A place is taken before a
// connection is dialled and given back after it was closed, so the bounds hold at every moment. A
// shard that finds none leaves a want; a shard that has clearly more connections, or one that it
// does not use, closes one, and its place goes to the oldest want. So shards whose clients wait
// settle at an equal share, and a place, which costs a login, does not move to and fro.
// The lock is taken where there is no place left, and at connects and closes; never by a query that
// finds a connection on its own shard.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/instant.h"

namespace backend {

class Pools;

// The process's connections of one (server, user, database).
struct SharedPool {
  std::string key;
  std::string server;
  uint32_t max = 0;
  std::atomic<uint32_t> places{0};  // taken
  std::atomic<uint32_t> wants{0};   // shards that wait for one
  std::atomic<uint32_t> surplus{0}; // more than max, and nobody has begun to close them
  uint32_t leaving = 0;             // that are closed because of max; under SharedPools' lock

  struct Want {
    Pools* shard = nullptr;
    uint32_t has = 0;  // connections of this pool
    base::Instant since;
  };
  std::deque<Want> waiting;  // under SharedPools' lock, oldest first
};

class SharedPools {
 public:
  // `total`: server connections of all pools; 0: no bound.
  explicit SharedPools(uint32_t total) : total_(total) {}
  SharedPools(const SharedPools&) = delete;
  SharedPools& operator=(const SharedPools&) = delete;

  // Before it runs; shards are never taken out.
  void Register(Pools* shard);
  // Lives as long as this. `max`: 0 is no bound.
  SharedPool* Find(const std::string& key, const std::string& server, uint32_t max);

  // One client more of `key`, a service or a user of one; false if there are `max` already (0: no
  // bound). At logins and their ends only.
  bool EnterClient(const std::string& key, uint32_t max);
  void LeaveClient(const std::string& key);

  // False if there is no place; then `shard` waits for one, and the others are asked whether they
  // have a free connection too many.
  bool Take(SharedPool* pool, Pools* shard, uint32_t has, base::Instant now);
  // Another bound. Nothing is closed for it that is in use: whoever has one to spare asks
  // TakeSurplus() whether it is to close it for that, and then says so to GiveBack().
  void SetMax(SharedPool* pool, uint32_t max);
  bool TakeSurplus(SharedPool* pool);
  // `shard` waits no more.
  void Forget(SharedPool* pool, const Pools* shard);
  // Gives a place back: to the oldest want, or to all.
  void GiveBack(SharedPool* pool, bool surplus = false);
  // True if `shard`, which has `has` connections, should close one for another that waits: one with
  // clearly fewer, or one that has none, at once if this one needs it for nobody (`idle`).
  bool ShouldYield(const SharedPool& pool, const Pools* shard, uint32_t has, bool idle,
                   base::Instant now);

 private:
  static void CountSurplus(SharedPool* pool);

  const uint32_t total_;
  std::atomic<uint32_t> taken_{0};
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<SharedPool>> pools_;
  std::vector<Pools*> shards_;
  std::map<std::string, uint32_t> clients_;
};

}  // namespace backend
