// Gate: what all shards decide together about one mirror: the order in which transactions may
// start, and who may have a connection.
//
// One per mirror, process-wide, locked for a few instructions per mirrored transaction. It never
// waits and cannot fail: who must wait leaves a Waiter and is woken by a message to its shard.
//
// Order (the start rule): every transaction gets a stamp when it is handed to its lane. It may
// start on the mirror when every stamp that was given before its last statement was forwarded is
// resolved. What one client saw committed is then on the mirror before what it did next, in
// whatever session. Waited-for stamps are always lower, so there is no circle.
//
// Connections: at most `connections_max`; those waiting are served first in, first out.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <vector>

#include "io/loop.h"

namespace mirror {

class Mirrors;

// Who waits: a lane of a shard's Mirrors, by its id there.
struct Waiter {
  Mirrors* shard = nullptr;
  uint64_t lane = 0;
};

class Gate {
 public:
  explicit Gate(uint32_t connections_max) : connections_max_(connections_max) {}
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // A shard that may hold idle connections. At its start; it outlives every call.
  void Register(Mirrors* shard);

  // -- order, any thread ------------------------------------------------------------------------
  // The stamp after the last one given.
  uint64_t next() const { return next_.load(std::memory_order_acquire); }
  uint64_t Stamp();
  void Resolve(uint64_t stamp);
  // True exactly when all stamps below `after` are resolved; otherwise `waiter` is woken once.
  bool Passed(uint64_t after, Waiter waiter);

  // -- connections, any thread ------------------------------------------------------------------
  // True: the caller has a connection's place, and gives it back with Leave. Otherwise it stands
  // in the row and is woken with a place that is its own; all shards are asked to shed idle ones.
  bool EnterOrWait(Waiter waiter);
  // False: it was not in the row any more; a place is on its way to it, or it never waited.
  bool Forget(Waiter waiter);
  void Leave();
  bool contended() const { return contended_.load(std::memory_order_relaxed) > 0; }

 private:
  std::mutex mutex_;
  std::vector<Mirrors*> shards_;
  std::atomic<uint64_t> next_{1};
  uint64_t resolved_ = 1;          // all stamps below it are resolved
  std::deque<bool> done_;          // of the stamps from resolved_ on
  std::multimap<uint64_t, Waiter> by_order_;
  const uint32_t connections_max_;
  uint32_t connections_ = 0;
  std::deque<Waiter> row_;
  std::atomic<uint32_t> contended_{0};  // row_.size()
};

}  // namespace mirror
