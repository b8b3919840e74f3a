#include "base/credit.h"

#include <algorithm>

namespace base {

bool CreditPool::Draw(int64_t bytes) {
  int64_t left = left_.load(std::memory_order_relaxed);
  do {
    if (left < bytes) {
      return false;
    }
  } while (!left_.compare_exchange_weak(left, left - bytes, std::memory_order_relaxed));
  if (parent_ != nullptr && !parent_->Draw(bytes)) {
    left_.fetch_add(bytes, std::memory_order_relaxed);
    return false;
  }
  return true;
}

void CreditPool::Return(int64_t bytes) {
  left_.fetch_add(bytes, std::memory_order_relaxed);
  if (parent_ != nullptr) {
    parent_->Return(bytes);
  }
}

Credit::~Credit() {
  CHECK(held_ == 0);
  pool_->Return(in_hand_);
}

bool Credit::Take(int64_t bytes) {
  if (bytes > in_hand_) {
    const int64_t missing = bytes - in_hand_;
    const int64_t draw = std::max(missing, pool_->chunk());
    if (pool_->Draw(draw)) {
      in_hand_ += draw;
    } else if (pool_->Draw(missing)) {
      in_hand_ += missing;
    } else {
      return false;
    }
  }
  in_hand_ -= bytes;
  held_ += bytes;
  return true;
}

void Credit::Give(int64_t bytes) {
  CHECK(bytes <= held_);
  held_ -= bytes;
  in_hand_ += bytes;
  if (in_hand_ > pool_->chunk()) {
    pool_->Return(in_hand_ - pool_->chunk());
    in_hand_ = pool_->chunk();
  }
}

}  // namespace base
