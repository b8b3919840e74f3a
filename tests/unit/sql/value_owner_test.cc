#include "sql/value_owner.h"

#include <gtest/gtest.h>

#include <string>

namespace sql {
namespace {

// The values of a text with what is proven of each: "1=t.a 'x'=? 5=-".
std::string Owners(std::string_view text) {
  std::string all;
  std::string seen;
  ReadOwners(text, {}, [&](const Token& token, const Owner& owner) {
    seen += token.text;
    if (!IsValue(token)) {
      return;
    }
    const ColumnName& column = owner.column;
    all += all.empty() ? "" : " ";
    all += token.text;
    if (owner.whose == Owner::Whose::kUnknown) {
      all += "=?";
    } else if (owner.whose == Owner::Whose::kNobody) {
      all += "=-";
    } else {
      all += "=" + (column.schema.empty() ? "" : column.schema + ".") + column.table + "." +
             (column.column.empty() ? "*" : column.column);
    }
  });
  std::string whole;
  Lexer lexer(text);
  for (Token token = lexer.Next(); token.kind != TokenKind::kEnd; token = lexer.Next()) {
    whole += token.text;
  }
  EXPECT_EQ(seen, whole) << "not every token once, in order: " << text;
  return all;
}

TEST(ValueOwner, TheListOfAnInsertNamesEachPlace) {
  EXPECT_EQ(Owners("INSERT INTO s.T AS x (A, \"B\") VALUES ($1, 'x'), (-2, $2::varchar(10))"),
            "$1=s.t.a 'x'=s.t.B 2=s.t.a $2=s.t.B 10=s.t.B");
  EXPECT_EQ(Owners("INSERT INTO t(a) OVERRIDING SYSTEM VALUE VALUES (date '2020-01-01')"),
            "'2020-01-01'=t.a");
  EXPECT_EQ(Owners("INSERT INTO t(a, b) VALUES (DEFAULT, TRUE) RETURNING 7"), "TRUE=t.b 7=?");
  EXPECT_EQ(Owners("INSERT INTO t(a.f, b[1]) VALUES ($1, $2)"), "1=? $1=t.a $2=t.b");
}

TEST(ValueOwner, WithoutAListOnlyTheTableIsKnown) {
  EXPECT_EQ(Owners("INSERT INTO t VALUES (1, 'x')"), "1=t.* 'x'=t.*");
}

TEST(ValueOwner, AnExpressionProvesNothing) {
  EXPECT_EQ(Owners("INSERT INTO t(a, b, c) VALUES (lower($1), $2 || 'x', $3)"),
            "$1=? $2=? 'x'=? $3=t.c");
  EXPECT_EQ(Owners("INSERT INTO t(a) VALUES ((SELECT $1)), (ARRAY[$2, $3]), (U&'x' UESCAPE '!')"),
            "$1=? $2=? $3=? U&'x'=? '!'=?");
  EXPECT_EQ(Owners("INSERT INTO t(a) SELECT $1"), "$1=?");
  EXPECT_EQ(Owners("INSERT INTO t(a) VALUES (1, 2)"), "1=t.a 2=?");
  EXPECT_EQ(Owners("WITH q AS (SELECT 1) INSERT INTO t(a) VALUES ($1)"), "1=? $1=?");
}

TEST(ValueOwner, AssignmentsNameTheirColumn) {
  EXPECT_EQ(Owners("UPDATE ONLY t u SET a = $1, b = b + $2, c[1] = $3, (d, e) = ($4, 5)"),
            "$1=t.a $2=? 1=? $3=t.c $4=? 5=?");
  EXPECT_EQ(Owners("UPDATE t SET a = $1 FROM x WHERE x.b = $2"), "$1=t.a $2=?");
  EXPECT_EQ(Owners("INSERT INTO t(a) VALUES ($1) ON CONFLICT (a) WHERE b = 1 DO UPDATE SET c = $2 "
                   "WHERE t.d = $3"),
            "$1=t.a 1=? $2=t.c $3=?");
}

TEST(ValueOwner, ComparisonsInTheWhereOfOneTable) {
  EXPECT_EQ(Owners("SELECT $1, x FROM s.t AS u WHERE a = $2 AND (u.b <> 'x' OR NOT 3 < c)"),
            "$1=? $2=s.t.a 'x'=s.t.b 3=s.t.c");
  EXPECT_EQ(Owners("DELETE FROM t WHERE a IN ($1, lower($2), 3) AND b NOT IN (4)"),
            "$1=t.a $2=? 3=t.a 4=t.b");
  EXPECT_EQ(Owners("UPDATE t SET a = 1 WHERE b = ANY ($1::int[]) AND c NOT LIKE 'x%'"),
            "1=t.a $1=t.b 'x%'=t.c");
  EXPECT_EQ(Owners("SELECT 1 FROM t WHERE a = $1 ORDER BY 2 LIMIT $2 OFFSET 5"),
            "1=? $1=t.a 2=? $2=- 5=-");
}

TEST(ValueOwner, AComparisonWithMoreAroundItProvesNothing) {
  for (const char* where :
       {"a || b = $1", "b = $1 || a", "f(b) = $1", "(a, b) = ($1, b)", "x.b = $1", "t.b.c = $1",
        "b->>'k' = $1", "b = $1 COLLATE \"C\"", "t = $1", "b LIKE $1 ESCAPE '!'",
        "a BETWEEN b AND b = $1", "CASE WHEN b = $1 THEN true END", "- b = $1",
        "current_user = $1", "$1 = Session_User"}) {
    const std::string owners = Owners("SELECT b FROM t WHERE " + std::string(where));
    EXPECT_EQ(owners.find("=t."), std::string::npos) << where << ": " << owners;
  }
  EXPECT_EQ(Owners("SELECT b FROM t AS u WHERE t.b = $1"), "$1=?");
}

TEST(ValueOwner, ConditionsOnMoreThanOneTableProveNothing) {
  for (const char* text :
       {"SELECT 1 FROM t, s WHERE b = $1", "SELECT 1 FROM t JOIN s USING (id) WHERE b = $1",
        "SELECT 1 FROM (SELECT a AS b FROM t) q WHERE b = $1", "SELECT 1 FROM t u(b) WHERE b = $1",
        "SELECT 1 FROM f('x') q WHERE q = $1", "DELETE FROM t USING s WHERE b = $1",
        "SELECT 1 FROM t WHERE a IN (SELECT 2 FROM s WHERE b = $1)",
        "WITH t AS (SELECT a AS b FROM s) SELECT 1 FROM t WHERE b = $1",
        "SELECT 1 FROM t WHERE b = $1 UNION SELECT 1 FROM s"}) {
    EXPECT_EQ(Owners(text).find("=t."), std::string::npos) << text;
  }
}

TEST(ValueOwner, SettingsAndNamesOfTransactionsAreNoColumns) {
  EXPECT_EQ(Owners("SET LOCAL work_mem = '64MB'"), "'64MB'=-");
  EXPECT_EQ(Owners("SET TIME ZONE 'UTC'"), "'UTC'=-");
  EXPECT_EQ(Owners("SET my.user TO 'ann'"), "'ann'=?");
  EXPECT_EQ(Owners("SET SESSION AUTHORIZATION 'ann'"), "'ann'=?");
  EXPECT_EQ(Owners("PREPARE TRANSACTION 'p'"), "'p'=-");
  EXPECT_EQ(Owners("COMMIT PREPARED 'p'"), "'p'=-");
  EXPECT_EQ(Owners("SELECT 1, pg_catalog.set_config('TimeZone', 'UTC', true)"),
            "1=? 'TimeZone'=- 'UTC'=- true=-");
  EXPECT_EQ(Owners("SELECT pg_catalog.set_config('my.user', 'ann', true)"),
            "'my.user'=? 'ann'=? true=?");
}

TEST(ValueOwner, OtherStatementsProveNothing) {
  for (const char* text : {"CREATE TABLE t(a int DEFAULT 5)", "EXECUTE s('x')", "DO 'x'",
                           "EXPLAIN SELECT 1 FROM t WHERE a = 5", "CALL p($1)", "VALUES (1)",
                           "MERGE INTO t USING s ON true WHEN MATCHED THEN UPDATE SET a = $1",
                           "INSERT INTO t(a", "UPDATE t SET (", "SELECT", ""}) {
    const std::string owners = Owners(text);
    EXPECT_EQ(owners.find("=t"), std::string::npos) << text << ": " << owners;
  }
}

}  // namespace
}  // namespace sql
