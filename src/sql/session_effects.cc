#include "sql/session_effects.h"

#include <algorithm>
#include <array>
#include <utility>

#include "sql/session_calls.h"
#include "sql/split.h"
#include "sql/tokens.h"
#include "sql/words.h"

namespace sql {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

std::string Folded(std::string_view text) {
  std::string folded(text);
  std::transform(folded.begin(), folded.end(), folded.begin(), Lower);
  return folded;
}

// pg_temp or pg_temp_<number>.
bool IsTemporarySchema(std::string_view name) {
  constexpr std::string_view kPrefix = "pg_temp";
  return name.starts_with(kPrefix) &&
         (name.size() == kPrefix.size() || name[kPrefix.size()] == '_');
}

// What a string literal holds, as long as it needs no unescaping; else nothing.
std::string_view PlainBody(const Token& token) {
  const size_t open = token.text.find_first_of("'$");
  if (token.kind != TokenKind::kString || !token.terminated || open == std::string_view::npos) {
    return {};
  }
  const size_t delimiter = token.text[open] == '\'' ? 1 : token.text.find('$', open + 1) + 1 - open;
  const std::string_view body =
      token.text.substr(open + delimiter, token.text.size() - open - 2 * delimiter);
  const bool plain = std::all_of(body.begin(), body.end(), [](char c) {
    const char lower = Lower(c);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '$';
  });
  return plain ? body : std::string_view();
}

struct Seen {
  Token token;
  Word word = Word::kNone;
  char escape = '\\';  // of a U& name
};

bool IsName(const Seen& seen) { return IsName(seen.token); }
std::string NameOf(const Seen& seen) {
  return IsName(seen) ? IdentifierName(seen.token, seen.escape) : std::string();
}

// One argument of a set_config call: a literal, perhaps with one cast (::text, ::pg_catalog.text).
struct Argument {
  Token first;
  uint32_t tokens = 0;
  bool literal = true;

  void OnToken(const Token& token);
  // The literal's text, lower case; empty if it is none.
  std::string Text() const;
};

void Argument::OnToken(const Token& token) {
  switch (tokens++) {
    case 0:
      first = token;
      break;
    case 1:
      literal = literal && token.text == "::";
      break;
    case 3:
      literal = literal && token.symbol == '.';
      break;
    case 2:
    case 4:
      literal = literal && token.kind == TokenKind::kIdentifier;
      break;
    default:
      literal = false;
  }
}

std::string Argument::Text() const {
  if (!literal || tokens == 0) return std::string();
  if (first.kind != TokenKind::kIdentifier) return Folded(PlainBody(first));
  const std::string word = Folded(first.text);
  return word == "true" || word == "false" || word == "null" ? word : std::string();
}

struct ConfigCall {
  uint64_t depth = 0;  // open parentheses within the call itself
  uint32_t number = 0;
  Argument current;
  std::string name;
  std::string is_local;

  void EndArgument();
};

void ConfigCall::EndArgument() {
  if (number == 0 && current.first.kind == TokenKind::kString) name = current.Text();
  if (number == 2) is_local = current.Text();
  ++number;
  current = Argument();
}

// Reads one statement and adds its effects.
class Reader {
 public:
  Reader(std::string_view statement, LexOptions options, SessionEffects* effects)
      : lexer_(statement, options), effects_(effects) {}

  void Run();

 private:
  // -- tokens ---------------------------------------------------------------------------------
  void Advance();
  bool AtEnd() const { return now_.token.kind == TokenKind::kEnd; }
  bool Accept(Word word);
  bool AtSign() const {
    return now_.token.symbol == '.' || now_.token.symbol == '=' || now_.word == Word::kTo;
  }

  // -- the head -------------------------------------------------------------------------------
  void Prefixes();
  bool Explain();
  bool Prepare();
  bool Declare();
  void Verb();
  void Set();
  void SetSpecial(bool local);
  bool SetSession(bool local);
  void SetGeneric(std::string name, bool local);
  void Touch(std::string name, bool local, bool reset);
  void Reset();
  void Discard();
  void Deallocate();
  void Create();

  // -- the rest -------------------------------------------------------------------------------
  void Inspect();
  void InspectTarget();
  void InspectInto();
  void InspectTable();
  void InspectCall();
  void InspectConfig();
  void OnConfigCall(const ConfigCall& call);
  void Raise(uint32_t flags) { effects_->flags |= flags; }

  enum class Into : uint8_t { kNo, kWanted, kNamed };

  Lexer lexer_;
  SessionEffects* const effects_;
  Seen now_;
  Seen last_;         // before now_
  Seen before_last_;  // and before that
  Seen qualifier_;    // and before that
  uint64_t depth_ = 0;
  Word verb_ = Word::kNone;
  bool in_brackets_ = false;    // the statement began with a bracket
  bool runs_ = true;            // calls from here on are executed
  bool defines_table_ = false;  // CREATE TABLE, before the query or the bounds that it runs
  bool temporary_ = false;      // CREATE TEMP TABLE, which ON COMMIT DROP would take back
  bool update_target_ = false;  // directly behind UPDATE [ONLY] [pg_catalog.]
  Into into_ = Into::kNo;
  std::array<ConfigCall, 4> configs_;  // open calls of set_config, each within the one before
  size_t open_configs_ = 0;
};

void Reader::Run() {
  Advance();
  Prefixes();
  Verb();
  while (!AtEnd()) {
    Inspect();
    Advance();
  }
  if (temporary_) Raise(kTempObject);
}

// -- tokens -----------------------------------------------------------------------------------

void Reader::Advance() {
  qualifier_ = before_last_;
  before_last_ = last_;
  last_ = now_;
  if (now_.token.symbol == '(') ++depth_;
  now_ = Seen();
  now_.token = lexer_.Next();
  if (now_.token.kind == TokenKind::kIdentifier) now_.word = FindWord(now_.token.text);
  if (now_.token.symbol == ')' && depth_ > 0) --depth_;
  if (now_.token.kind != TokenKind::kQuotedIdentifier || now_.token.text[0] == '"') return;
  Lexer ahead = lexer_;
  const Token uescape = ahead.Next();
  if (uescape.kind != TokenKind::kIdentifier || FindWord(uescape.text) != Word::kUescape) return;
  const Token escape = ahead.Next();
  if (escape.kind != TokenKind::kString || escape.text.size() != 3) return;
  now_.escape = escape.text[1];
  lexer_ = ahead;
}

bool Reader::Accept(Word word) {
  if (now_.word != word) return false;
  Advance();
  return true;
}

// -- the head ---------------------------------------------------------------------------------

// Brackets and statements that hold another one.
void Reader::Prefixes() {
  bool more = true;
  while (more) {
    if (now_.token.symbol == '(') {
      in_brackets_ = true;
      Advance();
      continue;
    }
    switch (in_brackets_ ? Word::kNone : now_.word) {
      case Word::kExplain:
        more = Explain();
        break;
      case Word::kPrepare:
        more = Prepare();
        break;
      case Word::kDeclare:
        more = Declare();
        break;
      default:
        more = false;
    }
  }
}

bool Reader::Explain() {
  Advance();
  if (now_.token.symbol == '(') {
    Advance();
    const bool query = now_.word == Word::kSelect || now_.word == Word::kValues ||
                       now_.word == Word::kTable || now_.word == Word::kWith ||
                       now_.token.symbol == '(';
    if (query) {
      in_brackets_ = true;
      return true;
    }
    while (!AtEnd() && depth_ > 0) Advance();
    Advance();
    return true;
  }
  while (now_.word == Word::kAnalyze || now_.word == Word::kAnalyse ||
         now_.word == Word::kVerbose) {
    Advance();
  }
  return true;
}

bool Reader::Prepare() {
  Advance();
  if (Accept(Word::kTransaction) && now_.token.kind == TokenKind::kString) {
    runs_ = false;
    return false;
  }
  Raise(kPrepares);
  while (!AtEnd() && !(now_.word == Word::kAs && depth_ == 0)) Advance();
  Advance();
  return !AtEnd();
}

bool Reader::Declare() {
  Advance();
  while (!AtEnd() && now_.word != Word::kFor) {
    if (now_.word == Word::kHold && last_.word == Word::kWith) Raise(kHoldCursor);
    Advance();
  }
  Advance();
  return !AtEnd();
}

void Reader::Verb() {
  verb_ = now_.word;
  if (in_brackets_ || !runs_) return;
  update_target_ = verb_ == Word::kUpdate;
  switch (verb_) {
    case Word::kSet:
      return Set();
    case Word::kReset:
      return Reset();
    case Word::kDiscard:
      return Discard();
    case Word::kDeallocate:
      return Deallocate();
    case Word::kCreate:
      return Create();
    case Word::kListen:
      return Raise(kListens);
    case Word::kLoad:
      return Raise(kLoads);
    case Word::kExecute:
      return Raise(kExecutes);
    case Word::kUnlisten:
      Advance();
      if (now_.token.symbol == '*') Raise(kUnlistens);
      return;
    case Word::kClose:
      Advance();
      if (now_.word == Word::kAll) Raise(kClosesAll);
      return;
    case Word::kAlter:
      // A new column's default is computed for the rows that are there.
      Advance();
      runs_ = now_.word == Word::kTable;
      return;
    default:
      runs_ = EffectOfVerb(verb_) != Effect::kDdl;  // GRANT ... ON FUNCTION f(int) calls nothing
  }
}

// SET [SESSION | LOCAL] ...; but these words may also begin a setting's own name (local.x).
void Reader::Set() {
  runs_ = false;
  Advance();
  bool local = false;
  if (now_.word == Word::kLocal || now_.word == Word::kSession) {
    local = now_.word == Word::kLocal;
    Advance();
    if (AtSign()) return SetGeneric(NameOf(last_), false);
    if (last_.word == Word::kSession && SetSession(local)) return;
  }
  SetSpecial(local);
}

// Behind SESSION: true if that word belonged to what is set.
bool Reader::SetSession(bool local) {
  if (now_.word == Word::kAuthorization) {
    Advance();
    if (!local) Raise(kSessionAuthorization);
    Touch("session_authorization", local, now_.word == Word::kDefault);
    return true;
  }
  if (now_.word != Word::kCharacteristics) return false;
  for (; !AtEnd(); Advance()) {
    const std::string name = NameOf(now_);
    if (name == "isolation") Touch("default_transaction_isolation", local, false);
    if (name == "deferrable") Touch("default_transaction_deferrable", local, false);
    const bool mode = now_.word == Word::kOnly || now_.word == Word::kWrite;
    if (mode && last_.word == Word::kRead) Touch("default_transaction_read_only", local, false);
  }
  return true;
}

void Reader::SetSpecial(bool local) {
  const Seen what = now_;
  Advance();
  if (AtSign()) return SetGeneric(NameOf(what), local);
  switch (what.word) {
    case Word::kSession:
      static_cast<void>(SetSession(local));
      return;
    case Word::kTransaction:
    case Word::kConstraints:
      return Raise(kLocal);
    case Word::kTime:
      Advance();  // over ZONE
      return Touch("timezone", local, now_.word == Word::kLocal || now_.word == Word::kDefault);
    case Word::kNames:
      return Touch("client_encoding", local, AtEnd() || now_.word == Word::kDefault);
    case Word::kSchema:
      if (IsTemporarySchema(PlainBody(now_.token))) Raise(kTempObject);
      return Touch("search_path", local, now_.word == Word::kDefault);
    case Word::kRole:
      return Touch("role", local, false);
    case Word::kXml:
      return Touch("xmloption", local, false);
    default:
      return;
  }
}

// `name`: the first part; what comes next is a sign.
void Reader::SetGeneric(std::string name, bool local) {
  while (now_.token.symbol == '.') {
    Advance();
    name += "." + NameOf(now_);
    Advance();
  }
  Advance();  // over = or TO
  name = Folded(name);
  if (name == "session_authorization" && !local) Raise(kSessionAuthorization);
  const std::string value =
      now_.token.kind == TokenKind::kString ? std::string(PlainBody(now_.token)) : NameOf(now_);
  if (name == "search_path" && IsTemporarySchema(value)) Raise(kTempObject);
  Touch(std::move(name), local, now_.word == Word::kDefault);
}

void Reader::Touch(std::string name, bool local, bool reset) {
  // These three are the transaction's own, whichever way they are set.
  if (local || name == "transaction_isolation" || name == "transaction_read_only" ||
      name == "transaction_deferrable") {
    return Raise(kLocal);
  }
  Raise(reset ? kResets : kSets);
  std::vector<std::string>& names = effects_->names;
  if (std::find(names.begin(), names.end(), name) != names.end()) return;
  if (names.size() == kEffectNamesMax) return Raise(kUnknownSetting);
  names.push_back(std::move(name));
}

void Reader::Reset() {
  runs_ = false;
  Advance();
  const Seen what = now_;
  Advance();
  if (what.word == Word::kAll && AtEnd()) return Raise(kResetsAll);
  if (what.word == Word::kSession && now_.word == Word::kAuthorization) {
    Raise(kSessionAuthorization);
    return Touch("session_authorization", false, true);
  }
  if (what.word == Word::kTime && now_.word == Word::kZone) return Touch("timezone", false, true);
  if (what.word == Word::kTransaction) return Raise(kLocal);  // RESET TRANSACTION ISOLATION LEVEL
  std::string name = NameOf(what);
  while (now_.token.symbol == '.') {
    Advance();
    name += "." + NameOf(now_);
    Advance();
  }
  if (!name.empty()) Touch(Folded(name), false, true);
}

void Reader::Discard() {
  runs_ = false;
  Advance();
  if (now_.word == Word::kTemp || now_.word == Word::kTemporary) Raise(kDiscardsTemp);
  if (now_.word == Word::kAll) {
    Raise(kDiscardsAll | kResetsAll | kUnlistens | kDiscardsTemp | kUnlocksAll | kClosesAll |
          kDeallocatesAll);
  }
}

void Reader::Deallocate() {
  runs_ = false;
  Advance();
  const bool keyword = Accept(Word::kPrepare);
  if (now_.word == Word::kAll) return Raise(kDeallocatesAll);
  Raise(kDeallocates);
  effects_->deallocate = keyword && AtEnd() ? "prepare" : NameOf(now_);
}

void Reader::Create() {
  Advance();
  if (Accept(Word::kOr)) Accept(Word::kReplace);
  if (now_.word == Word::kLocal || now_.word == Word::kGlobal) Advance();
  temporary_ = Accept(Word::kTemp) || Accept(Word::kTemporary);
  Accept(Word::kUnlogged);
  defines_table_ = now_.word == Word::kTable;
  // A view's query, a function's body and their like are only stored.
  runs_ = now_.word == Word::kMaterialized;
}

// -- the rest ---------------------------------------------------------------------------------

void Reader::Inspect() {
  if (defines_table_) InspectTable();
  if (verb_ == Word::kSelect || verb_ == Word::kWith) InspectInto();
  const bool in_temporary_schema =
      verb_ == Word::kCreate && now_.token.symbol == '.' && IsTemporarySchema(NameOf(last_));
  if (in_temporary_schema) Raise(kTempObject);
  if (!runs_) return;
  if (verb_ == Word::kUpdate || verb_ == Word::kWith) InspectTarget();
  if (open_configs_ > 0) InspectConfig();
  if (now_.token.symbol == '(') InspectCall();
}

// CREATE TABLE runs a query behind AS and computes the bounds of a partition behind VALUES; its
// defaults and checks are only stored.
void Reader::InspectTable() {
  if (depth_ > 0) return;
  if (now_.word == Word::kAs || now_.word == Word::kValues) runs_ = true;
  if (now_.word == Word::kExecute && last_.word == Word::kAs) Raise(kExecutes);
  if (now_.word == Word::kDrop && last_.word == Word::kCommit && before_last_.word == Word::kOn) {
    temporary_ = false;
  }
}

void Reader::InspectInto() {
  if (into_ == Into::kWanted) {
    switch (now_.word) {
      case Word::kLocal:
      case Word::kGlobal:
      case Word::kTable:
      case Word::kUnlogged:
        return;
      case Word::kTemp:
      case Word::kTemporary:
        Raise(kTempObject);
        break;
      default:
        break;
    }
    into_ = Into::kNamed;
  } else if (into_ == Into::kNamed) {
    if (now_.token.symbol == '.' && IsTemporarySchema(NameOf(last_))) Raise(kTempObject);
    into_ = Into::kNo;
  }
  const bool label = last_.token.symbol == '.' || last_.word == Word::kAs;
  if (now_.word == Word::kInto && !label && last_.word != Word::kInsert &&
      last_.word != Word::kMerge) {
    into_ = Into::kWanted;
  }
}

// UPDATE pg_settings is set_config for the rows it finds.
void Reader::InspectTarget() {
  if (now_.word == Word::kUpdate) {
    update_target_ = true;
    return;
  }
  if (!update_target_ || now_.word == Word::kOnly || now_.token.symbol == '.') return;
  const std::string name = NameOf(now_);
  if (name == "pg_settings") Raise(kUnknownSetting);
  update_target_ = name == "pg_catalog";
}

// At the bracket behind a name. Not a call: the columns of INSERT INTO t (, WITH t (, AS t (.
void Reader::InspectCall() {
  if (!IsName(last_)) return;
  const bool qualified = before_last_.token.symbol == '.';
  const Word before = before_last_.word;
  if (!qualified && (before == Word::kInto || before == Word::kAs || before == Word::kWith ||
                     before == Word::kRecursive)) {
    return;
  }
  const SessionCall* const call = FindSessionCall(NameOf(last_));
  if (call == nullptr) return;
  if (qualified && !call->extension && NameOf(qualifier_) != "pg_catalog") return;
  if ((call->flags & kUnknownSetting) == 0) return Raise(call->flags);
  if (open_configs_ == configs_.size()) return Raise(kUnknownSetting);
  configs_[open_configs_] = ConfigCall();
  configs_[open_configs_].depth = depth_ + 1;
  ++open_configs_;
}

// A token behind the opening bracket of a set_config call; depth_ counts a bracket once it is
// behind, and no more once it is closed.
void Reader::InspectConfig() {
  ConfigCall& call = configs_[open_configs_ - 1];
  if (now_.token.symbol == ')' && depth_ + 1 == call.depth) {
    call.EndArgument();
    OnConfigCall(call);
    --open_configs_;
    // What is around it is an argument that is no literal.
    if (open_configs_ > 0) configs_[open_configs_ - 1].current.literal = false;
  } else if (now_.token.symbol == ',' && depth_ == call.depth) {
    call.EndArgument();
  } else if (depth_ == call.depth) {
    call.current.OnToken(now_.token);
  } else {
    call.current.literal = false;
  }
}

void Reader::OnConfigCall(const ConfigCall& call) {
  const std::string& local = call.is_local;
  constexpr std::string_view kOn[] = {"true", "t", "on", "yes", "y", "1"};
  constexpr std::string_view kOff[] = {"false", "f", "off", "no", "n", "0", "null"};
  if (std::find(std::begin(kOn), std::end(kOn), local) != std::end(kOn)) return Raise(kLocal);
  const bool session = std::find(std::begin(kOff), std::end(kOff), local) != std::end(kOff);
  if (!session || call.name.empty() || call.number != 3) return Raise(kUnknownSetting);
  if (call.name == "session_authorization") Raise(kSessionAuthorization);
  Touch(call.name, false, false);
}

}  // namespace

SessionEffects ReadEffects(std::string_view text, LexOptions options) {
  SessionEffects effects;
  Splitter splitter(text, options);
  std::string_view statement;
  size_t statements = 0;
  while (splitter.Next(&statement)) {
    ++statements;
    Reader(statement, options, &effects).Run();
  }
  if (statements > 1 || effects.flags != kDeallocates) effects.deallocate.clear();
  return effects;
}

}  // namespace sql
