// FAULT_POINT("room.what"): true when a test asks for this fault here and now; false at no cost in
// a build without -Dfault_points=true.
//
//   if (FAULT_POINT("io.connect.refused")) return ECONNREFUSED;
//
// Faults are armed per thread, by name, with a chance drawn from the armed Prng, so that a seeded
// run repeats. Fired() tells how often, so that a test can show that the fault happened.
//
// HISTORICAL_BUG("b4-require-falls-back"): true when the environment variable
// PGBRAID_HISTORICAL_BUG names it; false at no cost in a build without -Dfault_points=true, which
// does not look at the variable.
//
//   if (answer == 'N' && (plain_will_do || HISTORICAL_BUG("b4-require-falls-back"))) {
//
// Each stands where a defence stands and takes it away, and so puts a bug back that another pooler,
// driver or server once had: tests/bugs/bugs.py says whose it was and which test must find it.
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

// The bug that is put back in this process, read once; empty: none.
std::string_view HistoricalBug();
// One WARN line, if there is one.
void WarnOfHistoricalBug();

}  // namespace base

#if PGBRAID_FAULT_POINTS
#define FAULT_POINT(name) (::base::FaultPoints::Pass(name))
#define HISTORICAL_BUG(name) (::base::HistoricalBug() == (name))
#else
#define FAULT_POINT(name) (false)
#define HISTORICAL_BUG(name) (false)
#endif
