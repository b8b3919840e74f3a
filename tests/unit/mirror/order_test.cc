// The rules of order: marks, who waits for whom, across shards and in threads.
#include "mirror/order.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace mirror {
namespace {

class FakeShard final : public OrderBoard::Shard {
 public:
  void PostLook() override { looks.fetch_add(1); }
  std::atomic<int> looks{0};
};

class FakeWaiter final : public OrderWaiter {
 public:
  void OnOrder() override { ++told; }
  int told = 0;
};

class OrderTest : public testing::Test {
 protected:
  Place Explicit() {
    Place place{.stamp = 0, .acked = 0, .is_explicit = true};
    mine_.Expect(clock_.now());
    place.stamp = clock_.Tick();
    mine_.Reserve(place.stamp);
    return place;
  }
  void Ack(Order* order, Place* place) {
    order->Expect(clock_.now());
    place->acked = clock_.Tick();
    place->stamp = place->stamp == 0 ? place->acked : place->stamp;
    order->Add(*place);
  }

  Clock clock_;
  OrderBoard board_;
  FakeShard here_;
  FakeShard there_;
  Order mine_{&board_, &here_};
  Order other_{&board_, &there_};
  FakeWaiter waiter_;
};

TEST_F(OrderTest, NothingOpenPasses) {
  EXPECT_TRUE(mine_.Passed(Mark::kAcked, 100, &waiter_));
  EXPECT_TRUE(mine_.Passed(Mark::kRun, 100, &waiter_));
}

TEST_F(OrderTest, StartWaitsForWhatWasAcknowledged) {
  Place first;
  Ack(&mine_, &first);
  const uint64_t seen = clock_.now();
  Place later;
  Ack(&mine_, &later);
  EXPECT_FALSE(mine_.Passed(Mark::kAcked, seen, &waiter_));
  mine_.Resolve(first, false);
  EXPECT_EQ(waiter_.told, 1);
  EXPECT_TRUE(mine_.Passed(Mark::kAcked, seen, &waiter_));  // the later one does not matter
}

TEST_F(OrderTest, CommitWaitsForForwardedCommits) {
  Place first = Explicit();
  Place second = Explicit();
  Ack(&mine_, &second);  // its answer came first
  mine_.Release(second.stamp);
  EXPECT_FALSE(mine_.Passed(Mark::kRun, second.stamp - 1, &waiter_));
  Ack(&mine_, &first);
  mine_.Release(first.stamp);
  EXPECT_EQ(waiter_.told, 0);
  mine_.Executed(first);
  EXPECT_EQ(waiter_.told, 1);
  EXPECT_FALSE(mine_.Passed(Mark::kOpen, second.stamp - 1));
  mine_.Resolve(first, true);
  EXPECT_TRUE(mine_.Passed(Mark::kOpen, second.stamp - 1));
}

TEST_F(OrderTest, CommitThatCameToNothingLetsOthersGo) {
  const Place first = Explicit();
  Place second;
  Ack(&mine_, &second);
  EXPECT_FALSE(mine_.Passed(Mark::kExplicit, second.stamp - 1, &waiter_));
  mine_.Release(first.stamp);
  EXPECT_EQ(waiter_.told, 1);
}

TEST_F(OrderTest, ImplicitOnesDoNotWaitForEachOther) {
  Place first;
  Place second;
  Ack(&mine_, &first);
  Ack(&mine_, &second);
  EXPECT_TRUE(mine_.Passed(Mark::kExplicit, second.stamp - 1, &waiter_));
  EXPECT_FALSE(mine_.Passed(Mark::kRun, second.stamp - 1));
}

TEST_F(OrderTest, RolledBackOnTheMirrorHoldsUpAgain) {
  Place first = Explicit();
  Ack(&mine_, &first);
  mine_.Release(first.stamp);
  mine_.Executed(first);
  EXPECT_TRUE(mine_.Passed(Mark::kRun, first.stamp));
  mine_.Reopen(first);
  EXPECT_FALSE(mine_.Passed(Mark::kRun, first.stamp));
  mine_.Executed(first);
  mine_.Resolve(first, true);
  EXPECT_TRUE(mine_.Passed(Mark::kOpen, first.stamp));
}

TEST_F(OrderTest, UnitsOfOneStampAreOneEntry) {
  Place commit = Explicit();
  Place before{.stamp = commit.stamp, .acked = 0, .is_explicit = false};  // of its session
  Ack(&mine_, &before);
  Ack(&mine_, &commit);
  mine_.Release(commit.stamp);
  mine_.Resolve(before, false);
  EXPECT_FALSE(mine_.Passed(Mark::kOpen, commit.stamp));
  mine_.Resolve(commit, false);
  EXPECT_TRUE(mine_.Passed(Mark::kOpen, commit.stamp));
}

TEST_F(OrderTest, OtherShardIsTold) {
  Place there;
  Ack(&other_, &there);
  EXPECT_FALSE(mine_.Passed(Mark::kAcked, there.acked, &waiter_));
  other_.Resolve(there, false);
  EXPECT_EQ(here_.looks, 1);
  EXPECT_EQ(waiter_.told, 0);
  mine_.Look();
  EXPECT_EQ(waiter_.told, 1);
  EXPECT_EQ(there_.looks, 0);
}

TEST_F(OrderTest, WhoWaitsNoLongerIsNotTold) {
  Place there;
  Ack(&other_, &there);
  EXPECT_FALSE(mine_.Passed(Mark::kAcked, there.acked, &waiter_));
  mine_.Forget(&waiter_);
  other_.Resolve(there, false);
  EXPECT_EQ(here_.looks, 0);
  mine_.Look();
  EXPECT_EQ(waiter_.told, 0);
}

TEST_F(OrderTest, SwitchedOffEverythingPasses) {
  Order off(nullptr, &here_);
  const Place place{.stamp = 1, .acked = 1};
  off.Add(place);
  EXPECT_TRUE(off.Passed(Mark::kOpen, 5, &waiter_));
  off.Resolve(place, false);
}

// One thread acknowledges and resolves, the other waits for each number that it has seen: it is
// told of every one, or finds it passed.
TEST(OrderBoardTest, NobodyIsForgotten) {
  constexpr int kRounds = 100'000;
  Clock clock;
  OrderBoard board;
  FakeShard here;
  FakeShard there;
  const auto waits = std::make_unique<Order>(&board, &here);
  std::atomic<bool> over{false};
  std::thread other([&] {
    Order order(&board, &there);
    for (int i = 0; i < kRounds; ++i) {
      Place place;
      order.Expect(clock.now());
      place.stamp = place.acked = clock.Tick();
      order.Add(place);
      order.Resolve(place, false);
    }
    over.store(true);
  });
  uint64_t waited = 0;
  while (!over.load()) {
    FakeWaiter waiter;
    if (waits->Passed(Mark::kAcked, clock.now(), &waiter)) {
      continue;
    }
    ++waited;
    while (waiter.told == 0) {
      if (here.looks.exchange(0) > 0) {
        waits->Look();
      }
    }
  }
  other.join();
  EXPECT_GT(waited, 0u);
}

}  // namespace
}  // namespace mirror
