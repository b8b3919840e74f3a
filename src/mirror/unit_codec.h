// A Unit as bytes and back, for what keeps units in files. Pure; any thread, but the slices that
// ParseUnit makes belong to the thread that called it.
//
// Integers are little-endian. The bytes say nothing of where they end: whoever keeps them keeps
// their length, and has checked that they are what was written. What is damaged all the same is
// refused, and costs memory in proportion to the bytes that are there, whatever they claim.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "base/byte_input.h"
#include "mirror/unit.h"

namespace mirror {

// A session's start-up parameters, or any pairs of texts, in order.
using Parameters = std::vector<std::pair<std::string, std::string>>;
void AppendParameters(std::string* to, const Parameters& parameters);
Parameters ParseParameters(base::ByteInput* input);

enum class UnitResult : uint8_t { kGood, kDamaged, kOtherVersion };

// `committed` stands for unit.committed, whose clock another process does not have; whole
// microseconds are kept.
void AppendUnit(std::string* to, const Unit& unit, absl::Time committed);
// `*unit` is a new one, whose `committed` is left to the caller. After anything but kGood both are
// of no use.
UnitResult ParseUnit(std::string_view bytes, Unit* unit, absl::Time* committed);

}  // namespace mirror
