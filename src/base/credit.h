// Credit: a budget in bytes shared by all shards, drawn in chunks from one atomic.
//
// A CreditPool is process-wide; a Credit is one shard's share of it. The ceiling is never
// exceeded; it can be felt early by at most shards * chunk bytes. Pools form a tree: a child's
// chunk is also a chunk of its parent's (the process's ceiling).
#pragma once

#include <atomic>
#include <cstdint>

#include "base/check.h"

namespace base {

class CreditPool {
 public:
  // `chunk` and `ceiling` in bytes; `parent` may be null and outlives this.
  CreditPool(int64_t ceiling, int64_t chunk, CreditPool* parent = nullptr)
      : left_(ceiling), ceiling_(ceiling), chunk_(chunk), parent_(parent) {}
  CreditPool(const CreditPool&) = delete;
  CreditPool& operator=(const CreditPool&) = delete;

  // Takes exactly `bytes` here and in every ancestor, or nothing. Any thread.
  bool Draw(int64_t bytes);
  void Return(int64_t bytes);
  int64_t chunk() const { return chunk_; }
  int64_t ceiling() const { return ceiling_; }
  int64_t left() const { return left_.load(std::memory_order_relaxed); }
  // True exactly when less than one part of `parts` of it is left. Any thread.
  bool LessThan(int64_t parts) const { return left() < ceiling_ / parts; }

 private:
  alignas(64) std::atomic<int64_t> left_;
  const int64_t ceiling_;
  const int64_t chunk_;
  CreditPool* const parent_;
};

// One shard's share. Not thread-safe; gives everything back when it dies, by when all that was
// taken must have been returned.
class Credit {
 public:
  explicit Credit(CreditPool* pool) : pool_(pool) {}
  Credit(const Credit&) = delete;
  Credit& operator=(const Credit&) = delete;
  ~Credit();

  // True if `bytes` more may be held; draws a chunk when the shard's share is used up.
  bool Take(int64_t bytes);
  // Gives back what was taken; keeps at most one chunk in hand.
  void Give(int64_t bytes);
  int64_t held() const { return held_; }

 private:
  CreditPool* const pool_;
  int64_t in_hand_ = 0;  // drawn and not held
  int64_t held_ = 0;
};

}  // namespace base
