// Epoch: an immutable value with a number, replaced as a whole and freed when nobody holds it.
//
// One writer publishes (reload); each shard holds at most a few epochs, by Hold tokens that count
// on the shard that made them. An epoch is freed by the shard that lets go of it last.
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
  };

  // A shard's reference to one epoch. Made and dropped on one thread.
  class Hold {
   public:
    Hold() = default;
    explicit Hold(Epoch* epoch) : epoch_(epoch) {}
    Hold(Hold&& other) noexcept : epoch_(std::exchange(other.epoch_, nullptr)) {}
    Hold& operator=(Hold&& other) noexcept {
      std::swap(epoch_, other.epoch_);
      return *this;
    }
    ~Hold() {
      if (epoch_ != nullptr && epoch_->holders.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        delete epoch_;
      }
    }
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
    auto* epoch = new Epoch{.number = ++last_, .value = std::move(value), .holders = count};
    for (int i = 0; i < count; ++i) {
      hand_over(i, Hold(epoch));
    }
    return last_;
  }
  uint64_t last() const { return last_; }

 private:
  uint64_t last_ = 0;
};

}  // namespace base
