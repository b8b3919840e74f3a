// Event: bits that others raise and one coroutine waits for: "readable, resumed or stopped".
//
//   const uint32_t bits = co_await event.Wait();
//   const uint32_t bits = co_await event.Wait(deadline);  // Event::kTimeout among them
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

class Event {
 public:
  static constexpr uint32_t kTimeout = 1u << 31;
  static constexpr uint32_t kStop = 1u << 30;  // by convention: end, whatever you wait for

  explicit Event(Loop* loop) : loop_(loop) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { CHECK(waiter_ == nullptr); }

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
    Awaiter(Event* event, base::Deadline deadline) : event_(event), deadline_(deadline) {}
    bool await_ready() const { return event_->raised_ != 0; }
    void await_suspend(std::coroutine_handle<> waiter) {
      CHECK(event_->waiter_ == nullptr);
      event_->waiter_ = waiter;
      if (deadline_ != base::Deadline::Never()) {
        event_->loop_->timers().Arm(this, deadline_);
      }
    }
    uint32_t await_resume() {
      Disarm();
      const uint32_t bits = event_->raised_;
      event_->raised_ = 0;
      return bits;
    }

   private:
    void OnExpired() override { event_->Raise(kTimeout); }
    Event* const event_;
    const base::Deadline deadline_;
  };
  // Resumes with the bits raised since the last wait, at least one. A deadline that is past
  // still lets the loop turn once.
  Awaiter Wait(base::Deadline deadline) { return Awaiter(this, deadline); }

  // The same without a deadline and without its memory, for pumps: a kStop ends it.
  class BareAwaiter {
   public:
    explicit BareAwaiter(Event* event) : event_(event) {}
    bool await_ready() const { return event_->raised_ != 0; }
    void await_suspend(std::coroutine_handle<> waiter) {
      CHECK(event_->waiter_ == nullptr);
      event_->waiter_ = waiter;
    }
    uint32_t await_resume() {
      const uint32_t bits = event_->raised_;
      event_->raised_ = 0;
      return bits;
    }

   private:
    Event* const event_;
  };
  BareAwaiter Wait() { return BareAwaiter(this); }

 private:
  Loop* const loop_;
  std::coroutine_handle<> waiter_;
  uint32_t raised_ = 0;
};

}  // namespace io
