#include "admin/target.h"

#include <algorithm>
#include <utility>

namespace admin {
namespace {

// Its value; 16 if it is no digit.
uint32_t HexDigit(char c) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const char lower = c >= 'A' && c <= 'F' ? static_cast<char>(c | 0x20) : c;
  return static_cast<uint32_t>(std::min<size_t>(kDigits.find(lower), kDigits.size()));
}

}  // namespace

std::optional<std::string> DecodePercent(std::string_view text) {
  std::string decoded;
  while (!text.empty()) {
    if (text[0] != '%') {
      decoded += text[0];
      text.remove_prefix(1);
      continue;
    }
    const uint32_t high = text.size() < 3 ? 16 : HexDigit(text[1]);
    const uint32_t low = text.size() < 3 ? 16 : HexDigit(text[2]);
    if (high == 16 || low == 16) {
      return std::nullopt;
    }
    decoded += static_cast<char>(high << 4 | low);
    text.remove_prefix(3);
  }
  return decoded;
}

std::optional<std::vector<Parameter>> QueryOf(std::string_view target) {
  std::vector<Parameter> parameters;
  const size_t mark = target.find('?');
  std::string_view rest = mark == std::string_view::npos ? "" : target.substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view one = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(one.size() + 1, rest.size()));
    const size_t sign = std::min(one.find('='), one.size());
    std::optional<std::string> name = DecodePercent(one.substr(0, sign));
    std::optional<std::string> value = DecodePercent(one.substr(std::min(sign + 1, one.size())));
    if (!name.has_value() || !value.has_value()) {
      return std::nullopt;
    }
    parameters.push_back(Parameter{*std::move(name), *std::move(value)});
  }
  return parameters;
}

}  // namespace admin
