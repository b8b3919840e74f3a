// Verdict: how a lane's unit ends; Doubt: how that is found out where its answer was lost.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mirror/unit.h"

namespace mirror {

// How a unit ends.
struct Verdict {
  Cause dropped = Cause::kNone;
  std::string sqlstate = {};  // refused; empty: applied
  bool differs = false;       // applied, with other tags than the primary's
  bool applied() const { return dropped == Cause::kNone && sqlstate.empty(); }
};

// A transaction whose COMMIT was sent and not answered, by its marker.
struct Doubt {
  uint64_t link = 0;
  uint64_t done = 0;  // committed before it on that link
};

// What passes: a serialization failure, a deadlock.
inline bool Passes(std::string_view sqlstate) { return sqlstate == "40001" || sqlstate == "40P01"; }

}  // namespace mirror
