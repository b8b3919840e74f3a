// Outcome: what a subcommand has to say, for main to print.
//
// A value. `out` goes to stdout, `err` to stderr, each as it is; `code` is the exit status.
#pragma once

#include <string>

namespace command {

inline constexpr int kExitFound = 1;   // what was looked for is there
inline constexpr int kExitFailed = 2;  // it could not be done

struct Outcome {
  int code = 0;
  std::string out;
  std::string err;
};

}  // namespace command
