// Fuzz target: whatever the text and the options, ReadOwners shows each token once, in order, and
// ReadCopyTarget names a table and as many columns as a table may have.
// The first byte chooses standard_conforming_strings and the encoding; the rest is the text.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "sql/copy_target.h"
#include "sql/value_owner.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) {
    return 0;
  }
  sql::LexOptions options;
  options.standard_conforming_strings = data[0] % 2 == 0;
  options.encoding = static_cast<sql::Encoding>(data[0] / 2 % sql::kEncodingCount);
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  sql::Lexer lexer(text, options);
  sql::ReadOwners(text, options, [&](const sql::Token& token, const sql::Owner& owner) {
    const sql::Token expected = lexer.Next();
    CHECK(token.text.data() == expected.text.data() && token.text == expected.text);
    CHECK(owner.whose == sql::Owner::Whose::kColumn || owner.column == sql::ColumnName());
  });
  CHECK(lexer.Next().kind == sql::TokenKind::kEnd);
  if (const auto target = sql::ReadCopyTarget(text, options); target.has_value()) {
    CHECK(target->columns.size() <= sql::kOwnedColumnsMax && target->table.column.empty());
  }
  return 0;
}
