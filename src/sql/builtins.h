// IsBuiltin: whether a function's name is one of PostgreSQL's own, or of a usual extension.
//
// A constant table; any thread; no failure. What is in it is either the same on every server or
// named by a rule of its own (determinism.h); what is not may do anything.
#pragma once

#include <string_view>

namespace sql {

// `name`: folded, without its schema. Keywords that look like a call (VALUES, COALESCE) count too.
bool IsBuiltin(std::string_view name);

}  // namespace sql
