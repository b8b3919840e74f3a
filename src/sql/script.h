// ScriptReader: the statements of a script as psql reads it.
//
// A value on the caller's stack; any thread; linear time; cannot fail. Beyond what Splitter does it
// leaves out psql's own commands (from a backslash to the end of its line; \g and its like end a
// statement, as psql has it) and the data of COPY ... FROM STDIN up to its "\." line, as pg_dump
// writes it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "sql/lexer.h"

namespace sql {

class ScriptReader {
 public:
  explicit ScriptReader(std::string_view text, LexOptions options = {})
      : text_(text), options_(options) {}

  // The next statement without its semicolon, and the line (from 1) on which it begins. False:
  // there is no more.
  bool Next(std::string* statement, size_t* line);

 private:
  bool ReadStatement(std::string* statement, size_t* begin);
  void SkipLine();
  void SkipCopyData();

  const std::string_view text_;
  const LexOptions options_;
  size_t at_ = 0;
  size_t counted_ = 0;  // the line of this place is `line_`
  size_t line_ = 1;
};

}  // namespace sql
