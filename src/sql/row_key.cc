#include "sql/row_key.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "sql/tokens.h"

namespace sql {
namespace {

// Reads one statement token by token; brackets are skipped but for what they prove wrong.
class Reader {
 public:
  Reader(std::string_view text, LexOptions options) : lexer_(text, options) {}

  RowKey Read() {
    Token token = Next();
    const bool updates = IsWord(token, "update");
    if (!updates && !IsWord(token, "delete")) {
      return {};
    }
    token = ReadTable();
    for (; !IsWord(token, "where"); token = Next()) {
      const bool joins = updates ? IsWord(token, "from") : IsWord(token, "using");
      if (token.kind == TokenKind::kEnd || joins) {
        return {};
      }
      if (updates && token.symbol == '=' && IsName(last_)) {
        assigned_.push_back(IdentifierName(last_));
      }
      last_ = token;
    }
    RowKey key = Condition();
    const bool assigned =
        std::find(assigned_.begin(), assigned_.end(), key.column) != assigned_.end();
    key.table = std::move(table_);
    return assigned || lists_ || key.column.empty() ? RowKey() : key;
  }

 private:
  // The token behind the table's name.
  Token ReadTable() {
    Token token = Next();
    while (IsWord(token, "from") || IsWord(token, "only")) {
      token = Next();
    }
    if (!IsName(token)) {
      return token;
    }
    table_ = IdentifierName(token);
    token = Next();
    if (token.symbol == '.') {
      table_ += "." + IdentifierName(Next());
      token = Next();
    }
    return token;
  }

  // The next token outside of brackets.
  Token Next() {
    Token token = lexer_.Next();
    while (token.symbol == '(') {
      for (int depth = 1; depth > 0 && token.kind != TokenKind::kEnd;) {
        token = lexer_.Next();
        depth += token.symbol == '(' ? 1 : token.symbol == ')' ? -1 : 0;
      }
      token = lexer_.Next();
      lists_ = lists_ || token.symbol == '=';  // (a, b) = ... assigns, f(a) = ... is no column
    }
    return token;
  }

  RowKey Condition() {
    RowKey key;
    Token name = Next();
    Token sign = Next();
    if (sign.symbol == '.') {
      name = Next();
      sign = Next();
    }
    Token value = Next();
    if (!IsName(name) || sign.symbol != '=') {
      return {};
    }
    if (value.kind == TokenKind::kNumber) {
      key.number = WholeNumber(value.text);
    } else if (value.kind == TokenKind::kParameter) {
      key.parameter = ParameterOf(value);
    }
    key.column = IdentifierName(name);
    const bool known = !key.number.empty() || key.parameter != 0;
    return known && OnlyNarrows() ? key : RowKey();
  }

  // What follows can only leave rows out.
  bool OnlyNarrows() {
    Token token = Next();
    if (token.text == "::") {
      Next();
      token = Next();
    }
    const bool over = token.kind == TokenKind::kEnd || token.symbol == ';' ||
                      IsWord(token, "and") || IsWord(token, "returning");
    if (!over) {
      return false;
    }
    for (; token.kind != TokenKind::kEnd; token = Next()) {
      if (IsWord(token, "or") || !token.terminated) {
        return false;
      }
    }
    return token.terminated;
  }

  Lexer lexer_;
  Token last_;
  std::string table_;
  std::vector<std::string> assigned_;
  bool lists_ = false;
};

}  // namespace

RowKey RowKeyOf(std::string_view text, LexOptions options) {
  return Reader(text, options).Read();
}

std::string WholeNumber(std::string_view text) {
  const bool negative = text.starts_with('-');
  text.remove_prefix(negative ? 1 : 0);
  if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos) {
    return {};
  }
  text.remove_prefix(std::min(text.find_first_not_of('0'), text.size() - 1));
  return (negative && text != "0" ? "-" : "") + std::string(text);
}

}  // namespace sql
