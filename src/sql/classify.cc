#include "sql/classify.h"

#include <algorithm>
#include <string>
#include <utility>

#include "sql/details.h"
#include "sql/split.h"
#include "sql/tokens.h"
#include "sql/words.h"

namespace sql {
namespace {

Call CallOf(const Token& name) {
  return IsName(name) ? FindCall(IdentifierName(name)) : Call::kNone;
}

class Classifier {
 public:
  Classifier(std::string_view text, LexOptions options, const FunctionNames* writing)
      : lexer_(text, options), writing_(writing) {}

  Statement Run();
  bool has_details() const { return has_details_; }

 private:
  // -- tokens -------------------------------------------------------------------------------
  void Advance();
  bool AtEnd() const { return token_.kind == TokenKind::kEnd; }
  bool Accept(Word word);
  std::string TakeName();

  // -- the head: each leaves token_ behind what it understood ---------------------------------
  bool Prefix();
  bool Explain();
  bool ExplainOptions();
  bool Prepare();
  bool Declare();
  bool Copy();
  void Verb();
  bool TransactionControl(Word verb);
  void BeginModes();
  void Rollback(bool may_name_savepoint);
  void CommitRest();
  void Set();
  void Create();
  void Deallocate();

  // -- the rest -------------------------------------------------------------------------------
  void Inspect();
  void InspectWord();
  void InspectCall(const Token& name);
  bool Writes(const Token& name) const;
  void InspectInto();
  void Raise(Effect effect);

  Lexer lexer_;
  Boundary boundary_;
  Token token_;
  Token last_;  // the token before token_
  const FunctionNames* const writing_;  // null: there are none
  Token earlier_[2];                    // before last_, the later one first; with writing_ only
  Word word_ = Word::kNone;
  Word last_word_ = Word::kNone;
  bool started_ = false;  // true exactly after the first Advance()

  Statement statement_;
  bool runs_query_ = true;      // true exactly when the rest is executed and so worth inspecting
  bool preparing_ = false;      // within PREPARE name AS
  bool copying_query_ = false;  // within COPY ( query ) TO
  bool with_ = false;           // WITH was seen
  bool inserts_ = false;        // INSERT was seen
  bool search_ = false;         // SEARCH or CYCLE was seen: a CTE need not end in a bracket
  bool into_ = false;           // directly behind SELECT ... INTO
  bool tries_ = false;          // tries to take a session's lock
  bool keeps_ = false;          // a call does something else to the session
  bool has_details_ = false;
  bool unreadable_ = false;     // a token without end, or a name spelt with UESCAPE
};

Statement Classifier::Run() {
  Advance();
  if (AtEnd()) {
    statement_.empty = !unreadable_;
    statement_.effect = unreadable_ ? Effect::kUnknown : Effect::kRead;
    return std::move(statement_);
  }
  has_details_ = HasDetails(word_);
  while (Prefix()) {
  }
  Verb();
  while (!AtEnd()) {
    Inspect();
    Advance();
  }
  if (statement_.several || unreadable_) {
    const bool several = statement_.several;
    statement_ = Statement();
    statement_.several = several;
    return std::move(statement_);
  }
  if (statement_.effect == Effect::kSession && tries_ && !keeps_) statement_.one_server = true;
  if (preparing_) {
    statement_.prepared = statement_.effect;
    statement_.effect = Effect::kSession;
  }
  return std::move(statement_);
}

// -- tokens ---------------------------------------------------------------------------------

// Moves to the next token of the statement. Semicolons that end a statement are no tokens here; a
// token behind one ends the statement and makes it `several`.
void Classifier::Advance() {
  if (started_ && AtEnd()) return;
  const bool first = !started_;
  bool ended = false;
  started_ = true;
  if (writing_ != nullptr) {
    earlier_[1] = earlier_[0];
    earlier_[0] = last_;
  }
  last_ = token_;
  last_word_ = word_;
  for (;;) {
    token_ = lexer_.Next();
    unreadable_ = unreadable_ || !token_.terminated;
    word_ = token_.kind == TokenKind::kIdentifier ? FindWord(token_.text) : Word::kNone;
    if (AtEnd()) return;
    if (!boundary_.OnToken(token_, word_)) break;
    ended = !first;
  }
  if (ended) {
    statement_.several = true;
    token_ = Token();
    word_ = Word::kNone;
  }
}

bool Classifier::Accept(Word word) {
  if (word_ != word) return false;
  Advance();
  return true;
}

std::string Classifier::TakeName() {
  if (!IsName(token_)) return std::string();
  const Token name = token_;
  Advance();
  if (!IsUnicodeName(name) || word_ != Word::kUescape) return IdentifierName(name);
  Advance();
  const std::string_view escape = token_.text;
  if (token_.kind != TokenKind::kString || escape.size() != 3) return std::string();
  Advance();
  return IdentifierName(name, escape[1]);
}

// -- the head -------------------------------------------------------------------------------

// Brackets and statements that hold another statement. True: there may be one more.
bool Classifier::Prefix() {
  if (token_.symbol == '(') {
    Advance();
    return true;
  }
  switch (word_) {
    case Word::kExplain:
      return Explain();
    case Word::kPrepare:
      return Prepare();
    case Word::kDeclare:
      return Declare();
    case Word::kCopy:
      return Copy();
    default:
      return false;
  }
}

bool Classifier::Explain() {
  Advance();
  bool analyze = false;
  if (token_.symbol == '(') {
    Advance();
    if (word_ == Word::kSelect || word_ == Word::kValues || word_ == Word::kTable ||
        word_ == Word::kWith || token_.symbol == '(') {
      // EXPLAIN (SELECT ...): no options, a query in brackets.
    } else {
      analyze = ExplainOptions();
    }
  } else if (word_ == Word::kAnalyze || word_ == Word::kAnalyse) {
    analyze = true;
    Advance();
    Accept(Word::kVerbose);
  } else {
    Accept(Word::kVerbose);
  }
  if (analyze) return true;
  statement_.effect = Effect::kRead;
  runs_query_ = false;
  return false;
}

// The list behind EXPLAIN (: true if ANALYZE is on; the last one counts.
bool Classifier::ExplainOptions() {
  bool analyze = false;
  while (!AtEnd()) {
    const bool named = IsName(token_) &&
                       (IdentifierName(token_) == "analyze" || IdentifierName(token_) == "analyse");
    Advance();
    if (named) {
      analyze = token_.symbol == ',' || token_.symbol == ')' || OptionIsOn(token_);
    }
    while (!AtEnd() && token_.symbol != ',' && token_.symbol != ')') Advance();
    const bool last = token_.symbol == ')';
    Advance();
    if (last) break;
  }
  return analyze;
}

bool Classifier::Prepare() {
  Advance();
  if (word_ == Word::kTransaction) {
    Advance();
    if (token_.kind == TokenKind::kString) {
      statement_.effect = Effect::kControl;
      statement_.control = Control::kPrepare;
      runs_query_ = false;
      return false;
    }
    statement_.name = "transaction";  // a prepared statement of that name
  } else {
    statement_.name = TakeName();
  }
  while (!AtEnd() && !(word_ == Word::kAs && boundary_.depth() == 0)) Advance();
  if (AtEnd()) return false;
  Advance();
  preparing_ = true;
  return true;
}

bool Classifier::Declare() {
  Advance();
  while (!AtEnd() && word_ != Word::kFor) {
    if (word_ == Word::kHold && last_word_ == Word::kWith) statement_.temporary = true;
    Advance();
  }
  if (AtEnd()) return false;
  Advance();
  return true;
}

// STDIN and STDOUT mean the same in either direction: FROM STDOUT reads CopyData too.
bool Classifier::Copy() {
  Advance();
  if (token_.symbol == '(') {
    Advance();
    copying_query_ = true;
    return true;
  }
  while (!AtEnd() && !((word_ == Word::kFrom || word_ == Word::kTo) && last_.symbol != '.' &&
                       boundary_.depth() == 0)) {
    Inspect();
    Advance();
  }
  runs_query_ = false;
  if (AtEnd()) return false;
  const bool from = word_ == Word::kFrom;
  Advance();
  const bool client = word_ == Word::kStdin || word_ == Word::kStdout;
  if (from) {
    statement_.effect = Effect::kWrite;
    statement_.copy_in = client;
  } else {
    statement_.effect = client ? Effect::kRead : Effect::kOther;
    statement_.one_server = !client;
  }
  return false;
}

void Classifier::Verb() {
  if (!runs_query_) return;  // a prefix has said it all
  const Word verb = word_;
  if (TransactionControl(verb)) {
    runs_query_ = false;
    return;
  }
  statement_.effect = EffectOfVerb(verb);
  switch (verb) {
    case Word::kSet:
      runs_query_ = false;
      Set();
      break;
    case Word::kCreate:
      Create();
      break;
    case Word::kAlter:
      runs_query_ = false;
      Advance();
      if (word_ == Word::kSystem) {
        statement_.effect = Effect::kOther;
        statement_.one_server = true;
      }
      break;
    case Word::kTruncate:
      statement_.objects = true;
      runs_query_ = false;
      break;
    case Word::kCheckpoint:
      statement_.one_server = true;
      runs_query_ = false;
      break;
    case Word::kDeallocate:
      runs_query_ = false;
      Deallocate();
      break;
    case Word::kExecute:
      runs_query_ = false;
      Advance();
      statement_.name = TakeName();
      break;
    case Word::kLock:
      runs_query_ = false;
      statement_.locking = true;
      break;
    case Word::kFetch:
    case Word::kMove:
    case Word::kClose:
      runs_query_ = false;
      statement_.session_read = true;
      break;
    default:
      runs_query_ = statement_.effect == Effect::kRead || statement_.effect == Effect::kWrite;
  }
}

bool Classifier::TransactionControl(Word verb) {
  Control control = Control::kNone;
  switch (verb) {
    case Word::kBegin:
    case Word::kStart:
      control = Control::kBegin;
      break;
    case Word::kCommit:
    case Word::kEnd:
      control = Control::kCommit;
      break;
    case Word::kRollback:
    case Word::kAbort:
      control = Control::kRollback;
      break;
    case Word::kSavepoint:
      control = Control::kSavepoint;
      break;
    case Word::kRelease:
      control = Control::kRelease;
      break;
    default:
      return false;
  }
  Advance();
  if (verb == Word::kStart && word_ != Word::kTransaction) return false;  // not SQL
  statement_.effect = Effect::kControl;
  statement_.control = control;
  if (control == Control::kBegin) {
    BeginModes();
  } else if (control == Control::kCommit) {
    if (verb == Word::kCommit && word_ == Word::kPrepared) {
      statement_.control = Control::kCommitPrepared;
    }
    CommitRest();
  } else if (control == Control::kRollback) {
    Rollback(verb == Word::kRollback);
  } else {
    const bool keyword = control == Control::kRelease && word_ == Word::kSavepoint;
    if (keyword) Advance();
    statement_.name = keyword && AtEnd() ? "savepoint" : TakeName();
  }
  return true;
}

void Classifier::BeginModes() {
  for (; !AtEnd(); Advance()) {
    if (last_word_ != Word::kRead) continue;
    if (word_ == Word::kOnly) statement_.read_only = true;
    if (word_ == Word::kWrite) statement_.read_only = false;
  }
}

void Classifier::Rollback(bool may_name_savepoint) {
  if (may_name_savepoint && word_ == Word::kPrepared) {
    statement_.control = Control::kRollbackPrepared;
    return;
  }
  if (word_ == Word::kWork || word_ == Word::kTransaction) Advance();
  if (!may_name_savepoint || !Accept(Word::kTo)) {
    CommitRest();
    return;
  }
  statement_.control = Control::kRollbackTo;
  const bool keyword = Accept(Word::kSavepoint);
  statement_.name = keyword && AtEnd() ? "savepoint" : TakeName();
}

void Classifier::CommitRest() {
  for (; !AtEnd(); Advance()) {
    if (word_ == Word::kChain && last_word_ == Word::kAnd) statement_.chain = true;
  }
}

// SET [SESSION | LOCAL] name ..., SET TRANSACTION ..., SET CONSTRAINTS ...; but `local`, `session`
// and so on may also be the first part of a setting's name (local.x).
void Classifier::Set() {
  const auto is_setting = [this] {
    return token_.symbol == '.' || token_.symbol == '=' || word_ == Word::kTo;
  };
  Advance();
  if (word_ == Word::kSession || word_ == Word::kLocal) {
    const bool local = word_ == Word::kLocal;
    Advance();
    if (is_setting()) return;
    statement_.local = local;
  }
  if (word_ != Word::kTransaction && word_ != Word::kConstraints) return;
  const bool transaction = word_ == Word::kTransaction;
  Advance();
  if (is_setting()) return;
  statement_.local = true;
  if (transaction) BeginModes();
}

void Classifier::Create() {
  Advance();
  if (Accept(Word::kOr)) Accept(Word::kReplace);
  if (word_ == Word::kLocal || word_ == Word::kGlobal) Advance();
  if (word_ == Word::kTemp || word_ == Word::kTemporary) {
    statement_.temporary = true;
    Advance();
  }
  Accept(Word::kUnlogged);
  // CREATE TABLE AS and CREATE MATERIALIZED VIEW run a query at once; others only store it.
  runs_query_ = word_ == Word::kTable || word_ == Word::kMaterialized;
}

void Classifier::Deallocate() {
  Advance();
  const bool keyword = Accept(Word::kPrepare);
  if (keyword && AtEnd()) {
    statement_.name = "prepare";
  } else if (!IsWord(token_, "all")) {
    statement_.name = TakeName();
  }
}

// -- the rest -------------------------------------------------------------------------------

void Classifier::Inspect() {
  if (token_.symbol == '.') {
    if (IsTemporarySchema(last_)) statement_.temporary = true;
  } else if (token_.symbol == '(') {
    if (runs_query_ && IsName(last_)) {
      if (last_word_ == Word::kNone) InspectCall(last_);
      if (writing_ != nullptr && Writes(last_)) Raise(Effect::kWrite);
    }
  } else if (word_ != Word::kNone && runs_query_) {
    InspectWord();
  }
  if (into_) InspectInto();
}

// The words that follow are reserved, so outside of quotes they are what they look like, except as
// a label (AS into) or a field (t.into). INSERT, UPDATE and DELETE are not: they count where a CTE
// or the statement behind the CTEs may begin.
void Classifier::InspectWord() {
  if (word_ == Word::kWith) with_ = true;  // behind PREPARE ... AS too
  inserts_ = inserts_ || word_ == Word::kInsert;
  if (last_.symbol == '.' || last_word_ == Word::kAs) return;
  switch (word_) {
    case Word::kSearch:
    case Word::kCycle:
      search_ = true;
      break;
    case Word::kInsert:
    case Word::kUpdate:
    case Word::kDelete:
    case Word::kMerge:
      if (with_ && last_word_ != Word::kFor &&
          (last_.symbol == '(' || last_.symbol == ')' || search_)) {
        Raise(Effect::kWrite);
      } else if (last_word_ == Word::kFor) {
        statement_.locking = true;
      }
      break;
    case Word::kInto:
      into_ = last_word_ != Word::kInsert && last_word_ != Word::kMerge;
      statement_.objects = statement_.objects || into_;
      Raise(Effect::kWrite);
      break;
    case Word::kShare:
    case Word::kNo:
    case Word::kKey:
      if (last_word_ == Word::kFor) statement_.locking = true;
      break;
    case Word::kOf:
      if (last_word_ != Word::kCurrent || preparing_) break;
      Advance();
      statement_.cursor = true;
      statement_.name = TakeName();
      break;
    case Word::kReturning:
      statement_.returning = inserts_;
      break;
    case Word::kUescape:
      if (IsUnicodeName(last_)) unreadable_ = true;
      break;
    case Word::kTo:
      // COPY (query) TO: what is not the client is a file or a program of the server.
      if (copying_query_ && boundary_.depth() == 0) {
        Advance();
        if (word_ != Word::kStdout && word_ != Word::kStdin) {
          Raise(Effect::kOther);
          statement_.one_server = true;
        }
        copying_query_ = false;
      }
      break;
    default:
      break;
  }
}

void Classifier::InspectInto() {
  if (word_ == Word::kInto || word_ == Word::kLocal || word_ == Word::kGlobal) {
    return;
  }
  statement_.temporary |= word_ == Word::kTemp || word_ == Word::kTemporary;
  into_ = false;
}

void Classifier::InspectCall(const Token& name) {
  const Call call = CallOf(name);
  switch (call) {
    case Call::kNone:
      break;
    case Call::kWrite:
      Raise(Effect::kWrite);
      break;
    case Call::kSession:
      keeps_ = true;
      Raise(Effect::kSession);
      break;
    case Call::kTryLock:
    case Call::kSessionLock:
      (call == Call::kTryLock ? tries_ : keeps_) = true;
      statement_.session_lock = true;
      Raise(Effect::kSession);
      break;
    case Call::kTransactionLock:
      statement_.locking = true;
      break;
    case Call::kSessionRead:
      statement_.session_read = true;
      break;
    case Call::kServer:
    case Call::kOutside:
      statement_.one_server = true;
      Raise(Effect::kOther);
      break;
    case Call::kNotify:
      Raise(Effect::kOther);
      break;
  }
}

bool Classifier::Writes(const Token& name) const {
  const bool qualified = earlier_[0].symbol == '.' && IsName(earlier_[1]);
  return writing_->Contains(qualified ? IdentifierName(earlier_[1]) : std::string(),
                            IdentifierName(name));
}

// The stronger effect wins: the order of the enum, but anything before kRead.
void Classifier::Raise(Effect effect) {
  if (statement_.effect == Effect::kRead || effect < statement_.effect) statement_.effect = effect;
}

}  // namespace

Statement Classify(std::string_view text, LexOptions options, const FunctionNames* writing) {
  const bool any = writing != nullptr && !writing->empty();
  Classifier classifier(text, options, any ? writing : nullptr);
  Statement statement = classifier.Run();
  if (classifier.has_details() && !statement.several) {
    AddDetails(text, options, &statement);
  }
  return statement;
}

}  // namespace sql
