// ColumnName: a column as a statement, or an operator, names it. A value; any thread.
#pragma once

#include <string>

namespace sql {

// Folded as PostgreSQL folds names.
struct ColumnName {
  std::string schema;  // empty: not told
  std::string table;   // empty: not told
  std::string column;  // empty: not told

  bool operator==(const ColumnName&) const = default;
};

// False exactly when both tell something, and not the same: they cannot be one column.
inline bool MayBeSame(const ColumnName& one, const ColumnName& other) {
  const auto may_be = [](const std::string& a, const std::string& b) {
    return a.empty() || b.empty() || a == b;
  };
  return may_be(one.schema, other.schema) && may_be(one.table, other.table) &&
         may_be(one.column, other.column);
}

}  // namespace sql
