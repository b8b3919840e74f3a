// FAULT_POINT("room.what"): true when a test asks for this fault here and now; false at no cost in
// a build without -Dfault_points=true.
//
//   if (FAULT_POINT("io.connect.refused")) return ECONNREFUSED;
//
// Faults are armed per thread, by name, with a chance drawn from the armed Prng, so that a seeded
// run repeats. Fired() tells how often, so that a test can show that the fault happened.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/random.h"

namespace base {

class FaultPoints {
 public:
  // Arms `name` on this thread: it fires once in `one_in` passes. `prng` outlives the arming.
  static void Arm(std::string_view name, uint64_t one_in, Prng* prng);
  static void DisarmAll();
  static uint64_t Fired(std::string_view name);
  static bool Pass(std::string_view name);
};

}  // namespace base

#if PGBRAID_FAULT_POINTS
#define FAULT_POINT(name) (::base::FaultPoints::Pass(name))
#else
#define FAULT_POINT(name) (false)
#endif
