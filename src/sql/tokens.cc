#include "sql/tokens.h"

#include <algorithm>
#include <string>

namespace sql {

bool IsName(const Token& token) {
  return token.kind == TokenKind::kIdentifier || token.kind == TokenKind::kQuotedIdentifier;
}

bool IsUnicodeName(const Token& token) {
  return token.kind == TokenKind::kQuotedIdentifier && token.text[0] != '"';
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

bool EqualFolded(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(),
                    [](char a, char b) { return Lower(a) == b; });
}

bool OptionIsOn(const Token& value) {
  std::string_view text = value.text;
  if (text.size() >= 2 && (text.front() == '\'' || text.front() == '"')) {
    text = text.substr(1, text.size() - 2);
  }
  return !(text == "0" || EqualFolded(text, "false") || EqualFolded(text, "off"));
}

bool IsWord(const Token& token, std::string_view lower) {
  return token.kind == TokenKind::kIdentifier && EqualFolded(token.text, lower);
}

uint32_t ParameterOf(const Token& token) {
  uint32_t number = 0;
  for (const char c : token.text.substr(1)) {
    number = number > 100'000 ? number : number * 10 + static_cast<uint32_t>(c - '0');
  }
  return number;
}

bool IsTemporarySchema(const Token& token) {
  constexpr std::string_view kPrefix = "pg_temp";
  if (token.kind == TokenKind::kIdentifier) {
    if (token.text.size() < kPrefix.size()) return false;
  } else if (token.kind != TokenKind::kQuotedIdentifier) {
    return false;
  }
  const std::string name = IdentifierName(token);
  return name.starts_with(kPrefix) &&
         (name.size() == kPrefix.size() || name[kPrefix.size()] == '_');
}

}  // namespace sql
