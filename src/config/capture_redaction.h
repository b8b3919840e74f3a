// CaptureRedaction: what a capture leaves out, and how an operator names it.
//
// Values; any thread. Errors are kInvalidArgument.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "sql/column_name.h"

namespace config {

struct CaptureRedaction {
  bool all_values = false;               // then the others are empty
  std::vector<uint32_t> types;           // OIDs
  std::vector<sql::ColumnName> columns;  // each with a column

  bool any() const { return all_values || !types.empty() || !columns.empty(); }
  bool operator==(const CaptureRedaction&) const = default;
};

// `list`: names of PostgreSQL's own types, or OIDs of any, with commas between them.
absl::Status AddTypes(std::string_view list, std::vector<uint32_t>* oids);
// `list`: [[schema.]table.]column, spelled as in SQL, with commas between them.
absl::Status AddColumns(std::string_view list, std::vector<sql::ColumnName>* columns);

}  // namespace config
