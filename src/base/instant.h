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
  Instant operator+(absl::Duration by) const {
    if (*this == Never() || by == absl::InfiniteDuration()) {
      return Never();
    }
    return Instant(nanoseconds_ + absl::ToInt64Nanoseconds(by));
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
