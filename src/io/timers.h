// Timers: a hashed wheel in user space. Arming and cancelling are O(1) and allocate nothing: the
// Timer is a node that its owner embeds.
//
// One wheel per loop. A timer fires in the first Advance() at or after its instant rounded up to
// the next tick (4 ms); timers beyond one turn of the wheel stay in their slot for later turns.
#pragma once

#include <array>
#include <cstdint>

#include "base/instant.h"

namespace io {

class Timers;

// Owned by whoever waits; must be disarmed (or fired) when destroyed, which the destructor does.
class Timer {
 public:
  Timer() = default;
  virtual ~Timer() { Disarm(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void Disarm();
  bool armed() const { return wheel_ != nullptr; }
  base::Instant at() const { return at_; }

 protected:
  // Called by Advance(); may arm or disarm any timer, this one too.
  virtual void OnExpired() = 0;

 private:
  friend class Timers;
  Timers* wheel_ = nullptr;
  Timer* previous_ = nullptr;
  Timer* next_ = nullptr;
  uint32_t slot_ = 0;
  base::Instant at_;
};

class Timers {
 public:
  static constexpr int64_t kTickNanoseconds = 4'000'000;
  static constexpr uint32_t kSlots = 4096;  // one turn: 16.4 s

  explicit Timers(base::Instant now) : tick_(now.nanoseconds() / kTickNanoseconds) {}
  ~Timers();
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  // Arms (or re-arms) `timer` to expire at `at`; Never() disarms it.
  void Arm(Timer* timer, base::Instant at);
  // Fires all timers due at `now`.
  void Advance(base::Instant now);
  // No timer fires before this instant; Never() if none is armed. May be early, never late.
  base::Instant Next() const;
  uint32_t armed() const { return armed_; }

 private:
  friend class Timer;
  static uint32_t SlotOf(int64_t tick) { return static_cast<uint32_t>(tick) & (kSlots - 1); }
  static int64_t TickOf(base::Instant at) {
    return at.nanoseconds() / kTickNanoseconds + (at.nanoseconds() % kTickNanoseconds > 0 ? 1 : 0);
  }
  void Unlink(Timer* timer);
  void FireSlot(uint32_t slot);

  std::array<Timer*, kSlots> slots_{};
  std::array<uint64_t, kSlots / 64> used_{};  // bit set: the slot is not empty
  int64_t tick_;                              // the last tick that was fired
  uint32_t armed_ = 0;
  Timer* firing_next_ = nullptr;  // FireSlot's cursor, moved on by Unlink
};

}  // namespace io
