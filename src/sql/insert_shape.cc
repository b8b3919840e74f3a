#include "sql/insert_shape.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "sql/tokens.h"

namespace sql {
namespace {

// Values although they look like names; only within double quotes they could be columns.
constexpr std::string_view kNoColumns[] = {
    "current_catalog", "current_date", "current_role", "current_schema", "current_time",
    "current_timestamp", "current_user", "default", "false", "localtime", "localtimestamp", "null",
    "session_user", "system_user", "true", "user", "old", "new"};
// What ends a SELECT's list.
constexpr std::string_view kBehindList[] = {"from", "where", "group", "having", "window", "order",
                                            "limit", "offset", "fetch", "for", "on"};
constexpr std::string_view kSetOperations[] = {"union", "intersect", "except"};

class Reader {
 public:
  Reader(std::string_view text, LexOptions options) : text_(text), lexer_(text, options) {
    Advance();
    Advance();  // a token is always known beforehand
  }

  bool Read();
  InsertShape take() { return std::move(shape_); }

 private:
  // -- tokens -------------------------------------------------------------------------------
  void Advance() {
    last_ = now_;
    now_ = next_;
    next_ = lexer_.Next();
    unreadable_ = unreadable_ || !next_.terminated || IsUnicodeName(next_);
  }
  bool AtEnd() const { return now_.kind == TokenKind::kEnd; }
  bool Is(std::string_view lower) const { return IsWord(now_, lower); }
  bool Accept(std::string_view lower) {
    const bool is = Is(lower);
    if (is) {
      Advance();
    }
    return is;
  }
  bool AcceptSymbol(char symbol) {
    const bool is = now_.symbol == symbol;
    if (is) {
      Advance();
    }
    return is;
  }
  uint32_t Begin(const Token& token) const {
    return static_cast<uint32_t>(token.text.data() - text_.data());
  }
  uint32_t End(const Token& token) const {
    return Begin(token) + static_cast<uint32_t>(token.text.size());
  }
  // Behind a dot or AS any word is a name.
  bool IsLabel() const { return last_.symbol == '.' || IsWord(last_, "as"); }
  void TrackDepth() {
    depth_ += now_.symbol == '(' || now_.symbol == '[' ? 1 : 0;
    depth_ -= now_.symbol == ')' || now_.symbol == ']' ? 1 : 0;
  }

  // -- clauses: false: nothing is proved ------------------------------------------------------
  bool Table();
  bool Columns();
  bool Overriding();
  bool Values();
  bool Value();
  bool Select();
  bool Conflict();
  bool Returning();
  bool Item();
  void SkipItem();

  const std::string_view text_;
  Lexer lexer_;
  Token last_;
  Token now_;
  Token next_;
  bool unreadable_ = false;
  int depth_ = 0;
  std::string alias_;
  InsertShape shape_;
};

bool Reader::Read() {
  while (AcceptSymbol(';')) {
  }
  if (!Accept("insert") || !Accept("into") || !Table() || !Columns() || !Overriding()) {
    return false;
  }
  shape_.source_span = Span{Begin(now_), End(now_)};
  bool read = false;
  if (Accept("default")) {
    shape_.source = InsertShape::Source::kDefaultValues;
    shape_.source_span.end = End(now_);
    read = !shape_.has_columns && Accept("values");
  } else if (Accept("values")) {
    read = Values();
  } else if (Accept("select")) {
    shape_.source = InsertShape::Source::kSelect;
    read = Select();
  }
  if (!read || !Conflict() || !Returning()) {
    return false;
  }
  while (AcceptSymbol(';')) {
  }
  return AtEnd() && now_.terminated && !unreadable_;
}

bool Reader::Table() {
  do {
    if (!IsName(now_) || shape_.table.size() == 2) {
      return false;
    }
    shape_.table.push_back(IdentifierName(now_));
    Advance();
  } while (AcceptSymbol('.'));
  if (Accept("as")) {
    if (!IsName(now_)) {
      return false;
    }
    alias_ = IdentifierName(now_);
    Advance();
  }
  shape_.columns_at = End(last_);
  return true;
}

bool Reader::Columns() {
  if (!AcceptSymbol('(')) {
    return true;
  }
  shape_.has_columns = true;
  do {
    if (!IsName(now_) || shape_.columns.size() == kInsertColumnsMax) {
      return false;  // a query in brackets, too
    }
    shape_.columns.push_back(IdentifierName(now_));
    Advance();
  } while (AcceptSymbol(','));
  shape_.columns_at = Begin(now_);
  return AcceptSymbol(')');
}

bool Reader::Overriding() {
  if (!Accept("overriding")) {
    return true;
  }
  const bool user = Is("user");
  if (!user && !Is("system")) {
    return false;
  }
  Advance();
  shape_.overriding = user ? InsertShape::Overriding::kUser : InsertShape::Overriding::kSystem;
  return Accept("value");
}

// Of each row as many.
bool Reader::Values() {
  do {
    if (!AcceptSymbol('(')) {
      return false;
    }
    const size_t before = shape_.values.size();
    do {
      if (!Value()) {
        return false;
      }
    } while (AcceptSymbol(','));
    shape_.row_ends.push_back(Begin(now_));
    const bool even = shape_.values.size() - before == shape_.width();
    const bool many = shape_.row_ends.size() > kInsertRowsMax;
    if (!even || many || !AcceptSymbol(')')) {
      return false;
    }
  } while (AcceptSymbol(','));
  return true;
}

bool Reader::Value() {
  InsertValue value;
  value.span.begin = Begin(now_);
  value.is_default = Is("default") && (next_.symbol == ',' || next_.symbol == ')');
  depth_ = 0;
  while (!AtEnd() && (depth_ > 0 || (now_.symbol != ',' && now_.symbol != ')'))) {
    if (now_.symbol == ';') {
      return false;
    }
    value.parameters = value.parameters || now_.kind == TokenKind::kParameter;
    TrackDepth();
    Advance();
  }
  value.span.end = End(last_);
  shape_.values.push_back(value);
  return shape_.values.size() <= kInsertValuesMax && !AtEnd() && value.span.begin < value.span.end;
}

// DISTINCT would compare what is added, and a set operation would have it on one side only.
bool Reader::Select() {
  if (Is("distinct")) {
    return false;
  }
  Accept("all");
  const uint32_t begin = End(last_);
  for (depth_ = 0; !AtEnd(); Advance()) {
    const bool clause = depth_ == 0 && !IsLabel();
    if (clause && (IsAnyWord(now_, kSetOperations) || Is("into") || now_.symbol == ';')) {
      return false;
    }
    const bool noise = IsWord(last_, "within") || IsWord(last_, "distinct");
    const bool over = clause && ((IsAnyWord(now_, kBehindList) && !noise) || Is("returning"));
    if (over && shape_.select_end == 0) {
      shape_.select_end = End(last_);
    }
    if (clause && (Is("returning") || (Is("on") && IsWord(next_, "conflict")))) {
      return shape_.select_end > begin;
    }
    TrackDepth();
  }
  return false;
}

bool Reader::Conflict() {
  if (Is("returning")) {
    return true;
  }
  if (!Accept("on") || !Accept("conflict")) {
    return false;  // ORDER BY, LIMIT, UNION behind VALUES
  }
  shape_.conflict = true;
  for (depth_ = 0; !AtEnd() && !(depth_ == 0 && Is("returning") && !IsLabel()); Advance()) {
    if (now_.symbol == ';') {
      return false;
    }
    TrackDepth();
  }
  return true;
}

bool Reader::Returning() {
  if (!Accept("returning") || (Is("with") && next_.symbol == '(')) {
    return false;
  }
  do {
    if (shape_.returned.size() == kInsertColumnsMax || !Item()) {
      return false;
    }
  } while (AcceptSymbol(','));
  return true;
}

bool Reader::Item() {
  const std::string& own = alias_.empty() ? shape_.table.back() : alias_;
  ReturnedItem item;
  const uint32_t begin = Begin(now_);
  if (AtEnd() || now_.symbol == ',' || now_.symbol == ';') {
    return false;
  }
  bool column = IsName(now_) && !IsAnyWord(now_, kNoColumns);
  bool star = now_.text == "*";
  if (IsName(now_) && next_.symbol == '.' && IdentifierName(now_) == own) {
    Advance();
    Advance();
    star = now_.text == "*";
    column = IsName(now_);
  }
  if (star || column) {
    item.column = column ? IdentifierName(now_) : std::string();
    Advance();
    if (column && Accept("as")) {
      column = IsName(now_);
      Advance();
    } else if (column && IsName(now_)) {
      Advance();  // a label without AS
    }
    const bool over = AtEnd() || now_.symbol == ',' || now_.symbol == ';';
    item.kind = !over   ? ReturnedItem::Kind::kOther
                : star  ? ReturnedItem::Kind::kStar
                : column ? ReturnedItem::Kind::kColumn
                         : ReturnedItem::Kind::kOther;
  }
  SkipItem();
  shape_.returned.push_back(std::move(item));
  return begin < End(last_);
}

void Reader::SkipItem() {
  for (depth_ = 0; !AtEnd() && (depth_ > 0 || (now_.symbol != ',' && now_.symbol != ';'));
       Advance()) {
    TrackDepth();
  }
}

}  // namespace

std::optional<InsertShape> ReadInsert(std::string_view text, LexOptions options) {
  Reader reader(text, options);
  if (!reader.Read()) {
    return std::nullopt;
  }
  return reader.take();
}

}  // namespace sql
