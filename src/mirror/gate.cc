#include "mirror/gate.h"

#include <algorithm>

#include "base/check.h"
#include "mirror/mirrors.h"

namespace mirror {

void Gate::Register(Mirrors* shard) {
  const std::lock_guard<std::mutex> lock(mutex_);
  shards_.push_back(shard);
}

bool Gate::MayEnter(uint64_t rank) const {
  if (connections_ + 1 < connections_max_) {
    return true;
  }
  return connections_ < connections_max_ &&
         (board_ == nullptr || board_->Passed(Mark::kOpen, rank - 1));
}

bool Gate::EnterOrWait(uint64_t rank, Waiter waiter) {
  std::vector<Mirrors*> shards;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (MayEnter(rank)) {
      ++connections_;
      return true;
    }
    row_.emplace(rank, waiter);
    first_.store(row_.begin()->first, std::memory_order_relaxed);
    shards = shards_;
  }
  for (Mirrors* shard : shards) {
    shard->PostShed(this);
  }
  return false;
}

// Those who may enter leave the row, with a place.
std::vector<Waiter> Gate::Admit() {
  std::vector<Waiter> admitted;
  while (!row_.empty() && MayEnter(row_.begin()->first)) {
    ++connections_;
    admitted.push_back(row_.begin()->second);
    Remove(row_.begin());
  }
  return admitted;
}

void Gate::Wake(const std::vector<Waiter>& admitted) {
  for (const Waiter& waiter : admitted) {
    waiter.shard->PostPlace(waiter.lane);
  }
}

void Gate::Retry() {
  std::vector<Waiter> admitted;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    admitted = Admit();
  }
  Wake(admitted);
}

Gate::Row::iterator Gate::Find(Waiter waiter) {
  return std::find_if(row_.begin(), row_.end(), [&](const auto& other) {
    return other.second.shard == waiter.shard && other.second.lane == waiter.lane;
  });
}

void Gate::Remove(Row::iterator place) {
  row_.erase(place);
  first_.store(row_.empty() ? kNobody : row_.begin()->first, std::memory_order_relaxed);
}

bool Gate::Forget(Waiter waiter) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = Find(waiter);
  if (found == row_.end()) {
    return false;
  }
  Remove(found);
  return true;
}

// A place that goes on without being left could pass by whom the last one is kept for.
bool Gate::TakeOver(Waiter waiter) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = Find(waiter);
  if (found == row_.end() || (board_ != nullptr && found != row_.begin())) {
    return false;
  }
  Remove(found);
  return true;
}

bool Gate::EnterAlone() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (connections_ > 0 || !row_.empty()) {
    return false;
  }
  ++connections_;
  return true;
}

bool Gate::full() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return row_.empty() && connections_ + 1 >= connections_max_;
}

void Gate::AskToYield(uint64_t stamp, bool at_work) {
  std::vector<Mirrors*> shards;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    shards = shards_;
  }
  for (Mirrors* shard : shards) {
    shard->PostBlocked(this, stamp, at_work);
  }
}

void Gate::Leave() {
  std::vector<Waiter> admitted;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    CHECK(connections_ > 0);
    --connections_;
    admitted = Admit();
  }
  Wake(admitted);
}

}  // namespace mirror
