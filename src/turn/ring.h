// Ring: a first-in, first-out row of small values whose first few places lie in the object.
//
// For the ledger: no allocation up to `kInline` values, doubling above, and the memory is given
// back as soon as the ring is empty. Owned by one object, used on one thread. It has no bound of
// its own: the owner refuses a value before pushing it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace turn {

template <typename T, uint32_t kInline>
class Ring {
  static_assert((kInline & (kInline - 1)) == 0, "places are found by masking");

 public:
  uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](uint32_t index) { return places()[(begin_ + index) & (capacity_ - 1)]; }
  const T& operator[](uint32_t index) const {
    return places()[(begin_ + index) & (capacity_ - 1)];
  }
  T& front() { return (*this)[0]; }
  const T& front() const { return (*this)[0]; }
  T& back() { return (*this)[size_ - 1]; }

  void Push(T value) {
    if (size_ == capacity_) [[unlikely]] Grow();
    (*this)[size_] = std::move(value);
    ++size_;
  }
  void Pop() {
    DCHECK(size_ > 0);
    if constexpr (!std::is_trivially_destructible_v<T>) front() = T();
    begin_ = (begin_ + 1) & (capacity_ - 1);
    if (--size_ == 0 && heap_ != nullptr) [[unlikely]] {
      heap_.reset();
      capacity_ = kInline;
      begin_ = 0;
    }
  }
  // Bytes beyond the object itself.
  size_t memory() const { return heap_ == nullptr ? 0 : capacity_ * sizeof(T); }

 private:
  T* places() { return heap_ == nullptr ? inline_ : heap_.get(); }
  const T* places() const { return heap_ == nullptr ? inline_ : heap_.get(); }
  void Grow() {
    auto larger = std::make_unique<T[]>(size_t{capacity_} * 2);
    for (uint32_t i = 0; i < size_; ++i) larger[i] = std::move((*this)[i]);
    heap_ = std::move(larger);
    capacity_ *= 2;
    begin_ = 0;
  }

  T inline_[kInline] = {};
  std::unique_ptr<T[]> heap_;
  uint32_t capacity_ = kInline;
  uint32_t begin_ = 0;
  uint32_t size_ = 0;
};

}  // namespace turn
