// Target: where a recorder's units go: one lane, or a test.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mirror/mirror_metrics.h"
#include "mirror/unit.h"

namespace mirror {

class Target {
 public:
  virtual ~Target() = default;
  // The clock's next number is a stamp or an acknowledgement; Reserve() or Offer() follows.
  virtual void Expect() = 0;
  // A COMMIT with `stamp` is being forwarded; Release() follows once what it committed, if it did,
  // was offered.
  virtual void Reserve(uint64_t stamp) = 0;
  virtual void Release(uint64_t stamp) = 0;
  // A committed transaction, before its client knows. `lost`: kNone, or why it cannot be sent; then
  // it only counts.
  virtual void Offer(Unit unit, Cause lost) = 0;
  // The session is over; nothing more is offered.
  virtual void End() = 0;
};

// A target with what it is to get. Both outlive the recorder.
struct Route {
  Target* target = nullptr;
  size_t filter = 0;  // of Filters
  MirrorMetrics* metrics = nullptr;
};

}  // namespace mirror
