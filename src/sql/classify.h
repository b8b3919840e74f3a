// Classify: what kind of statement a text is, decided from its tokens.
//
// A pure function; any thread; linear time, constant stack, no allocation beyond Statement::name
// (and a function's name longer than the small string). Cannot fail: what it does not understand is
// Effect::kUnknown. Functions are known by name only: a user's function that writes looks like one
// that reads, unless it is among the FunctionNames given.
#pragma once

#include <string_view>

#include "sql/function_names.h"
#include "sql/lexer.h"
#include "sql/statement.h"

namespace sql {

// `text`: one statement, semicolons around it allowed; a text with more than one gives
// Statement::several and nothing else. `writing`: calls of these are writes; may be null.
Statement Classify(std::string_view text, LexOptions options = {},
                   const FunctionNames* writing = nullptr);

}  // namespace sql
