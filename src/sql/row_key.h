// RowKeyOf: what an UPDATE's or DELETE's text proves of the rows that it touches: that a column of
// them has one value. Two statements on one table with other values of one column touch no row in
// common.
//
// A pure function; any thread; linear time. It proves little and never wrongly: WHERE column =
// integer or parameter, alone or with AND behind it, of a statement that neither joins nor assigns
// that column. Whoever compares two keys must know that neither value was another spelling of the
// other; whole numbers are brought into one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sql/lexer.h"

namespace sql {

struct RowKey {
  std::string table;       // folded, with its schema if the text has one; no quotes
  std::string column;      // empty: nothing is proved
  std::string number;      // the value, if the text has it
  uint32_t parameter = 0;  // else that one's, from 1
};

RowKey RowKeyOf(std::string_view text, LexOptions options = {});

// A whole number in the one spelling that keys have; empty if it is none.
std::string WholeNumber(std::string_view text);

}  // namespace sql
