// What a single token says, beyond its text.
//
// Pure; any thread; no failure.
#pragma once

#include <cstdint>
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

// The number of a kParameter, from 1; what is too large for a message is some number above those.
uint32_t ParameterOf(const Token& token);

// ASCII letters only.
char Lower(char c);
bool EqualFolded(std::string_view text, std::string_view lower);

}  // namespace sql
