#include "base/counters.h"

#include <gtest/gtest.h>

#include <thread>

namespace base {
namespace {

int BucketOf(absl::Duration took) {
  Histogram histogram;
  histogram.Record(took);
  for (int i = 0; i < Histogram::kBuckets; ++i) {
    if (histogram.bucket(i) == 1) {
      return i;
    }
  }
  return -1;
}

TEST(CounterTest, AddsUp) {
  Counter counter;
  counter.Add();
  counter.Add(41);
  EXPECT_EQ(counter.value(), 42u);
}

TEST(CounterTest, ReaderOnAnotherThreadSeesItOnlyGrow) {
  Counter counter;
  std::thread writer([&counter] {
    for (int i = 0; i < 100'000; ++i) {
      counter.Add();
    }
  });
  uint64_t last = 0;
  while (last < 100'000) {
    const uint64_t now = counter.value();
    ASSERT_GE(now, last);
    last = now;
  }
  writer.join();
  EXPECT_EQ(counter.value(), 100'000u);
}

TEST(GaugeTest, GoesUpAndDownBelowZero) {
  Gauge gauge;
  gauge.Add(5);
  gauge.Add(-7);
  EXPECT_EQ(gauge.value(), -2);
  gauge.Set(3);
  EXPECT_EQ(gauge.value(), 3);
}

TEST(HistogramTest, BucketHoldsWhatIsBelowItsBound) {
  EXPECT_EQ(BucketOf(absl::ZeroDuration()), 0);
  EXPECT_EQ(BucketOf(absl::Microseconds(1)), 1);
  EXPECT_EQ(BucketOf(absl::Microseconds(2)), 2);
  EXPECT_EQ(BucketOf(absl::Microseconds(3)), 2);
  EXPECT_EQ(BucketOf(absl::Microseconds(4)), 3);
  for (int i = 0; i < Histogram::kBuckets - 1; ++i) {
    const absl::Duration bound = absl::Seconds(Histogram::BoundSeconds(i));
    EXPECT_EQ(BucketOf(bound), i + 1) << i;
    EXPECT_EQ(BucketOf(bound - absl::Microseconds(1)), i) << i;
  }
}

TEST(HistogramTest, NegativeCountsAsNothingAndEndlessGoesToTheLastBucket) {
  EXPECT_EQ(BucketOf(absl::Microseconds(-5)), 0);
  EXPECT_EQ(BucketOf(absl::Hours(100)), Histogram::kBuckets - 1);
  EXPECT_EQ(BucketOf(absl::InfiniteDuration()), Histogram::kBuckets - 1);
}

TEST(HistogramTest, SumsInSeconds) {
  Histogram histogram;
  histogram.Record(absl::Milliseconds(1500));
  histogram.Record(absl::Milliseconds(500));
  EXPECT_DOUBLE_EQ(histogram.SumSeconds(), 2.0);
}

}  // namespace
}  // namespace base
