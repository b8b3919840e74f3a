// The command line: flags to values, and what is printed for --help.
//
// Pure; on the starting thread. Errors are kInvalidArgument; an argument is never repeated in one,
// only the name of a flag. The only file that knows the command-line library; its exceptions end
// in it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "config/settings.h"

namespace config {

struct CommandLine {
  bool help = false;
  bool version = false;
  std::string config_file;  // empty: none
  std::vector<Given> given;
};

absl::StatusOr<CommandLine> ReadCommandLine(int argc, const char* const* argv);

std::string HelpText();

}  // namespace config
