// SharedPools: what the shards of a process have in common of their pools: how many server
// connections there are per pool, per server and in total, and who waits for a place.
//
// Made by server/ before the shards, destroyed after them; any thread. A place is taken before a
// connection is dialled and given back after it was closed, so the bounds hold at every moment. Who
// finds none leaves a want, and all are asked for a connection that they do not need; its place
// goes to the oldest want that it is good for. A want goes behind the others each time, so wants
// are served in turn, and those that stay settle at an equal share: of a pool's places among its
// shards, of a server's and of the process' among pools. A place costs a login, so it does not move
// to and fro: it goes to who has none, or clearly less, or has waited for kPoolPatience while this
// one lay idle. min_conns takes places that nobody wants, and no want stays for it.
// What counts: pooled connections. A login that is passed through (one server connection per
// client), look-ups of secrets and cancels have no place.
// The lock is taken where there is no place left, and at connects and closes; never by a query that
// finds a connection on its own shard.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backend/connection.h"
#include "base/instant.h"

namespace backend {

struct SharedPool;

// A shard's pools, as SharedPools sees them.
class PlaceUser {
 public:
  virtual ~PlaceUser() = default;
  // -- any thread -------------------------------------------------------------------------------
  // `pool` has got a place here; it is to be used or given back.
  virtual void PostPlace(SharedPool* pool) = 0;
  // Somebody wants a place, which a connection of pool `key` may give up; empty: of any pool.
  virtual void PostYield(const std::string& key) = 0;
};

// The process's connections to one server, all pools together.
struct SharedServer {
  uint32_t places = 0;              // taken; under SharedPools' lock, as is `pools`
  uint32_t pools = 0;               // that are known
  std::atomic<uint32_t> wants{0};   // that a place of any of its pools is good for
};

// The process's connections of one (service, user, database).
struct SharedPool {
  std::string key;
  std::string server_name;
  SharedServer* server = nullptr;
  uint32_t max = 0;
  uint32_t users = 0;               // Find() without Drop(); under the lock
  std::atomic<uint32_t> places{0};  // taken
  std::atomic<uint32_t> wants{0};   // of this pool
  std::atomic<bool> asks_sequences{false};  // a client has asked for a sequence's last value
  std::atomic<uint32_t> surplus{0};  // more than max, and nobody has begun to close them
  uint32_t leaving = 0;              // that are closed because of max; under the lock
  Parameters welcome;                // what the server reported at the last login; under the lock
};

class SharedPools {
 public:
  // Of pooled server connections; 0: none.
  struct Bounds {
    uint32_t total = 0;
    uint32_t per_server = 0;
  };
  explicit SharedPools(const Bounds& bounds) : bounds_(bounds) {}
  SharedPools(const SharedPools&) = delete;
  SharedPools& operator=(const SharedPools&) = delete;

  // What a server of `pool` reports at a login, of whichever shard; empty before the first. So who
  // logs in to pgbraid need not wait for a connection of its own shard. At logins only.
  void KeepWelcome(SharedPool* pool, const Parameters& welcome);
  Parameters Welcome(const SharedPool& pool);

  // Before it runs; shards are never taken out.
  void Register(PlaceUser* shard);
  // Lower ones close nothing that is in use.
  void SetBounds(const Bounds& bounds);
  // Lives until as many calls of Drop(), and until its last place was given back. `server`: host
  // and port, which is what a server is; `max`: 0 is no bound.
  SharedPool* Find(const std::string& key, const std::string& server, uint32_t max);
  void Drop(SharedPool* pool);

  // One client more of `key`, a service or a user of one; false if there are `max` already (0: no
  // bound). At logins and their ends only.
  bool EnterClient(const std::string& key, uint32_t max);
  void LeaveClient(const std::string& key);

  // False if there is no place; then `shard` waits for one, and all are asked whether they have a
  // connection that they do not need. `has`: connections of the pool on this shard.
  bool Take(SharedPool* pool, PlaceUser* shard, uint32_t has, base::Instant now);
  // The same for nobody in particular: no want is left.
  bool TakeSpare(SharedPool* pool);
  // `shard` waits no more.
  void Forget(SharedPool* pool, const PlaceUser* shard);
  // Gives a place back: to the oldest want that it is good for, or to all.
  void GiveBack(SharedPool* pool, bool surplus = false);
  // Another bound. Nothing is closed for it that is in use: whoever has one to spare asks
  // TakeSurplus() whether it is to close it for that, and then says so to GiveBack().
  void SetMax(SharedPool* pool, uint32_t max);
  bool TakeSurplus(SharedPool* pool);

  // True if a place of `pool` might be wanted.
  bool Wanted(const SharedPool& pool) const {
    return pool.wants.load(std::memory_order_relaxed) > 0 ||
           pool.server->wants.load(std::memory_order_relaxed) > 0 ||
           wants_.load(std::memory_order_relaxed) > 0;
  }
  // True if `shard`, which has `has` connections of `pool`, is to close one now for a want that it
  // is good for. `idle`: nobody on this shard waits for it; `unused`: nor has for some time.
  bool Yield(SharedPool* pool, const PlaceUser* shard, uint32_t has, bool idle, bool unused,
             base::Instant now);

  // For the metrics.
  uint32_t places() const { return taken_.load(std::memory_order_relaxed); }

 private:
  // Whose bound is reached; the narrowest of them.
  enum class Blocked : uint8_t { kNo, kByPool, kByServer, kByTotal };
  struct Want {
    SharedPool* pool = nullptr;
    PlaceUser* shard = nullptr;
    uint32_t has = 0;  // connections of this pool on this shard
    base::Instant since;
    base::Instant promised;  // somebody closes a connection for it since then; zero: nobody
    Blocked counted = Blocked::kNo;  // as what it is in the numbers of wants
  };
  using Wants = std::list<Want>;

  // All under the lock.
  static void CountSurplus(SharedPool* pool);
  Blocked BlockedBy(const SharedPool& pool) const;
  bool GoodFor(const SharedPool& giver, const Want& want) const;
  static bool Deserves(const SharedPool& giver, uint32_t has, bool idle, bool unused,
                       const Want& want, base::Instant now);
  Wants::iterator FindWant(const SharedPool* pool, const PlaceUser* shard);
  void Occupy(SharedPool* pool);
  void HandOut();
  Wants::iterator Erase(Wants::iterator want);
  void Count(Want* want, Blocked as);
  void Recount();
  void EraseIfUnused(SharedPool* pool);

  std::mutex mutex_;
  Bounds bounds_;
  std::atomic<uint32_t> taken_{0};
  std::atomic<uint32_t> wants_{0};  // that any place is good for
  Wants waiting_;                   // the oldest in front
  std::map<std::string, std::unique_ptr<SharedPool>> pools_;
  std::map<std::string, SharedServer> servers_;
  std::vector<PlaceUser*> shards_;
  std::map<std::string, uint32_t> clients_;
};

}  // namespace backend
