// ReadInput: a whole file, or the standard input, for a subcommand.
//
// On the starting thread, blocking. Bound: kInputBytesMax; more is an error.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace command {

inline constexpr size_t kInputBytesMax = size_t{1} << 30;

// `path`: "-" for the standard input.
absl::StatusOr<std::string> ReadInput(const std::string& path);

}  // namespace command
