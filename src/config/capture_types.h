// The types whose values a capture leaves out, as an operator names them.
//
// Pure; any thread. Errors are kInvalidArgument.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace config {

// `list`: names of PostgreSQL's own types, or OIDs of any, with commas between them.
absl::Status AddTypes(std::string_view list, std::vector<uint32_t>* oids);

}  // namespace config
