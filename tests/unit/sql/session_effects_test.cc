#include "sql/session_effects.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace {

using sql::MayHaveEffects;
using sql::ReadEffects;

constexpr const char* kFlagNames[] = {
    "sets",        "resets",      "resets_all", "unknown_setting", "authorization", "local",
    "listens",     "unlistens",   "temp",       "discards_temp",   "lock",          "unlocks",
    "unlocks_all", "hold",        "closes_all", "loads",           "other",         "prepares",
    "executes",    "deallocates", "frees_all",  "reads_seq",       "uses_seq",      "discards_all",
};

// "sets resets: a b; deallocate x".
std::string Describe(const sql::SessionEffects& effects) {
  std::string text;
  for (size_t bit = 0; bit < std::size(kFlagNames); ++bit) {
    if ((effects.flags >> bit & 1) == 0) continue;
    text += std::string(text.empty() ? "" : " ") + kFlagNames[bit];
  }
  if (!effects.names.empty()) text += ":";
  for (const std::string& name : effects.names) text += " " + name;
  if (!effects.deallocate.empty()) text += "; deallocate " + effects.deallocate;
  return text;
}

struct Row {
  const char* text;
  const char* expected;
};

template <size_t count>
void ExpectRows(const Row (&rows)[count]) {
  for (const Row& row : rows) {
    EXPECT_EQ(Describe(ReadEffects(row.text)), row.expected) << row.text;
    const std::string wrapped = std::string(" /* a /* b */ ; */ -- c\n") + row.text + " ; -- d";
    EXPECT_EQ(Describe(ReadEffects(wrapped)), row.expected) << wrapped;
    std::string upper = row.text;
    for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c & ~0x20) : c;
    for (const std::string& text : {std::string(row.text), wrapped, upper}) {
      EXPECT_TRUE(MayHaveEffects(text) || ReadEffects(text).flags == 0) << text;
    }
  }
}

TEST(SessionEffects, Set) {
  const Row kRows[] = {
      {"SET x = 1", "sets: x"},
      {"set Search_Path to a, b", "sets: search_path"},
      {"SET SESSION statement_timeout = '5s'", "sets: statement_timeout"},
      {"SET \"DateStyle\" = ISO", "sets: datestyle"},
      {"SET U&\"d!0061testyle\" UESCAPE '!' = ISO", "sets: datestyle"},
      {"SET/* */app.tenant/**/=/**/'t'", "sets: app.tenant"},
      {"SET \"App\".\"Tenant\" = 't'", "sets: app.tenant"},
      {"SET a.b.c TO 1", "sets: a.b.c"},
      {"SET local.x = 1", "sets: local.x"},
      {"SET session.x = 1", "sets: session.x"},
      {"SET TIME ZONE 'UTC'", "sets: timezone"},
      {"SET SESSION TIME ZONE 3", "sets: timezone"},
      {"SET TIME ZONE INTERVAL '1' HOUR TO MINUTE", "sets: timezone"},
      {"SET NAMES 'latin1'", "sets: client_encoding"},
      {"SET SCHEMA 'a'", "sets: search_path"},
      {"SET ROLE bob", "sets: role"},
      {"SET ROLE NONE", "sets: role"},
      {"SET role = 'bob'", "sets: role"},
      {"SET XML OPTION DOCUMENT", "sets: xmloption"},
      {"SET SESSION AUTHORIZATION bob", "sets authorization: session_authorization"},
      {"SET SESSION SESSION AUTHORIZATION 'b'", "sets authorization: session_authorization"},
      {"SET session_authorization TO bob", "sets authorization: session_authorization"},
      {"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
       "sets: default_transaction_isolation"},
      {"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE, NOT "
       "DEFERRABLE",
       "sets: default_transaction_read_only default_transaction_isolation "
       "default_transaction_deferrable"},
      {"SET search_path = pg_temp, public", "sets temp: search_path"},
      {"SET search_path = \"pg_temp_3\"", "sets temp: search_path"},
      {"SET search_path = 'pg_temp'", "sets temp: search_path"},
      {"SET SCHEMA 'pg_temp'", "sets temp: search_path"},
      {"SET search_path = public, pg_temp", "sets: search_path"},
      {"SET search_path = pg_temperature", "sets: search_path"},
      {"SET a = 1; SET b = 2; SET a = 3", "sets: a b"},
      {"BEGIN; SELECT 1; SET a = 1; COMMIT", "sets: a"},
  };
  ExpectRows(kRows);
}

TEST(SessionEffects, Reset) {
  const Row kRows[] = {
      {"RESET x", "resets: x"},
      {"RESET \"App\".x", "resets: app.x"},
      {"RESET TIME ZONE", "resets: timezone"},
      {"RESET ROLE", "resets: role"},
      {"RESET SESSION AUTHORIZATION", "resets authorization: session_authorization"},
      {"SET SESSION AUTHORIZATION DEFAULT", "resets authorization: session_authorization"},
      {"SET x TO DEFAULT", "resets: x"},
      {"SET x = default", "resets: x"},
      {"SET x = 'default'", "sets: x"},
      {"SET TIME ZONE LOCAL", "resets: timezone"},
      {"SET TIME ZONE DEFAULT", "resets: timezone"},
      {"SET NAMES", "resets: client_encoding"},
      {"SET NAMES DEFAULT", "resets: client_encoding"},
      {"RESET ALL", "resets_all"},
      {"RESET \"all\"", "resets: all"},
      {"SET a = 1; RESET b", "sets resets: a b"},
      {"DISCARD ALL",
       "resets_all unlistens discards_temp unlocks_all closes_all frees_all discards_all"},
      {"DISCARD TEMP", "discards_temp"},
      {"DISCARD TEMPORARY", "discards_temp"},
      {"DISCARD PLANS", ""},
      {"DISCARD SEQUENCES", ""},
  };
  ExpectRows(kRows);
}

TEST(SessionEffects, WhatEndsWithTheTransaction) {
  const Row kRows[] = {
      {"SET LOCAL x = 1", "local"},
      {"SET LOCAL search_path TO DEFAULT", "local"},
      {"SET LOCAL TIME ZONE 'UTC'", "local"},
      {"SET LOCAL ROLE bob", "local"},
      {"SET LOCAL SESSION AUTHORIZATION bob", "local"},
      {"SET LOCAL SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "local"},
      {"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "local"},
      {"SET TRANSACTION SNAPSHOT '1'", "local"},
      {"SET CONSTRAINTS ALL DEFERRED", "local"},
      {"SET transaction_read_only = on", "local"},
      {"SET SESSION transaction_isolation TO serializable", "local"},
      {"RESET TRANSACTION ISOLATION LEVEL", "local"},
      {"SELECT set_config('x', 'y', true)", "local"},
      {"SELECT set_config($1, $2, TRUE)", "local"},
      {"SELECT set_config('x', 'y', 't'::bool)", "local"},
      {"BEGIN; SET LOCAL x = 1; SET y = 2; COMMIT", "sets local: y"},
  };
  ExpectRows(kRows);
}

TEST(SessionEffects, SetConfig) {
  const Row kRows[] = {
      {"SELECT set_config('Search_Path', '', false)", "sets: search_path"},
      {"SELECT pg_catalog.set_config('search_path', '', false)", "sets: search_path"},
      {"SELECT \"pg_catalog\" . \"set_config\" /* */ ('a.b', '', false)", "sets: a.b"},
      {"SELECT set_config -- gap\n ('a', '', false)", "sets: a"},
      {"SELECT U&\"set!005fconfig\" UESCAPE '!' ('a', '', false)", "sets: a"},
      {"SELECT U&\"set\\005fconfig\"('a', '', false)", "sets: a"},
      {"SELECT set_config('a', $1, 'f')", "sets: a"},
      {"SELECT set_config('a'::text, $1::text, 'off'::pg_catalog.bool)", "sets: a"},
      {"SELECT set_config($$a$$, 'x', NULL)", "sets: a"},
      {"SELECT set_config($t$a$t$, 'x', false)", "sets: a"},
      {"SELECT set_config(E'a', 'x', false)", "sets: a"},
      {"SELECT set_config(N'a', 'x', false)", "sets: a"},
      {"SELECT set_config(U&'a', 'x', false)", "sets: a"},
      {"SELECT set_config('role', 'bob', false)", "sets: role"},
      {"SELECT set_config('session_authorization', 'bob', false)",
       "sets authorization: session_authorization"},
      {"SELECT set_config('transaction_read_only', 'on', false)", "local"},
      {"SELECT set_config('a', f(x, (1), y), false), set_config('b', 'c', false)", "sets: a b"},
      {"SELECT set_config('a', set_config('b', 'c', false), false)", "sets: b a"},
      {"SELECT set_config(set_config('b', 'c', true), 'x', false)", "unknown_setting local"},
      {"SELECT set_config(U&'!0061' UESCAPE '!', 'x', false)", "unknown_setting"},
      {"SELECT set_config(E'\\x61', 'x', false)", "unknown_setting"},
      {"SELECT set_config('a' 'b', 'x', false)", "unknown_setting"},
      {"SELECT set_config('a'\n'b', 'x', false)", "unknown_setting"},
      {"SELECT set_config('a' || 'b', 'x', false)", "unknown_setting"},
      {"SELECT set_config('', 'x', false)", "unknown_setting"},
      {"SELECT set_config(name, setting, false) FROM pg_settings", "unknown_setting"},
      {"SELECT set_config($1, $2, false)", "unknown_setting"},
      {"SELECT set_config('a', 'x', $1)", "unknown_setting"},
      {"SELECT set_config('a', 'x', t) FROM u", "unknown_setting"},
      {"SELECT set_config('a', 'x', true AND b)", "unknown_setting"},
      {"SELECT set_config('a', 'x', true::bool AND b)", "unknown_setting"},
      {"SELECT set_config('a', 'x', (true))", "unknown_setting"},
      {"SELECT set_config('a', 'x', is_local => true)", "unknown_setting"},
      {"SELECT set_config('a', 'x')", "unknown_setting"},
      {"SELECT set_config()", "unknown_setting"},
      {"SELECT set_config('a', 'x', true", ""},
      {"UPDATE pg_settings SET setting = 'x' WHERE name = 'y'", "unknown_setting"},
      {"UPDATE ONLY pg_catalog.\"pg_settings\" SET setting = 'x'", "unknown_setting"},
      {"WITH a AS (UPDATE pg_settings SET setting = 'x' RETURNING 1) TABLE a", "unknown_setting"},
      {"UPDATE public.pg_settings SET setting = 'x'", ""},
      {"UPDATE t SET a = (SELECT setting FROM pg_settings LIMIT 1)", ""},
  };
  ExpectRows(kRows);
}

TEST(SessionEffects, NestedCallsBeyondTheBoundAreUnknown) {
  std::string text = "SELECT ";
  for (int i = 0; i < 9; ++i) text += "set_config('a', ";
  text += "'x'";
  for (int i = 0; i < 9; ++i) text += ", true)";
  EXPECT_EQ(Describe(ReadEffects(text)), "unknown_setting local");
}

TEST(SessionEffects, TooManyNamesAreUnknown) {
  std::string text;
  for (size_t i = 0; i < sql::kEffectNamesMax; ++i) text += "SET a" + std::to_string(i) + " = 1;";
  EXPECT_EQ(ReadEffects(text).flags, sql::kSets);
  EXPECT_EQ(ReadEffects(text + "SET a0 = 2").flags, sql::kSets);
  const sql::SessionEffects more = ReadEffects(text + "SET b = 1");
  EXPECT_EQ(more.flags, sql::kSets | sql::kUnknownSetting);
  EXPECT_EQ(more.names.size(), sql::kEffectNamesMax);
}

TEST(SessionEffects, CallsOfFunctions) {
  const Row kRows[] = {
      {"SELECT pg_advisory_lock(1)", "lock"},
      {"SELECT pg_advisory_lock_shared(1, 2)", "lock"},
      {"SELECT 1 WHERE pg_try_advisory_lock(1)", "lock"},
      {"SELECT pg_catalog.pg_try_advisory_lock_shared(1)", "lock"},
      {"SELECT pg_advisory_unlock(1), pg_advisory_unlock_shared(2)", "unlocks"},
      {"SELECT pg_advisory_unlock_all()", "unlocks_all"},
      {"SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(1)", ""},
      {"INSERT INTO t VALUES (nextval('s'), 2)", "uses_seq"},
      {"SELECT setval('s', 1)", "uses_seq"},
      {"SELECT currval('s'), lastval()", "reads_seq"},
      {"SELECT setseed(0.5)", "other"},
      {"SELECT public.dblink_connect('a', 'host=x')", "other"},
      {"SELECT pg_backup_start('a')", "other"},
      {"CALL p(nextval('s'))", "uses_seq"},
      {"COPY (SELECT nextval('s')) TO STDOUT", "uses_seq"},
      {"EXPLAIN ANALYZE SELECT nextval('s')", "uses_seq"},
      {"EXPLAIN (ANALYZE, TIMING off) SELECT pg_advisory_lock(1)", "lock"},
      {"CREATE TABLE t AS SELECT nextval('s')", "uses_seq"},
      {"CREATE MATERIALIZED VIEW v AS SELECT nextval('s')", "uses_seq"},
      {"CREATE TABLE t PARTITION OF p FOR VALUES FROM (nextval('s')) TO (9)", "uses_seq"},
      {"ALTER TABLE t ADD COLUMN c int DEFAULT nextval('s')", "uses_seq"},
      {"DECLARE c CURSOR FOR SELECT nextval('s')", "uses_seq"},
      {"SELECT 1nextval('s')", "uses_seq"},
      {"SELECT $$a$$nextval('s')", "uses_seq"},
  };
  ExpectRows(kRows);
}

TEST(SessionEffects, WhatOnlyLooksLikeACall) {
  const Row kRows[] = {
      {"SELECT 'set_config(''x'', ''y'', false)'", ""},
      {"SELECT $$ set_config('x', 'y', false) $$", ""},
      {"SELECT $a$ $b$ nextval('s') $b$ $a$", ""},
      {"SELECT E'\\' nextval(1)'", ""},
      {"SELECT nextval, currval FROM t", ""},
      {"SELECT t.nextval FROM t", ""},
      {"SELECT 1 AS set_config", ""},
      {"SELECT \"NEXTVAL\"('s')", ""},
      {"SELECT mine.set_config('x', 'y', false)", ""},
      {"SELECT my_set_config('x', 'y', false), set_config2(1)", ""},
      {"SELECT 1 -- nextval('s')", ""},
      {"SELECT 1 /* SET x = 1; nextval('s') */", ""},
      {"INSERT INTO nextval (a) VALUES (1)", ""},
      {"WITH nextval (a) AS (SELECT 1) SELECT a FROM nextval", ""},
      {"SELECT * FROM json_to_record('{}') AS nextval (a int)", ""},
      {"GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO bob", ""},
      {"DROP FUNCTION nextval(int)", ""},
      {"COMMENT ON FUNCTION set_config(text, text, bool) IS 'x'", ""},
      {"CREATE TABLE t (id int DEFAULT nextval('s'), CHECK (setval('s', 1) > 0))", ""},
      {"CREATE VIEW v AS SELECT set_config('x', 'y', false)", ""},
      {"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SET x = 1; $$", ""},
      {"CREATE FUNCTION f() RETURNS text SET search_path = pg_temp BEGIN ATOMIC SELECT "
       "set_config('x', 'y', false); END",
       ""},
      {"DO $$ BEGIN PERFORM set_config('x', 'y', false); END $$", ""},
      {"UPDATE t SET x = 1", ""},
      {"ALTER ROLE bob SET x = 1", ""},
      {"ALTER DATABASE d SET x TO DEFAULT", ""},
      {"ALTER SYSTEM SET x = 1", ""},
      {"INSERT INTO t (set, reset) VALUES ('SET x = 1; LISTEN y', 2)", ""},
  };
  ExpectRows(kRows);
}

TEST(SessionEffects, TemporaryObjects) {
  const Row kRows[] = {
      {"CREATE TEMP TABLE t (a int)", "temp"},
      {"CREATE TEMPORARY TABLE IF NOT EXISTS t (a int)", "temp"},
      {"CREATE LOCAL TEMP TABLE t (a int) ON COMMIT DELETE ROWS", "temp"},
      {"CREATE GLOBAL TEMPORARY TABLE t AS SELECT 1", "temp"},
      {"CREATE TEMP VIEW v AS SELECT 1", "temp"},
      {"CREATE OR REPLACE TEMP RECURSIVE VIEW v (a) AS SELECT 1", "temp"},
      {"CREATE TEMP SEQUENCE s", "temp"},
      {"CREATE TABLE pg_temp.t (a int)", "temp"},
      {"CREATE TABLE \"pg_temp\" . t (a int)", "temp"},
      {"CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "temp"},
      {"CREATE TYPE pg_temp_7.t AS (a int)", "temp"},
      {"CREATE VIEW v AS SELECT * FROM pg_temp.t", "temp"},
      {"SELECT 1 INTO TEMP t", "temp"},
      {"SELECT a, b INTO LOCAL TEMPORARY TABLE t FROM u", "temp"},
      {"WITH a AS (SELECT 1) SELECT * INTO TEMP t FROM a", "temp"},
      {"(SELECT 1 INTO TEMP t)", "temp"},
      {"SELECT 1 INTO TABLE pg_temp.t", "temp"},
      {"SELECT 1 INTO U&\"pg_t\\0065mp\".t", "temp"},
      {"CREATE TEMP TABLE t (a int) ON COMMIT DROP", ""},
      {"CREATE TEMP TABLE t ON COMMIT DROP AS SELECT nextval('s')", "uses_seq"},
      {"CREATE TEMP TABLE t (a text DEFAULT 'ON COMMIT DROP')", "temp"},
      {"CREATE TABLE temp (a int)", ""},
      {"CREATE UNLOGGED TABLE t (a int)", ""},
      {"CREATE TABLE pg_temperature.t (a int)", ""},
      {"CREATE INDEX ON t (temp)", ""},
      {"SELECT 1 INTO t", ""},
      {"SELECT temp FROM t", ""},
      {"SELECT temp INTO t FROM pg_temp.u", ""},
      {"INSERT INTO pg_temp.t SELECT 1", ""},
      {"SELECT * FROM pg_temp.t", ""},
      {"DROP TABLE pg_temp.t", ""},
  };
  ExpectRows(kRows);
}

TEST(SessionEffects, OtherStatements) {
  const Row kRows[] = {
      {"LISTEN a", "listens"},
      {"LISTEN \"B\"; NOTIFY a", "listens"},
      {"UNLISTEN *", "unlistens"},
      {"UNLISTEN a", ""},
      {"NOTIFY a, 'b'", ""},
      {"LOAD 'auto_explain'", "loads"},
      {"DECLARE c CURSOR WITH HOLD FOR SELECT 1", "hold"},
      {"DECLARE \"hold\" BINARY NO SCROLL CURSOR WITH /**/ HOLD FOR SELECT 1", "hold"},
      {"DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1", ""},
      {"DECLARE c CURSOR FOR SELECT 1", ""},
      {"CLOSE ALL", "closes_all"},
      {"CLOSE c", ""},
      {"FETCH ALL FROM c", ""},
      {"PREPARE a AS SELECT 1", "prepares"},
      {"PREPARE \"A\" (int, text) AS INSERT INTO t VALUES ($1, nextval('s'))", "prepares uses_seq"},
      {"PREPARE transaction AS SELECT 1", "prepares"},
      {"PREPARE TRANSACTION 'x'", ""},
      {"COMMIT PREPARED 'x'", ""},
      {"EXECUTE a", "executes"},
      {"EXECUTE a (1, nextval('s'))", "executes uses_seq"},
      {"EXPLAIN ANALYZE EXECUTE a", "executes"},
      {"CREATE TEMP TABLE t AS EXECUTE a", "temp executes"},
      {"DEALLOCATE a", "deallocates; deallocate a"},
      {"DEALLOCATE PREPARE \"A b\"", "deallocates; deallocate A b"},
      {"DEALLOCATE U&\"\\0041\"", "deallocates; deallocate A"},
      {"DEALLOCATE prepare", "deallocates; deallocate prepare"},
      {"DEALLOCATE ALL", "frees_all"},
      {"DEALLOCATE PREPARE ALL", "frees_all"},
      {"DEALLOCATE \"all\"", "deallocates; deallocate all"},
      {"DEALLOCATE a; DEALLOCATE b", "deallocates"},
      {"DEALLOCATE a; SELECT 1", "deallocates"},
      {"BEGIN", ""},
      {"COMMIT AND CHAIN", ""},
      {"SAVEPOINT a", ""},
      {"SHOW search_path", ""},
      {"LOCK TABLE t", ""},
      {"VACUUM t", ""},
      {"", ""},
  };
  ExpectRows(kRows);
}

// The setting changes where strings end, and so what is a statement.
TEST(SessionEffects, FollowsStandardConformingStrings) {
  constexpr std::string_view kText = "SELECT '\\'; SET x = 1; --'";
  EXPECT_EQ(Describe(ReadEffects(kText)), "sets: x");
  EXPECT_EQ(Describe(ReadEffects(kText, {.standard_conforming_strings = false})), "");
  EXPECT_TRUE(MayHaveEffects(kText));
}

// What pooling meets most must not need reading.
TEST(SessionEffects, TheFilterPassesOrdinaryStatements) {
  for (const char* text : {
           "SELECT abalance FROM pgbench_accounts WHERE aid = 84231;",
           "UPDATE pgbench_accounts SET abalance = abalance + -1234 WHERE aid = 84231;",
           "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 2, 3, 4, "
           "CURRENT_TIMESTAMP);",
           "BEGIN;",
           "END;",
           "INSERT INTO \"users\" (\"name\", \"email\") VALUES ($1, $2) RETURNING \"users\".\"id\"",
           "SELECT count(*), max(x), now() FROM t WHERE a IN ($1, $2)\n  AND (b OR c)",
           "WITH a AS (\n  SELECT lower(x) FROM t\n)\nSELECT * FROM a",
           "DELETE FROM t WHERE id = ANY ($1)",
           "ROLLBACK TO SAVEPOINT a",
       }) {
    EXPECT_FALSE(MayHaveEffects(text)) << text;
  }
}

TEST(SessionEffects, LongTextsTakeLinearTime) {
  const auto repeat = [](std::string_view part, size_t bytes) {
    std::string text = "SELECT ";
    while (text.size() < bytes) text += part;
    return text;
  };
  for (const char* part : {"set_config(", "(\n", "\"(", "SET a = 1;", "pg_temp.", "a -- (\n",
                           "set_config('a', ", "into ", "$(", "explain ", "'", "/*("}) {
    const std::string text = repeat(part, 2 << 20);
    EXPECT_TRUE(MayHaveEffects(text) || ReadEffects(text).flags == 0) << part;
    EXPECT_LE(ReadEffects(text).names.size(), sql::kEffectNamesMax) << part;
  }
}

}  // namespace
