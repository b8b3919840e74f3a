// Quote: a name or a literal as SQL writes it. Pure; any thread; no failure.
#pragma once

#include <string>
#include <string_view>

namespace sql {

// `quote`: a double one makes a name of any text, a single one a literal of a text without a
// backslash, or where standard_conforming_strings is on.
inline std::string Quote(std::string_view text, char quote) {
  std::string quoted(1, quote);
  for (const char c : text) {
    quoted.append(c == quote ? 2 : 1, c);
  }
  return quoted += quote;
}

}  // namespace sql
