#include "mirror/pin.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "mirror/trace.h"
#include "pg/views.h"
#include "sql/determinism.h"
#include "sql/quote.h"
#include "sql/tokens.h"

namespace mirror {
namespace {

constexpr size_t kParametersMax = std::numeric_limits<uint16_t>::max();
constexpr std::string_view kNames{"\0\0", 2};  // of portal and statement

// Whether two servers would make another value of an expression.
bool MakesUp(std::string_view expression, sql::LexOptions lex) {
  const std::string insert = "INSERT INTO t(c) VALUES (" + std::string(expression) + ")";
  const std::vector<sql::Finding> found = sql::FindNondeterminism(insert, lex);
  return std::any_of(found.begin(), found.end(), [](const sql::Finding& finding) {
    switch (finding.rule) {
      case sql::Rule::kClock:
      case sql::Rule::kRandom:
      case sql::Rule::kUuid:
      case sql::Rule::kSequenceCall:
      case sql::Rule::kSequenceSession:
      case sql::Rule::kTransactionId:
      case sql::Rule::kServerFact:
        return true;
      default:
        return false;
    }
  });
}

std::string Format(bool binary) { return {'\0', binary ? '\1' : '\0'}; }

// Writes one statement anew.
class Writer {
 public:
  Writer(const Step& step, const Returned& returned, const sql::InsertShape& shape,
         const PinTable& table)
      : step_(step), returned_(returned), shape_(shape), table_(table), text_(TextOf(step)) {}

  Pin Write();

 private:
  struct Edit {  // of the text: what stands there is replaced
    sql::Span span;
    std::string text;
  };

  bool ReadBind();
  bool ReadRows();
  bool FindColumns();
  std::optional<size_t> FieldOf(const std::string& column) const;
  bool Binary(size_t field) const;
  void Column(const PinColumn& column);
  void Given(const PinColumn& column, size_t at);
  void LeftOut(const PinColumn& column);
  bool Replaceable(const sql::InsertValue& value) const;
  bool MayGive(size_t field);
  std::string Parameter(size_t row, size_t field);
  bool Comparable(size_t field) const;
  void Insert(uint32_t at, std::string text) {
    edits_.push_back(Edit{sql::Span{at, at}, std::move(text)});
  }
  void AddClauses();
  std::string Text();
  std::string Parse(std::string_view text) const;
  std::string Bind() const;
  void Why(Unpinned why) { pin_.why = pin_.why == Unpinned::kNone ? why : pin_.why; }

  const Step& step_;
  const Returned& returned_;
  const sql::InsertShape& shape_;
  const PinTable& table_;
  const std::string_view text_;
  Pin pin_;
  std::string whole_bind_;          // with its names, which the view has to have
  pg::BindView bind_;
  std::vector<ReturnedField> fields_;
  std::vector<std::vector<pg::Value>> rows_;
  std::vector<std::string> names_;  // of the fields; empty: no column
  std::vector<std::string> given_;  // the columns that have values
  std::vector<std::string> added_;
  std::vector<std::string> added_values_;  // per row: ", $5, $6"
  std::vector<Edit> edits_;
  std::string types_;       // of the parameters that are added, as in a Parse
  std::string formats_;     // likewise, as in a Bind
  std::string parameters_;
  size_t count_ = 0;        // of all parameters
  bool always_ = false;
};

Pin Writer::Write() {
  if (!table_.known) {
    Why(Unpinned::kTable);
    return pin_;
  }
  if (step_.tag == "INSERT 0 0") {
    return pin_;
  }
  if (shape_.overriding == sql::InsertShape::Overriding::kUser || !ReadBind()) {
    Why(Unpinned::kShape);
    return pin_;
  }
  if (returned_.rows.size() != shape_.rows() ||
      step_.tag != "INSERT 0 " + std::to_string(returned_.rows.size())) {
    Why(Unpinned::kRows);
    return pin_;
  }
  if (!ReadRows() || !FindColumns()) {
    return pin_;
  }
  added_values_.resize(rows_.size());
  for (const PinColumn& column : table_.columns) {
    if (!column.derived) {
      Column(column);
    }
  }
  if (count_ > kParametersMax) {
    Why(Unpinned::kTooLarge);
    pin_.fields.clear();
    pin_.sequence = false;
    return pin_;
  }
  if (count_ == bind_.parameter_count) {
    return pin_;
  }
  AddClauses();
  const std::string text = Text();
  pin_.parse = base::Slice::CopyOf(Parse(text));
  pin_.bind = base::Slice::CopyOf(Bind());
  pin_.rows = static_cast<uint32_t>(rows_.size());
  return pin_;
}

bool Writer::ReadBind() {
  if (!step_.extended) {
    return true;
  }
  if (!step_.statement.empty() || step_.parse.empty() || step_.row_limit != 0) {
    return false;
  }
  whole_bind_ = kNames;
  whole_bind_ += step_.bind.view();
  const std::optional<pg::BindView> bind = pg::ReadBind(whole_bind_);
  bind_ = bind.value_or(pg::BindView());
  count_ = bind_.parameter_count;
  return bind.has_value();
}

// All rows of one answer have as many values.
bool Writer::ReadRows() {
  for (const std::string_view body : returned_.rows) {
    std::optional<std::vector<pg::Value>> row = pg::ReadDataRow(body);
    if (!row.has_value() || (!rows_.empty() && row->size() != rows_.front().size())) {
      Why(Unpinned::kShape);
      return false;
    }
    rows_.push_back(*std::move(row));
  }
  return true;
}

// Which column each value is of, and which columns the text gives.
bool Writer::FindColumns() {
  using Kind = sql::ReturnedItem::Kind;
  const size_t width = rows_.front().size();
  fields_ = ReadFields(returned_.description);
  fields_ = fields_.size() == width ? std::move(fields_) : std::vector<ReturnedField>();
  const auto stars = std::count_if(shape_.returned.begin(), shape_.returned.end(),
                                   [](const auto& item) { return item.kind == Kind::kStar; });
  const size_t others = shape_.returned.size() - static_cast<size_t>(stars);
  if (stars > 1 || others > width || (stars == 0 && others != width)) {
    Why(Unpinned::kShape);
    return false;
  }
  if (stars == 1 && fields_.empty()) {
    Why(Unpinned::kUndescribed);
    return false;
  }
  for (const sql::ReturnedItem& item : shape_.returned) {
    const size_t count = item.kind == Kind::kStar ? width - others : 1;
    for (size_t i = 0; i < count; ++i) {
      names_.push_back(item.kind == Kind::kStar ? std::string(fields_[names_.size()].name)
                                                : item.column);
      if (item.kind == Kind::kOther) {
        names_.back().clear();
      }
    }
  }
  if (shape_.has_columns) {
    given_ = shape_.columns;
  } else if (shape_.source == sql::InsertShape::Source::kSelect ||
             shape_.width() > table_.columns.size()) {
    Why(Unpinned::kShape);
    return false;
  } else {
    for (size_t i = 0; i < shape_.width(); ++i) {
      given_.push_back(table_.columns[i].name);
    }
  }
  const bool fits = shape_.source != sql::InsertShape::Source::kValues ||
                    shape_.width() == given_.size();
  if (!fits) {
    Why(Unpinned::kShape);
  }
  return fits;
}

std::optional<size_t> Writer::FieldOf(const std::string& column) const {
  const auto found = std::find(names_.begin(), names_.end(), column);
  return found == names_.end() || column.empty()
             ? std::nullopt
             : std::optional<size_t>(static_cast<size_t>(found - names_.begin()));
}

bool Writer::Binary(size_t field) const {
  if (bind_.result_format_count == 0) {
    return false;
  }
  const size_t at = bind_.result_format_count == 1 ? 0 : field * 2;
  return at + 1 < bind_.result_formats.size() && bind_.result_formats[at + 1] != 0;
}

void Writer::Column(const PinColumn& column) {
  const auto given = std::find(given_.begin(), given_.end(), column.name);
  if (given == given_.end()) {
    LeftOut(column);
  } else if (shape_.source == sql::InsertShape::Source::kValues) {
    Given(column, static_cast<size_t>(given - given_.begin()));
  }
}

// DEFAULT, or an expression that each server answers in its own way. One with parameters stays: the
// server would not know their types without it.
bool Writer::Replaceable(const sql::InsertValue& value) const {
  if (value.is_default || value.parameters) {
    return value.is_default;
  }
  const uint32_t length = value.span.end - value.span.begin;
  return MakesUp(text_.substr(value.span.begin, length), returned_.lex);
}

void Writer::Given(const PinColumn& column, size_t at) {
  const std::optional<size_t> field = FieldOf(column.name);
  for (size_t row = 0; row < rows_.size(); ++row) {
    const sql::InsertValue& value = shape_.values[row * shape_.width() + at];
    const bool made = column.fill != PinColumn::Fill::kNothing || !value.is_default;
    if (!made || !Replaceable(value)) {
      continue;
    }
    if (!field.has_value()) {
      Why(Unpinned::kNotReturned);
    } else if (MayGive(*field)) {
      edits_.push_back(Edit{value.span, Parameter(row, *field)});
      always_ = always_ || column.always;
      pin_.sequence = pin_.sequence || column.fill == PinColumn::Fill::kSequence;
    }
  }
}

// A trigger's value goes where a trigger of the table takes values that differ between servers.
void Writer::LeftOut(const PinColumn& column) {
  const bool fills = column.fill != PinColumn::Fill::kNothing;
  const std::optional<size_t> field = FieldOf(column.name);
  const bool by_trigger =
      table_.triggers && field.has_value() &&
      std::any_of(rows_.begin(), rows_.end(),
                  [&](const std::vector<pg::Value>& row) { return !row[*field].null; });
  if (!fills && !by_trigger) {
    return;
  }
  if (!field.has_value()) {
    Why(Unpinned::kNotReturned);
    return;
  }
  if (!MayGive(*field)) {
    return;
  }
  added_.push_back(column.name);
  for (size_t row = 0; row < rows_.size(); ++row) {
    added_values_[row] += ", " + Parameter(row, *field);
  }
  always_ = always_ || column.always;
  pin_.sequence = pin_.sequence || column.fill == PinColumn::Fill::kSequence || by_trigger;
}

// A binary value means nothing without its type.
bool Writer::MayGive(size_t field) {
  const bool typed = !fields_.empty() && fields_[field].type < pg::kFirstOwnType;
  if (typed || !Binary(field)) {
    return true;
  }
  Why(fields_.empty() ? Unpinned::kUndescribed : Unpinned::kType);
  return false;
}

// As text a time is told in the zone of who asks, which may be another one there.
bool Writer::Comparable(size_t field) const {
  constexpr uint32_t kTimeWithZone[] = {1184, 1266};
  return !fields_.empty() &&
         (Binary(field) || std::find(std::begin(kTimeWithZone), std::end(kTimeWithZone),
                                     fields_[field].type) == std::end(kTimeWithZone));
}

std::string Writer::Parameter(size_t row, size_t field) {
  const pg::Value& value = rows_[row][field];
  const uint32_t type = fields_.empty() ? 0 : fields_[field].type;
  base::AppendBe32(&types_, type < pg::kFirstOwnType ? type : 0);
  formats_ += Format(Binary(field));
  base::AppendBe32(&parameters_, value.null ? std::numeric_limits<uint32_t>::max()
                                            : static_cast<uint32_t>(value.bytes.size()));
  parameters_ += value.bytes;
  ++count_;
  const auto at = static_cast<uint16_t>(field);
  if (Comparable(field) &&
      std::find(pin_.fields.begin(), pin_.fields.end(), at) == pin_.fields.end()) {
    pin_.fields.push_back(at);
  }
  std::string text = "$";
  return text += std::to_string(count_);
}

void Writer::AddClauses() {
  using Source = sql::InsertShape::Source;
  std::string columns;
  const auto add = [&columns](const std::string& name) {
    columns += columns.empty() ? "" : ", ";
    columns += sql::Quote(name, '"');
  };
  if (!shape_.has_columns) {
    std::for_each(given_.begin(), given_.end(), add);
  }
  std::for_each(added_.begin(), added_.end(), add);
  if (!shape_.has_columns) {
    Insert(shape_.columns_at, " (" + columns + ")");
  } else if (!added_.empty()) {
    Insert(shape_.columns_at, ", " + columns);
  }
  if (always_ && shape_.overriding == sql::InsertShape::Overriding::kNone) {
    Insert(shape_.source_span.begin, "OVERRIDING SYSTEM VALUE ");
  }
  if (shape_.source == Source::kSelect) {
    Insert(shape_.select_end, added_values_.front());
  } else if (shape_.source == Source::kDefaultValues) {
    edits_.push_back(Edit{shape_.source_span, "VALUES (" + added_values_.front().substr(2) + ")"});
  } else if (!added_.empty()) {
    for (size_t row = 0; row < rows_.size(); ++row) {
      Insert(shape_.row_ends[row], added_values_[row]);
    }
  }
}

// Edits do not overlap; of two at one place the one that was made first stands first.
std::string Writer::Text() {
  std::stable_sort(edits_.begin(), edits_.end(), [](const Edit& a, const Edit& b) {
    return a.span.begin < b.span.begin;
  });
  std::string text;
  uint32_t at = 0;
  for (const Edit& edit : edits_) {
    text += text_.substr(at, edit.span.begin - at);
    text += edit.text;
    at = edit.span.end;
  }
  return text += text_.substr(at);
}

std::string Writer::Parse(std::string_view text) const {
  std::string body(text);
  body += '\0';
  base::AppendBe16(&body, static_cast<uint16_t>(count_));
  std::string types;
  if (step_.extended) {  // the text's end and the count stand before them
    types = step_.parse.view().substr(std::min<size_t>(text_.size() + 3, step_.parse.size()));
  }
  types.resize(size_t{bind_.parameter_count} * 4, '\0');
  return body + types + types_;
}

std::string Writer::Bind() const {
  std::string body;
  base::AppendBe16(&body, static_cast<uint16_t>(count_));
  for (size_t i = 0; i < bind_.parameter_count; ++i) {
    const size_t at = bind_.format_count == 1 ? 0 : i * 2;
    body += bind_.format_count == 0 ? Format(false) : std::string(bind_.formats.substr(at, 2));
  }
  body += formats_;
  base::AppendBe16(&body, static_cast<uint16_t>(count_));
  body += bind_.parameters;
  body += parameters_;
  base::AppendBe16(&body, bind_.result_format_count);
  body += bind_.result_formats;
  return body;
}

}  // namespace

Pin PinStep(const Step& step, const Returned& returned, const sql::InsertShape& shape,
            const PinTable& table) {
  return Writer(step, returned, shape, table).Write();
}

// A call, or one of the words that are calls without brackets. A type's length looks like a call:
// then a constant is given that would have been the same.
PinColumn::Fill FillOf(std::string_view expression) {
  constexpr std::string_view kCalls[] = {"current_date", "current_time", "current_timestamp",
                                         "localtime", "localtimestamp", "current_user",
                                         "session_user", "user", "current_role"};
  sql::Lexer lexer(expression);
  PinColumn::Fill fill = PinColumn::Fill::kNothing;
  sql::Token last;
  for (sql::Token token = lexer.Next(); token.kind != sql::TokenKind::kEnd; token = lexer.Next()) {
    if (sql::IsName(token) && sql::IdentifierName(token) == "nextval") {
      return PinColumn::Fill::kSequence;
    }
    if (sql::IsAnyWord(token, kCalls) || (token.symbol == '(' && sql::IsName(last))) {
      fill = PinColumn::Fill::kMade;
    }
    last = token;
  }
  return fill;
}

}  // namespace mirror
