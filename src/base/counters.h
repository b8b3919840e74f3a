// Counters of a shard: one writer (the shard), any number of readers (the admin endpoint).
//
// Writing is a plain load and store of a relaxed atomic, no locked instruction. A room keeps its
// counters in one struct with verbs, one instance per shard, and names each of them once, in that
// struct's Describe(MetricSink&). The admin room adds the shards up.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <string_view>

#include "absl/time/time.h"

namespace base {

class Counter {
 public:
  void Add(uint64_t count = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class Gauge {
 public:
  void Add(int64_t by) {
    value_.store(value_.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  void Set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// Durations in buckets of powers of two of a microsecond: bucket i counts what took less than
// 2^i microseconds (and at least half of it); the last one takes the rest (over 67 s).
class Histogram {
 public:
  static constexpr int kBuckets = 28;
  void Record(absl::Duration took) {
    const int64_t microseconds = absl::ToInt64Microseconds(took);
    const auto positive = static_cast<uint64_t>(microseconds < 0 ? 0 : microseconds);
    const auto width = static_cast<int>(std::bit_width(positive));
    buckets_[static_cast<size_t>(width < kBuckets ? width : kBuckets - 1)].Add();
    sum_microseconds_.Add(positive);
  }
  // Upper bound of bucket `index` in seconds; the last one has none (infinity).
  static double BoundSeconds(int index) { return static_cast<double>(uint64_t{1} << index) / 1e6; }
  uint64_t bucket(int index) const { return buckets_[static_cast<size_t>(index)].value(); }
  double SumSeconds() const { return static_cast<double>(sum_microseconds_.value()) / 1e6; }

 private:
  std::array<Counter, kBuckets> buckets_;
  Counter sum_microseconds_;
};

// What a room says of its counters. `name` is `pgbraid_<room>_<noun>_<unit>` without OpenMetrics'
// `_total`; `labels` is empty or `key="value",…`; both, and `help`, outlive the call only.
class MetricSink {
 public:
  virtual ~MetricSink() = default;
  virtual void Add(std::string_view name, std::string_view help, std::string_view labels,
                   const Counter& counter) = 0;
  virtual void Add(std::string_view name, std::string_view help, std::string_view labels,
                   const Gauge& gauge) = 0;
  virtual void Add(std::string_view name, std::string_view help, std::string_view labels,
                   const Histogram& histogram) = 0;
};

}  // namespace base
