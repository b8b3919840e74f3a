// What a statement leaves behind in its session, from its text and its tag. Pure; any thread.
#pragma once

#include <string_view>

#include "mirror/unit.h"
#include "sql/statement.h"

namespace mirror {

// The text of a Step: of either protocol.
std::string_view TextOf(const Step& step);

// The keys of SET ROLE and SET SESSION AUTHORIZATION.
inline constexpr std::string_view kRoleKey = "set role";
inline constexpr std::string_view kAuthorizationKey = "set authorization";
// True exactly for a step that goes back to the role, or to the user, as whom the session began.
bool EndsRole(const Step& step);

// True exactly for DROP of anything.
bool IsDrop(const Step& step);

// Fills `trace`, `key`, `local` and `survives` of a statement that succeeded.
void MarkTrace(const sql::Statement& facts, std::string_view tag, Step* step);

// True exactly if its text calls currval() or lastval().
bool AsksForLastValue(const Step& step);

// The setting that `SET name = value` names, in lower case, and the first word of its value
// without quotes; empty where the text is not that plain.
struct PlainSet {
  std::string name;
  std::string value;
};
PlainSet ReadSet(std::string_view text);

}  // namespace mirror
