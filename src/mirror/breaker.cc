#include "mirror/breaker.h"

#include "mirror/backoff.h"

namespace mirror {
namespace {

absl::Duration FirstProbe() { return absl::Milliseconds(200); }
absl::Duration LongestProbe() { return absl::Seconds(5); }

}  // namespace

base::Instant Breaker::DialAt(const Lane* lane, base::Instant now) {
  if (!open()) {
    return now;
  }
  if (probes_ == nullptr) {
    probes_ = lane;
  }
  return probes_ == lane ? probe_at_ : base::Instant::Never();
}

bool Breaker::OnSuccess() {
  const bool was = open();
  failures_ = 0;
  probes_ = nullptr;
  return was;
}

bool Breaker::OnFailure(base::Instant now) {
  const bool was = open();
  ++failures_;
  if (open()) {
    probe_at_ = now + FullJitter(prng_, FirstProbe(), LongestProbe(), failures_ - kOpensAt);
  }
  return open() != was;
}

bool Breaker::Leave(const Lane* lane) {
  if (probes_ != lane) {
    return false;
  }
  probes_ = nullptr;
  return true;
}

}  // namespace mirror
