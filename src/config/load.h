// Load: flags, environment and file to one Config, or to what should be printed instead.
//
// Called by main before anything starts. Pure but for reading the file named by --config and those
// that it or the flags name. Errors
// are one line, without secrets; main prints "pgbraid: " and the line to stderr and exits with
// kExitUsage.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "config/config.h"

namespace config {

inline constexpr int kExitUsage = 2;

using Environment = std::map<std::string, std::string, std::less<>>;

enum class Action : uint8_t {
  kRun,    // with `config`
  kPrint,  // `text` to stdout, then exit 0 (--help, --version)
};

struct ParsedCommandLine {
  Action action = Action::kRun;
  Config config;
  std::string text;
};

absl::StatusOr<ParsedCommandLine> Load(int argc, const char* const* argv,
                                       const Environment& environment);

// The variables that Load knows, as they are set in this process.
Environment ReadEnvironment();

// Overwrites passwords in the arguments, where `ps` and /proc/PID/cmdline show them, with '*'.
// After Load(), before the first thread. Blanks too much rather than too little.
void HideSecrets(int argc, char** argv);

}  // namespace config
