// The timer wheel against a naive list of timers, on a clock of the test's own.
#include "io/timers.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "base/random.h"

namespace io_test {
namespace {

constexpr int64_t kTick = io::Timers::kTickNanoseconds;

class TestTimer final : public io::Timer {
 public:
  std::function<void()> then;
  int fired = 0;

 private:
  void OnExpired() override {
    ++fired;
    if (then) {
      then();
    }
  }
};

struct Model {
  base::Instant at = base::Instant::Never();
  int fired = 0;
};

int64_t TickUp(base::Instant at) { return (at.nanoseconds() + kTick - 1) / kTick; }

// What the naive list fires, it fires; the wheel must have fired the same.
void Compare(const std::vector<TestTimer>& timers, std::vector<Model>* models, base::Instant now) {
  for (size_t i = 0; i < models->size(); ++i) {
    Model& model = (*models)[i];
    if (model.at <= now) {
      ++model.fired;
      model.at = base::Instant::Never();
    }
    ASSERT_EQ(timers[i].fired, model.fired);
    ASSERT_EQ(timers[i].armed(), model.at != base::Instant::Never());
  }
}

TEST(TimersTest, FiresExactlyWhatANaiveListFires) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    base::Prng prng(seed);
    base::Instant now(1'000'000'000 + static_cast<int64_t>(prng.Below(1'000'000'000)));
    io::Timers wheel(now);
    int64_t armed_tick = now.nanoseconds() / kTick;  // the last tick that was fired
    std::vector<TestTimer> timers(40);
    std::vector<Model> models(timers.size());
    for (int step = 0; step < 3000; ++step) {
      const size_t who = prng.Below(timers.size());
      if (prng.OneIn(2)) {
        // From the past to three turns of the wheel ahead.
        const int64_t ahead = static_cast<int64_t>(prng.Below(prng.OneIn(3) ? 50'000 : 200)) - 20;
        const base::Instant at(now.nanoseconds() + ahead * 1'000'000);
        wheel.Arm(&timers[who], at);
        // What is due already fires with the next tick.
        models[who].at = base::Instant(std::max(TickUp(at), armed_tick + 1) * kTick);
      } else if (prng.OneIn(3)) {
        timers[who].Disarm();
        models[who].at = base::Instant::Never();
      }
      base::Instant earliest = base::Instant::Never();
      for (const Model& model : models) {
        earliest = std::min(earliest, model.at);
      }
      ASSERT_LE(wheel.Next(), earliest);
      const int64_t forward = prng.OneIn(50) ? 30'000 : static_cast<int64_t>(prng.Below(40));
      now = now + absl::Milliseconds(forward);
      wheel.Advance(now);
      armed_tick = std::max(armed_tick, now.nanoseconds() / kTick);
      ASSERT_NO_FATAL_FAILURE(Compare(timers, &models, now)) << "seed " << seed << " step " << step;
    }
  }
}

TEST(TimersTest, NextLeadsToEveryTimer) {
  base::Instant now(5 * kTick);
  io::Timers wheel(now);
  TestTimer far;
  wheel.Arm(&far, now + absl::Seconds(100));
  int rounds = 0;
  while (far.fired == 0) {
    const base::Instant next = wheel.Next();
    ASSERT_GT(next, now);
    now = next;
    wheel.Advance(now);
    ASSERT_LT(++rounds, 20) << "a sleeping loop must not wake for every tick";
  }
  EXPECT_GE(now, base::Instant(5 * kTick) + absl::Seconds(100));
  EXPECT_EQ(wheel.Next(), base::Instant::Never());
}

TEST(TimersTest, CallbacksMayDisarmAndArmAny) {
  const base::Instant now(0);
  io::Timers wheel(now);
  std::vector<TestTimer> timers(6);
  for (TestTimer& timer : timers) {
    wheel.Arm(&timer, now + absl::Milliseconds(10));
  }
  // The last armed fires first; it takes its two followers away and arms itself again.
  timers[5].then = [&] {
    if (timers[5].fired == 1) {
      timers[4].Disarm();
      timers[3].Disarm();
      wheel.Arm(&timers[5], now);
    }
  };
  timers[2].then = [&] { wheel.Arm(&timers[4], now + absl::Seconds(30)); };
  wheel.Advance(now + absl::Milliseconds(12));
  EXPECT_EQ(timers[5].fired, 1);
  EXPECT_EQ(timers[4].fired + timers[3].fired, 0);
  EXPECT_EQ(timers[2].fired + timers[1].fired + timers[0].fired, 3);
  wheel.Advance(now + absl::Milliseconds(20));
  EXPECT_EQ(timers[5].fired, 2) << "armed for the past: the next tick";
  EXPECT_EQ(wheel.armed(), 1u);
  wheel.Advance(now + absl::Seconds(31));
  EXPECT_EQ(timers[4].fired, 1);
}

TEST(TimersTest, ADyingTimerLeavesTheWheel) {
  io::Timers wheel(base::Instant(0));
  auto timer = std::make_unique<TestTimer>();
  wheel.Arm(timer.get(), base::Instant(kTick));
  timer.reset();
  EXPECT_EQ(wheel.armed(), 0u);
  wheel.Advance(base::Instant(5 * kTick));
}

TEST(TimersTest, NeverDisarmsAndAlmostNeverWaits) {
  io::Timers wheel(base::Instant(0));
  TestTimer timer;
  wheel.Arm(&timer, base::Instant(kTick));
  wheel.Arm(&timer, base::Instant::Never());
  EXPECT_FALSE(timer.armed());
  wheel.Arm(&timer, base::Instant(base::Instant::Never().nanoseconds() - 1));
  wheel.Advance(base::Instant(3'600'000'000'000));
  EXPECT_EQ(timer.fired, 0);
  timer.Disarm();
}

}  // namespace
}  // namespace io_test
