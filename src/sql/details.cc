#include "sql/details.h"

#include <algorithm>
#include <string>

#include "sql/tokens.h"
#include "sql/words.h"

namespace sql {
namespace {

// The words of a statement, one after the other.
class Reader {
 public:
  Reader(std::string_view text, LexOptions options) : lexer_(text, options) {
    do {
      Advance();
    } while (token_.symbol == ';');
  }

  bool AtEnd() const { return token_.kind == TokenKind::kEnd || token_.symbol == ';'; }
  const Token& token() const { return token_; }
  Word word() const { return word_; }
  bool Is(std::string_view lower) const {
    return IsWord(token_, lower);
  }
  void Advance() {
    token_ = lexer_.Next();
    word_ = token_.kind == TokenKind::kIdentifier ? FindWord(token_.text) : Word::kNone;
  }
  bool Accept(std::string_view lower) {
    const bool is = Is(lower);
    if (is) {
      Advance();
    }
    return is;
  }

 private:
  Lexer lexer_;
  Token token_;
  Word word_ = Word::kNone;
};

bool HoldsWord(Reader* reader, std::string_view lower) {
  while (!reader->AtEnd() && !reader->Is(lower)) {
    reader->Advance();
  }
  return !reader->AtEnd();
}

// CREATE [UNIQUE] INDEX CONCURRENTLY; CREATE TABLE ... AS EXECUTE name.
void Create(Reader* reader, Statement* statement) {
  reader->Accept("unique");
  if (reader->Accept("index")) {
    statement->commits = reader->Is("concurrently");
    return;
  }
  for (; !reader->AtEnd(); reader->Advance()) {
    if (reader->word() == Word::kAs) {
      reader->Advance();
      if (reader->word() == Word::kExecute) {
        reader->Advance();
        statement->name = IsName(reader->token()) ? IdentifierName(reader->token()) : "";
      }
      return;
    }
  }
}

// REINDEX [(...)] SCHEMA, DATABASE or SYSTEM; REINDEX [(CONCURRENTLY)] ... [CONCURRENTLY].
void Reindex(Reader* reader, Statement* statement) {
  if (reader->token().symbol == '(') {
    while (!reader->AtEnd() && reader->token().symbol != ')') {
      statement->commits = statement->commits || reader->Is("concurrently");
      reader->Advance();
    }
    reader->Advance();
  }
  const bool many = reader->word() == Word::kSchema || reader->word() == Word::kSystem ||
                    reader->Is("database");
  reader->Advance();
  statement->commits = statement->commits || many || reader->Is("concurrently");
}

// CLUSTER without a table does them all, one by one.
void Cluster(Reader* reader, Statement* statement) {
  if (reader->token().symbol == '(') {
    while (!reader->AtEnd() && reader->token().symbol != ')') {
      reader->Advance();
    }
    reader->Advance();
  }
  reader->Accept("verbose");
  statement->commits = reader->AtEnd();
}

// The name comes first in DECLARE, last in FETCH, MOVE and CLOSE.
void Cursor(bool declares, Reader* reader, Statement* statement) {
  const bool all = reader->word() == Word::kAll;
  Token name;
  size_t tokens = 0;
  for (; !reader->AtEnd() && (tokens == 0 || !declares); reader->Advance()) {
    name = reader->token();
    ++tokens;
  }
  statement->cursor = IsName(name);
  const bool closes_all = all && tokens == 1;
  statement->name = statement->cursor && !closes_all ? IdentifierName(name) : "";
}

// What runs in DO is a string: whatever its language, it says "commit", or calls what may.
bool MayCommit(std::string_view text) {
  for (const std::string_view word : {"commit", "call"}) {
    const auto found = std::search(text.begin(), text.end(), word.begin(), word.end(),
                                   [](char one, char other) { return Lower(one) == other; });
    if (found != text.end()) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool HasDetails(Word verb) {
  switch (verb) {
    case Word::kCreate:
    case Word::kDrop:
    case Word::kAlter:
    case Word::kReindex:
    case Word::kCluster:
    case Word::kCall:
    case Word::kDo:
    case Word::kDeclare:
    case Word::kFetch:
    case Word::kMove:
    case Word::kClose:
      return true;
    default:
      return false;
  }
}

void AddDetails(std::string_view text, LexOptions options, Statement* statement) {
  Reader reader(text, options);
  const Word verb = reader.word();
  reader.Advance();
  switch (verb) {
    case Word::kCreate:
      Create(&reader, statement);
      break;
    case Word::kDrop:
      statement->commits = reader.Accept("index") && reader.Is("concurrently");
      break;
    case Word::kAlter:  // ALTER TABLE ... DETACH PARTITION ... CONCURRENTLY
      statement->commits = reader.Accept("table") && HoldsWord(&reader, "detach") &&
                           HoldsWord(&reader, "concurrently");
      break;
    case Word::kReindex:
      Reindex(&reader, statement);
      break;
    case Word::kCluster:
      Cluster(&reader, statement);
      break;
    case Word::kCall:
      statement->may_commit = true;
      break;
    case Word::kDo:
      statement->may_commit = MayCommit(text);
      break;
    case Word::kDeclare:
    case Word::kFetch:
    case Word::kMove:
    case Word::kClose:
      Cursor(verb == Word::kDeclare, &reader, statement);
      break;
    default:
      break;
  }
}

}  // namespace sql
