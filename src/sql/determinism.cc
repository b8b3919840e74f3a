#include "sql/determinism.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "sql/builtins.h"
#include "sql/classify.h"
#include "sql/tokens.h"
#include "sql/words.h"

namespace sql {
namespace {

struct NameRow {
  std::string_view name;
  Rule rule;
};

// Calls; sorted by name.
constexpr NameRow kCalls[] = {
    {"array_agg", Rule::kAggregateOrder},
    {"array_sample", Rule::kRandom},
    {"array_shuffle", Rule::kRandom},
    {"clock_timestamp", Rule::kClock},
    {"current_database", Rule::kUser},
    {"current_query", Rule::kServerFact},
    {"current_schema", Rule::kUser},
    {"current_schemas", Rule::kUser},
    {"current_setting", Rule::kServerFact},
    {"currval", Rule::kSequenceSession},
    {"dense_rank", Rule::kAggregateOrder},
    {"first_value", Rule::kAggregateOrder},
    {"gen_random_bytes", Rule::kRandom},
    {"gen_random_uuid", Rule::kUuid},
    {"gen_salt", Rule::kRandom},
    {"getpgusername", Rule::kUser},
    {"inet_client_addr", Rule::kServerFact},
    {"inet_client_port", Rule::kServerFact},
    {"inet_server_addr", Rule::kServerFact},
    {"inet_server_port", Rule::kServerFact},
    {"json_agg", Rule::kAggregateOrder},
    {"json_arrayagg", Rule::kAggregateOrder},
    {"json_object_agg", Rule::kAggregateOrder},
    {"jsonb_agg", Rule::kAggregateOrder},
    {"lag", Rule::kAggregateOrder},
    {"last_value", Rule::kAggregateOrder},
    {"lastval", Rule::kSequenceSession},
    {"lead", Rule::kAggregateOrder},
    {"loread", Rule::kLargeObject},
    {"lowrite", Rule::kLargeObject},
    {"nextval", Rule::kSequenceCall},
    {"normal_rand", Rule::kRandom},
    {"now", Rule::kClock},
    {"nth_value", Rule::kAggregateOrder},
    {"ntile", Rule::kAggregateOrder},
    {"pg_backend_pid", Rule::kServerFact},
    {"pg_blocking_pids", Rule::kServerFact},
    {"pg_conf_load_time", Rule::kServerFact},
    {"pg_current_snapshot", Rule::kTransactionId},
    {"pg_current_wal_flush_lsn", Rule::kTransactionId},
    {"pg_current_wal_insert_lsn", Rule::kTransactionId},
    {"pg_current_wal_lsn", Rule::kTransactionId},
    {"pg_current_xact_id", Rule::kTransactionId},
    {"pg_current_xact_id_if_assigned", Rule::kTransactionId},
    {"pg_database_size", Rule::kServerFact},
    {"pg_export_snapshot", Rule::kTransactionId},
    {"pg_indexes_size", Rule::kServerFact},
    {"pg_is_in_recovery", Rule::kServerFact},
    {"pg_last_committed_xact", Rule::kTransactionId},
    {"pg_ls_dir", Rule::kServerFact},
    {"pg_my_temp_schema", Rule::kServerFact},
    {"pg_notify", Rule::kNotify},
    {"pg_postmaster_start_time", Rule::kServerFact},
    {"pg_read_binary_file", Rule::kServerFact},
    {"pg_read_file", Rule::kServerFact},
    {"pg_relation_filenode", Rule::kServerFact},
    {"pg_relation_size", Rule::kServerFact},
    {"pg_stat_file", Rule::kServerFact},
    {"pg_table_size", Rule::kServerFact},
    {"pg_total_relation_size", Rule::kServerFact},
    {"pg_xact_commit_timestamp", Rule::kTransactionId},
    {"random", Rule::kRandom},
    {"random_normal", Rule::kRandom},
    {"row_number", Rule::kAggregateOrder},
    {"statement_timestamp", Rule::kClock},
    {"string_agg", Rule::kAggregateOrder},
    {"timeofday", Rule::kClock},
    {"transaction_timestamp", Rule::kClock},
    {"txid_current", Rule::kTransactionId},
    {"txid_current_if_assigned", Rule::kTransactionId},
    {"txid_current_snapshot", Rule::kTransactionId},
    {"uuid_generate_v1", Rule::kUuid},
    {"uuid_generate_v1mc", Rule::kUuid},
    {"uuid_generate_v4", Rule::kUuid},
    {"uuidv4", Rule::kUuid},
    {"uuidv7", Rule::kUuid},
    {"version", Rule::kServerFact},
    {"xmlagg", Rule::kAggregateOrder},
};

// Words that are values without parentheses; sorted by name.
constexpr NameRow kValues[] = {
    {"cmax", Rule::kRowAddress},
    {"cmin", Rule::kRowAddress},
    {"ctid", Rule::kRowAddress},
    {"current_catalog", Rule::kUser},
    {"current_date", Rule::kClock},
    {"current_role", Rule::kUser},
    {"current_schema", Rule::kUser},
    {"current_time", Rule::kClock},
    {"current_timestamp", Rule::kClock},
    {"current_user", Rule::kUser},
    {"localtime", Rule::kClock},
    {"localtimestamp", Rule::kClock},
    {"session_user", Rule::kUser},
    {"system_user", Rule::kUser},
    {"tableoid", Rule::kRowAddress},
    {"tablesample", Rule::kTableSample},
    {"user", Rule::kUser},
    {"xmax", Rule::kRowAddress},
    {"xmin", Rule::kRowAddress},
};

constexpr bool SortedByName(const NameRow& a, const NameRow& b) { return a.name < b.name; }
static_assert(std::is_sorted(std::begin(kCalls), std::end(kCalls), SortedByName));
static_assert(std::is_sorted(std::begin(kValues), std::end(kValues), SortedByName));

const NameRow* Find(std::span<const NameRow> rows, std::string_view name) {
  const auto row = std::lower_bound(
      rows.begin(), rows.end(), name,
      [](const NameRow& candidate, std::string_view wanted) { return candidate.name < wanted; });
  return row != rows.end() && row->name == name ? &*row : nullptr;
}

// What calls of `name` are about, if a rule is.
bool FindCallRule(std::string_view name, Rule* rule) {
  const NameRow* row = Find(kCalls, name);
  if (row != nullptr) {
    *rule = row->rule;
  } else if (name.starts_with("dblink")) {
    *rule = Rule::kOtherServer;
  } else if (name.starts_with("lo_")) {
    *rule = Rule::kLargeObject;
  } else if (name.starts_with("pg_advisory_") || name.starts_with("pg_try_advisory_")) {
    *rule = Rule::kAdvisoryLock;
  } else {
    return false;
  }
  return true;
}

// A name that stands behind one of these and before a parenthesis is a call; behind another word it
// is a table, a type or an alias.
constexpr std::string_view kBeforeCalls[] = {
    "all",       "and",    "any",     "between", "by",     "call",  "case", "default", "distinct",
    "else",      "elsif",  "from",    "having",  "if",     "ilike", "in",   "is",      "join",
    "lateral",   "like",   "limit",   "not",     "offset", "on",    "or",   "perform", "return",
    "returning", "select", "similar", "some",    "then",   "using", "when", "where",   "while"};

bool ComesBeforeCalls(std::string_view word) {
  return std::find(std::begin(kBeforeCalls), std::end(kBeforeCalls), word) !=
         std::end(kBeforeCalls);
}

// The code within '...' or $tag$...$tag$.
std::string_view Inside(std::string_view literal) {
  const size_t head = literal[0] == '$' ? literal.find('$', 1) + 1 : literal.find('\'') + 1;
  const size_t tail = literal[0] == '$' ? head : 1;
  return literal.size() < head + tail ? std::string_view()
                                      : literal.substr(head, literal.size() - head - tail);
}

class Scan {
 public:
  Scan(std::string_view text, LexOptions options, const FunctionNames* writing,
       std::vector<Finding>* findings)
      : options_(options), writing_(writing), findings_(findings) {
    Lexer lexer(text, options);
    for (Token token = lexer.Next(); token.kind != TokenKind::kEnd; token = lexer.Next()) {
      tokens_.push_back(token);
      names_.push_back(IsName(token) ? IdentifierName(token) : std::string());
    }
  }

  // `values`: what the values of the text are matters. `calls`: which functions it calls does.
  void Run(bool values, bool calls);
  void Verbs(const Statement& facts);

 private:
  // What stands within one pair of parentheses, or in none.
  struct Frame {
    std::string call;  // the function whose arguments these are
    std::string schema;
    bool window = false;  // the OVER (...) of `call`
    bool exists = false;  // behind EXISTS: how many rows, and which, does not matter
    bool order = false;
    bool limit = false;
    bool several = false;  // arguments
    bool insert = false;
    bool query = false;  // the rows that are inserted come from a table
  };

  std::string_view Name(size_t i) const {
    return i < names_.size() ? std::string_view(names_[i]) : std::string_view();
  }
  // An unquoted word; only those are keywords.
  bool Is(size_t i, std::string_view word) const {
    return i < tokens_.size() && tokens_[i].kind == TokenKind::kIdentifier && names_[i] == word;
  }
  bool IsSymbol(size_t i, std::string_view text) const {
    return i < tokens_.size() && tokens_[i].text == text &&
           (tokens_[i].kind == TokenKind::kSymbol || tokens_[i].kind == TokenKind::kOperator);
  }
  // The first token of the dotted name that ends at `i`.
  size_t NameStart(size_t i) const {
    while (i >= 2 && IsSymbol(i - 1, ".") && IsName(tokens_[i - 2])) {
      i -= 2;
    }
    return i;
  }
  void Add(Rule rule, std::string_view name) { findings_->push_back({rule, std::string(name)}); }
  void Word(size_t i);
  void Value(size_t i);
  void Literal(size_t i);
  void Insert(size_t i);
  void Open(size_t i);
  void Close(size_t i);
  void Called(const Frame& frame, size_t close);
  bool MayBeCall(size_t i) const;

  const LexOptions options_;
  const FunctionNames* const writing_;
  std::vector<Finding>* const findings_;
  std::vector<Token> tokens_;
  std::vector<std::string> names_;  // of the same index; empty for what is no name
  std::vector<Frame> frames_;
  std::string closed_;  // the call that the last token closed
  bool values_ = false;
  bool calls_ = false;
};

void Scan::Run(bool values, bool calls) {
  values_ = values;
  calls_ = calls;
  frames_.assign(1, Frame{});
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (IsSymbol(i, "(")) {
      Open(i);
    } else if (IsSymbol(i, ")") && frames_.size() > 1) {
      Close(i);
      continue;  // keeps closed_
    } else if (IsSymbol(i, ",")) {
      frames_.back().several = true;
    } else if (IsSymbol(i, ";") && frames_.size() == 1) {
      Close(i);
      frames_.assign(1, Frame{});
    } else if (IsName(tokens_[i])) {
      Word(i);
    } else if (tokens_[i].kind == TokenKind::kString) {
      Literal(i);
    }
    if (!Is(i, "over") && !Is(i, "filter")) {
      closed_.clear();
    }
  }
  while (!frames_.empty()) {
    Close(tokens_.size());
  }
}

void Scan::Word(size_t i) {
  Frame& frame = frames_.back();
  if (Is(i, "order") && Is(i + 1, "by")) {
    frame.order = true;
  } else if ((Is(i, "limit") && !Is(i + 1, "all")) ||
             (Is(i, "fetch") && (Is(i + 1, "first") || Is(i + 1, "next")))) {
    frame.limit = true;
  } else if (Is(i, "from") && frame.insert) {
    frame.query = true;
  } else if (Is(i, "insert") && !IsSymbol(i + 1, ".")) {
    Insert(i);
  } else if (values_ && Is(i, "skip") && Is(i + 1, "locked")) {
    Add(Rule::kSkipLocked, "");
  } else if (values_ && Is(i, "default") && i > 0 &&
             (IsSymbol(i - 1, "(") || IsSymbol(i - 1, ",") || IsSymbol(i - 1, "="))) {
    Add(Rule::kDefaultValue, "");
  } else if (values_) {
    Value(i);
  }
}

void Scan::Value(size_t i) {
  const NameRow* row =
      tokens_[i].kind == TokenKind::kIdentifier ? Find(kValues, names_[i]) : nullptr;
  if (row == nullptr) {
    return;
  }
  const bool dotted = i > 0 && IsSymbol(i - 1, ".");
  // "OWNER TO CURRENT_USER" names who it is.
  const bool role = i > 0 && (Is(i - 1, "to") || Is(i - 1, "for") || Is(i - 1, "role") ||
                              Is(i - 1, "authorization") || Is(i - 1, "create") ||
                              Is(i - 1, "alter") || Is(i - 1, "drop"));
  if (row->rule == Rule::kUser ? !dotted && !role : row->rule == Rule::kRowAddress || !dotted) {
    Add(row->rule, row->name);
  }
}

// 'now'::timestamp, date 'today'
void Scan::Literal(size_t i) {
  constexpr std::string_view kNow[] = {"'now'", "'today'", "'tomorrow'", "'yesterday'"};
  constexpr std::string_view kTypes[] = {"date",        "time",   "timestamp",
                                         "timestamptz", "timetz", "zone"};
  const auto* word = std::find_if(std::begin(kNow), std::end(kNow), [&](std::string_view text) {
    return EqualFolded(tokens_[i].text, text);
  });
  if (!values_ || word == std::end(kNow)) {
    return;
  }
  const bool typed =
      i > 0 && std::find(std::begin(kTypes), std::end(kTypes), Name(i - 1)) != std::end(kTypes);
  if (typed || IsSymbol(i + 1, "::")) {
    Add(Rule::kClock, *word);
  }
}

void Scan::Insert(size_t i) {
  const bool merge = i > 0 && Is(i - 1, "then");
  if (!Is(i + 1, "into") && !merge) {
    return;
  }
  frames_.back().insert = !merge;
  if (!values_) {
    return;
  }
  size_t at = i + 1;
  if (!merge) {
    at = i + 2;
    while (IsSymbol(at + 1, ".")) {
      at += 2;
    }
    at += 1;
    at += Is(at, "as") ? 2 : 0;
  }
  const bool names_columns = IsSymbol(at, "(") && !Is(at + 1, "select") && !Is(at + 1, "with") &&
                             !Is(at + 1, "values") && !Is(at + 1, "table");
  if (Is(at, "default")) {
    Add(Rule::kDefaultValue, "");
  } else if (!names_columns) {
    Add(Rule::kColumnsLeftOut, "");
  }
}

bool Scan::MayBeCall(size_t i) const {
  const size_t start = NameStart(i);
  if (start == 0 || Is(i, "insert")) {
    return false;
  }
  const Token& before = tokens_[start - 1];
  if (before.kind == TokenKind::kIdentifier) {
    return ComesBeforeCalls(names_[start - 1]);
  }
  return (before.kind == TokenKind::kSymbol || before.kind == TokenKind::kOperator) &&
         before.text != ")" && before.text != "]" && before.text != "::" && before.text != ".";
}

void Scan::Open(size_t i) {
  Frame frame;
  if (i > 0 && IsName(tokens_[i - 1])) {
    frame.exists = Is(i - 1, "exists");
    if (Is(i - 1, "over")) {
      frame.window = true;
      frame.call = closed_;
    } else if (MayBeCall(i - 1)) {
      frame.call = names_[i - 1];
      frame.schema = NameStart(i - 1) == i - 1 ? std::string() : names_[i - 3];
    }
  }
  frames_.push_back(std::move(frame));
}

void Scan::Close(size_t i) {
  const Frame frame = std::move(frames_.back());
  frames_.pop_back();
  if (values_ && frame.limit && !frame.order && !frame.exists) {
    Add(Rule::kLimitOrder, "");
  }
  if (values_ && frame.insert && frame.query && !frame.order) {
    Add(Rule::kInsertSelectOrder, "");
  }
  closed_.clear();
  if (frame.call.empty()) {
    return;
  }
  if (frame.window) {
    Rule rule = Rule::kClock;
    if (values_ && !frame.order && FindCallRule(frame.call, &rule) &&
        rule == Rule::kAggregateOrder) {
      Add(rule, frame.call);
    }
    return;
  }
  Called(frame, i);
  closed_ = frame.call;
}

void Scan::Called(const Frame& frame, size_t close) {
  // WITH a AS (...), frame(x) AS (...)
  if (Is(close + 1, "as") &&
      (IsSymbol(close + 2, "(") || Is(close + 2, "materialized") || Is(close + 2, "not"))) {
    return;
  }
  Rule rule = Rule::kClock;
  if (FindCallRule(frame.call, &rule)) {
    const bool ordered = rule == Rule::kAggregateOrder &&
                         (frame.order || Is(close + 1, "over") || Is(close + 1, "filter"));
    const bool always = rule == Rule::kAdvisoryLock || rule == Rule::kNotify ||
                        rule == Rule::kOtherServer;
    if ((values_ && !ordered) || always) {
      Add(rule, frame.call);
    }
  } else if (values_ && frame.call == "age" && !frame.several) {
    Add(Rule::kClock, frame.call);
  } else if (calls_ && (writing_ == nullptr || !writing_->Contains(frame.schema, frame.call)) &&
             ((!frame.schema.empty() && frame.schema != "pg_catalog") || !IsBuiltin(frame.call))) {
    Add(Rule::kUnknownFunction, frame.call);
  }
}

// What the statement as a whole is.
void Scan::Verbs(const Statement& facts) {
  const std::string_view verb = Name(0);
  if (facts.effect == Effect::kUnknown) {
    Add(Rule::kNotUnderstood, "");
  }
  if (facts.temporary) {
    Add(Is(0, "declare") ? Rule::kHoldCursor : Rule::kTemporaryTable, "");
  }
  if (Is(0, "listen") || Is(0, "unlisten") || Is(0, "notify")) {
    Add(Rule::kNotify, verb);
  }
  if (Is(0, "do")) {
    Add(Rule::kCodeBlock, "");
    for (const Token& token : tokens_) {
      if (token.kind == TokenKind::kString) {
        Scan(Inside(token.text), options_, writing_, findings_).Run(true, true);
      }
    }
  }
  for (size_t i = 1; i < tokens_.size(); ++i) {
    const bool copy = Is(0, "copy") && Is(i, "from");
    if (copy && i + 1 < tokens_.size() &&
        (Is(i + 1, "program") || tokens_[i + 1].kind == TokenKind::kString)) {
      Add(Rule::kCopyFile, Is(i + 1, "program") ? "program" : "");
    }
    if (facts.effect == Effect::kDdl && Name(i).ends_with("serial") && IsName(tokens_[i - 1])) {
      Add(Rule::kSequenceColumn, Name(i));
    }
    if (facts.effect == Effect::kDdl && Is(i, "identity") && Is(i - 1, "as")) {
      Add(Rule::kSequenceColumn, "identity");
    }
  }
}

// True exactly for a definition that runs nothing now, but when it is used.
bool RunsLater(std::string_view text, LexOptions options) {
  constexpr std::string_view kLater[] = {"view",    "function", "procedure", "rule",
                                         "trigger", "policy",   "aggregate"};
  Lexer lexer(text, options);
  for (int i = 0; i < 6; ++i) {
    const Token token = lexer.Next();
    if (token.kind != TokenKind::kIdentifier || EqualFolded(token.text, "materialized")) {
      return false;
    }
    const std::string name = IdentifierName(token);
    if (std::find(std::begin(kLater), std::end(kLater), name) != std::end(kLater)) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::vector<Finding> FindNondeterminism(std::string_view statement, LexOptions options,
                                        const FunctionNames* writing) {
  std::vector<Finding> findings;
  const Statement facts = Classify(statement, options, writing);
  const Effect effect = facts.prepared != Effect::kUnknown ? facts.prepared : facts.effect;
  const bool later = effect == Effect::kDdl && RunsLater(statement, options);
  const bool runs =
      effect == Effect::kWrite || effect == Effect::kExecute || effect == Effect::kUnknown;
  Scan scan(statement, options, writing, &findings);
  scan.Verbs(facts);
  scan.Run(runs || (effect == Effect::kDdl && !later), runs || effect == Effect::kRead);
  const bool other = std::any_of(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.rule == Rule::kOtherServer;  // which says more
  });
  if (facts.one_server && !other) {
    findings.push_back({Rule::kOneServer, ""});
  }
  std::sort(findings.begin(), findings.end(), [](const Finding& a, const Finding& b) {
    return std::pair(a.rule, std::string_view(a.name)) <
           std::pair(b.rule, std::string_view(b.name));
  });
  findings.erase(std::unique(findings.begin(), findings.end()), findings.end());
  return findings;
}

std::string Outline(std::string_view statement, size_t bytes_max, LexOptions options) {
  std::string outline;
  Lexer lexer(statement, options);
  bool glued = true;  // true exactly when the next token follows without a space
  for (Token token = lexer.Next(); token.kind != TokenKind::kEnd; token = lexer.Next()) {
    const bool constant = token.kind == TokenKind::kString || token.kind == TokenKind::kNumber ||
                          token.kind == TokenKind::kBitString;
    const bool closes = token.symbol == ')' || token.symbol == ',' || token.symbol == ';' ||
                        token.symbol == '.' || token.symbol == '(';
    if (!glued && !(closes && token.kind == TokenKind::kSymbol)) {
      outline += ' ';
    }
    outline += constant ? std::string_view("$") : token.text;
    glued = token.kind == TokenKind::kSymbol && (token.symbol == '(' || token.symbol == '.');
    if (outline.size() > bytes_max) {
      outline.resize(bytes_max);
      return outline + "...";
    }
  }
  return outline;
}

}  // namespace sql
