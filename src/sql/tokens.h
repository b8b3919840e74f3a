// What a single token says, beyond its text.
//
// Pure; any thread; no failure.
#pragma once

#include <string_view>

#include "sql/lexer.h"

namespace sql {

// Quoted or not.
bool IsName(const Token& token);
// U&"...".
bool IsUnicodeName(const Token& token);
// pg_temp or pg_temp_<number>.
bool IsTemporarySchema(const Token& token);
// A boolean option as PostgreSQL reads it; what it would refuse counts as true.
bool OptionIsOn(const Token& value);

// ASCII letters only.
char Lower(char c);
bool EqualFolded(std::string_view text, std::string_view lower);

}  // namespace sql
