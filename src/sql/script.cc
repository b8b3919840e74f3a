#include "sql/script.h"

#include <algorithm>

#include "sql/classify.h"
#include "sql/split.h"
#include "sql/words.h"

namespace sql {
namespace {

// \g, \gx, \gset, \gexec, \gdesc, \crosstabview, \watch and \; send what stands before them.
bool Sends(std::string_view command) {
  return command.starts_with("\\g") || command.starts_with("\\crosstabview") ||
         command.starts_with("\\watch") || command.starts_with("\\;");
}

}  // namespace

void ScriptReader::SkipLine() {
  const size_t end = text_.find('\n', at_);
  at_ = end == std::string_view::npos ? text_.size() : end + 1;
}

void ScriptReader::SkipCopyData() {
  SkipLine();
  while (at_ < text_.size()) {
    std::string_view line = text_.substr(at_, text_.find('\n', at_) - at_);
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    SkipLine();
    if (line == "\\.") {
      return;
    }
  }
}

bool ScriptReader::ReadStatement(std::string* statement, size_t* begin) {
  Boundary boundary;
  bool begun = false;
  size_t piece = at_;  // what is not in `statement` yet begins here
  Lexer lexer(text_.substr(at_), options_);
  for (;;) {
    const Token token = lexer.Next();
    const size_t start = static_cast<size_t>(token.text.data() - text_.data());
    if (token.kind == TokenKind::kEnd) {
      at_ = text_.size();
      *statement += begun ? text_.substr(piece) : std::string_view();
      return begun;
    }
    if (token.kind == TokenKind::kOther && token.text[0] == '\\') {
      *statement += begun ? text_.substr(piece, start - piece) : std::string_view();
      const bool sends = Sends(text_.substr(start));
      at_ = start;
      SkipLine();
      if (sends && begun) {
        return true;
      }
      piece = at_;
      lexer = Lexer(text_.substr(at_), options_);
      continue;
    }
    const Word word = token.kind == TokenKind::kIdentifier ? FindWord(token.text) : Word::kNone;
    if (boundary.OnToken(token, word)) {
      at_ = start + 1;
      if (begun) {
        *statement += text_.substr(piece, start - piece);
        return true;
      }
    } else if (!begun) {
      begun = true;
      piece = start;
      *begin = start;
    }
  }
}

bool ScriptReader::Next(std::string* statement, size_t* line) {
  statement->clear();
  size_t begin = 0;
  if (!ReadStatement(statement, &begin)) {
    return false;
  }
  line_ += static_cast<size_t>(std::count(text_.begin() + static_cast<ptrdiff_t>(counted_),
                                          text_.begin() + static_cast<ptrdiff_t>(begin), '\n'));
  counted_ = begin;
  *line = line_;
  if (Classify(*statement, options_).copy_in) {
    SkipCopyData();
  }
  return true;
}

}  // namespace sql
