#include "base/credit.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/random.h"

namespace base {
namespace {

TEST(CreditTest, TakesUpToTheCeilingAndNoMore) {
  CreditPool pool(100, 10);
  Credit credit(&pool);
  EXPECT_TRUE(credit.Take(60));
  EXPECT_TRUE(credit.Take(40));
  EXPECT_FALSE(credit.Take(1));
  EXPECT_EQ(credit.held(), 100);
  EXPECT_EQ(pool.left(), 0);
  credit.Give(100);
}

TEST(CreditTest, DrawsAChunkAndThenServesFromHand) {
  CreditPool pool(100, 10);
  Credit credit(&pool);
  ASSERT_TRUE(credit.Take(1));
  EXPECT_EQ(pool.left(), 90);
  ASSERT_TRUE(credit.Take(9));
  EXPECT_EQ(pool.left(), 90);
  credit.Give(10);
}

TEST(CreditTest, KeepsAtMostOneChunkInHand) {
  CreditPool pool(100, 10);
  Credit credit(&pool);
  ASSERT_TRUE(credit.Take(80));
  credit.Give(80);
  EXPECT_EQ(pool.left(), 90);
}

TEST(CreditTest, TakesTheExactRestWhenNoChunkIsLeft) {
  CreditPool pool(15, 10);
  Credit first(&pool);
  Credit second(&pool);
  ASSERT_TRUE(first.Take(10));
  EXPECT_TRUE(second.Take(5));
  EXPECT_FALSE(second.Take(1));
  first.Give(10);
  second.Give(5);
}

TEST(CreditTest, GivesEverythingBackWhenItDies) {
  CreditPool pool(100, 10);
  {
    Credit credit(&pool);
    ASSERT_TRUE(credit.Take(3));
    credit.Give(3);
  }
  EXPECT_EQ(pool.left(), 100);
}

TEST(CreditTest, ChildIsBoundByItsParentAndTakesNothingWhenRefused) {
  CreditPool process(50, 10);
  CreditPool child(100, 10, &process);
  Credit other(&process);
  ASSERT_TRUE(other.Take(30));
  Credit credit(&child);
  EXPECT_FALSE(credit.Take(30));
  EXPECT_EQ(child.left(), 100);
  EXPECT_EQ(process.left(), 20);
  EXPECT_TRUE(credit.Take(20));
  credit.Give(20);
  other.Give(30);
}

TEST(CreditDeathTest, GivingMoreThanWasTakenIsOurBug) {
  CreditPool pool(100, 10);
  Credit credit(&pool);
  EXPECT_DEATH(credit.Give(1), "CHECK failed");
}

// Four shards take and give at random from two children of one ceiling.
TEST(CreditTest, CeilingHoldsUnderThreadsAndAllComesBack) {
  constexpr int64_t kCeiling = 1000;
  CreditPool process(kCeiling, 16);
  CreditPool left(700, 16, &process);
  CreditPool right(700, 16, &process);
  std::atomic<int64_t> held{0};
  std::atomic<int64_t> most{0};
  std::atomic<int> refused{0};
  const auto shard = [&](uint64_t seed) {
    Prng prng(seed);
    Credit credit(seed % 2 == 0 ? &left : &right);
    for (int i = 0; i < 20'000; ++i) {
      const auto bytes = static_cast<int64_t>(prng.Below(200)) + 1;
      if (credit.held() < 500 && credit.Take(bytes)) {
        const int64_t now = held.fetch_add(bytes) + bytes;
        for (int64_t seen = most.load(); now > seen && !most.compare_exchange_weak(seen, now);) {
        }
      } else {
        ++refused;
        held.fetch_sub(credit.held());
        credit.Give(credit.held());
      }
    }
    held.fetch_sub(credit.held());
    credit.Give(credit.held());
  };
  std::vector<std::thread> shards;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    shards.emplace_back(shard, seed);
  }
  for (std::thread& thread : shards) {
    thread.join();
  }
  EXPECT_LE(most.load(), kCeiling);
  EXPECT_GT(most.load(), kCeiling / 4);
  EXPECT_GT(refused.load(), 0);
  EXPECT_EQ(process.left(), kCeiling);
  EXPECT_EQ(left.left(), 700);
  EXPECT_EQ(right.left(), 700);
}

}  // namespace
}  // namespace base
