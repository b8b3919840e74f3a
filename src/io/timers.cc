#include "io/timers.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace io {

void Timer::Disarm() {
  if (wheel_ != nullptr) {
    wheel_->Unlink(this);
  }
}

Timers::~Timers() { CHECK(armed_ == 0); }

void Timers::Arm(Timer* timer, base::Instant at) {
  timer->Disarm();
  if (at == base::Instant::Never()) {
    return;
  }
  timer->at_ = at;
  // What is already due fires at the next tick, never within the call.
  const uint32_t slot = SlotOf(std::max(TickOf(at), tick_ + 1));
  timer->wheel_ = this;
  timer->slot_ = slot;
  timer->previous_ = nullptr;
  timer->next_ = slots_[slot];
  if (timer->next_ != nullptr) {
    timer->next_->previous_ = timer;
  }
  slots_[slot] = timer;
  used_[slot / 64] |= uint64_t{1} << (slot % 64);
  ++armed_;
}

void Timers::Unlink(Timer* timer) {
  if (firing_next_ == timer) {
    firing_next_ = timer->next_;
  }
  if (timer->next_ != nullptr) {
    timer->next_->previous_ = timer->previous_;
  }
  if (timer->previous_ != nullptr) {
    timer->previous_->next_ = timer->next_;
  } else {
    slots_[timer->slot_] = timer->next_;
    if (timer->next_ == nullptr) {
      used_[timer->slot_ / 64] &= ~(uint64_t{1} << (timer->slot_ % 64));
    }
  }
  timer->wheel_ = nullptr;
  timer->previous_ = timer->next_ = nullptr;
  --armed_;
}

void Timers::FireSlot(uint32_t slot) {
  for (Timer* timer = slots_[slot]; timer != nullptr; timer = firing_next_) {
    firing_next_ = timer->next_;
    if (TickOf(timer->at_) <= tick_) {
      Unlink(timer);
      timer->OnExpired();
    }
  }
  firing_next_ = nullptr;
}

void Timers::Advance(base::Instant now) {
  const int64_t target = now.nanoseconds() / kTickNanoseconds;
  if (armed_ == 0) {
    tick_ = std::max(tick_, target);
    return;
  }
  // A jump of more than a turn (a suspended process) visits each slot once.
  int64_t from = std::max(tick_ + 1, target - int64_t{kSlots} + 1);
  if (target > tick_ && from > tick_ + 1) {
    tick_ = from - 1;
  }
  while (tick_ < target) {
    ++tick_;
    const uint32_t slot = SlotOf(tick_);
    if (slot % 64 == 0 && used_[slot / 64] == 0 && tick_ + 63 <= target) {
      tick_ += 63;
      continue;
    }
    if (slots_[slot] != nullptr) {
      FireSlot(slot);
    }
  }
}

base::Instant Timers::Next() const {
  if (armed_ == 0) {
    return base::Instant::Never();
  }
  const uint32_t start = SlotOf(tick_ + 1);
  for (uint32_t i = 0; i < kSlots;) {
    const uint32_t slot = (start + i) & (kSlots - 1);
    const uint64_t word = used_[slot / 64] >> (slot % 64);
    if (word != 0) {
      const auto ahead = static_cast<uint32_t>(std::countr_zero(word));
      if (i + ahead < kSlots) {
        return base::Instant((tick_ + 1 + i + ahead) * kTickNanoseconds);
      }
    }
    i += 64 - slot % 64;
  }
  return base::Instant((tick_ + kSlots) * kTickNanoseconds);
}

}  // namespace io
