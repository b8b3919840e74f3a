// Full-jitter exponential back-off: anything between zero and a bound that doubles, so that those
// who failed together do not come back together.
#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/time/time.h"
#include "base/random.h"

namespace mirror {

// Before attempt `attempts` + 1, counted from 0; the bound is `first` times 2^attempts.
inline absl::Duration FullJitter(base::Prng* prng, absl::Duration first, absl::Duration longest,
                                 uint32_t attempts) {
  const absl::Duration bound = std::min(longest, first * (int64_t{1} << std::min(attempts, 20u)));
  return bound * prng->Unit();
}

}  // namespace mirror
