// What a statement of a unit tells of the rows that it has changed. Pure; any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "mirror/unit.h"
#include "sql/lexer.h"

namespace mirror {

// Never 0.
uint64_t HashOf(std::string_view text);

// True exactly for a statement that changed or deleted rows that were there.
bool ChangesRows(const Step& step);

// That a column of all of them has one value, see sql::RowKeyOf; hashes. 0: that is not proved.
struct WrittenRow {
  uint64_t column = 0;
  uint64_t value = 0;
};
WrittenRow WrittenRowOf(const Step& step, sql::LexOptions options);

}  // namespace mirror
