#include "base/instant.h"

#include <ctime>

namespace base {

Instant Instant::MonotonicNow() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return Instant(int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec);
}

}  // namespace base
