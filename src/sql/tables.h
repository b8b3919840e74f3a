// WrittenTables: which tables, views and sequences a text writes, as far as it tells.
//
// A pure function; any thread; linear time, constant stack. Never fails: text that is no SQL has
// the tables of the SQL it looks like. In doubt it says too much, and where the text does not tell
// at all (CALL, DO, EXECUTE, a function that writes, a verb we do not know) it says kAnyTable.
// Bound: kTablesMax names of at most two parts; beyond it kAnyTable stands for the rest.
//
// Not seen: what triggers, rules, foreign keys and the user's own functions write in turn, and the
// sequences behind serial and identity columns. Whoever reads the names counts those to the table.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "sql/lexer.h"

namespace sql {

inline constexpr std::string_view kAnyTable = "*";
inline constexpr size_t kTablesMax = 64;  // kAnyTable included

// All statements of `text` together, each name once, in the order of the text. Names are spelled as
// quote_ident() does it, but for keywords, so that none looks like kAnyTable: folded to lower case,
// or within double quotes where that is needed; with the schema if the text has it, and without a
// database's name.
std::vector<std::string> WrittenTables(std::string_view text, LexOptions options = {});

}  // namespace sql
