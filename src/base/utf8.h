// The characters of a text that should be UTF-8.
//
// Pure; any thread; cannot fail: a byte that is not part of a character is told as such.
#pragma once

#include <cstdint>
#include <string_view>

namespace base {

// One character of a text, valid UTF-8 or a single bad byte.
struct Character {
  std::string_view bytes;
  uint32_t code = 0;
  bool valid = false;
};

// The first character of `text`, which is not empty (Unicode 15, table 3-7).
Character FirstCharacter(std::string_view text);

}  // namespace base
