// What a single token says, beyond its text.
//
// Pure; any thread; no failure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <string_view>

#include "sql/lexer.h"

namespace sql {

// A word without quotes, in any case; `lower` in lower case.
bool IsWord(const Token& token, std::string_view lower);
template <typename Words = std::initializer_list<std::string_view>>
bool IsAnyWord(const Token& token, const Words& words) {
  return std::any_of(std::begin(words), std::end(words),
                     [&](std::string_view word) { return IsWord(token, word); });
}
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
