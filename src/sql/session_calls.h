// The functions whose call leaves something behind in a session, by name. Internal to sql/.
//
// A constant table; any thread; no allocation, no failure: what is not in it has no effect.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sql {

struct SessionCall {
  std::string_view name;
  uint32_t flags;  // of SessionEffect; set_config: those of a call without literals
  bool extension =
      false;  // lives in whatever schema its extension was put into, else in pg_catalog
};

inline constexpr size_t kSessionCallBytesMax = 40;  // no name in the table is longer

// `name`: folded, without its schema. Null: leaves nothing behind, as far as its name tells.
const SessionCall* FindSessionCall(std::string_view name);

// False: no name in the table ends with this (folded) letter.
bool MayEndSessionCall(char c);

}  // namespace sql
