// Splitter: the statements of a simple Query's text, in order.
//
// A value on the caller's stack; any thread; views of the text, no allocation, linear time, cannot
// fail. The k-th statement it yields is the k-th that PostgreSQL runs: statements without a token
// are skipped as PostgreSQL skips them, and semicolons within parentheses (CREATE RULE) and within
// the BEGIN ATOMIC ... END body of CREATE FUNCTION or PROCEDURE do not end a statement. (If the
// text is not valid SQL, PostgreSQL runs none of it.)
#pragma once

#include <cstdint>
#include <string_view>

#include "sql/lexer.h"
#include "sql/words.h"

namespace sql {

// Tells which semicolons end a statement; is shown every token of the text in order.
class Boundary {
 public:
  // `word`: FindWord of a kIdentifier, else kNone. True exactly when `token` is a semicolon that
  // ends a statement; then the next token begins one.
  bool OnToken(const Token& token, Word word);
  // Open parentheses.
  uint64_t depth() const { return depth_; }

 private:
  enum class Head : uint8_t { kStart, kCreate, kOr, kReplace, kRoutine, kOther };

  void Routine(const Token& token, Word word);

  uint64_t depth_ = 0;
  uint64_t bodies_ = 0;  // open BEGIN ATOMIC
  uint64_t cases_ = 0;   // open CASE of the body's current statement
  Head head_ = Head::kStart;
  Word last_word_ = Word::kNone;  // of the token before; only kept within a routine
  char last_symbol_ = 0;
};

class Splitter {
 public:
  explicit Splitter(std::string_view text, LexOptions options = {});

  // The next statement, from its first token to its last (comments around it and the semicolon are
  // not part of it). False: there is no more.
  bool Next(std::string_view* statement);

 private:
  Lexer lexer_;
  Boundary boundary_;
};

}  // namespace sql
