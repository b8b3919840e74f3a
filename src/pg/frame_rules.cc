#include "pg/frame_rules.h"

#include <array>

namespace pg {
namespace {

using Rules = std::array<FrameRule, 256>;

constexpr bool kWhole = true;
constexpr bool kStreamed = false;

constexpr void Set(Rules* rules, std::string_view types, uint32_t length_min, uint32_t length_max,
                   bool whole) {
  for (const char type : types) {
    (*rules)[static_cast<unsigned char>(type)] = {length_min, length_max, whole};
  }
}

constexpr Rules FrontendRules() {
  Rules rules{};
  Set(&rules, "QPBF", 4, kLargeMessageLimit, kWhole);
  Set(&rules, "CDEHSXcf", 4, kSmallMessageLimit, kWhole);
  Set(&rules, "p", 4, kAuthTokenLimit, kWhole);
  Set(&rules, "d", 4, kLargeMessageLimit, kStreamed);
  return rules;
}

constexpr Rules BackendRules() {
  Rules rules{};
  Set(&rules, "Z", 5, 5, kWhole);                      // a status byte
  Set(&rules, "K", 12, 264, kWhole);                   // pid and a secret of 4 to 256 bytes
  Set(&rules, "123Insc", 4, 4, kWhole);                // no body
  Set(&rules, "R", 8, kAuthTokenLimit, kWhole);        // a code; the tokens of GSS are the longest
  Set(&rules, "C", 5, kShortReplyLimit, kWhole);       // a tag
  Set(&rules, "S", 6, kShortReplyLimit, kWhole);       // two strings
  Set(&rules, "GHW", 7, kShortReplyLimit, kWhole);     // a format and a count
  Set(&rules, "v", 12, kShortReplyLimit, kWhole);      // a version and a count
  Set(&rules, "t", 6, 6 + 4 * 65'535, kWhole);         // a count and that many OIDs
  Set(&rules, "V", 8, kLargeMessageLimit, kWhole);     // the length of a value
  Set(&rules, "A", 10, kLargeMessageLimit, kWhole);    // pid and two strings
  Set(&rules, "EN", 5, kLargeMessageLimit, kWhole);    // fields up to a NUL
  Set(&rules, "DT", 6, kLargeMessageLimit, kStreamed);  // a count
  Set(&rules, "d", 4, kLargeMessageLimit, kStreamed);
  return rules;
}

constexpr Rules kFrontendRules = FrontendRules();
constexpr Rules kBackendRules = BackendRules();

}  // namespace

const FrameRule* RulesOf(Side side) {
  return side == Side::kFrontend ? kFrontendRules.data() : kBackendRules.data();
}

}  // namespace pg
