// ReadInsert: what an INSERT's text proves of its columns, its values and what it returns, and
// where in the text they stand, so that columns and values can be added without pasting any.
//
// A pure function; any thread; linear time. It proves little and never wrongly: INSERT INTO name
// [AS alias] [(columns)] [OVERRIDING ...], then VALUES, DEFAULT VALUES or a plain SELECT, then
// [ON CONFLICT ...] RETURNING list. Anything else (WITH, UNION, a name in U&"", a field or an
// element as a column) is no shape. Bounds: kInsertRowsMax rows, kInsertValuesMax values of all
// together, kInsertColumnsMax columns; a text with more is no shape either.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sql/lexer.h"

namespace sql {

inline constexpr size_t kInsertRowsMax = 1000;
inline constexpr size_t kInsertValuesMax = 65'535;
inline constexpr size_t kInsertColumnsMax = 1664;  // PostgreSQL's bound for a list

struct Span {  // of the text, bytes
  uint32_t begin = 0;
  uint32_t end = 0;
};

struct InsertValue {
  Span span;
  bool is_default = false;  // the word DEFAULT
  bool parameters = false;  // there is a $n in it
};

// One of the RETURNING list.
struct ReturnedItem {
  enum class Kind : uint8_t {
    kColumn,  // a column of the table, by its name
    kStar,    // all of them
    kOther,   // anything else: one value
  };
  Kind kind = Kind::kOther;
  std::string column;
};

struct InsertShape {
  enum class Source : uint8_t { kValues, kDefaultValues, kSelect };
  enum class Overriding : uint8_t { kNone, kSystem, kUser };

  std::vector<std::string> table;    // one name, or a schema's and one
  bool has_columns = false;
  std::vector<std::string> columns;  // empty unless has_columns
  uint32_t columns_at = 0;     // where a list would stand, or more of one: before its bracket
  Overriding overriding = Overriding::kNone;
  Source source = Source::kValues;
  Span source_span;            // VALUES, DEFAULT VALUES or SELECT, the words alone
  std::vector<InsertValue> values;  // kValues: of all rows
  std::vector<uint32_t> row_ends;   // kValues: of each row, where its closing bracket stands
  uint32_t select_end = 0;     // kSelect: behind the last of its list
  bool conflict = false;       // ON CONFLICT
  std::vector<ReturnedItem> returned;

  size_t rows() const { return source == Source::kValues ? row_ends.size() : 1; }
  // kValues: the same for all rows.
  size_t width() const { return row_ends.empty() ? 0 : values.size() / row_ends.size(); }
};

std::optional<InsertShape> ReadInsert(std::string_view text, LexOptions options = {});

}  // namespace sql
