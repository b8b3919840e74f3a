#include "mirror/gate.h"

#include <algorithm>

#include "base/check.h"
#include "mirror/mirrors.h"

namespace mirror {

void Gate::Register(Mirrors* shard) {
  const std::lock_guard<std::mutex> lock(mutex_);
  shards_.push_back(shard);
}

uint64_t Gate::Stamp() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t stamp = next_.load(std::memory_order_relaxed);
  done_.push_back(false);
  next_.store(stamp + 1, std::memory_order_release);
  return stamp;
}

void Gate::Resolve(uint64_t stamp) {
  std::vector<Waiter> woken;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    CHECK(stamp >= resolved_ && stamp - resolved_ < done_.size());
    done_[stamp - resolved_] = true;
    while (!done_.empty() && done_.front()) {
      done_.pop_front();
      ++resolved_;
    }
    const auto end = by_order_.upper_bound(resolved_);
    for (auto it = by_order_.begin(); it != end; ++it) {
      woken.push_back(it->second);
    }
    by_order_.erase(by_order_.begin(), end);
  }
  for (const Waiter& waiter : woken) {
    waiter.shard->PostWake(waiter.lane, false);
  }
}

bool Gate::Passed(uint64_t after, Waiter waiter) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (resolved_ >= after) {
    return true;
  }
  by_order_.emplace(after, waiter);
  return false;
}

bool Gate::EnterOrWait(Waiter waiter) {
  std::vector<Mirrors*> shards;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (connections_ < connections_max_) {
      ++connections_;
      return true;
    }
    row_.push_back(waiter);
    contended_.store(static_cast<uint32_t>(row_.size()), std::memory_order_relaxed);
    shards = shards_;
  }
  for (Mirrors* shard : shards) {
    shard->PostShed(this);
  }
  return false;
}

bool Gate::Forget(Waiter waiter) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = std::find_if(row_.begin(), row_.end(), [&](const Waiter& other) {
    return other.shard == waiter.shard && other.lane == waiter.lane;
  });
  if (found == row_.end()) {
    return false;
  }
  row_.erase(found);
  contended_.store(static_cast<uint32_t>(row_.size()), std::memory_order_relaxed);
  return true;
}

void Gate::Leave() {
  Waiter next;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    CHECK(connections_ > 0);
    if (row_.empty()) {
      --connections_;
      return;
    }
    next = row_.front();
    row_.pop_front();
    contended_.store(static_cast<uint32_t>(row_.size()), std::memory_order_relaxed);
  }
  next.shard->PostWake(next.lane, true);  // the place goes on to it
}

}  // namespace mirror
