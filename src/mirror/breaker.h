// Breaker: whether a shard dials a mirror. After kOpensAt failures in a row it is open: one lane
// probes, with back-off, and the others wait until it has come through.
//
// Owned by the shard's Shadow. A lane that asks and is told to wait hears of the next change by
// Lane::OnBreaker.
#pragma once

#include <cstdint>

#include "base/instant.h"
#include "base/random.h"

namespace mirror {

class Lane;

class Breaker {
 public:
  static constexpr uint32_t kOpensAt = 5;

  explicit Breaker(base::Prng* prng) : prng_(prng) {}

  bool open() const { return failures_ >= kOpensAt; }
  // When `lane` may dial: at once, at the time given, or Never() while another one probes. Asking
  // makes it the one that probes, if there is none.
  base::Instant DialAt(const Lane* lane, base::Instant now);
  // True exactly if that has changed whether it is open.
  bool OnSuccess();
  bool OnFailure(base::Instant now);
  // It dials no more. True if the others must find another to probe.
  bool Leave(const Lane* lane);

 private:
  base::Prng* const prng_;
  const Lane* probes_ = nullptr;  // only while open
  base::Instant probe_at_;
  uint32_t failures_ = 0;  // in a row
};

}  // namespace mirror
