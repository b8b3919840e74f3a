// Fuzz target of the sql room: whatever the text, tokens are views in order, statements are found
// again when looked at alone, the cache says what Classify says, and the tables written are those
// of the statements, each name once and of two parts at most.
// The first byte chooses standard_conforming_strings and the encoding; the rest is the text.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "sql/classify.h"
#include "sql/classify_cache.h"
#include "sql/lexer.h"
#include "sql/split.h"
#include "sql/tables.h"

namespace {

void CheckTokens(std::string_view text, sql::LexOptions options) {
  sql::Lexer lexer(text, options);
  const char* at = text.data();
  for (;;) {
    const sql::Token token = lexer.Next();
    CHECK(token.text.data() >= at);
    at = token.text.data() + token.text.size();
    CHECK(at <= text.data() + text.size());
    if (token.kind == sql::TokenKind::kEnd) break;
    CHECK(!token.text.empty());
    if (token.kind == sql::TokenKind::kQuotedIdentifier)
      CHECK(sql::IdentifierName(token).size() < 64);
  }
  CHECK(at == text.data() + text.size());
}

void CheckStatements(std::string_view text, sql::LexOptions options) {
  sql::Splitter splitter(text, options);
  std::string_view statement;
  size_t count = 0;
  while (splitter.Next(&statement)) {
    ++count;
    const sql::Statement alone = sql::Classify(statement, options);
    CHECK(!alone.several && !alone.empty);
  }
  const sql::Statement whole = sql::Classify(text, options);
  CHECK(whole.several == (count > 1));
  CHECK(!whole.empty || count == 0);

  sql::ClassifyCache cache(1);
  for (int round = 0; round < 2; ++round) {
    const sql::Statement& cached = cache.Classify(text, options);
    CHECK(cached.effect == whole.effect && cached.control == whole.control);
    CHECK(cached.name == whole.name);
  }
}

void CheckTables(std::string_view text, sql::LexOptions options) {
  constexpr size_t kPartMax = 2 * 63 + 2;  // every byte a quote, in quotes
  const std::vector<std::string> tables = sql::WrittenTables(text, options);
  CHECK(tables.size() <= sql::kTablesMax);
  for (const std::string& table : tables) {
    CHECK(!table.empty() && table.size() <= 2 * kPartMax + 1);
    CHECK(std::count(tables.begin(), tables.end(), table) == 1);
  }
  std::vector<std::string> apart;
  sql::Splitter splitter(text, options);
  std::string_view statement;
  while (splitter.Next(&statement)) {
    for (std::string& table : sql::WrittenTables(statement, options)) {
      if (std::find(apart.begin(), apart.end(), table) == apart.end()) {
        apart.push_back(std::move(table));
      }
    }
  }
  CHECK(apart == tables || tables.size() == sql::kTablesMax);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  constexpr uint8_t kEncodings = static_cast<uint8_t>(sql::Encoding::kGb18030) + 1;
  const sql::LexOptions options{
      .standard_conforming_strings = data[0] % 2 == 0,
      .encoding = static_cast<sql::Encoding>(data[0] / 2 % kEncodings),
  };
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  CheckTokens(text, options);
  CheckStatements(text, options);
  CheckTables(text, options);
  return 0;
}
