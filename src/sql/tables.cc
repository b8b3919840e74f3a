#include "sql/tables.h"

#include <algorithm>
#include <utility>

#include "sql/quote.h"
#include "sql/split.h"
#include "sql/tokens.h"
#include "sql/words.h"

namespace sql {
namespace {

struct Seen {
  Token token;
  Word word = Word::kNone;
  char escape = '\\';  // of a U& name
};

bool IsName(const Seen& seen) { return IsName(seen.token); }

// `word`: in lower case.
bool Is(const Seen& seen, std::string_view word) {
  return IsWord(seen.token, word);
}

bool IsAny(const Seen& seen, std::initializer_list<std::string_view> words) {
  return IsAnyWord(seen.token, words);
}

bool NeedsQuotes(std::string_view name) {
  const auto begins = [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; };
  return name.empty() || !begins(name[0]) || !std::all_of(name.begin(), name.end(), [&](char c) {
    return begins(c) || (c >= '0' && c <= '9');
  });
}

void AppendPart(std::string_view name, std::string* to) {
  *to += NeedsQuotes(name) ? Quote(name, '"') : std::string(name);
}

struct Name {
  std::string schema;
  std::string last;
  bool has_schema = false;

  std::string Spelled() const {
    std::string text;
    if (has_schema) {
      AppendPart(schema, &text);
      text += '.';
    }
    AppendPart(last, &text);
    return text;
  }
};

// The body of a '...' that holds nothing to unescape; else nothing.
std::string_view PlainBody(const Token& token) {
  const std::string_view text = token.text;
  if (token.kind != TokenKind::kString || !token.terminated || text.size() < 2 ||
      text.front() != '\'') {
    return {};
  }
  const std::string_view body = text.substr(1, text.size() - 2);
  return body.find_first_of("'\\") == std::string_view::npos ? body : std::string_view();
}

// Adds the tables of a text, one statement after the other. It looks for their ends itself: with a
// Splitter before it every token would be read twice.
class Reader {
 public:
  Reader(std::string_view text, LexOptions options, std::vector<std::string>* tables)
      : lexer_(text, options), tables_(tables) {}
  // Reads one statement; true if another may follow.
  bool Run();

 private:
  // What CREATE, ALTER and DROP are about.
  enum class Kind : uint8_t {
    kStored,    // a table or materialized view: its definition may run a query
    kRelation,  // a view, a sequence
    kIndex,
    kOnTable,   // a trigger or policy: its table stands behind ON
    kRule,      // likewise; in CREATE behind TO
    kNothing,   // no table is any different
    kUnknown,
  };

  // -- tokens ---------------------------------------------------------------------------------
  void Advance();
  void ReadEscape();
  bool AtEnd() const { return now_.token.kind == TokenKind::kEnd; }
  bool Accept(Word word);
  bool Accept(std::string_view word);
  Seen Ahead() const;

  // -- names ----------------------------------------------------------------------------------
  bool ReadName(Name* name);
  void Target();
  void TargetList();
  void Add(std::string name);
  void Any() { Add(std::string(kAnyTable)); }

  // -- verbs ----------------------------------------------------------------------------------
  void Verb();
  void Explain();
  void Copy();
  void Truncate();
  void Refresh();
  Kind ReadKind();
  void SkipIf();
  void TargetBehind(Word word);
  void Create();
  void Alter();
  void Drop();

  // -- queries --------------------------------------------------------------------------------
  void Scan();
  void Into();
  bool UpdateIsVerb() const;
  void OnBracket();
  void Sequence();

  Lexer lexer_;
  Boundary boundary_;
  std::vector<std::string>* const tables_;
  bool over_ = false;  // true exactly at the semicolon that ended the statement
  Seen now_;
  Seen last_;  // before now_
};

bool Reader::Run() {
  over_ = false;
  now_ = Seen();
  Advance();
  if (!AtEnd()) Verb();
  while (!AtEnd()) {
    Advance();
  }
  return over_;
}

// -- tokens -----------------------------------------------------------------------------------

void Reader::Advance() {
  if (over_) return;
  last_ = now_;
  now_ = Seen();
  now_.token = lexer_.Next();
  const TokenKind kind = now_.token.kind;
  if (kind == TokenKind::kEnd) return;
  if (!now_.token.terminated) Any();
  if (kind == TokenKind::kIdentifier) now_.word = FindWord(now_.token.text);
  if (boundary_.OnToken(now_.token, now_.word)) {
    over_ = true;
    now_ = Seen();
  } else if (kind == TokenKind::kQuotedIdentifier && now_.token.text[0] != '"') {
    ReadEscape();
  }
}

// UESCAPE 'c' behind a U& name.
void Reader::ReadEscape() {
  Lexer ahead = lexer_;
  const Token uescape = ahead.Next();
  if (uescape.kind != TokenKind::kIdentifier || FindWord(uescape.text) != Word::kUescape) return;
  const Token escape = ahead.Next();
  if (escape.kind == TokenKind::kString && escape.text.size() == 3) {
    now_.escape = escape.text[1];
    lexer_ = ahead;
    boundary_.OnToken(uescape, Word::kUescape);
    boundary_.OnToken(escape, Word::kNone);
  }
}

bool Reader::Accept(Word word) {
  const bool is = now_.word == word;
  if (is) Advance();
  return is;
}

bool Reader::Accept(std::string_view word) {
  const bool is = Is(now_, word);
  if (is) Advance();
  return is;
}

Seen Reader::Ahead() const {
  Lexer ahead = lexer_;
  Seen seen;
  seen.token = ahead.Next();
  return seen;
}

// -- names ------------------------------------------------------------------------------------

// The last two parts of a.b.c.
bool Reader::ReadName(Name* name) {
  if (!IsName(now_)) return false;
  name->last = IdentifierName(now_.token, now_.escape);
  Advance();
  while (now_.token.symbol == '.') {
    Advance();
    if (!IsName(now_)) return false;
    name->schema = std::exchange(name->last, IdentifierName(now_.token, now_.escape));
    name->has_schema = true;
    Advance();
  }
  return true;
}

// [ONLY] name, ONLY (name)
void Reader::Target() {
  if (Accept(Word::kOnly) && now_.token.symbol == '(') Advance();
  Name name;
  if (ReadName(&name)) {
    Add(name.Spelled());
  } else {
    Any();
  }
  if (now_.token.symbol == '(') Advance();  // of the columns: the name before it is no function
}

void Reader::TargetList() {
  Target();
  while (now_.token.symbol == '*' || now_.token.symbol == ')' || now_.token.symbol == ',') {
    const bool another = now_.token.symbol == ',';
    Advance();
    if (another) {
      Target();
    }
  }
}

void Reader::Add(std::string name) {
  if (std::find(tables_->begin(), tables_->end(), name) != tables_->end()) return;
  if (tables_->size() >= kTablesMax) {
    return;  // kAnyTable is among them
  }
  tables_->push_back(tables_->size() + 1 < kTablesMax ? std::move(name) : std::string(kAnyTable));
}

// -- verbs ------------------------------------------------------------------------------------

void Reader::Verb() {
  if (now_.token.symbol == '(') return Scan();
  switch (now_.word) {
    case Word::kInsert:
    case Word::kUpdate:
    case Word::kDelete:
    case Word::kMerge:
    case Word::kWith:
    case Word::kSelect:
    case Word::kValues:
    case Word::kTable:
    case Word::kDeclare:
      return Scan();
    case Word::kExplain:
      return Explain();
    case Word::kCopy:
      return Copy();
    case Word::kTruncate:
      return Truncate();
    case Word::kRefresh:
      return Refresh();
    case Word::kCreate:
      return Create();
    case Word::kAlter:
      return Alter();
    case Word::kDrop:
      return Drop();
    case Word::kAbort:
    case Word::kBegin:
    case Word::kCommit:
    case Word::kEnd:
    case Word::kPrepare:  // what it prepares runs with EXECUTE
    case Word::kRelease:
    case Word::kRollback:
    case Word::kSavepoint:
    case Word::kStart:
    case Word::kGrant:
    case Word::kRevoke:
    case Word::kComment:
    case Word::kSecurity:
    case Word::kReassign:
    case Word::kReindex:
    case Word::kCluster:
      return;
    default:
      break;
  }
  const Effect effect = EffectOfVerb(now_.word);
  if (effect != Effect::kRead && effect != Effect::kSession && effect != Effect::kOther) Any();
}

// Without ANALYZE nothing runs.
void Reader::Explain() {
  bool runs = false;
  Advance();
  if (now_.token.symbol == '(') {
    const Seen option = Ahead();
    if (IsAny(option, {"select", "with", "values", "table"}) || option.token.symbol == '(') return;
    while (!AtEnd() && now_.token.symbol != ')') {
      runs = runs || now_.word == Word::kAnalyze || now_.word == Word::kAnalyse;
      Advance();
    }
    Advance();
  }
  while (now_.word == Word::kAnalyze || now_.word == Word::kAnalyse ||
         now_.word == Word::kVerbose) {
    runs = runs || now_.word != Word::kVerbose;
    Advance();
  }
  if (runs && now_.word != Word::kExplain) {
    Verb();
  }
}

void Reader::Copy() {
  Advance();
  Accept(Word::kBinary);
  if (now_.token.symbol == '(') return Scan();
  Name name;
  const bool named = ReadName(&name);
  if (now_.token.symbol == '(') {
    while (!AtEnd() && now_.token.symbol != ')') {
      Advance();
    }
    Advance();
  }
  if (named && now_.word == Word::kFrom) {
    Add(name.Spelled());
  } else if (!named || now_.word != Word::kTo) {
    Any();
  }
}

void Reader::Truncate() {
  Advance();
  Accept(Word::kTable);
  TargetList();
  for (; !AtEnd(); Advance()) {
    if (Is(now_, "cascade")) {
      Any();  // and every table that refers to these
    }
  }
}

void Reader::Refresh() {
  Advance();
  Accept(Word::kMaterialized);
  Accept("view");
  Accept("concurrently");
  Target();
}

Reader::Kind Reader::ReadKind() {
  if (Accept(Word::kMaterialized)) return Accept("view") ? Kind::kStored : Kind::kUnknown;
  if (Accept("foreign")) return Accept(Word::kTable) ? Kind::kRelation : Kind::kUnknown;
  if (Accept(Word::kTable)) return Kind::kStored;
  if (Accept("view") || Accept("sequence")) return Kind::kRelation;
  if (Accept("index")) return Kind::kIndex;
  if (Accept("trigger") || Accept("policy")) return Kind::kOnTable;
  if (Accept("rule")) return Kind::kRule;
  const bool nothing = IsAny(now_, {"role", "user", "group", "database", "tablespace", "statistics",
                                    "publication", "system", "default"});
  return nothing ? Kind::kNothing : Kind::kUnknown;
}

// IF [NOT] EXISTS
void Reader::SkipIf() {
  if (Is(now_, "if") && IsAny(Ahead(), {"not", "exists"})) {
    Advance();
    Accept("not");
    Accept("exists");
  }
}

// `word` is one of PostgreSQL's reserved words: the first one is the one.
void Reader::TargetBehind(Word word) {
  while (!AtEnd() && now_.word != word) {
    Advance();
  }
  Advance();
  Target();
}

void Reader::Create() {
  Advance();
  while (IsAny(now_, {"or", "replace", "global", "local", "temp", "temporary", "unlogged",
                      "recursive", "unique", "constraint"})) {
    Advance();
  }
  const Kind kind = ReadKind();
  switch (kind) {
    case Kind::kStored:
    case Kind::kRelation:
      SkipIf();
      Target();
      break;
    case Kind::kIndex:
    case Kind::kOnTable:
      return TargetBehind(Word::kOn);
    case Kind::kRule:
      return TargetBehind(Word::kTo);
    case Kind::kNothing:
      return;
    case Kind::kUnknown:
      return Any();
  }
  if (kind == Kind::kRelation) {
    return;  // a view's query does not run yet
  }
  // CREATE TABLE ... AS runs a query; GENERATED ALWAYS AS is followed by a bracket or IDENTITY.
  while (!AtEnd() && !(now_.word == Word::kAs && !Is(last_, "always"))) {
    Advance();
  }
  Advance();
  if (now_.word == Word::kExecute) Any();
  Scan();
}

void Reader::Alter() {
  Advance();
  const Kind kind = ReadKind();
  if (kind == Kind::kNothing) return;
  if (kind == Kind::kOnTable || kind == Kind::kRule) return TargetBehind(Word::kOn);
  SkipIf();
  Accept(Word::kOnly);
  Name name;
  if (kind == Kind::kUnknown || now_.word == Word::kAll || !ReadName(&name)) return Any();
  Add(name.Spelled());
  while (!AtEnd()) {
    if (Accept("rename") && Accept(Word::kTo) && IsName(now_)) {
      name.last = IdentifierName(now_.token, now_.escape);
      Add(name.Spelled());
    } else if (Accept(Word::kSet) && Accept(Word::kSchema) && IsName(now_)) {
      name.schema = IdentifierName(now_.token, now_.escape);
      name.has_schema = true;
      Add(name.Spelled());
    } else if (now_.token.symbol == '(') {
      OnBracket();  // a new column's default is computed for the rows that are there
    } else {
      Advance();
    }
  }
}

void Reader::Drop() {
  Advance();
  switch (ReadKind()) {
    case Kind::kStored:
    case Kind::kRelation:
    case Kind::kIndex:
      Accept("concurrently");
      SkipIf();
      return TargetList();
    case Kind::kOnTable:
    case Kind::kRule:
      return TargetBehind(Word::kOn);
    case Kind::kNothing:
      return;
    case Kind::kUnknown:
      return Any();
  }
}

// -- queries ----------------------------------------------------------------------------------

// Verbs within a query are those of WITH; INTO without one is that of SELECT.
void Reader::Scan() {
  while (!AtEnd()) {
    if (now_.token.symbol == '(') {
      OnBracket();
      continue;
    }
    const Word word = last_.token.symbol == '.' ? Word::kNone : now_.word;
    const bool updates = word == Word::kUpdate && UpdateIsVerb();
    const bool named = last_.word == Word::kSelect || last_.word == Word::kAs ||
                       last_.token.symbol == ',';  // a column of that name
    Advance();
    if (word == Word::kInto) {
      Into();
    } else if (updates && !named) {
      Target();
    } else if (word == Word::kDelete && !named && Accept(Word::kFrom)) {
      Target();
    } else if ((word == Word::kInsert || word == Word::kMerge) && Accept(Word::kInto)) {
      Target();
    }
  }
}

// SELECT INTO's words before the name may be the name.
void Reader::Into() {
  Accept(Word::kTable);
  while (IsAny(now_, {"temp", "temporary", "local", "global", "unlogged"})) {
    const Seen ahead = Ahead();
    if (!IsName(ahead) ||
        IsAny(ahead, {"from", "where", "group", "having", "window", "union", "intersect", "except",
                      "order", "limit", "offset", "fetch", "for"})) {
      break;
    }
    Advance();
    Accept(Word::kTable);
  }
  Target();
}

// Not FOR UPDATE, FOR NO KEY UPDATE, DO UPDATE SET, THEN UPDATE SET.
bool Reader::UpdateIsVerb() const {
  if (IsAny(last_, {"for", "key", "do", "then", "on"})) return false;
  const Seen ahead = Ahead();
  return IsName(ahead) && !IsAny(ahead, {"as", "set", "from", "of", "nowait", "skip"});
}

// A bracket behind a name calls a function.
void Reader::OnBracket() {
  const std::string function =
      IsName(last_) ? IdentifierName(last_.token, last_.escape) : std::string();
  Advance();
  if (function.empty() || FindCall(function) != Call::kWrite || function == "txid_current") return;
  if (function == "nextval" || function == "setval") {
    Sequence();
  } else {
    Any();
  }
}

// 'name', perhaps with a cast, as the first argument.
void Reader::Sequence() {
  const std::string_view body = PlainBody(now_.token);
  std::vector<std::string> named;
  Reader inner(body, LexOptions(), &named);
  inner.Advance();
  Name name;
  const bool plain = inner.ReadName(&name) && inner.AtEnd() && named.empty();
  if (!body.empty()) Advance();
  if (now_.token.text == "::") {
    Advance();
    Name type;
    ReadName(&type);
  }
  if (plain && (now_.token.symbol == ')' || now_.token.symbol == ',')) {
    Add(name.Spelled());
  } else {
    Any();
  }
}

}  // namespace

std::vector<std::string> WrittenTables(std::string_view text, LexOptions options) {
  std::vector<std::string> tables;
  Reader reader(text, options, &tables);
  while (reader.Run()) {
  }
  return tables;
}

}  // namespace sql
