// Places for server connections: no bound is ever passed, nobody who wants one is forgotten, and
// nothing is closed twice for one want.
#include "backend/pool_shared.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>

namespace backend {
namespace {

// Zero is no time.
base::Instant At(int64_t milliseconds) { return base::Instant((1 + milliseconds) * 1'000'000); }

// A shard that writes down what it is told.
class Shard final : public PlaceUser {
 public:
  explicit Shard(SharedPools* shared) { shared->Register(this); }
  void PostPlace(SharedPool* pool) override { places.push_back(pool); }
  void PostYield(const std::string& key) override { asked.push_back(key); }

  std::deque<SharedPool*> places;
  std::deque<std::string> asked;
};

SharedPool* Holding(SharedPools* shared, Shard* shard, const std::string& key,
                    const std::string& server, uint32_t places) {
  SharedPool* const pool = shared->Find(key, server, 0);
  for (uint32_t i = 0; i < places; ++i) {
    EXPECT_TRUE(shared->Take(pool, shard, i, At(0)));
  }
  return pool;
}

TEST(SharedPools, EachBoundHolds) {
  SharedPools shared({.total = 5, .per_server = 3});
  Shard shard(&shared);
  SharedPool* const a = shared.Find("a", "one:1", 2);
  EXPECT_TRUE(shared.Take(a, &shard, 0, At(0)));
  EXPECT_TRUE(shared.Take(a, &shard, 1, At(0)));
  EXPECT_FALSE(shared.TakeSpare(a));
  SharedPool* const b = shared.Find("b", "one:1", 2);
  EXPECT_TRUE(shared.Take(b, &shard, 0, At(0)));
  EXPECT_FALSE(shared.TakeSpare(b));
  SharedPool* const c = shared.Find("c", "two:1", 0);
  EXPECT_TRUE(shared.Take(c, &shard, 0, At(0)));
  EXPECT_TRUE(shared.Take(c, &shard, 1, At(0)));
  EXPECT_FALSE(shared.TakeSpare(c));
  EXPECT_EQ(shared.places(), 5u);
}

TEST(SharedPools, TheServersPlaceGoesToTheOldestWantThatItIsGoodFor) {
  SharedPools shared({.per_server = 2});
  Shard shard(&shared);
  SharedPool* const a = Holding(&shared, &shard, "a", "one:1", 2);
  SharedPool* const z = Holding(&shared, &shard, "z", "two:1", 2);
  SharedPool* const elsewhere = shared.Find("e", "two:1", 0);
  SharedPool* const first = shared.Find("f", "one:1", 0);
  SharedPool* const second = shared.Find("g", "one:1", 0);
  EXPECT_FALSE(shared.Take(elsewhere, &shard, 0, At(1)));
  EXPECT_FALSE(shared.Take(first, &shard, 0, At(2)));
  EXPECT_FALSE(shared.Take(second, &shard, 0, At(3)));
  EXPECT_EQ(shard.asked.size(), 3u);
  shared.GiveBack(a);
  ASSERT_EQ(shard.places.size(), 1u);
  EXPECT_EQ(shard.places[0], first);
  shared.GiveBack(z);
  ASSERT_EQ(shard.places.size(), 2u);
  EXPECT_EQ(shard.places[1], elsewhere);
  shared.GiveBack(a);
  ASSERT_EQ(shard.places.size(), 3u);
  EXPECT_EQ(shard.places[2], second);
}

TEST(SharedPools, AWantThatItsOwnPoolBlocksHoldsNobodyUp) {
  SharedPools shared({.total = 3});
  Shard shard(&shared);
  SharedPool* const full = shared.Find("full", "one:1", 1);
  EXPECT_TRUE(shared.Take(full, &shard, 0, At(0)));
  EXPECT_FALSE(shared.Take(full, &shard, 1, At(0)));
  EXPECT_EQ(shard.asked.size(), 0u);  // only another shard could have one of this pool
  SharedPool* const other = shared.Find("other", "one:1", 0);
  EXPECT_TRUE(shared.Take(other, &shard, 0, At(1)));
  EXPECT_TRUE(shared.Take(other, &shard, 1, At(1)));
  EXPECT_FALSE(shared.Take(other, &shard, 2, At(1)));
  shared.GiveBack(full);  // the older want's pool has room now
  ASSERT_EQ(shard.places.size(), 1u);
  EXPECT_EQ(shard.places[0], full);
}

TEST(SharedPools, AnIdleConnectionIsGivenUpAtOnceForAPoolThatHasNone) {
  SharedPools shared({.total = 2});
  Shard one(&shared), two(&shared);
  SharedPool* const rich = Holding(&shared, &one, "rich", "one:1", 2);
  EXPECT_FALSE(shared.Yield(rich, &one, 2, true, true, At(0)));  // nobody wants it
  SharedPool* const poor = shared.Find("poor", "two:1", 0);
  EXPECT_FALSE(shared.Take(poor, &two, 0, At(0)));
  EXPECT_EQ(one.asked, std::deque<std::string>{""});
  EXPECT_EQ(two.asked, std::deque<std::string>{""});
  EXPECT_TRUE(shared.Wanted(*rich));
  EXPECT_TRUE(shared.Yield(rich, &one, 2, true, false, At(0)));
  EXPECT_FALSE(shared.Yield(rich, &one, 1, true, false, At(1)));  // one is enough for one
  EXPECT_TRUE(shared.Yield(rich, &one, 1, true, false, At(99)));  // it went to somebody else
  shared.GiveBack(rich);
  EXPECT_EQ(two.places, std::deque<SharedPool*>{poor});
  EXPECT_FALSE(shared.Wanted(*rich));
}

TEST(SharedPools, ABusyPoolLeavesAPlaceToAPoolThatHasNone) {
  SharedPools shared({.per_server = 1});
  Shard shard(&shared);
  SharedPool* const busy = Holding(&shared, &shard, "busy", "one:1", 1);
  EXPECT_FALSE(shared.Take(busy, &shard, 1, At(0)));  // it has more to do itself
  SharedPool* const other = shared.Find("other", "one:1", 0);
  EXPECT_FALSE(shared.Take(other, &shard, 0, At(1)));
  EXPECT_FALSE(shared.Yield(busy, &shard, 1, false, false, At(2)));  // a login costs more
  EXPECT_TRUE(shared.Yield(busy, &shard, 1, false, false, At(200)));
  shared.GiveBack(busy);
  EXPECT_EQ(shard.places, std::deque<SharedPool*>{other});  // and not back to the older want
}

TEST(SharedPools, PlacesThatNobodyWantsLeaveNoWant) {
  SharedPools shared({.total = 1});
  Shard shard(&shared);
  SharedPool* const a = Holding(&shared, &shard, "a", "one:1", 1);
  SharedPool* const b = shared.Find("b", "one:1", 0);
  EXPECT_FALSE(shared.TakeSpare(b));
  EXPECT_FALSE(shared.Wanted(*a));
  EXPECT_TRUE(shard.asked.empty());
}

TEST(SharedPools, HigherBoundsServeWhoWaits) {
  SharedPools shared({.total = 1});
  Shard shard(&shared);
  SharedPool* const a = Holding(&shared, &shard, "a", "one:1", 1);
  EXPECT_FALSE(shared.Take(a, &shard, 1, At(0)));
  shared.SetBounds({.total = 2});
  EXPECT_EQ(shard.places, std::deque<SharedPool*>{a});
  EXPECT_EQ(shared.places(), 2u);
}

TEST(SharedPools, APoolIsForgottenWithItsLastUserAndPlace) {
  SharedPools shared({.total = 1});
  Shard shard(&shared);
  SharedPool* const a = Holding(&shared, &shard, "a", "one:1", 1);
  SharedPool* const b = shared.Find("b", "one:1", 0);
  EXPECT_FALSE(shared.Take(b, &shard, 0, At(0)));
  shared.GiveBack(a);
  ASSERT_EQ(shard.places, std::deque<SharedPool*>{b});
  shared.Drop(b);  // its shard took it away before the place came
  EXPECT_EQ(shard.places[0]->key, "b");
  shared.GiveBack(b);
  EXPECT_EQ(shared.places(), 0u);
  EXPECT_EQ(shared.Find("b", "one:1", 7)->places, 0u);
}

// Shards and pools that want, use and yield at random.
class Crowd {
 public:
  static constexpr uint32_t kPerServer = 4;
  static constexpr uint32_t kTotal = 6;
  using Who = std::pair<SharedPool*, Shard*>;

  explicit Crowd(uint32_t seed) : random_(seed) {
    for (int i = 0; i < 3; ++i) {
      shards_.emplace_back(&shared_);
    }
    for (int i = 0; i < 6; ++i) {
      SharedPool* const pool = shared_.Find(std::to_string(i), i < 3 ? "one" : "two", 3);
      for (Shard& shard : shards_) {
        crowd_.emplace_back(pool, &shard);
      }
    }
  }

  void Step(base::Instant now) {
    const Who who = crowd_[random_() % crowd_.size()];
    uint32_t& has = has_[who];
    if (has > 0 && random_() % 2 == 0 &&
        shared_.Yield(who.first, who.second, has, random_() % 2 == 0, false, now)) {
      --has;
      shared_.GiveBack(who.first);
    } else if (shared_.Take(who.first, who.second, has, now)) {
      Serve(who);
    }
    for (Shard& shard : shards_) {
      for (; !shard.places.empty(); shard.places.pop_front()) {
        Serve({shard.places.front(), &shard});
      }
    }
  }
  bool KeepsToTheBounds() {
    std::map<std::string, uint32_t> places;
    for (const auto& [who, count] : has_) {
      places[who.first->server_name] += count;
    }
    return places["one"] <= kPerServer && places["two"] <= kPerServer &&
           places["one"] + places["two"] <= kTotal &&
           places["one"] + places["two"] == shared_.places();
  }
  uint32_t LeastServed() {
    uint32_t least = UINT32_MAX;
    for (const Who& who : crowd_) {
      least = std::min(least, served_[who]);
    }
    return least;
  }

 private:
  void Serve(const Who& who) {
    ++has_[who];
    ++served_[who];
  }

  std::minstd_rand random_;
  SharedPools shared_{SharedPools::Bounds{.total = kTotal, .per_server = kPerServer}};
  std::deque<Shard> shards_;
  std::vector<Who> crowd_;
  std::map<Who, uint32_t> has_, served_;
};

TEST(SharedPools, NobodyStarvesWhateverHappens) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    Crowd crowd(seed);
    for (int64_t step = 0; step < 4000; ++step) {
      crowd.Step(At(step));
      ASSERT_TRUE(crowd.KeepsToTheBounds()) << "seed " << seed << " step " << step;
    }
    EXPECT_GT(crowd.LeastServed(), 2u) << "seed " << seed;
  }
}

}  // namespace
}  // namespace backend
