#include "sql/split.h"

namespace sql {

bool Boundary::OnToken(const Token& token, Word word) {
  switch (token.symbol) {
    case '(':
      ++depth_;
      break;
    case ')':
      if (depth_ > 0) --depth_;
      break;
    case ';':
      if (depth_ == 0 && bodies_ == 0) {
        *this = Boundary();
        return true;
      }
      break;
    default:
      break;
  }
  switch (head_) {
    case Head::kStart:
      head_ = word == Word::kCreate ? Head::kCreate : Head::kOther;
      break;
    case Head::kCreate:
    case Head::kReplace:
      if (word == Word::kFunction || word == Word::kProcedure) {
        head_ = Head::kRoutine;
      } else {
        head_ = head_ == Head::kCreate && word == Word::kOr ? Head::kOr : Head::kOther;
      }
      break;
    case Head::kOr:
      head_ = word == Word::kReplace ? Head::kReplace : Head::kOther;
      break;
    case Head::kRoutine:
      Routine(token, word);
      break;
    case Head::kOther:
      break;
  }
  return false;
}

// CASE and END may also be labels (AS end, t.end, SELECT 1 end): an END outside of a CASE closes
// the body only where a statement could begin.
void Boundary::Routine(const Token& token, Word word) {
  const bool label = last_word_ == Word::kAs || last_symbol_ == '.';
  if (token.symbol == ';' && depth_ == 0) {
    cases_ = 0;
  } else if (word == Word::kAtomic && last_word_ == Word::kBegin && depth_ == 0) {
    ++bodies_;
  } else if (bodies_ > 0 && word == Word::kCase && !label) {
    ++cases_;
  } else if (bodies_ > 0 && word == Word::kEnd && !label) {
    if (cases_ > 0) {
      --cases_;
    } else if (last_symbol_ == ';' || last_word_ == Word::kAtomic) {
      --bodies_;
    }
  }
  last_word_ = word;
  last_symbol_ = token.symbol;
}

Splitter::Splitter(std::string_view text, LexOptions options) : lexer_(text, options) {}

bool Splitter::Next(std::string_view* statement) {
  const char* begin = nullptr;
  const char* end = nullptr;
  for (;;) {
    const Token token = lexer_.Next();
    if (token.kind == TokenKind::kEnd) break;
    const Word word = token.kind == TokenKind::kIdentifier ? FindWord(token.text) : Word::kNone;
    if (boundary_.OnToken(token, word)) {
      if (begin != nullptr) break;
      continue;
    }
    if (begin == nullptr) begin = token.text.data();
    end = token.text.data() + token.text.size();
  }
  if (begin == nullptr) return false;
  *statement = std::string_view(begin, static_cast<size_t>(end - begin));
  return true;
}

}  // namespace sql
