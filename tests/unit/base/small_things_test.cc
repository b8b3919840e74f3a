// bytes, fault_point, instant, published, random, status: the small words of base.
#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <thread>

#include "base/bytes.h"
#include "base/check.h"
#include "base/fault_point.h"
#include "base/instant.h"
#include "base/published.h"
#include "base/random.h"
#include "base/status.h"

namespace base {
namespace {

TEST(BytesTest, NumbersAreBigEndian) {
  std::string bytes;
  AppendBe16(&bytes, 0x0102);
  AppendBe32(&bytes, 0x03040506);
  EXPECT_EQ(bytes, "\x01\x02\x03\x04\x05\x06");
  EXPECT_EQ(LoadBe16(bytes.data()), 0x0102);
  EXPECT_EQ(LoadBe32(bytes.data() + 2), 0x03040506u);
  char raw[8];
  StoreBe64(raw, 0x0102030405060708u);
  EXPECT_EQ(std::string_view(raw, 8), "\x01\x02\x03\x04\x05\x06\x07\x08");
  EXPECT_EQ(LoadBe64(raw), 0x0102030405060708u);
}

TEST(CheckDeathTest, NamesTheExpression) {
  const int apples = 2;
  CHECK(apples == 2);
  EXPECT_DEATH(CHECK(apples == 3), "CHECK failed: apples == 3");
}

class FaultPointTest : public ::testing::Test {
 protected:
  ~FaultPointTest() override { FaultPoints::DisarmAll(); }
  Prng prng_{7};
};

TEST_F(FaultPointTest, UnarmedNeverFires) {
  EXPECT_FALSE(FaultPoints::Pass("test.fault"));
  FaultPoints::Arm("test.other", 1, &prng_);
  EXPECT_FALSE(FaultPoints::Pass("test.fault"));
  EXPECT_EQ(FaultPoints::Fired("test.fault"), 0u);
}

TEST_F(FaultPointTest, OneInOneFiresAlwaysAndIsCounted) {
  FaultPoints::Arm("test.fault", 1, &prng_);
  EXPECT_TRUE(FaultPoints::Pass("test.fault"));
  EXPECT_TRUE(FaultPoints::Pass("test.fault"));
  EXPECT_EQ(FaultPoints::Fired("test.fault"), 2u);
  FaultPoints::DisarmAll();
  EXPECT_FALSE(FaultPoints::Pass("test.fault"));
}

TEST_F(FaultPointTest, FiresAsOftenAsAskedAndTheSameForOneSeed) {
  const auto run = [](uint64_t seed) {
    Prng prng(seed);
    FaultPoints::Arm("test.fault", 10, &prng);
    std::string fired;
    for (int i = 0; i < 10'000; ++i) {
      fired += FaultPoints::Pass("test.fault") ? '1' : '0';
    }
    EXPECT_GT(FaultPoints::Fired("test.fault"), 800u);
    EXPECT_LT(FaultPoints::Fired("test.fault"), 1'200u);
    return fired;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

TEST_F(FaultPointTest, IsArmedForItsThreadOnly) {
  FaultPoints::Arm("test.fault", 1, &prng_);
  bool fired = true;
  std::thread([&fired] { fired = FaultPoints::Pass("test.fault"); }).join();
  EXPECT_FALSE(fired);
}

TEST(InstantTest, AddsAndSubtracts) {
  const Instant start(1'000);
  EXPECT_EQ(start + absl::Microseconds(2), Instant(3'000));
  EXPECT_EQ(Instant(3'000) - start, absl::Microseconds(2));
  EXPECT_EQ(start - Instant(3'000), absl::Microseconds(-2));
  EXPECT_LT(start, Instant(3'000));
}

TEST(InstantTest, NeverStaysNeverAndIsAfterAll) {
  EXPECT_EQ(Instant::Never() + absl::Seconds(1), Instant::Never());
  EXPECT_EQ(Instant(5) + absl::InfiniteDuration(), Instant::Never());
  EXPECT_EQ(Instant::Never() - Instant(5), absl::InfiniteDuration());
  EXPECT_LT(Instant::MonotonicNow(), Instant::Never());
}

TEST(InstantTest, SumOutOfRangeIsNever) {
  EXPECT_EQ(Instant(5) + absl::Hours(24 * 365 * 400), Instant::Never());
}

TEST(InstantTest, MonotonicClockDoesNotGoBack) {
  const Instant first = Instant::MonotonicNow();
  EXPECT_GT(first.nanoseconds(), 0);
  EXPECT_GE(Instant::MonotonicNow(), first);
}

TEST(PublishedTest, ReaderSeesWhatWasStoredBefore) {
  Published<uint64_t> ready(0);
  uint64_t plain = 0;
  std::thread writer([&] {
    plain = 42;
    ready.Store(1);
  });
  while (ready.Load() == 0) {
  }
  EXPECT_EQ(plain, 42u);
  writer.join();
  EXPECT_EQ(alignof(Published<uint64_t>), 64u);
}

TEST(PrngTest, SameSeedSameNumbers) {
  Prng a(1);
  Prng b(1);
  Prng c(2);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const uint64_t value = a.Next();
    EXPECT_EQ(value, b.Next());
    differs = differs || value != c.Next();
  }
  EXPECT_TRUE(differs);
}

TEST(PrngTest, BelowStaysBelowAndReachesEveryValue) {
  Prng prng(3);
  std::set<uint64_t> seen;
  for (int i = 0; i < 1'000; ++i) {
    const uint64_t value = prng.Below(10);
    ASSERT_LT(value, 10u);
    seen.insert(value);
  }
  EXPECT_EQ(seen.size(), 10u);
  EXPECT_EQ(prng.Below(1), 0u);
}

TEST(PrngTest, UnitIsInZeroToOneWithMeanOneHalf) {
  Prng prng(4);
  double sum = 0;
  for (int i = 0; i < 10'000; ++i) {
    const double value = prng.Unit();
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    sum += value;
  }
  EXPECT_NEAR(sum / 10'000, 0.5, 0.02);
}

TEST(StatusTest, ErrnoErrorNamesWhatAndWhy) {
  const absl::Status status = ErrnoError("connect to db:5432", ECONNREFUSED);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Message(status), "connect to db:5432: Connection refused");
}

absl::Status Outer(const absl::Status& inner, bool* reached_end) {
  RETURN_IF_ERROR(inner);
  *reached_end = true;
  return absl::OkStatus();
}

TEST(StatusTest, ReturnIfErrorLeavesOnlyOnError) {
  bool reached_end = false;
  EXPECT_EQ(Outer(Cancelled("stop"), &reached_end), Cancelled("stop"));
  EXPECT_FALSE(reached_end);
  EXPECT_TRUE(Outer(absl::OkStatus(), &reached_end).ok());
  EXPECT_TRUE(reached_end);
}

absl::StatusOr<int> Sum(const absl::StatusOr<int>& a, const absl::StatusOr<int>& b) {
  ASSIGN_OR_RETURN(const int left, a);
  ASSIGN_OR_RETURN(const int right, b);
  return left + right;
}

TEST(StatusTest, AssignOrReturnTakesTheValueOrPassesTheErrorOn) {
  EXPECT_EQ(*Sum(1, 2), 3);
  EXPECT_EQ(Sum(1, DataLoss("torn")).status(), DataLoss("torn"));
  EXPECT_EQ(Sum(Internal("bad"), 2).status(), Internal("bad"));
}

}  // namespace
}  // namespace base
