// Epoch: an immutable value with a number, replaced as a whole and freed when nobody holds it.
//
// One writer publishes (reload) and hands a Hold to each shard, which copies it for whatever of the
// shard still needs the epoch: sessions, connections, look-ups. It is freed, on the spot, by the
// thread that lets go of it last.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/check.h"

namespace base {

template <typename T>
class Epochs {
 public:
  struct Epoch {
    uint64_t number = 0;
    T value;
    std::atomic<int64_t> holders{0};
    std::atomic<int64_t>* alive = nullptr;
  };

  // A reference to one epoch, or to none. Each is one thread's; a copy may be another's.
  class Hold {
   public:
    Hold() = default;
    explicit Hold(Epoch* epoch) : epoch_(epoch) {}
    Hold(const Hold& other) : epoch_(other.epoch_) {
      if (epoch_ != nullptr) {
        epoch_->holders.fetch_add(1, std::memory_order_relaxed);
      }
    }
    Hold(Hold&& other) noexcept : epoch_(std::exchange(other.epoch_, nullptr)) {}
    Hold& operator=(Hold other) noexcept {
      std::swap(epoch_, other.epoch_);
      return *this;
    }
    ~Hold() {
      if (epoch_ != nullptr && epoch_->holders.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        epoch_->alive->fetch_sub(1, std::memory_order_relaxed);
        delete epoch_;
      }
    }
    bool empty() const { return epoch_ == nullptr; }
    const T& operator*() const { return epoch_->value; }
    const T* operator->() const { return &epoch_->value; }
    uint64_t number() const { return epoch_ == nullptr ? 0 : epoch_->number; }

   private:
    Epoch* epoch_ = nullptr;
  };

  // Makes an epoch numbered one above the last and `count` holds on it, for the publisher to hand
  // one to each shard. Called by one thread.
  template <typename Sink>
  uint64_t Publish(T value, int count, Sink&& hand_over) {
    CHECK(count > 0);
    auto* epoch = new Epoch{
        .number = ++last_, .value = std::move(value), .holders = count, .alive = &alive_};
    alive_.fetch_add(1, std::memory_order_relaxed);
    for (int i = 0; i < count; ++i) {
      hand_over(i, Hold(epoch));
    }
    return last_;
  }
  uint64_t last() const { return last_; }
  // Epochs that somebody holds. Any thread.
  int64_t alive() const { return alive_.load(std::memory_order_relaxed); }

 private:
  uint64_t last_ = 0;
  std::atomic<int64_t> alive_{0};  // outlives every hold
};

}  // namespace base
