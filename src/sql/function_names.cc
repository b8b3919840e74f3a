#include "sql/function_names.h"

#include <algorithm>

#include "sql/lexer.h"
#include "sql/tokens.h"

namespace sql {

bool FunctionNames::Add(std::string_view name) {
  const auto is_name = [](const Token& token) {
    return IsName(token) && token.terminated && !IsUnicodeName(token);
  };
  Lexer lexer(name);
  const Token first = lexer.Next();
  const Token point = lexer.Next();
  if (!is_name(first)) return false;
  if (point.kind == TokenKind::kEnd) {
    names_.emplace_back(std::string(), IdentifierName(first));
    return point.terminated;
  }
  const Token second = lexer.Next();
  if (point.symbol != '.' || !is_name(second) || lexer.Next().kind != TokenKind::kEnd) {
    return false;
  }
  names_.emplace_back(IdentifierName(first), IdentifierName(second));
  return true;
}

bool FunctionNames::Contains(std::string_view schema, std::string_view name) const {
  return std::any_of(names_.begin(), names_.end(), [&](const auto& known) {
    return known.second == name &&
           (known.first.empty() || schema.empty() || known.first == schema);
  });
}

}  // namespace sql
