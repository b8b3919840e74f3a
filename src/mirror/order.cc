#include "mirror/order.h"

#include <algorithm>

#include "base/check.h"

namespace mirror {

Order::Order(OrderBoard* board, OrderBoard::Shard* shard)
    : board_(board), line_(board == nullptr ? 0 : board->Register(shard)) {
  marks_.fill(OrderBoard::kNothing);
}

// What is lowered here may be too low until the number is here: that makes others wait a moment.
void Order::Expect(uint64_t now) {
  if (!on()) {
    return;
  }
  Marks lowered = marks_;
  for (uint64_t& mark : lowered) {
    mark = std::min(mark, now + 1);
  }
  board_->Lower(line_, lowered);
}

Order::Stamped& Order::Find(uint64_t stamp) {
  const auto found =
      std::lower_bound(stamped_.begin(), stamped_.end(), stamp,
                       [](const Stamped& entry, uint64_t other) { return entry.stamp < other; });
  CHECK(found != stamped_.end() && found->stamp == stamp);
  return *found;
}

Order::Acked& Order::FindAcked(uint64_t number) {
  const auto found =
      std::lower_bound(acked_.begin(), acked_.end(), number,
                       [](const Acked& other, uint64_t wanted) { return other.number < wanted; });
  CHECK(found != acked_.end() && found->number == number);
  return *found;
}

void Order::Reserve(uint64_t stamp) {
  if (!on()) {
    return;
  }
  CHECK(stamped_.empty() || stamped_.back().stamp < stamp);
  stamped_.push_back(Stamped{.stamp = stamp, .reserved = 1});
  Update();
}

void Order::Release(uint64_t stamp) {
  if (!on()) {
    return;
  }
  --Find(stamp).reserved;
  Update();
}

void Order::Unexpect() {
  if (on()) {
    Update();
  }
}

void Order::Add(const Place& place, bool away) {
  if (!on()) {
    return;
  }
  if (stamped_.empty() || stamped_.back().stamp < place.stamp) {
    stamped_.push_back(Stamped{.stamp = place.stamp});
  }
  Stamped& entry = Find(place.stamp);
  ++entry.running;
  entry.explicits += place.is_explicit ? 1 : 0;
  ++entry.open;
  entry.away += away ? 1 : 0;
  entry.away_explicits += away && place.is_explicit ? 1 : 0;
  CHECK(acked_.empty() || acked_.back().number < place.acked);
  acked_.push_back(Acked{.number = place.acked, .away = away});
  Update();
}

void Order::Back(const Place& place) {
  if (!on()) {
    return;
  }
  Stamped& entry = Find(place.stamp);
  --entry.away;
  entry.away_explicits -= place.is_explicit ? 1 : 0;
  FindAcked(place.acked).away = false;
}

void Order::LoseAway() {
  if (!on()) {
    return;
  }
  for (Stamped& entry : stamped_) {
    entry.open -= entry.away;
    entry.running -= entry.away;
    entry.explicits -= entry.away_explicits;
    entry.away = entry.away_explicits = 0;
  }
  for (Acked& entry : acked_) {
    entry.done = entry.done || entry.away;
    entry.away = false;
  }
  Update();
}

void Order::Executed(const Place& place) {
  if (!on()) {
    return;
  }
  Stamped& entry = Find(place.stamp);
  --entry.running;
  entry.explicits -= place.is_explicit ? 1 : 0;
  Update();
}

void Order::Reopen(const Place& place) {
  if (!on()) {
    return;
  }
  Stamped& entry = Find(place.stamp);
  ++entry.running;
  entry.explicits += place.is_explicit ? 1 : 0;
  run_ = explicit_ = 0;  // rare: they find their way again
  Update();
}

void Order::Resolve(const Place& place, bool executed) {
  if (!on()) {
    return;
  }
  Stamped& entry = Find(place.stamp);
  if (!executed) {
    --entry.running;
    entry.explicits -= place.is_explicit ? 1 : 0;
  }
  --entry.open;
  FindAcked(place.acked).done = true;
  Update();
}

// The marks anew. Each cursor moves over what it has passed for good, so this is a step or two.
void Order::Update() {
  while (!acked_.empty() && acked_.front().done) {
    acked_.pop_front();
  }
  while (!stamped_.empty() && stamped_.front().reserved == 0 && stamped_.front().open == 0) {
    stamped_.pop_front();
    run_ -= run_ > 0 ? 1 : 0;
    explicit_ -= explicit_ > 0 ? 1 : 0;
  }
  while (run_ < stamped_.size() && stamped_[run_].reserved == 0 && stamped_[run_].running == 0) {
    ++run_;
  }
  while (explicit_ < stamped_.size() && stamped_[explicit_].reserved == 0 &&
         stamped_[explicit_].explicits == 0) {
    ++explicit_;
  }
  const auto stamp_at = [this](size_t index) {
    return index < stamped_.size() ? stamped_[index].stamp : OrderBoard::kNothing;
  };
  marks_ = {acked_.empty() ? OrderBoard::kNothing : acked_.front().number, stamp_at(run_),
            stamp_at(explicit_), stamp_at(0)};
  board_->Publish(line_, marks_);
  WakeReady();
}

// -- waiting --------------------------------------------------------------------------------------

bool Order::Passed(Mark mark, uint64_t need) const { return !on() || board_->Passed(mark, need); }

bool Order::Passed(Mark mark, uint64_t need, OrderWaiter* waiter) {
  if (Passed(mark, need)) {
    return true;
  }
  Waiters& waiters = waiters_[static_cast<size_t>(mark)];
  const auto entry = waiters.emplace(need, waiter);
  PublishNeed(mark);
  if (!Passed(mark, need)) {
    return false;
  }
  waiters.erase(entry);
  PublishNeed(mark);
  return true;
}

void Order::PublishNeed(Mark mark) {
  const Waiters& waiters = waiters_[static_cast<size_t>(mark)];
  board_->Want(line_, mark, waiters.empty() ? OrderBoard::kNothing : waiters.begin()->first);
}

void Order::Forget(const OrderWaiter* waiter) {
  for (size_t mark = 0; mark < kMarks; ++mark) {
    if (std::erase_if(waiters_[mark], [&](const auto& w) { return w.second == waiter; }) > 0) {
      PublishNeed(static_cast<Mark>(mark));
    }
  }
}

// Those whose need is met; the others' smallest need is published, then looked at once more.
void Order::WakeReady() {
  for (size_t i = 0; i < kMarks; ++i) {
    Waiters& waiters = waiters_[i];
    const auto mark = static_cast<Mark>(i);
    while (!waiters.empty() && Passed(mark, waiters.begin()->first)) {
      OrderWaiter* const waiter = waiters.begin()->second;
      waiters.erase(waiters.begin());
      PublishNeed(mark);
      waiter->OnOrder();
    }
  }
}

void Order::Look() {
  board_->Looked(line_);
  WakeReady();
}

}  // namespace mirror
