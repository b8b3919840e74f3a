#include "mirror/written_row.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <string>

#include "mirror/trace.h"
#include "pg/views.h"
#include "sql/row_key.h"
#include "sql/tables.h"
#include "sql/tokens.h"

namespace mirror {
namespace {

// Never 0.
uint64_t Hash(std::string_view text) { return std::hash<std::string_view>()(text) | 1; }

// `word` in lower case.
bool Has(std::string_view text, std::string_view word) {
  const auto same = [](char a, char b) { return sql::Lower(a) == b; };
  return std::search(text.begin(), text.end(), word.begin(), word.end(), same) != text.end();
}

// The parameter's value as far as two of them can be compared: a whole number, or its bytes where
// both are binary. Empty: NULL, or what may have other spellings.
std::string ParameterValue(const Step& step, uint32_t number) {
  const std::string whole = std::string(2, '\0') + std::string(step.bind.view());  // two names
  const std::optional<pg::BindView> bind = pg::ReadBind(whole);
  if (!bind.has_value() || number > bind->parameter_count) {
    return {};
  }
  std::string_view rest = bind->parameters;
  std::optional<pg::Value> value;
  for (uint32_t i = 0; i < number; ++i) {
    value = pg::NextValue(&rest);
  }
  if (!value.has_value() || value->null) {
    return {};
  }
  const size_t at = bind->format_count > 1 ? (number - 1) * 2 : 0;
  const bool binary = bind->format_count > 0 && bind->formats.size() > at + 1 &&
                      bind->formats[at + 1] != 0;
  return binary ? "binary " + std::to_string(value->bytes.size()) + " " + std::string(value->bytes)
                : sql::WholeNumber(value->bytes);
}

// True exactly for a statement that changed or deleted rows that were there.
bool ChangesRows(const Step& step) {
  const std::string_view tag = step.tag;
  if (tag.ends_with(" 0")) {
    return false;
  }
  if (tag.starts_with("INSERT")) {  // ON CONFLICT DO UPDATE
    return Has(TextOf(step), "conflict");
  }
  return tag.starts_with("UPDATE") || tag.starts_with("DELETE") || tag.starts_with("MERGE");
}

WrittenRow RowOf(const Step& step, sql::LexOptions options) {
  const sql::RowKey key = sql::RowKeyOf(TextOf(step), options);
  const std::string value =
      key.parameter == 0 ? key.number : ParameterValue(step, key.parameter);
  const bool proved = !key.column.empty() && !value.empty();
  return proved ? WrittenRow{Hash(key.table), Hash(key.column), Hash(value)} : WrittenRow();
}

}  // namespace

std::vector<WrittenRow> WrittenRows(const Unit& unit, sql::LexOptions options) {
  std::vector<WrittenRow> rows;
  for (const Step& step : unit.steps) {
    if (!ChangesRows(step)) {
      continue;
    }
    WrittenRow row = RowOf(step, options);
    if (unit.block()) {
      if (row.column != 0) {
        rows.push_back(row);
      }
      continue;
    }
    for (const std::string& table : sql::WrittenTables(TextOf(step), options)) {
      row.table = Hash(table);
      rows.push_back(row);
    }
  }
  return rows;
}

}  // namespace mirror
