// WrittenRow: what a statement of a unit tells of rows that it has changed or deleted. Pure; any
// thread.
#pragma once

#include <cstdint>
#include <vector>

#include "mirror/unit.h"
#include "sql/lexer.h"

namespace mirror {

// Of one table: that a column of all of them has one value, see sql::RowKeyOf. Hashes, never 0; a
// column of 0: nothing is proved.
struct WrittenRow {
  uint64_t table = 0;
  uint64_t column = 0;
  uint64_t value = 0;
};

// Of a single statement, one for each table; of a block only those of which something is proved, by
// what its texts call the table.
std::vector<WrittenRow> WrittenRows(const Unit& unit, sql::LexOptions options);

}  // namespace mirror
