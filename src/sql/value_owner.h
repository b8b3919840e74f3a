// ReadOwners: of which column a statement's text proves each constant and parameter in it to be.
//
// A pure function; any thread; linear time, constant stack. Never fails: of what it does not know
// it proves nothing. It proves, where a value stands alone, with a sign or a cast at most:
//   INSERT INTO t (a, b) VALUES (v, v), ...   by place; without a list only that it is of t
//   UPDATE t SET a = v; ON CONFLICT ... DO UPDATE SET a = v
//   a = v, v = a, <, >, LIKE, a IN (v, v), a = ANY (v) in the WHERE of a SELECT, UPDATE or DELETE
//     of one table, without a query within it and without BETWEEN
//   LIMIT v, OFFSET v, and SET name = v without a dot in the name: of no column
// Names are the statement's: which table is behind a view, or a partition, no text tells.
// Bound: kOwnedColumnsMax names of columns; a longer list proves nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "sql/column_name.h"
#include "sql/lexer.h"

namespace sql {

inline constexpr size_t kOwnedColumnsMax = 1664;  // that a table may have

struct Owner {
  enum class Whose : uint8_t {
    kUnknown,  // it may be any column's
    kColumn,   // it is `column`'s; its parts that are empty are not known
    kNobody,   // it is no column's
  };
  Whose whose = Whose::kUnknown;
  ColumnName column;
};

// A string, a number, a bit string, TRUE, FALSE or a parameter.
bool IsValue(const Token& token);

// Called for each token of the text, in order. `owner` means something where IsValue(token).
using OnOwned = absl::FunctionRef<void(const Token& token, const Owner& owner)>;
void ReadOwners(std::string_view text, LexOptions options, OnOwned on_token);

}  // namespace sql
