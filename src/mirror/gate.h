// Gate: who may have a connection to one mirror, over all shards.
//
// One per mirror, process-wide, locked for a few instructions when a connection is wanted or given
// back, not per transaction. It never waits and cannot fail: who must wait stands in the row and is
// woken by a message to its shard.
//
// At most `connections_max`; those waiting are served by their rank, the smallest first. A rank is
// a transaction's stamp. The last place is kept for the transaction that all others wait for, so
// that it is never shut out by those.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "mirror/order_board.h"

namespace mirror {

class Mirrors;

// Who waits: a lane of a shard's Mirrors, by its id there.
struct Waiter {
  Mirrors* shard = nullptr;
  uint64_t lane = 0;
};

class Gate {
 public:
  // `board` null: ranks are only when somebody came, nobody waits for anybody.
  Gate(uint32_t connections_max, const OrderBoard* board)
      : connections_max_(connections_max), board_(board) {}
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // A shard that may hold idle connections. At its start; it outlives every call.
  void Register(Mirrors* shard);

  // All: any thread.
  // True: the caller has a connection's place, and gives it back with Leave. Otherwise it stands
  // in the row and is woken with a place that is its own; all shards are asked to shed idle ones.
  bool EnterOrWait(uint64_t rank, Waiter waiter);
  // True: nobody has a connection, nor waits for one, and the caller has a place, as above.
  bool EnterAlone();
  // Whoever stands first may be one for whom the last place is kept now.
  void Retry();
  // Takes it out of the row, for a connection of another lane or because it needs none any more.
  // False: it was not there any more; a place is on its way to it, or it never waited.
  bool Forget(Waiter waiter);
  // Likewise, but only if it may take a place that is in use from its owner.
  bool TakeOver(Waiter waiter);
  void Leave();
  // Transactions with a larger stamp than `stamp` that hold a connection only to commit later are
  // rolled back: what they hold may be what that one waits for. `at_work`: so are those that have
  // been at work for long; they may wait for what one behind `stamp` is to let go of.
  void AskToYield(uint64_t stamp, bool at_work);
  // True exactly when nobody waits, and nobody new would be let in at once.
  bool full();
  bool contended() const { return first_.load(std::memory_order_relaxed) != kNobody; }
  // The smallest rank that waits, or a number above all.
  uint64_t first() const { return first_.load(std::memory_order_relaxed); }

 private:
  static constexpr uint64_t kNobody = OrderBoard::kNothing;
  using Row = std::multimap<uint64_t, Waiter>;

  Row::iterator Find(Waiter waiter);
  bool MayEnter(uint64_t rank) const;
  void Remove(Row::iterator place);
  std::vector<Waiter> Admit();
  static void Wake(const std::vector<Waiter>& admitted);

  const uint32_t connections_max_;
  const OrderBoard* const board_;
  std::mutex mutex_;
  std::vector<Mirrors*> shards_;
  uint32_t connections_ = 0;
  Row row_;
  std::atomic<uint64_t> first_{kNobody};  // of row_
};

}  // namespace mirror
