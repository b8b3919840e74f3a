// The parts of a request's target, decoded (RFC 3986, 2.1 and 3.4).
//
// Pure, any thread. What is not well-formed is nullopt. Bound: the target's own length.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace admin {

struct Parameter {
  std::string name;
  std::string value;
};

// %XX becomes its byte; a + is a +.
std::optional<std::string> DecodePercent(std::string_view text);
// What stands behind the question mark, in order: `name=value` or `name`, with & between them.
std::optional<std::vector<Parameter>> QueryOf(std::string_view target);

}  // namespace admin
