#include "sql/tables.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace sql {
namespace {

// The names, with a space between them.
std::string Written(std::string_view text, LexOptions options = {}) {
  std::string all;
  for (const std::string& table : WrittenTables(text, options)) {
    all += (all.empty() ? "" : " ") + table;
  }
  return all;
}

struct Row {
  std::string_view text;
  std::string_view tables;
};

void Check(std::initializer_list<Row> rows) {
  for (const Row& row : rows) {
    EXPECT_EQ(Written(row.text), row.tables) << row.text;
  }
}

TEST(WrittenTables, OfTheFourVerbs) {
  Check({
      {"INSERT INTO t VALUES (1)", "t"},
      {"insert into T(a, b) select a, b from u", "t"},
      {"INSERT INTO t AS x (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2 WHERE x.a = 1", "t"},
      {"INSERT INTO t DEFAULT VALUES RETURNING *", "t"},
      {"UPDATE t SET a = 1", "t"},
      {"UPDATE ONLY t SET a = 1 FROM u WHERE u.a = t.a", "t"},
      {"UPDATE ONLY (t) SET a = 1", "t"},
      {"UPDATE t * SET a = 1", "t"},
      {"DELETE FROM t", "t"},
      {"DELETE FROM ONLY s.t USING u WHERE true", "s.t"},
      {"MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN UPDATE SET a = 1 WHEN NOT MATCHED THEN "
       "INSERT (a) VALUES (1)", "t"},
      {"MERGE INTO ONLY t USING u ON true WHEN MATCHED THEN DELETE", "t"},
  });
}

TEST(WrittenTables, NamesAsPostgresqlReadsThem) {
  Check({
      {"INSERT INTO Shop.Orders VALUES (1)", "shop.orders"},
      {R"(INSERT INTO "Shop"."Orders" VALUES (1))", R"("Shop"."Orders")"},
      {R"(INSERT INTO "shop"."orders" VALUES (1))", "shop.orders"},
      {R"(INSERT INTO "a.b" VALUES (1))", R"("a.b")"},
      {R"(INSERT INTO "say ""hi""" VALUES (1))", R"("say ""hi""")"},
      {R"(INSERT INTO "*" VALUES (1))", R"("*")"},
      {R"(INSERT INTO U&"d\0061t\+000061" VALUES (1))", "data"},
      {R"(INSERT INTO U&"d!0061ta" UESCAPE '!' VALUES (1))", "data"},
      {R"(UPDATE u&"T!0041" UESCAPE '!' SET a = 1)", R"("TA")"},
      {"INSERT INTO grüße VALUES (1)", R"("grüße")"},
      {"INSERT INTO db.public.t VALUES (1)", "public.t"},
      {"INSERT INTO s /* a */ . -- b\n t VALUES (1)", "s.t"},
      {"/* UPDATE x SET a = 1 */ INSERT -- DELETE FROM y\n INTO t VALUES ('DELETE FROM z')", "t"},
      {"INSERT INTO t VALUES ($$DELETE FROM u$$, E'\\'; DELETE FROM u --')", "t"},
      {"INSERT INTO $1 VALUES (1)", "*"},
  });
  const std::string longest(63, 'x');
  EXPECT_EQ(Written("INSERT INTO " + longest + "yz VALUES (1)"), longest);
}

TEST(WrittenTables, OfWithAtAnyDepth) {
  Check({
      {"WITH a AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM a", "t"},
      {"WITH a AS (INSERT INTO t VALUES (1)), b AS MATERIALIZED (UPDATE u SET a = 1), c AS NOT "
       "MATERIALIZED (DELETE FROM ONLY v) MERGE INTO w USING a ON true WHEN MATCHED THEN DELETE",
       "t u v w"},
      {"WITH RECURSIVE a AS (WITH b AS (UPDATE t SET a = 1 RETURNING *) SELECT * FROM b) INSERT "
       "INTO u SELECT * FROM a", "t u"},
      {"WITH a AS (SELECT 1) UPDATE t SET a = 1", "t"},
      {"WITH a AS (SELECT 1) DELETE FROM t", "t"},
      {"WITH a(x) AS (SELECT 1) SEARCH DEPTH FIRST BY x SET y UPDATE t SET a = 1", "t"},
      {"WITH update AS (SELECT 1), delete AS (SELECT 2), insert AS (SELECT 3) INSERT INTO t SELECT "
       "1 FROM update, delete, insert", "t"},
      {"INSERT INTO t WITH a AS (SELECT 1) SELECT * FROM a", "t"},
  });
}

TEST(WrittenTables, NotWhatIsOnlyRead) {
  Check({
      {"SELECT * FROM t", ""},
      {"SELECT * FROM t FOR UPDATE", ""},
      {"SELECT * FROM t FOR UPDATE OF t NOWAIT", ""},
      {"SELECT * FROM t FOR NO KEY UPDATE SKIP LOCKED", ""},
      {"(SELECT * FROM t) FOR UPDATE", ""},
      {"SELECT t.update, t.delete, t.insert FROM t", ""},
      {"SELECT delete FROM t", ""},
      {"SELECT a AS update FROM t", ""},
      {"TABLE t", ""},
      {"VALUES (1)", ""},
      {"SHOW work_mem", ""},
      {"COPY t TO STDOUT", ""},
      {"COPY t (a, b) TO STDOUT", ""},
      {"LOCK TABLE t", ""},
      {"EXPLAIN DELETE FROM t", ""},
      {"EXPLAIN (VERBOSE) DELETE FROM t", ""},
      {"EXPLAIN (SELECT 1)", ""},
      {"BEGIN; SET a = 1; SAVEPOINT x; COMMIT", ""},
      {"PREPARE p AS DELETE FROM t", ""},
      {"GRANT ALL ON t TO u", ""},
      {"COMMENT ON TABLE t IS 'x'", ""},
      {"CREATE ROLE t", ""},
      {"ALTER USER t PASSWORD 'x'", ""},
      {"VACUUM t", ""},
      {"", ""},
      {" ; ; -- nothing", ""},
  });
}

TEST(WrittenTables, OfTruncateAndCopy) {
  Check({
      {"TRUNCATE t", "t"},
      {"TRUNCATE TABLE ONLY s.t, u *, \"V\" RESTART IDENTITY", R"(s.t u "V")"},
      {"TRUNCATE a, b CASCADE", "a b *"},
      {"COPY t FROM STDIN", "t"},
      {"COPY s.t (a, \"b)\") FROM '/tmp/x' WITH (FORMAT csv)", "s.t"},
      {"COPY BINARY t FROM STDIN", "t"},
      {"COPY (DELETE FROM t RETURNING *) TO STDOUT", "t"},
  });
}

TEST(WrittenTables, OfDefinitions) {
  Check({
      {"CREATE TABLE t (a int, b text DEFAULT 'x')", "t"},
      {"CREATE TABLE IF NOT EXISTS s.t (a int GENERATED ALWAYS AS (1) STORED)", "s.t"},
      {"CREATE UNLOGGED TABLE t (a int)", "t"},
      {"CREATE LOCAL TEMPORARY TABLE t (a int)", "t"},
      {"CREATE FOREIGN TABLE t (a int) SERVER x", "t"},
      {"CREATE TABLE t AS SELECT nextval('s')", "t s"},
      {"CREATE TABLE t AS EXECUTE p", "t *"},
      {"CREATE TABLE t PARTITION OF u FOR VALUES IN (1)", "t"},
      {"CREATE OR REPLACE RECURSIVE VIEW v (n) AS SELECT nextval('s')", "v"},
      {"CREATE MATERIALIZED VIEW IF NOT EXISTS v AS SELECT 1", "v"},
      {"CREATE SEQUENCE s AS bigint", "s"},
      {"CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON ONLY s.t (lower(a))", "s.t"},
      {"CREATE INDEX ON t (a)", "t"},
      {"CREATE OR REPLACE TRIGGER g BEFORE UPDATE OF a, b ON t EXECUTE FUNCTION f()", "t"},
      {"CREATE RULE r AS ON INSERT TO s.t DO INSTEAD DELETE FROM u", "s.t"},
      {"CREATE POLICY p ON t TO joe", "t"},
      {"ALTER TABLE IF EXISTS ONLY s.t ADD COLUMN a int", "s.t"},
      {"ALTER TABLE t ADD COLUMN a int DEFAULT nextval('s')", "t s"},
      {"ALTER TABLE s.t RENAME TO \"New\"", R"(s.t s."New")"},
      {"ALTER TABLE t RENAME COLUMN a TO b", "t"},
      {"ALTER TABLE t SET SCHEMA s", "t s.t"},
      {"ALTER TABLE ALL IN TABLESPACE x SET TABLESPACE y", "*"},
      {"ALTER SEQUENCE s RESTART", "s"},
      {"ALTER INDEX i RENAME TO j", "i j"},
      {"ALTER TRIGGER g ON t RENAME TO h", "t"},
      {"DROP TABLE IF EXISTS a, s.b, \"C\" CASCADE", R"(a s.b "C")"},
      {"DROP INDEX CONCURRENTLY IF EXISTS i", "i"},
      {"DROP MATERIALIZED VIEW v", "v"},
      {"DROP TRIGGER IF EXISTS g ON t CASCADE", "t"},
      {"DROP TABLE if", "if"},
      {"REFRESH MATERIALIZED VIEW CONCURRENTLY s.v WITH DATA", "s.v"},
      {"SELECT * INTO t FROM u", "t"},
      {"SELECT a INTO TEMPORARY TABLE s.t FROM u", "s.t"},
      {"SELECT a INTO temp FROM u", "temp"},
      {"SELECT a INTO LOCAL TEMP t FROM u", "t"},
      {"CREATE FUNCTION f() RETURNS int AS $$ DELETE FROM t $$ LANGUAGE sql", "*"},
      {"DROP SCHEMA s CASCADE", "*"},
      {"CREATE EXTENSION x", "*"},
  });
}

TEST(WrittenTables, OfSequenceCalls) {
  Check({
      {"SELECT nextval('s')", "s"},
      {"SELECT pg_catalog.nextval('My.Seq'::pg_catalog.regclass)", "my.seq"},
      {R"(SELECT setval('"Seq"', 5, true))", R"("Seq")"},
      {"INSERT INTO t VALUES (nextval('s'::regclass), nextval('u'))", "t s u"},
      {"SELECT nextval('a' || 'b')", "*"},
      {"SELECT nextval($1)", "*"},
      {"SELECT nextval('it''s')", "*"},
      {"SELECT nextval('a b')", "*"},
      {"SELECT nextval(16384)", "*"},
      {"INSERT INTO nextval (a) VALUES (1)", "nextval"},
      {"SELECT lo_create(0)", "*"},
      {"SELECT count(*), now() FROM t", ""},
  });
}

TEST(WrittenTables, AnyWhereTheTextDoesNotTell) {
  Check({
      {"CALL p()", "*"},
      {"DO $$ BEGIN DELETE FROM t; END $$", "*"},
      {"EXECUTE p(1)", "*"},
      {"EXPLAIN ANALYZE EXECUTE p", "*"},
      {"IMPORT FOREIGN SCHEMA s FROM SERVER x INTO y", "*"},
      {"FROBNICATE t", "*"},
      {"INSERT INTO t VALUES ('unterminated", "t *"},
      {"INSERT INTO", "*"},
  });
}

TEST(WrittenTables, OfWhatExplainAnalyzeRuns) {
  Check({
      {"EXPLAIN ANALYZE VERBOSE DELETE FROM t", "t"},
      {"EXPLAIN (ANALYZE, COSTS off) WITH a AS (DELETE FROM t) SELECT 1", "t"},
      {"EXPLAIN (BUFFERS, ANALYZE) CREATE TABLE u AS SELECT 1", "u"},
  });
}

TEST(WrittenTables, OfSeveralStatementsEachOnce) {
  Check({
      {"INSERT INTO b VALUES (1); UPDATE a SET x = 1; DELETE FROM b;", "b a"},
      {"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC DELETE FROM t; SELECT 1; END; DELETE FROM u",
       "* u"},
  });
}

TEST(WrittenTables, BackslashesCountAsTheSettingSays) {
  constexpr std::string_view kText = R"(INSERT INTO t VALUES ('\'); DELETE FROM u --'))";
  EXPECT_EQ(Written(kText), "t u");
  EXPECT_EQ(Written(kText, {.standard_conforming_strings = false}), "t");
}

TEST(WrittenTables, AreAtMostSixtyFourNames) {
  std::string text = "DROP TABLE t0";
  for (int i = 1; i < 1000; ++i) {
    text += ", t" + std::to_string(i);
  }
  const std::vector<std::string> tables = WrittenTables(text);
  ASSERT_EQ(tables.size(), kTablesMax);
  EXPECT_EQ(tables.front(), "t0");
  EXPECT_EQ(tables[kTablesMax - 2], "t62");
  EXPECT_EQ(tables.back(), kAnyTable);
}

TEST(WrittenTables, DeepNestingTakesNoStack) {
  const std::string open(1'000'000, '(');
  EXPECT_EQ(Written("WITH a AS " + open + "INSERT INTO t VALUES (1)"), "t");
}

}  // namespace
}  // namespace sql
