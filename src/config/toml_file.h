// The configuration file: TOML whose keys are the settings, '_' for '-'.
//
// Reading is on the starting thread. Errors are kInvalidArgument (kUnavailable if the file cannot
// be read) and start with file:line:column; they repeat keys but no values. The only file that
// knows the TOML library; its exceptions end here. Bounds: kFileBytesMax, kLineBytesMax.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "config/settings.h"

namespace config {

inline constexpr size_t kFileBytesMax = 256 * 1024;
// Bounds the depth of dotted keys, on which the library recurses.
inline constexpr size_t kLineBytesMax = 4096;

absl::StatusOr<std::string> ReadFile(const std::string& path);

// `name` is the file's name for messages.
struct TomlFile {
  std::vector<Given> given;
  std::vector<GivenService> services;
};
absl::StatusOr<TomlFile> ReadToml(std::string_view text, std::string_view name);

}  // namespace config
