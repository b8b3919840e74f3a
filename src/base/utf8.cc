#include "base/utf8.h"

namespace base {
namespace {

int SequenceLength(unsigned char lead) {
  if (lead < 0x80) {
    return 1;
  }
  if (lead >= 0xc2 && lead <= 0xdf) {
    return 2;
  }
  if (lead >= 0xe0 && lead <= 0xef) {
    return 3;
  }
  return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

}  // namespace

Character FirstCharacter(std::string_view text) {
  const Character bad{.bytes = text.substr(0, 1), .code = 0xfffd, .valid = false};
  const auto lead = static_cast<unsigned char>(text[0]);
  const auto length = static_cast<size_t>(SequenceLength(lead));
  if (length == 0 || text.size() < length) {
    return bad;
  }
  uint32_t code = length == 1 ? lead : lead & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xc0) != 0x80) {
      return bad;
    }
    code = code << 6 | (next & 0x3fu);
  }
  const bool too_long = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (too_long || surrogate || code > 0x10ffff) {
    return bad;
  }
  return {.bytes = text.substr(0, length), .code = code, .valid = true};
}

}  // namespace base
