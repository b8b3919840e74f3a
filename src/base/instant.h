// Instant: a point on the monotonic clock (or on a simulated one), and Deadline, a bound on a wait.
//
// Durations are absl::Duration. Wall-clock time (absl::Time) is for logs and reports only: no
// timeout depends on it.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>

#include "absl/time/time.h"

namespace base {

class Instant {
 public:
  constexpr Instant() = default;
  constexpr explicit Instant(int64_t nanoseconds) : nanoseconds_(nanoseconds) {}
  static constexpr Instant Never() { return Instant(std::numeric_limits<int64_t>::max()); }
  // The CPU's monotonic clock; a shard reads its loop's clock instead (io::Loop::now).
  static Instant MonotonicNow();

  constexpr int64_t nanoseconds() const { return nanoseconds_; }
  constexpr auto operator<=>(const Instant&) const = default;
  // Never() when the sum is out of range.
  Instant operator+(absl::Duration by) const {
    int64_t sum = 0;
    if (*this == Never() || by == absl::InfiniteDuration() ||
        __builtin_add_overflow(nanoseconds_, absl::ToInt64Nanoseconds(by), &sum)) {
      return Never();
    }
    return Instant(sum);
  }
  absl::Duration operator-(Instant other) const {
    return *this == Never() ? absl::InfiniteDuration()
                            : absl::Nanoseconds(nanoseconds_ - other.nanoseconds_);
  }

 private:
  int64_t nanoseconds_ = 0;
};

// A wait ends at this instant at the latest. Never() is for waits that a stop ends.
using Deadline = Instant;

}  // namespace base
