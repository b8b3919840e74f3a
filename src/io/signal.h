// Signal: bits that others raise and one coroutine waits for: "readable, resumed or stopped".
//
//   const uint32_t bits = co_await signal.Wait();
//   const uint32_t bits = co_await signal.Wait(deadline);  // Signal::kTimeout among them
//
// Owned by whoever owns the coroutine; on one shard. Raising resumes nobody at once: the waiter is
// put on its loop's ready list. Bits raised while nobody waits are kept.
#pragma once

#include <coroutine>
#include <cstdint>

#include "base/check.h"
#include "base/instant.h"
#include "io/loop.h"
#include "io/timers.h"

namespace io {

class Signal {
 public:
  static constexpr uint32_t kTimeout = 1u << 31;
  static constexpr uint32_t kStop = 1u << 30;  // by convention: end, whatever you wait for

  explicit Signal(Loop* loop) : loop_(loop) {}
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;
  ~Signal() { CHECK(waiter_ == nullptr); }

  void Raise(uint32_t bits) {
    raised_ |= bits;
    if (waiter_ != nullptr) {
      loop_->MakeReady(waiter_);
      waiter_ = nullptr;
    }
  }
  uint32_t raised() const { return raised_; }
  Loop* loop() const { return loop_; }

  class Awaiter final : private Timer {
   public:
    Awaiter(Signal* signal, base::Deadline deadline) : signal_(signal), deadline_(deadline) {}
    bool await_ready() const { return signal_->raised_ != 0; }
    void await_suspend(std::coroutine_handle<> waiter) {
      CHECK(signal_->waiter_ == nullptr);
      signal_->waiter_ = waiter;
      if (deadline_ != base::Deadline::Never()) {
        signal_->loop_->timers().Arm(this, deadline_);
      }
    }
    uint32_t await_resume() {
      Disarm();
      const uint32_t bits = signal_->raised_;
      signal_->raised_ = 0;
      return bits;
    }

   private:
    void OnExpired() override { signal_->Raise(kTimeout); }
    Signal* const signal_;
    const base::Deadline deadline_;
  };
  // Resumes with the bits raised since the last wait, at least one. A deadline that is past
  // still lets the loop turn once.
  Awaiter Wait(base::Deadline deadline) { return Awaiter(this, deadline); }

  // The same without a deadline and without its memory, for pumps: a kStop ends it.
  class BareAwaiter {
   public:
    explicit BareAwaiter(Signal* signal) : signal_(signal) {}
    bool await_ready() const { return signal_->raised_ != 0; }
    void await_suspend(std::coroutine_handle<> waiter) {
      CHECK(signal_->waiter_ == nullptr);
      signal_->waiter_ = waiter;
    }
    uint32_t await_resume() {
      const uint32_t bits = signal_->raised_;
      signal_->raised_ = 0;
      return bits;
    }

   private:
    Signal* const signal_;
  };
  BareAwaiter Wait() { return BareAwaiter(this); }

 private:
  Loop* const loop_;
  std::coroutine_handle<> waiter_;
  uint32_t raised_ = 0;
};

}  // namespace io
