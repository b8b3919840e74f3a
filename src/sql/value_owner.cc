#include "sql/value_owner.h"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "sql/tokens.h"

namespace sql {
namespace {

constexpr int kCastsMax = 4;  // behind one value

bool IsOver(const Token& token) { return token.kind == TokenKind::kEnd || token.symbol == ';'; }

// A name whose spelling is all of it; behind U&"..." an UESCAPE may follow.
bool IsPlainName(const Token& token) { return IsName(token) && !IsUnicodeName(token); }

bool IsComparison(const Token& token) {
  constexpr std::string_view kSigns[] = {"=", "<>", "!=", "<", ">", "<=", ">="};
  return token.kind == TokenKind::kOperator &&
         std::find(std::begin(kSigns), std::end(kSigns), token.text) != std::end(kSigns);
}

bool IsSign(const Token& token) { return token.symbol == '-' || token.symbol == '+'; }

// Reserved words that stand for a value where a column could stand.
bool IsReserved(const Token& token) {
  return IsAnyWord(token, {"array", "case", "cast", "current_catalog", "current_date",
                           "current_role", "current_schema", "current_time", "current_timestamp",
                           "current_user", "default", "localtime", "localtimestamp", "null", "row",
                           "session_user", "system_user", "user"});
}

// Behind a condition of WHERE.
bool EndsCondition(const Token& token) {
  return IsOver(token) || token.symbol == ')' ||
         IsAnyWord(token, {"and", "or", "order", "group", "limit", "offset", "returning", "for",
                           "having", "fetch", "window"});
}

bool EndsElement(const Token& token) { return token.symbol == ',' || token.symbol == ')'; }

bool EndsAssignment(const Token& token) {
  return IsOver(token) || token.symbol == ',' || IsAnyWord(token, {"from", "where", "returning"});
}

// The tokens of a text, with a look at those to come.
struct Cursor {
  Lexer lexer;
  Token token;

  void Advance() { token = lexer.Next(); }
};

// Steps over `::type` in any number of them that one value has; false: over something else.
bool SkipCasts(Cursor* at) {
  for (int casts = 0; at->token.text == "::"; ++casts) {
    at->Advance();
    if (casts == kCastsMax || !IsPlainName(at->token)) {
      return false;
    }
    at->Advance();
    if (at->token.symbol == '.') {
      at->Advance();
      at->Advance();
    }
    if (at->token.symbol == '(') {
      at->Advance();
      at->Advance();
      if (at->token.symbol == ',') {
        at->Advance();
        at->Advance();
      }
      if (at->token.symbol != ')') {
        return false;
      }
      at->Advance();
    }
    for (int dimensions = 0; at->token.symbol == '['; ++dimensions) {
      at->Advance();
      if (dimensions == kCastsMax || at->token.symbol != ']') {
        return false;
      }
      at->Advance();
    }
  }
  return true;
}

// Steps over one value with its signs and casts: -1, $1::text, date '2020-01-01'. False: something
// else stands there.
bool SkipValue(Cursor* at) {
  for (int signs = 0; IsSign(at->token); ++signs) {
    if (signs == kCastsMax) {
      return false;
    }
    at->Advance();
  }
  if (IsPlainName(at->token) && !IsValue(at->token)) {
    at->Advance();
    if (at->token.kind != TokenKind::kString) {
      return false;
    }
  }
  if (!IsValue(at->token)) {
    return false;
  }
  at->Advance();
  return SkipCasts(at);
}

// True exactly when a condition on one table's columns can be told from others: there is one table,
// no query within the statement, and AND joins conditions only.
bool HasOneTable(Cursor at, bool from) {
  int froms = 0;
  for (at.Advance(); at.token.kind != TokenKind::kEnd; at.Advance()) {
    if (IsAnyWord(at.token, {"select", "join", "using", "with", "table", "values", "union",
                             "intersect", "except", "between", "insert", "delete", "into"})) {
      return false;
    }
    froms += IsWord(at.token, "from") ? 1 : 0;
  }
  return froms == (from ? 1 : 0);
}

class Reader {
 public:
  Reader(std::string_view text, LexOptions options, OnOwned on_token)
      : at_{Lexer(text, options), Token()}, on_token_(on_token) {
    at_.Advance();
  }

  void Run() {
    if (IsWord(at_.token, "insert")) {
      Insert();
    } else if (IsWord(at_.token, "update")) {
      Update();
    } else if (IsWord(at_.token, "delete")) {
      Delete();
    } else if (IsWord(at_.token, "select")) {
      Select();
    } else if (IsWord(at_.token, "set")) {
      Set();
    } else if (IsAnyWord(at_.token, {"prepare", "commit", "rollback"})) {
      Prepared();
    }
    while (at_.token.kind != TokenKind::kEnd) {
      if (!SettingCall()) {
        Take();
      }
    }
  }

 private:
  using Ends = bool (*)(const Token&);

  void Take(const Owner& owner = Owner()) {
    on_token_(at_.token, owner);
    at_.Advance();
  }
  bool TakeIf(std::string_view word) {
    const bool is = IsWord(at_.token, word);
    if (is) {
      Take();
    }
    return is;
  }
  bool TakeIf(char symbol) {
    const bool is = at_.token.symbol == symbol;
    if (is) {
      Take();
    }
    return is;
  }
  void TakeUpTo(const Cursor& behind, const Owner& owner) {
    while (at_.token.kind != TokenKind::kEnd && at_.token.text.data() != behind.token.text.data()) {
      Take(owner);
    }
  }
  Owner OwnerOf(std::string column) const {
    Owner owner{Owner::Whose::kColumn, table_};
    owner.column.column = std::move(column);
    return owner;
  }

  bool Table();
  bool Alias();
  void Element(const Owner& owner, Ends ends);
  void Insert();
  bool Columns(std::vector<std::string>* columns);
  void Rows(const std::vector<std::string>& columns, bool listed);
  void Assignments();
  void Update();
  void Delete();
  void Select();
  void Set();
  void Prepared();
  bool SettingCall();
  void Conditions();
  bool Condition();
  bool Reversed();
  bool ColumnAt(Cursor* at, std::string* column) const;
  void List(const Owner& owner);
  void Count();

  Cursor at_;
  const OnOwned on_token_;
  ColumnName table_;
  std::string alias_;  // what qualifies the table's columns
};

// [schema.]table
bool Reader::Table() {
  if (!IsPlainName(at_.token)) {
    return false;
  }
  table_.table = IdentifierName(at_.token);
  Take();
  if (TakeIf('.')) {
    if (!IsPlainName(at_.token)) {
      return false;
    }
    table_.schema = std::exchange(table_.table, IdentifierName(at_.token));
    Take();
  }
  alias_ = table_.table;
  return at_.token.symbol != '.';
}

// [[AS] name]; a list of columns behind it would rename them.
bool Reader::Alias() {
  const bool as = TakeIf("as");
  if (IsPlainName(at_.token) &&
      (as || !(EndsCondition(at_.token) ||
               IsAnyWord(at_.token, {"set", "where", "tablesample"})))) {
    alias_ = IdentifierName(at_.token);
    Take();
    return at_.token.symbol != '(';
  }
  return !as;
}

// One value of `owner`, or anything else, up to what `ends` it outside of brackets.
void Reader::Element(const Owner& owner, Ends ends) {
  Cursor ahead = at_;
  if (SkipValue(&ahead) && ends(ahead.token)) {
    TakeUpTo(ahead, owner);
    return;
  }
  for (int depth = 0; at_.token.kind != TokenKind::kEnd && (depth > 0 || !ends(at_.token));) {
    const char symbol = at_.token.symbol;
    depth += symbol == '(' || symbol == '[' ? 1 : symbol == ')' || symbol == ']' ? -1 : 0;
    Take();
  }
}

void Reader::Insert() {
  Take();
  if (!TakeIf("into") || !Table()) {
    return;
  }
  if (TakeIf("as")) {
    Take();
  }
  std::vector<std::string> columns;
  const bool listed = at_.token.symbol == '(';
  if (listed && !Columns(&columns)) {
    return;
  }
  if (TakeIf("overriding")) {
    Take();
    Take();
  }
  if (!TakeIf("values")) {
    return;
  }
  Rows(columns, listed);
  if (!IsWord(at_.token, "on")) {
    return;
  }
  while (at_.token.kind != TokenKind::kEnd && !IsWord(at_.token, "returning")) {
    if (TakeIf("set")) {
      Assignments();
      return;
    }
    Take();
  }
}

// (a, b.field, c[1]): the column that a part of is assigned to is known, too.
bool Reader::Columns(std::vector<std::string>* columns) {
  do {
    Take();
    if (!IsPlainName(at_.token) || IsAnyWord(at_.token, {"select", "with", "values", "table"}) ||
        columns->size() == kOwnedColumnsMax) {
      return false;
    }
    columns->push_back(IdentifierName(at_.token));
    Element(Owner(), EndsElement);
  } while (at_.token.symbol == ',');
  return TakeIf(')');
}

void Reader::Rows(const std::vector<std::string>& columns, bool listed) {
  while (at_.token.symbol == '(') {
    size_t place = 0;
    do {
      Take();
      const bool known = place < columns.size();
      Element(known ? OwnerOf(columns[place]) : listed ? Owner() : OwnerOf({}), EndsElement);
      ++place;
    } while (at_.token.symbol == ',');
    if (!TakeIf(')') || !TakeIf(',')) {
      return;
    }
  }
}

// a = v, b.field = v, (c, d) = ...
void Reader::Assignments() {
  do {
    Owner owner;
    if (IsPlainName(at_.token)) {
      owner = OwnerOf(IdentifierName(at_.token));
    }
    while (!EndsAssignment(at_.token) && at_.token.symbol != '=') {
      const bool nested = at_.token.symbol == '(';
      Take();
      if (nested) {
        Element(Owner(), [](const Token& token) { return token.symbol == ')'; });
      }
    }
    if (TakeIf('=')) {
      Element(owner, EndsAssignment);
    }
  } while (TakeIf(','));
}

void Reader::Update() {
  const bool one_table = HasOneTable(at_, false);
  Take();
  TakeIf("only");
  if (!Table()) {
    return;
  }
  TakeIf('*');
  if (!Alias() || !TakeIf("set")) {
    return;
  }
  Assignments();
  if (one_table) {
    Conditions();
  }
}

void Reader::Delete() {
  const bool one_table = HasOneTable(at_, true);
  Take();
  if (!one_table || !TakeIf("from")) {
    return;
  }
  TakeIf("only");
  if (!Table()) {
    return;
  }
  TakeIf('*');
  if (Alias()) {
    Conditions();
  }
}

void Reader::Select() {
  if (!HasOneTable(at_, true)) {
    return;
  }
  Take();
  Element(Owner(), [](const Token& token) { return IsWord(token, "from"); });
  TakeIf("from");
  TakeIf("only");
  if (!Table()) {
    return;
  }
  TakeIf('*');
  if (Alias() && (IsWord(at_.token, "where") || EndsCondition(at_.token))) {
    Conditions();
  }
}

// A setting without a dot in its name is the server's own.
void Reader::Set() {
  Take();
  if (!TakeIf("local")) {
    TakeIf("session");
  }
  bool known = false;
  if (TakeIf("time")) {
    known = TakeIf("zone");
  } else if (IsPlainName(at_.token)) {
    Take();
    known = TakeIf('=') || TakeIf("to");
  }
  while (known && !IsOver(at_.token)) {
    Take({.whose = Owner::Whose::kNobody, .column = {}});
  }
}

// PREPARE TRANSACTION v, COMMIT PREPARED v: the transaction's name.
void Reader::Prepared() {
  Take();
  if (TakeIf("transaction") || TakeIf("prepared")) {
    Take({.whose = Owner::Whose::kNobody, .column = {}});
  }
}

// pg_catalog.set_config('name', v, v), which pgbraid itself says, too.
bool Reader::SettingCall() {
  if (!IsWord(at_.token, "pg_catalog")) {
    return false;
  }
  Take();
  if (!TakeIf('.') || !TakeIf("set_config") || !TakeIf('(') ||
      at_.token.kind != TokenKind::kString || at_.token.text.find('.') != std::string_view::npos) {
    return true;
  }
  const Owner nobody{.whose = Owner::Whose::kNobody, .column = {}};
  Element(nobody, EndsElement);
  while (TakeIf(',')) {
    Element(nobody, EndsElement);
  }
  return true;
}

// From here to the end no name means anything but a column of the one table, or nothing.
void Reader::Conditions() {
  bool begins = false;  // true exactly when a condition may begin here
  while (!IsOver(at_.token)) {
    if (begins && (Condition() || Reversed())) {
      begins = false;
      continue;
    }
    if (IsAnyWord(at_.token, {"limit", "offset"})) {
      Count();
      begins = false;
      continue;
    }
    begins = at_.token.symbol == '(' || IsAnyWord(at_.token, {"where", "and", "or", "not"});
    Take();
  }
}

void Reader::Count() {
  Take();
  Cursor ahead = at_;
  if (SkipValue(&ahead) && EndsCondition(ahead.token)) {
    TakeUpTo(ahead, {.whose = Owner::Whose::kNobody, .column = {}});
  }
}

// column or table.column. The table's own name alone would be all of its columns.
bool Reader::ColumnAt(Cursor* at, std::string* column) const {
  if (!IsPlainName(at->token) || IsValue(at->token) || IsReserved(at->token)) {
    return false;
  }
  *column = IdentifierName(at->token);
  at->Advance();
  if (at->token.symbol != '.') {
    return *column != alias_ && *column != table_.table;
  }
  at->Advance();
  const bool ours = *column == alias_ && IsPlainName(at->token);
  *column = IdentifierName(at->token);
  at->Advance();
  return ours && at->token.symbol != '.';
}

// column = v, column [NOT] IN (v, ...), column = ANY (v)
bool Reader::Condition() {
  Cursor ahead = at_;
  std::string column;
  if (!ColumnAt(&ahead, &column)) {
    return false;
  }
  const Owner owner = OwnerOf(std::move(column));
  const bool compares = IsComparison(ahead.token);
  if (IsWord(ahead.token, "not")) {
    ahead.Advance();
  }
  const bool in = IsWord(ahead.token, "in");
  if (!compares && !in && !IsAnyWord(ahead.token, {"like", "ilike"})) {
    return false;
  }
  ahead.Advance();
  const bool any = compares && IsAnyWord(ahead.token, {"any", "some", "all"});
  if (any) {
    ahead.Advance();
  }
  if (in || any) {
    if (ahead.token.symbol != '(') {
      return false;
    }
    TakeUpTo(ahead, Owner());
    List(owner);
    return true;
  }
  if (!SkipValue(&ahead) || !EndsCondition(ahead.token)) {
    return false;
  }
  TakeUpTo(ahead, owner);
  return true;
}

void Reader::List(const Owner& owner) {
  do {
    Take();
    Element(owner, EndsElement);
  } while (at_.token.symbol == ',');
  TakeIf(')');
}

// v = column
bool Reader::Reversed() {
  Cursor ahead = at_;
  if (!SkipValue(&ahead) || !IsComparison(ahead.token)) {
    return false;
  }
  ahead.Advance();
  std::string column;
  if (!ColumnAt(&ahead, &column) || !EndsCondition(ahead.token)) {
    return false;
  }
  TakeUpTo(ahead, OwnerOf(std::move(column)));
  return true;
}

}  // namespace

bool IsValue(const Token& token) {
  switch (token.kind) {
    case TokenKind::kString:
    case TokenKind::kBitString:
    case TokenKind::kNumber:
    case TokenKind::kParameter:
      return true;
    default:
      return IsAnyWord(token, {"true", "false"});
  }
}

void ReadOwners(std::string_view text, LexOptions options, OnOwned on_token) {
  Reader(text, options, on_token).Run();
}

}  // namespace sql
