// Published: a value one thread writes and others read, on a cache line of its own.
//
// One of the three shapes that may cross shards (DESIGN 4: published value, chunk of credit,
// message to an inbox). One writer; readers may be a little behind.
#pragma once

#include <atomic>

namespace base {

template <typename T>
class Published {
 public:
  Published() = default;
  explicit Published(T value) : value_(value) {}
  void Store(T value) { value_.store(value, std::memory_order_release); }
  T Load() const { return value_.load(std::memory_order_acquire); }

 private:
  static_assert(std::atomic<T>::is_always_lock_free);
  alignas(64) std::atomic<T> value_{};
};

}  // namespace base
