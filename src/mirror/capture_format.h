// The records of a capture as bytes and back; docs/capture.md is the page on them.
//
// Pure; any thread, but the slices that ParseCaptured makes belong to the thread that called it.
// Integers are little-endian. What is damaged is refused, and costs memory in proportion to the
// bytes that are there, whatever they claim.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mirror/unit.h"

namespace mirror {

// A session, before its first unit.
struct CapturedSession {
  std::string user;
  std::string database;
  std::vector<std::pair<std::string, std::string>> parameters;  // of its StartupMessage
};

// Of one step of a unit, by the monotonic clock of the machine.
struct StepTiming {
  int64_t sent = 0;  // nanoseconds, when the primary was sent it
  int64_t took = 0;  // until its answer
  bool operator==(const StepTiming&) const = default;
};

struct Captured {
  enum class Kind : uint8_t { kSession, kUnit, kLost };
  Kind kind = Kind::kSession;
  uint64_t session = 0;            // its number in the process
  CapturedSession facts;           // kSession
  Unit unit;                       // kUnit
  std::vector<StepTiming> timing;  // kUnit, of unit.steps
  absl::Time committed;            // kUnit
  Cause cause = Cause::kNone;      // kLost: a committed transaction that could not be kept, and why
};

enum class CapturedResult : uint8_t { kGood, kDamaged, kOtherVersion };

void AppendSession(std::string* to, uint64_t session, const CapturedSession& facts);
// The timing is that of the unit's steps.
void AppendCapturedUnit(std::string* to, uint64_t session, const Unit& unit, absl::Time committed);
void AppendLost(std::string* to, uint64_t session, Cause cause);
// After anything but kGood `*captured` is of no use.
CapturedResult ParseCaptured(std::string_view bytes, Captured* captured);

}  // namespace mirror
