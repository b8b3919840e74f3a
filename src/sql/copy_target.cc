#include "sql/copy_target.h"

#include <utility>

#include "sql/tokens.h"
#include "sql/value_owner.h"

namespace sql {
namespace {

class Reader {
 public:
  Reader(std::string_view text, LexOptions options) : lexer_(text, options) { Next(); }

  // COPY [BINARY] name [(columns)] FROM STDIN [options] [WHERE ...]
  bool Run(CopyTarget* target) {
    if (!Take("copy")) {
      return false;
    }
    return Table(target) && Columns(target) && Take("from") && Take("stdin") && Options(target);
  }

 private:
  void Next() { token_ = lexer_.Next(); }
  bool Is(std::string_view word) const { return IsWord(token_, word); }
  bool Take(std::string_view word) {
    const bool is = Is(word);
    if (is) {
      Next();
    }
    return is;
  }
  bool Take(char symbol) {
    const bool is = token_.symbol == symbol;
    if (is) {
      Next();
    }
    return is;
  }
  bool Name(std::string* name) {
    if (!IsName(token_) || IsUnicodeName(token_)) {
      return false;
    }
    *name = IdentifierName(token_);
    Next();
    return true;
  }

  bool Table(CopyTarget* target) {
    ColumnName* const table = &target->table;
    if (Take("binary")) {  // the old way, unless it is the table's name
      if (!IsName(token_) || Is("from")) {
        return false;
      }
      target->format = CopyTarget::Format::kBinary;
    }
    if (!Name(&table->table)) {
      return false;
    }
    if (Take('.')) {
      table->schema = std::exchange(table->table, std::string());
      return Name(&table->table) && token_.symbol != '.';
    }
    return true;
  }

  bool Columns(CopyTarget* target) {
    if (!Take('(')) {
      return true;
    }
    do {
      std::string column;
      if (target->columns.size() == kOwnedColumnsMax || !Name(&column)) {
        return false;
      }
      target->columns.push_back(std::move(column));
    } while (Take(','));
    return Take(')');
  }

  bool Options(CopyTarget* target) {
    Take("with");
    const bool listed = Take('(');
    while (token_.kind != TokenKind::kEnd && token_.symbol != ';' && !Is("where") &&
           token_.symbol != ')') {
      if (!(listed ? ListedOption(target) : Option(target))) {
        return false;
      }
    }
    return !listed || Take(')');
  }

  // FORMAT x, FREEZE, HEADER
  bool ListedOption(CopyTarget* target) {
    if (Take("format")) {
      if (!(Take("text") || Option(target))) {
        return false;
      }
    } else if (Take("freeze") || Take("header")) {
      if (Is("match")) {
        return false;
      }
      if (token_.symbol != ',' && token_.symbol != ')') {
        Next();
      }
    } else {
      return false;
    }
    return Take(',') || token_.symbol == ')';
  }

  bool Option(CopyTarget* target) {
    if (Take("csv")) {
      target->format = CopyTarget::Format::kCsv;
      return true;
    }
    if (Take("binary")) {
      target->format = CopyTarget::Format::kBinary;
      return true;
    }
    return Take("freeze") || Take("header");
  }

  Lexer lexer_;
  Token token_;
};

}  // namespace

std::optional<CopyTarget> ReadCopyTarget(std::string_view text, LexOptions options) {
  CopyTarget target;
  if (!Reader(text, options).Run(&target)) {
    return std::nullopt;
  }
  return target;
}

}  // namespace sql
