#include "base/log_limit.h"

#include <gtest/gtest.h>

#include <string>

namespace base {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'700'000'000);

TEST(LogLimitTest, CutsAnEventAtItsLinesPerSecond) {
  LogLimit limit(3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(limit.Pass("a", kStart).write);
  }
  EXPECT_FALSE(limit.Pass("a", kStart).write);
  EXPECT_FALSE(limit.Pass("a", kStart + absl::Milliseconds(999)).write);
}

TEST(LogLimitTest, NextLineSaysHowManyWereLeftOutOnce) {
  LogLimit limit(1);
  EXPECT_TRUE(limit.Pass("a", kStart).write);
  for (int i = 0; i < 7; ++i) {
    EXPECT_FALSE(limit.Pass("a", kStart).write);
  }
  const LogLimit::Verdict next = limit.Pass("a", kStart + absl::Seconds(1));
  EXPECT_TRUE(next.write);
  EXPECT_EQ(next.left_out, 7u);
  const LogLimit::Verdict later = limit.Pass("a", kStart + absl::Seconds(2));
  EXPECT_TRUE(later.write);
  EXPECT_EQ(later.left_out, 0u);
}

TEST(LogLimitTest, EventsDoNotCountAgainstEachOther) {
  LogLimit limit(1);
  EXPECT_TRUE(limit.Pass("a", kStart).write);
  EXPECT_TRUE(limit.Pass("b", kStart).write);
  EXPECT_FALSE(limit.Pass("a", kStart).write);
}

TEST(LogLimitTest, AClockSetBackDoesNotSilenceAnEvent) {
  LogLimit limit(1);
  EXPECT_TRUE(limit.Pass("a", kStart).write);
  EXPECT_FALSE(limit.Pass("a", kStart).write);
  EXPECT_TRUE(limit.Pass("a", kStart - absl::Hours(1)).write);
}

TEST(LogLimitTest, EventsBeyondTheBoundShareOneWindow) {
  LogLimit limit(1);
  for (size_t i = 0; i < LogLimit::kEventsMax; ++i) {
    EXPECT_TRUE(limit.Pass(std::to_string(i), kStart).write);
  }
  EXPECT_TRUE(limit.Pass("one more", kStart).write);
  EXPECT_FALSE(limit.Pass("and another", kStart).write);
  EXPECT_FALSE(limit.Pass("0", kStart).write);
  EXPECT_TRUE(limit.Pass("0", kStart + absl::Seconds(1)).write);
}

}  // namespace
}  // namespace base
