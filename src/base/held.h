// Held: a counted reference to an object that several on one shard share, and that goes with the
// last of them.
//
// The count is a Slice's: a Held never leaves the shard that made it, but whoever waits for another
// thread may hold one meanwhile. `T` may be incomplete where a Held of it is only kept.
#pragma once

#include <utility>

#include "base/slice.h"

namespace base {

template <typename T>
class Held {
 public:
  Held() = default;
  Held(const Held&) = default;
  Held(Held&& other) noexcept
      : cell_(std::exchange(other.cell_, nullptr)), slice_(std::move(other.slice_)) {}
  Held& operator=(Held other) noexcept {
    std::swap(cell_, other.cell_);
    std::swap(slice_, other.slice_);
    return *this;
  }
  template <typename... Args>
  static Held Make(Args&&... args) {
    Held held;
    held.cell_ = new Cell(std::forward<Args>(args)...);
    held.slice_ = Slice(held.cell_, 0, 0);
    return held;
  }

  T* get() const { return cell_ == nullptr ? nullptr : &cell_->value; }
  T* operator->() const { return get(); }
  T& operator*() const { return *get(); }
  explicit operator bool() const { return cell_ != nullptr; }
  void Reset() { *this = Held(); }

 private:
  struct Cell : Block {
    template <typename... Args>
    explicit Cell(Args&&... args) : value(std::forward<Args>(args)...) {
      owner = &kOwner;
    }
    T value;
  };
  class Owner final : public BlockOwner {
   public:
    void Recycle(Block* block) override { delete static_cast<Cell*>(block); }
  };
  static inline Owner kOwner;

  Cell* cell_ = nullptr;
  Slice slice_;  // of it, without bytes
};

}  // namespace base
