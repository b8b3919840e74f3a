// Turnstile: lets a few coroutines pass in each round of a loop; the others wait for later rounds,
// first come, first served. For steps that cost a shard much more than a query does.
//
// Owned by a Loop, on its thread. Nothing ends a wait early: it lasts as many rounds as there are
// groups in front, and every round lets one through.
#pragma once

#include <coroutine>
#include <cstdint>
#include <deque>
#include <vector>

namespace io {

class Turnstile {
 public:
  explicit Turnstile(uint32_t per_round) : per_round_(per_round), left_(per_round) {}

  struct Awaiter {
    Turnstile* turnstile;
    bool await_ready() const {
      if (turnstile->left_ == 0) {
        return false;
      }
      --turnstile->left_;
      return true;
    }
    void await_suspend(std::coroutine_handle<> waiter) const {
      turnstile->waiting_.push_back(waiter);
    }
    void await_resume() const {}
  };
  Awaiter Pass() { return Awaiter{this}; }

  bool waiting() const { return !waiting_.empty(); }
  // A round begins: adds those whose turn it is to `*ready`.
  void NewRound(std::vector<std::coroutine_handle<>>* ready) {
    left_ = per_round_;
    while (left_ > 0 && !waiting_.empty()) {
      ready->push_back(waiting_.front());
      waiting_.pop_front();
      --left_;
    }
  }

 private:
  const uint32_t per_round_;
  uint32_t left_;
  std::deque<std::coroutine_handle<>> waiting_;
};

}  // namespace io
