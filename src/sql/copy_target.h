// ReadCopyTarget: where a COPY ... FROM STDIN puts its data, and how they are written.
//
// A pure function; any thread; linear time. It tells what it is sure of: nothing if an option is
// given that changes how the data are read (DELIMITER, NULL, QUOTE, ESCAPE, ENCODING, ...).
// Bound: kOwnedColumnsMax columns.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sql/column_name.h"
#include "sql/lexer.h"

namespace sql {

struct CopyTarget {
  enum class Format : uint8_t { kText, kCsv, kBinary };
  ColumnName table;                  // without a column
  std::vector<std::string> columns;  // in the order of the data; empty: as the table has them
  Format format = Format::kText;

  bool operator==(const CopyTarget&) const = default;
};

std::optional<CopyTarget> ReadCopyTarget(std::string_view text, LexOptions options = {});

}  // namespace sql
