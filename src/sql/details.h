// Details: what of a statement only its further words tell. Internal to sql/: Classify() asks for
// the few statements that have any.
//
// A pure function; any thread; linear time. Never fails: what is no SQL has no details, or those of
// the SQL it looks like.
#pragma once

#include <string_view>

#include "sql/lexer.h"
#include "sql/statement.h"
#include "sql/words.h"

namespace sql {

// Whether a statement that begins with `verb` may have any.
bool HasDetails(Word verb);

// Fills `commits`, `may_commit`, `cursor` and the names that go with them. `text` is one statement.
void AddDetails(std::string_view text, LexOptions options, Statement* statement);

}  // namespace sql
