// Outcome: what a subcommand has to say, for main to print.
//
// A value. `out` goes to stdout, `err` to stderr, each as it is; `code` is the exit status.
#pragma once

#include <string>
#include <string_view>

namespace command {

inline constexpr int kExitFound = 1;   // what was looked for is there
inline constexpr int kExitFailed = 2;  // it could not be done
inline constexpr int kExitNotWhole = 3;  // what was read is well, but some could not be

// Where a subcommand that takes its time says how far it is.
struct Console {
  bool terminal = false;  // a person looks at it: a line may be written over
  void (*write)(std::string_view text) = nullptr;
};

struct Outcome {
  int code = 0;
  std::string out;
  std::string err;
};

}  // namespace command
