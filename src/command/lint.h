// pgbraid lint: which statements of a script will not come out the same on a mirror.
//
// On the starting thread, blocking, nothing runs beside it. Reads the whole script; at most
// kBytesMax. The rules are sql/determinism.h's. Fails with exit status 2 and one line.
#pragma once

#include <span>
#include <string_view>

#include "command/outcome.h"

namespace command {

// `arguments`: those behind "lint".
Outcome Lint(std::span<const std::string_view> arguments);

}  // namespace command
