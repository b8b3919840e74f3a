// Order: a shard's part in the order of one mirror's transactions. What the rules are for:
// docs/mirror.md; how shards see each other: order_board.h.
//
// Owned by the shard's Shadow. Every transaction has two numbers of the Clock: its stamp, which is
// its place (taken when its COMMIT was forwarded, or with its answer if it had none), and when it
// was acknowledged, before the client got the answer. Rules wait for smaller numbers only, so
// nobody waits in a circle.
//
// Switched off (mirror_order = session) it keeps nothing and everybody may pass.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <utility>

#include "mirror/order_board.h"
#include "mirror/unit.h"

namespace mirror {

// Who waits for its turn: a lane.
class OrderWaiter {
 public:
  virtual ~OrderWaiter() = default;
  virtual void OnOrder() = 0;  // what it waited for has come, or may have
};

class Order {
 public:
  // `board` null: switched off.
  Order(OrderBoard* board, OrderBoard::Shard* shard);
  Order(const Order&) = delete;
  Order& operator=(const Order&) = delete;

  bool on() const { return board_ != nullptr; }

  // A number above `now` will be taken from the clock next, for a stamp or an acknowledgement: one
  // of Reserve(), Add() and Unexpect() follows.
  void Expect(uint64_t now);
  void Unexpect();
  // A COMMIT with `stamp` is being forwarded; others wait for it until Release().
  void Reserve(uint64_t stamp);
  void Release(uint64_t stamp);
  // An acknowledged transaction; its stamp is the newest one or a reserved one. `away`: it is in
  // the spill, not in memory, until Back().
  void Add(const Place& place, bool away = false);
  void Back(const Place& place);
  // Those that are away are lost, as if all were back and resolved.
  void LoseAway();
  // True exactly when the transaction with the smallest stamp of all is away: whatever is here may
  // be waiting for it.
  bool FirstIsAway() const { return !stamped_.empty() && stamped_.front().away > 0; }
  // Its statements have been executed by the mirror; Reopen: they were rolled back.
  void Executed(const Place& place);
  void Reopen(const Place& place);
  // It is applied, refused or dropped. Whether it was executed does not matter.
  void Resolve(const Place& place, bool executed);

  // True exactly when every number up to `need` has passed `mark`. Else `waiter` is told once.
  bool Passed(Mark mark, uint64_t need, OrderWaiter* waiter);
  bool Passed(Mark mark, uint64_t need) const;
  // `waiter` waits no longer.
  void Forget(const OrderWaiter* waiter);
  // A mark of another shard was raised, on this shard's request.
  void Look();

 private:
  struct Stamped {
    uint64_t stamp = 0;
    uint32_t reserved = 0;
    uint32_t running = 0;   // not executed
    uint32_t explicits = 0;  // of those, explicit ones
    uint32_t open = 0;      // not resolved
    uint32_t away = 0;      // of those, the ones in the spill
    uint32_t away_explicits = 0;
  };
  struct Acked {
    uint64_t number = 0;
    bool done = false;
    bool away = false;
  };
  using Waiters = std::multimap<uint64_t, OrderWaiter*>;

  Stamped& Find(uint64_t stamp);
  Acked& FindAcked(uint64_t number);
  void Update();
  void WakeReady();
  void PublishNeed(Mark mark);

  OrderBoard* const board_;
  const size_t line_;
  std::deque<Stamped> stamped_;  // by stamp
  std::deque<Acked> acked_;      // by number
  size_t run_ = 0;               // before it in stamped_ nothing runs and nothing is reserved
  size_t explicit_ = 0;          // likewise, nothing explicit
  Marks marks_;
  std::array<Waiters, kMarks> waiters_;
};

}  // namespace mirror
