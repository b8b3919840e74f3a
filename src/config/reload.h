// Reload: what a process that serves may make of a configuration that was loaded again.
//
// Pure but for the files that Load() reads; on the main thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "config/config.h"
#include "config/load.h"

namespace config {

// Loads again what main was started with. HideSecrets() overwrites the process's own arguments, so
// a copy is kept, in memory only.
class Reloader {
 public:
  // Before HideSecrets().
  Reloader(int argc, const char* const* argv) : arguments_(argv, argv + argc) {}
  // Errors as Load()'s: one line that names the file, the line and the key, without secrets.
  absl::StatusOr<Config> Load() const;

 private:
  const std::vector<std::string> arguments_;
};

// The keys in which `to` differs from `from` and which hold from the start to the end of a process:
// sockets, threads and memory that were taken by them.
std::vector<std::string_view> FixedChanges(const Config& from, const Config& to);
// kInvalidArgument that names them, if there are any.
absl::Status CheckFixed(const Config& from, const Config& to);

}  // namespace config
