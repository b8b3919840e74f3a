#include "mirror/block.h"

#include <algorithm>

#include "mirror/trace.h"
#include "sql/tokens.h"

namespace mirror {
namespace {

bool IsOneOf(std::string_view word, std::string_view one, std::string_view other) {
  return sql::EqualFolded(word, one) || sql::EqualFolded(word, other);
}

// What is behind BEGIN, START TRANSACTION or SET TRANSACTION, without comments.
std::string OptionsOf(std::string_view text, const sql::LexOptions& options) {
  std::string words;
  sql::Lexer lexer(text, options);
  lexer.Next();  // the verb
  for (sql::Token token = lexer.Next(); token.kind != sql::TokenKind::kEnd; token = lexer.Next()) {
    const bool noise = words.empty() && IsOneOf(token.text, "work", "transaction");
    if (!noise && token.symbol != ';') {
      words += ' ';
      words += token.text;
    }
  }
  return words;
}

}  // namespace

void Block::Note(const sql::Statement& facts, std::string_view tag, std::string_view text,
                 const sql::LexOptions& options, bool in_block) {
  if ((tag == "BEGIN" || tag == "START TRANSACTION") && !in_block) {
    const std::string words = OptionsOf(text, options);
    options_ = words.empty() ? std::string() : "BEGIN" + words;
    sets_.clear();
    begin_ = options_;
    read_only_ = facts.read_only;
  } else if (tag == "SET" && facts.local && ReadSet(text).name == "transaction") {
    const std::string set = "; SET TRANSACTION" + OptionsOf(text, options);
    const size_t known = sets_.find(set);
    if (known != std::string::npos) {
      sets_.erase(known, set.size());
    }
    sets_ += set;
    while (sets_.size() > kBytesMax) {
      sets_.erase(0, std::min(sets_.find(';', 1), sets_.size()));
    }
  }
}

void Block::OnEnd(bool chain) {
  if (chain && !sets_.empty()) {
    begin_ = (options_.empty() ? "BEGIN" : options_) + sets_;
    read_only_ = false;  // perhaps: the mirror will say
  }
}

}  // namespace mirror
