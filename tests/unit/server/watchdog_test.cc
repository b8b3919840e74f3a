// A loop that does not turn is noticed, and so is that it turns again.
#include "server/watchdog.h"

#include <gtest/gtest.h>

#include "io/epoll_engine.h"

namespace server {
namespace {

// Row N5 of the catalogue.
class N5WatchdogTest : public testing::Test {
 protected:
  static base::Instant At(int64_t milliseconds) { return base::Instant(milliseconds * 1'000'000); }
  N5WatchdogTest() { watchdog_.SetTimeout(absl::Seconds(10)); }
  // Looks at every second from `from` to `to`; true if something was found.
  bool Look(int64_t from, int64_t to) {
    bool found = false;
    for (int64_t at = from; at <= to; at += 1'000) {
      found = watchdog_.Look(At(at)) || found;
    }
    return found;
  }
  void Turn(io::Loop* loop) { loop->RunOnce(base::Instant()); }
  uint32_t stalled() const { return stalled_.Load(); }

  base::Limits limits_;
  base::Published<uint32_t> stalled_{0};
  Watchdog watchdog_{&stalled_};
  io::EpollEngine one_engine_{64 * 1024}, two_engine_{64 * 1024};
  io::Loop one_{&one_engine_, &limits_, 1}, two_{&two_engine_, &limits_, 2};
};

TEST_F(N5WatchdogTest, AShardThatDoesNotTurnIsFoundOnce) {
  watchdog_.Watch(&one_);
  watchdog_.Watch(&two_);
  EXPECT_FALSE(Look(0, 0));
  Turn(&one_);
  EXPECT_FALSE(Look(1'000, 9'000));
  EXPECT_EQ(stalled(), 0u);
  EXPECT_TRUE(Look(10'000, 10'000));
  EXPECT_EQ(stalled(), 1u);
  Turn(&one_);
  EXPECT_FALSE(Look(11'000, 12'000));  // the one turns, the other is known
  EXPECT_EQ(stalled(), 1u);
  Turn(&one_);
  Turn(&two_);
}

TEST_F(N5WatchdogTest, AShardThatTurnsAgainIsNoLongerStalled) {
  watchdog_.Watch(&one_);
  EXPECT_TRUE(Look(0, 10'000));
  Turn(&one_);
  EXPECT_FALSE(Look(11'000, 11'000));
  EXPECT_EQ(stalled(), 0u);
  EXPECT_TRUE(Look(12'000, 21'000));  // and may stop again
  EXPECT_EQ(stalled(), 1u);
  Turn(&one_);
}

TEST_F(N5WatchdogTest, AStalledShardIsSentOneMessageOnly) {
  watchdog_.Watch(&one_);
  EXPECT_TRUE(Look(0, 100'000));
  Turn(&one_);
  EXPECT_EQ(one_.metrics().messages.value(), 1u);
}

TEST_F(N5WatchdogTest, AProcessThatStoodStillAsAWholeHasNoStalledShard) {
  watchdog_.Watch(&one_);
  EXPECT_FALSE(Look(0, 5'000));
  EXPECT_FALSE(Look(60'000, 69'000));
  EXPECT_TRUE(Look(70'000, 70'000));  // it does not turn all the same
  Turn(&one_);
}

}  // namespace
}  // namespace server
