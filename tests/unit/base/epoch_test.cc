#include "base/epoch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace base {
namespace {

// Counts the deaths of values that were not moved from.
class Tracked {
 public:
  Tracked(std::string name, std::atomic<int>* freed) : name_(std::move(name)), freed_(freed) {}
  Tracked(Tracked&& other) noexcept
      : name_(std::move(other.name_)), freed_(std::exchange(other.freed_, nullptr)) {}
  Tracked& operator=(Tracked&&) = delete;
  ~Tracked() {
    if (freed_ != nullptr) {
      freed_->fetch_add(1);
    }
  }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  std::atomic<int>* freed_;
};

using TestEpochs = Epochs<Tracked>;

std::vector<TestEpochs::Hold> PublishTo(TestEpochs* epochs, Tracked value, int count) {
  std::vector<TestEpochs::Hold> holds(static_cast<size_t>(count));
  epochs->Publish(std::move(value), count, [&](int index, TestEpochs::Hold hold) {
    holds[static_cast<size_t>(index)] = std::move(hold);
  });
  return holds;
}

TEST(EpochTest, EachPublicationIsNumberedOneAboveTheLast) {
  std::atomic<int> freed{0};
  TestEpochs epochs;
  EXPECT_EQ(epochs.last(), 0u);
  const auto first = PublishTo(&epochs, Tracked("one", &freed), 1);
  const auto second = PublishTo(&epochs, Tracked("two", &freed), 1);
  EXPECT_EQ(first[0].number(), 1u);
  EXPECT_EQ(second[0].number(), 2u);
  EXPECT_EQ(epochs.last(), 2u);
  EXPECT_EQ(first[0]->name(), "one");
  EXPECT_EQ((*second[0]).name(), "two");
}

TEST(EpochTest, FreedOnceByTheLastHold) {
  std::atomic<int> freed{0};
  TestEpochs epochs;
  auto holds = PublishTo(&epochs, Tracked("value", &freed), 3);
  holds.pop_back();
  holds.pop_back();
  EXPECT_EQ(freed.load(), 0);
  EXPECT_EQ(holds[0]->name(), "value");
  holds.pop_back();
  EXPECT_EQ(freed.load(), 1);
}

TEST(EpochTest, MovedFromHoldReleasesNothing) {
  std::atomic<int> freed{0};
  TestEpochs epochs;
  auto holds = PublishTo(&epochs, Tracked("value", &freed), 1);
  {
    const TestEpochs::Hold taken = std::move(holds[0]);
    holds.clear();
    EXPECT_EQ(freed.load(), 0);
    EXPECT_EQ(taken.number(), 1u);
  }
  EXPECT_EQ(freed.load(), 1);
}

TEST(EpochTest, EmptyHoldHasNumberZero) { EXPECT_EQ(TestEpochs::Hold().number(), 0u); }

TEST(EpochTest, ReplacingAHoldFreesTheOldEpochWithItsLastShard) {
  std::atomic<int> freed_old{0};
  std::atomic<int> freed_new{0};
  TestEpochs epochs;
  auto current = PublishTo(&epochs, Tracked("old", &freed_old), 1);
  {
    auto next = PublishTo(&epochs, Tracked("new", &freed_new), 1);
    current[0] = std::move(next[0]);
  }
  EXPECT_EQ(freed_old.load(), 1);
  EXPECT_EQ(freed_new.load(), 0);
  EXPECT_EQ(current[0]->name(), "new");
}

TEST(EpochTest, FreedExactlyOnceWhateverShardIsLast) {
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> freed{0};
    TestEpochs epochs;
    auto holds = PublishTo(&epochs, Tracked("value", &freed), 4);
    std::vector<std::thread> shards;
    for (TestEpochs::Hold& hold : holds) {
      shards.emplace_back([mine = std::move(hold)] { EXPECT_EQ(mine->name(), "value"); });
    }
    for (std::thread& shard : shards) {
      shard.join();
    }
    ASSERT_EQ(freed.load(), 1);
  }
}

TEST(EpochTest, ACopyHoldsItToo) {
  std::atomic<int> freed{0};
  TestEpochs epochs;
  auto holds = PublishTo(&epochs, Tracked("value", &freed), 1);
  TestEpochs::Hold copy = holds[0];
  TestEpochs::Hold other;
  EXPECT_TRUE(other.empty());
  other = copy;
  holds.clear();
  EXPECT_EQ(copy->name(), "value");
  EXPECT_EQ(epochs.alive(), 1);
  copy = TestEpochs::Hold();
  EXPECT_EQ(freed, 0);
  EXPECT_EQ(other->name(), "value");
  other = PublishTo(&epochs, Tracked("next", &freed), 1)[0];
  EXPECT_EQ(freed, 1);
  EXPECT_EQ(other.number(), 2u);
  EXPECT_EQ(epochs.alive(), 1);
}

// As sessions do it on one shard while others let go of theirs: run under ThreadSanitizer.
TEST(EpochTest, CopiesComeAndGoOnManyThreads) {
  std::atomic<int> freed{0};
  TestEpochs epochs;
  for (int round = 0; round < 50; ++round) {
    auto holds = PublishTo(&epochs, Tracked("value", &freed), 4);
    std::vector<std::thread> threads;
    for (TestEpochs::Hold& hold : holds) {
      threads.emplace_back([mine = std::move(hold)]() mutable {
        std::vector<TestEpochs::Hold> copies(100, mine);
        mine = TestEpochs::Hold();
        for (TestEpochs::Hold& copy : copies) {
          EXPECT_EQ(copy->name(), "value");
          copy = TestEpochs::Hold();
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    EXPECT_EQ(freed, round + 1);
  }
  EXPECT_EQ(epochs.alive(), 0);
}

}  // namespace
}  // namespace base
