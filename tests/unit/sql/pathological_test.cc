// Texts made to hurt: each would take hours if time were quadratic, and overflow the small stack
// below if anything recursed.
#include <gtest/gtest.h>
#include <pthread.h>

#include <functional>
#include <string>
#include <string_view>

#include "sql/classify.h"
#include "sql/lexer.h"
#include "sql/split.h"
#include "sql/value_owner.h"
#include "unit/sql/describe.h"

namespace {

constexpr size_t kBig = 2 << 20;    // of many tokens, or of one
constexpr size_t kHuge = 10 << 20;  // a statement

std::string Repeat(std::string_view piece, size_t count) {
  std::string out;
  out.reserve(piece.size() * count);
  for (size_t i = 0; i < count; ++i) out += piece;
  return out;
}

size_t CountTokens(const std::string& text) {
  sql::Lexer lexer(text);
  size_t count = 0;
  while (lexer.Next().kind != sql::TokenKind::kEnd) ++count;
  return count;
}

size_t CountStatements(const std::string& text) {
  sql::Splitter splitter(text);
  std::string_view statement;
  size_t count = 0;
  while (splitter.Next(&statement)) ++count;
  return count;
}

void* Call(void* work) {
  (*static_cast<std::function<void()>*>(work))();
  return nullptr;
}

void OnSmallStack(std::function<void()> work) {
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, 256 * 1024), 0);
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, &attributes, Call, &work), 0);
  ASSERT_EQ(pthread_join(thread, nullptr), 0);
  pthread_attr_destroy(&attributes);
}

void ExpectClassified(const std::string& text, const std::string& expected) {
  OnSmallStack([&] { EXPECT_EQ(sql_test::Describe(sql::Classify(text)), expected); });
}

TEST(Pathological, BracketsNestDeeply) {
  const std::string open = Repeat("(", 100'000);
  const std::string close = Repeat(")", 100'000);
  ExpectClassified(open + "select nextval('s')" + close, "write");
  ExpectClassified(open, "unknown");
  ExpectClassified("select " + open + "1" + close, "read");
  OnSmallStack([&] { EXPECT_EQ(CountStatements(open + ";" + close + "; x"), 2U); });
}

TEST(Pathological, CommentsNestDeeply) {
  const std::string open = Repeat("/*", 100'000);
  const std::string close = Repeat("*/", 100'000);
  ExpectClassified(open + close + "insert into t values (1)", "write");
  ExpectClassified(open + "insert into t values (1)", "unknown");
}

TEST(Pathological, PrefixesNestDeeply) {
  ExpectClassified(Repeat("explain analyze ", 100'000) + "delete from t", "write");
  ExpectClassified("select " + Repeat("case when ", 100'000), "read");
  ExpectClassified(Repeat("with a as (", 100'000) + "delete from t", "write");
}

TEST(Pathological, BigTextsAreReadOnce) {
  EXPECT_EQ(CountTokens(Repeat("+", kBig)), kBig);
  EXPECT_EQ(CountTokens(Repeat("+-", kBig / 2)), kBig / 2 * 2);
  EXPECT_EQ(CountTokens(Repeat("-", kBig)), 0U);
  EXPECT_EQ(CountTokens(Repeat("@", kBig)), 1U);
  EXPECT_EQ(CountTokens(Repeat("$a", kBig / 2)), 2U);
  EXPECT_EQ(CountTokens("$" + Repeat("a", kBig)), 2U);
  EXPECT_EQ(CountTokens(Repeat("$a$b", kBig / 4)), 2U);
  EXPECT_EQ(CountTokens(Repeat("''", kBig / 2)), 1U);
  EXPECT_EQ(CountTokens(Repeat("' '\n", kBig / 4)), 1U);
  EXPECT_EQ(CountTokens(Repeat("'' --\n", kBig / 6)), 1U);
  EXPECT_EQ(CountTokens("''" + Repeat("--\n", kBig / 3) + "x"), 2U);
  EXPECT_EQ(CountTokens(Repeat("1e", kBig / 2)), 2U);
  EXPECT_EQ(CountTokens(Repeat("1.", kBig / 2)), kBig / 2);
  EXPECT_EQ(CountTokens(Repeat("/*", kBig / 2)), 0U);
  EXPECT_EQ(CountStatements(Repeat("a;", kBig / 2)), kBig / 2);
}

TEST(Pathological, BigStatementsAreClassified) {
  const std::string row = "(1, 'some text', now()), ";
  const std::string text = "insert into t values " + Repeat(row, kHuge / row.size()) + "(2)";
  EXPECT_EQ(sql_test::Describe(sql::Classify(text)), "write");
  EXPECT_EQ(sql_test::Describe(sql::Classify("select '" + std::string(kHuge, 'x') + "'")), "read");
  EXPECT_EQ(sql_test::Describe(sql::Classify("savepoint " + std::string(kHuge, 'x'))),
            "control:savepoint name=" + std::string(63, 'x'));
}

TEST(Pathological, OwnersOfBigStatementsAreRead) {
  const auto values = [](const std::string& text) {
    size_t proven = 0;
    OnSmallStack([&] {
      sql::ReadOwners(text, {}, [&](const sql::Token& token, const sql::Owner& owner) {
        const bool known = owner.whose == sql::Owner::Whose::kColumn;
        proven += known && sql::IsValue(token) ? 1U : 0U;
      });
    });
    return proven;
  };
  EXPECT_EQ(values("INSERT INTO t(a) VALUES " + Repeat("(1),", 500'000) + "(1)"), 500'001U);
  EXPECT_EQ(values("INSERT INTO t(a) VALUES (" + Repeat("(", 500'000) + "1"), 0U);
  EXPECT_EQ(values("UPDATE t SET a = " + Repeat("- ", 500'000) + "1"), 0U);
  EXPECT_EQ(values("SELECT 1 FROM t WHERE " + Repeat("(a = ", 300'000) + "1"), 1U);
  EXPECT_EQ(values("SELECT 1 FROM t WHERE a IN (" + Repeat("'x',", 300'000) + "'x')"), 300'001U);
  EXPECT_EQ(values("SELECT 1 FROM t WHERE a = 1" + Repeat("::int", 300'000)), 0U);
}

}  // namespace
