#include "sql/classify.h"

#include <gtest/gtest.h>

#include <cctype>
#include <string>

#include "unit/sql/describe.h"

namespace {

using sql::Classify;
using sql_test::Describe;

struct Row {
  const char* text;
  const char* expected;
};

template <size_t count>
void ExpectRows(const Row (&rows)[count]) {
  for (const Row& row : rows) {
    EXPECT_EQ(Describe(Classify(row.text)), row.expected) << row.text;
    const std::string wrapped = std::string(" /* a /* b */ ; */ -- c\n") + row.text + " ; -- d";
    EXPECT_EQ(Describe(Classify(wrapped)), row.expected) << wrapped;
  }
}

TEST(Classify, Reads) {
  const Row kRows[] = {
      {"SELECT 1", "read"},
      {"sElEcT abalance FROM pgbench_accounts WHERE aid = $1", "read"},
      {"(SELECT 1) UNION (SELECT 2)", "read"},
      {"((SELECT 1))", "read"},
      {"VALUES (1), (2)", "read"},
      {"TABLE t", "read"},
      {"WITH a AS (SELECT 1) SELECT * FROM a", "read"},
      {"WITH RECURSIVE a(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM a) SELECT * FROM a", "read"},
      {"SELECT 'INSERT INTO t', \"delete\" FROM t -- update", "read"},
      {"SELECT $$ nextval('s') $$", "read"},
      {"SELECT nextval FROM t", "read"},
      {"SELECT \"NEXTVAL\"('s')", "read"},
      {"SELECT lo_get(1)", "read"},
      {"SELECT count(*) AS delete FROM t", "read"},
      {"SELECT delete FROM audit", "read"},
      {"SELECT update, insert FROM privileges", "read"},
      {"SELECT a AS into FROM t", "read"},
      {"SELECT t.into FROM t", "read"},
      {"SELECT \"into\" FROM t", "read"},
      {"SELECT now(), random(), current_setting('x')", "read"},
      {"SELECT substring('abc' from 2 for 1)", "read"},
      {"SELECT timestamp with time zone '2020-01-01'", "read"},
      {"SELECT pg_temperature.x FROM pg_temperature", "read"},
      {"SHOW search_path", "read"},
      {"SHOW ALL", "read"},
      {"EXPLAIN SELECT 1", "read"},
      {"EXPLAIN DELETE FROM t", "read"},
      {"EXPLAIN VERBOSE DELETE FROM t", "read"},
      {"EXPLAIN (ANALYZE false) DELETE FROM t", "read"},
      {"EXPLAIN (ANALYZE, ANALYZE OFF) DELETE FROM t", "read"},
      {"EXPLAIN (ANALYZE 0, VERBOSE) DELETE FROM t", "read"},
      {"EXPLAIN (ANALYZE 'off') DELETE FROM t", "read"},
      {"EXPLAIN (COSTS off, FORMAT json) UPDATE t SET a = 1", "read"},
      {"EXPLAIN (SELECT 1)", "read"},
      {"EXPLAIN ((SELECT nextval('s')))", "read"},
      {"EXPLAIN SELECT nextval('s')", "read"},
      {"EXPLAIN ANALYZE SELECT 1", "read"},
      {"EXPLAIN (ANALYZE) SELECT 1", "read"},
      {"EXPLAIN CREATE TABLE x AS SELECT 1", "read"},
      {"COPY t TO STDOUT", "read"},
      {"COPY t (a, b) TO stdin WITH (FORMAT csv)", "read"},
      {"COPY s.t TO STDOUT", "read"},
      {"COPY (SELECT * FROM t) TO STDOUT", "read"},
      {"COPY (SELECT 1) TO STDOUT WITH CSV", "read"},
      {"DECLARE c CURSOR FOR SELECT 1", "read cursor name=c"},
      {"DECLARE c BINARY NO SCROLL CURSOR WITHOUT HOLD FOR SELECT 1",
       "read cursor name=c"},
      {"DECLARE c CURSOR WITH HOLD FOR SELECT 1", "read temporary cursor name=c"},
      {"FETCH NEXT FROM c", "read session_read cursor name=c"},
      {"FETCH FORWARD 10 FROM c", "read session_read cursor name=c"},
      {"MOVE ALL IN c", "read session_read cursor name=c"},
      {"CLOSE \"C\"", "read session_read cursor name=C"},
      {"CLOSE ALL", "read session_read cursor"},
      {"SELECT currval('s')", "read session_read"},
      {"SELECT lastval()", "read session_read"},
      {"SELECT * FROM pg_temp.x", "read temporary"},
      {"SELECT * FROM PG_TEMP_3.x", "read temporary"},
      {"SELECT * FROM \"pg_temp\".x", "read temporary"},
  };
  ExpectRows(kRows);
}

TEST(Classify, LockingReads) {
  const Row kRows[] = {
      {"SELECT * FROM t FOR UPDATE", "read locking"},
      {"SELECT * FROM t FOR NO KEY UPDATE SKIP LOCKED", "read locking"},
      {"SELECT * FROM t FOR SHARE NOWAIT", "read locking"},
      {"SELECT * FROM t FOR KEY SHARE OF t", "read locking"},
      {"SELECT * FROM (SELECT * FROM t FOR UPDATE) x", "read locking"},
      {"WITH a AS (SELECT * FROM t FOR UPDATE) SELECT * FROM a", "read locking"},
      {"WITH a AS (SELECT 1) SELECT * FROM (SELECT 1) x FOR UPDATE", "read locking"},
      {"SELECT pg_advisory_xact_lock(1)", "read locking"},
      {"SELECT pg_try_advisory_xact_lock_shared(1, 2)", "read locking"},
  };
  ExpectRows(kRows);
}

TEST(Classify, Writes) {
  const Row kRows[] = {
      {"INSERT INTO t VALUES (1)", "write"},
      {"insert into t select * from s returning id", "write"},
      {"INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2", "write"},
      {"UPDATE t SET a = 1", "write"},
      {"UPDATE ONLY t SET a = 1", "write"},
      {"DELETE FROM t", "write"},
      {"MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE", "write"},
      {"TRUNCATE t", "write"},
      {"TRUNCATE TABLE t, s RESTART IDENTITY", "write"},
      {"CALL p(1)", "write may_commit"},
      {"DO $$ BEGIN PERFORM 1; END $$", "write"},
      {"DO LANGUAGE plpgsql 'begin end'", "write"},
      {"REFRESH MATERIALIZED VIEW CONCURRENTLY v", "write"},
  };
  ExpectRows(kRows);
}

TEST(Classify, WritesThatDoNotLookLikeIt) {
  const Row kRows[] = {
      {"COPY t FROM STDIN", "write copy_in"},
      {"COPY t FROM STDOUT", "write copy_in"},
      {"COPY BINARY t FROM STDIN", "write copy_in"},
      {"COPY s.\"from\" (a, b) FROM STDIN WITH (FORMAT binary)", "write copy_in"},
      {"copy t(a) from stdin where a > 1", "write copy_in"},
      {"COPY t FROM '/tmp/x'", "write"},
      {"COPY t FROM PROGRAM 'cat'", "write"},
      {"COPY pg_temp.t FROM STDIN", "write copy_in temporary"},
      {"COPY (INSERT INTO t VALUES (1) RETURNING *) TO STDOUT", "write"},
      {"COPY (DELETE FROM t RETURNING *) TO STDOUT", "write"},
      {"COPY (WITH a AS (UPDATE t SET a = 1 RETURNING *) SELECT * FROM a) TO STDOUT", "write"},
      {"COPY (SELECT nextval('s')) TO STDOUT", "write"},
      {"SELECT * INTO x FROM t", "write"},
      {"SELECT 1 AS a INTO UNLOGGED x", "write"},
      {"SELECT 1 AS a INTO TEMP x", "write temporary"},
      {"SELECT 1 AS a INTO LOCAL TEMPORARY TABLE x", "write temporary"},
      {"SELECT nextval('s') INTO TEMP x", "write temporary"},
      {"INSERT INTO temp VALUES (1)", "write"},
      {"WITH a AS (SELECT 1) SELECT * INTO x FROM a", "write"},
      {"WITH a AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM a", "write"},
      {"WITH a AS (UPDATE t SET a = 1 RETURNING *) SELECT * FROM a", "write"},
      {"WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a", "write"},
      {"WITH a AS MATERIALIZED (DELETE FROM t RETURNING *) SELECT * FROM a", "write"},
      {"WITH a AS NOT MATERIALIZED (DELETE FROM t RETURNING *) TABLE a", "write"},
      {"WITH a AS (SELECT 1), b AS (DELETE FROM t) SELECT 1", "write"},
      {"WITH a AS (WITH b AS (SELECT 1) DELETE FROM t RETURNING *) SELECT * FROM a", "write"},
      {"WITH a AS (WITH b AS (SELECT 1) UPDATE t SET a = 1 RETURNING *) TABLE a", "write"},
      {"WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", "write"},
      {"WITH a AS (SELECT 1) UPDATE t SET a = 1", "write"},
      {"WITH a AS (SELECT 1) DELETE FROM t USING a", "write"},
      {"WITH a AS (SELECT 1) MERGE INTO t USING a ON true WHEN MATCHED THEN DELETE", "write"},
      {"WITH RECURSIVE a(n) AS (SELECT 1) CYCLE n SET c USING p DELETE FROM t", "write"},
      {"WITH RECURSIVE a(n) AS (SELECT 1) SEARCH DEPTH FIRST BY n SET o UPDATE t SET a = 1",
       "write"},
      {"(WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a)", "write"},
  };
  ExpectRows(kRows);
}

TEST(Classify, WritesInsideOtherStatements) {
  const Row kRows[] = {
      {"SELECT * FROM (WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a) x", "write"},
      {"EXPLAIN ANALYZE DELETE FROM t", "write"},
      {"EXPLAIN ANALYSE VERBOSE INSERT INTO t VALUES (1)", "write"},
      {"EXPLAIN (ANALYZE) UPDATE t SET a = 1", "write"},
      {"EXPLAIN (ANALYZE true, BUFFERS) DELETE FROM t", "write"},
      {"EXPLAIN (BUFFERS, ANALYZE on) DELETE FROM t", "write"},
      {"EXPLAIN (VERBOSE off, analyse 1) DELETE FROM t", "write"},
      {"EXPLAIN (ANALYZE off, ANALYZE) DELETE FROM t", "write"},
      {"EXPLAIN (\"analyze\" 'on') DELETE FROM t", "write"},
      {"EXPLAIN ANALYZE WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a", "write"},
      {"EXPLAIN ANALYZE SELECT nextval('s')", "write"},
      {"EXPLAIN ANALYZE (SELECT nextval('s'))", "write"},
      {"SELECT nextval('s')", "write"},
      {"select NEXTVAL ( 's' )", "write"},
      {"SELECT pg_catalog.nextval('s')", "write"},
      {"SELECT \"pg_catalog\" . \"nextval\"('s')", "write"},
      {"SELECT \"nextval\" /* x */ ('s')", "write"},
      {"SELECT U&\"n\\0065xtval\"('s')", "write"},
      {"SELECT setval('s', 1)", "write"},
      {"VALUES (nextval('s'))", "write"},
      {"SELECT * FROM t WHERE a = (SELECT nextval('s'))", "write"},
      {"SELECT lo_create(0)", "write"},
      {"SELECT lo_unlink(1), lo_get(2)", "write"},
      {"SELECT lowrite(1, 'x')", "write"},
      {"SELECT txid_current()", "write"},
      {"SELECT dblink_exec('x', 'y')", "other"},
      {"INSERT INTO t SELECT * FROM dblink('x', 'y') AS a(b int)", "write"},
      {"SELECT query_to_xml('delete from t', true, true, '')", "write"},
      {"SELECT set_config('a.b', 'c', false), nextval('s')", "write"},
      {"SELECT nextval('s'), set_config('a.b', 'c', false), pg_notify('a', 'b')", "write"},
      {"SELECT pg_notify('a', 'b'), nextval('s')", "write"},
      {"DECLARE c CURSOR FOR SELECT nextval('s')", "write cursor name=c"},
      {"INSERT INTO t SELECT * FROM s FOR UPDATE", "write locking"},
      {"INSERT INTO pg_temp.t VALUES (1)", "write temporary"},
  };
  ExpectRows(kRows);
}

TEST(Classify, Definitions) {
  const Row kRows[] = {
      {"CREATE TABLE t (a int DEFAULT nextval('s'))", "ddl"},
      {"CREATE TABLE t AS SELECT nextval('s')", "ddl"},
      {"CREATE TABLE t AS SELECT pg_advisory_lock(1)", "ddl session_lock"},
      {"CREATE UNLOGGED TABLE t (a int)", "ddl"},
      {"CREATE TEMP TABLE t (a int)", "ddl temporary"},
      {"CREATE TEMPORARY TABLE t ON COMMIT DROP AS SELECT 1", "ddl temporary"},
      {"create local temp table t (a int)", "ddl temporary"},
      {"CREATE GLOBAL TEMPORARY TABLE t (a int)", "ddl temporary"},
      {"CREATE OR REPLACE TEMP VIEW v AS SELECT 1", "ddl temporary"},
      {"CREATE TEMP SEQUENCE s", "ddl temporary"},
      {"CREATE TABLE pg_temp.t (a int)", "ddl temporary"},
      {"CREATE FUNCTION pg_temp.f() RETURNS int RETURN 1", "ddl temporary"},
      {"CREATE TABLE temp (a int)", "ddl"},
      {"CREATE INDEX CONCURRENTLY i ON t (a)", "ddl commits"},
      {"CREATE VIEW v AS SELECT * FROM t FOR UPDATE", "ddl"},
      {"CREATE MATERIALIZED VIEW v AS SELECT 1", "ddl"},
      {"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT pg_advisory_lock(1); SELECT 1; END",
       "ddl"},
      {"CREATE RULE r AS ON INSERT TO t DO (DELETE FROM a; DELETE FROM b)", "ddl"},
      {"CREATE DATABASE d", "ddl"},
      {"ALTER TABLE t ADD COLUMN b int", "ddl"},
      {"ALTER ROLE r SET search_path = x", "ddl"},
      {"DROP TABLE IF EXISTS t", "ddl"},
      {"DROP TABLE pg_temp.t", "ddl temporary"},
      {"GRANT SELECT ON t TO r", "ddl"},
      {"REVOKE ALL ON t FROM r", "ddl"},
      {"COMMENT ON TABLE t IS 'x'", "ddl"},
      {"SECURITY LABEL ON TABLE t IS 'x'", "ddl"},
      {"REASSIGN OWNED BY a TO b", "ddl"},
      {"IMPORT FOREIGN SCHEMA s FROM SERVER x INTO y", "ddl"},
      {"REINDEX TABLE t", "ddl"},
      {"CLUSTER t USING i", "ddl"},
      {"EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1", "ddl"},
  };
  ExpectRows(kRows);
}

TEST(Classify, SessionState) {
  const Row kRows[] = {
      {"SET search_path TO a, b", "session"},
      {"SET SESSION work_mem = '1MB'", "session"},
      {"SET LOCAL work_mem = '1MB'", "session local"},
      {"set local time zone 'UTC'", "session local"},
      {"SET local.x = 1", "session"},
      {"SET LOCAL local.x = 1", "session local"},
      {"SET session.x TO 1", "session"},
      {"SET transaction.x = 1", "session"},
      {"SET TIME ZONE 'UTC'", "session"},
      {"SET ROLE x", "session"},
      {"SET SESSION AUTHORIZATION x", "session"},
      {"SET LOCAL ROLE x", "session local"},
      {"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "session local"},
      {"SET TRANSACTION READ ONLY", "session local read_only"},
      {"SET LOCAL TRANSACTION READ ONLY", "session local read_only"},
      {"SET TRANSACTION READ ONLY, READ WRITE", "session local"},
      {"SET TRANSACTION SNAPSHOT '00000003-0000001B-1'", "session local"},
      {"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "session"},
      {"SET CONSTRAINTS ALL DEFERRED", "session local"},
      {"RESET ALL", "session"},
      {"RESET search_path", "session"},
      {"DISCARD ALL", "session"},
      {"DISCARD TEMP", "session"},
      {"LOAD 'auto_explain'", "session"},
      {"SELECT set_config('a.b', 'c', false)", "session"},
      {"SELECT setseed(0.5)", "session"},
      {"SELECT pg_advisory_lock(1)", "session session_lock"},
      {"SELECT pg_catalog.pg_try_advisory_lock(1)", "session session_lock"},
      {"SELECT pg_advisory_unlock_all()", "session session_lock"},
      {"SELECT nextval('s'), pg_advisory_lock(1)", "write session_lock"},
      {"PREPARE p AS SELECT 1", "session prepared=read name=p"},
      {"PREPARE \"P q\" (int, numeric(10, 2)) AS DELETE FROM t WHERE a = $1",
       "session prepared=write name=P q"},
      {"PREPARE P AS WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a",
       "session prepared=write name=p"},
      {"PREPARE p AS SELECT * FROM t FOR UPDATE", "session prepared=read locking name=p"},
      {"PREPARE transaction AS SELECT 1", "session prepared=read name=transaction"},
      {"PREPARE transaction (int) AS INSERT INTO t VALUES ($1)",
       "session prepared=write name=transaction"},
      {"PREPARE U&\"d!0061t\" UESCAPE '!' AS SELECT 1", "session prepared=read name=dat"},
      {"DEALLOCATE p", "session name=p"},
      {"DEALLOCATE PREPARE \"P\"", "session name=P"},
      {"DEALLOCATE PREPARE", "session name=prepare"},
      {"DEALLOCATE ALL", "session"},
      {"DEALLOCATE PREPARE ALL", "session"},
      {"DEALLOCATE \"all\"", "session name=all"},
      {"EXECUTE p", "execute name=p"},
      {"EXECUTE P (1, nextval('s'))", "execute name=p"},
      {"EXPLAIN ANALYZE EXECUTE p", "execute name=p"},
      {"EXPLAIN EXECUTE p", "read"},
  };
  ExpectRows(kRows);
}

TEST(Classify, TransactionControl) {
  const Row kRows[] = {
      {"BEGIN", "control:begin"},
      {"begin work", "control:begin"},
      {"BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ", "control:begin"},
      {"BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY", "control:begin read_only"},
      {"BEGIN READ ONLY DEFERRABLE", "control:begin read_only"},
      {"BEGIN READ WRITE", "control:begin"},
      {"BEGIN READ ONLY READ WRITE", "control:begin"},
      {"START TRANSACTION", "control:begin"},
      {"START TRANSACTION READ ONLY", "control:begin read_only"},
      {"COMMIT", "control:commit"},
      {"COMMIT WORK", "control:commit"},
      {"COMMIT TRANSACTION AND CHAIN", "control:commit chain"},
      {"COMMIT AND NO CHAIN", "control:commit"},
      {"END", "control:commit"},
      {"END WORK AND CHAIN", "control:commit chain"},
      {"ROLLBACK", "control:rollback"},
      {"ROLLBACK WORK", "control:rollback"},
      {"ROLLBACK AND CHAIN", "control:rollback chain"},
      {"ROLLBACK TRANSACTION AND NO CHAIN", "control:rollback"},
      {"ABORT", "control:rollback"},
      {"ABORT WORK AND CHAIN", "control:rollback chain"},
      {"SAVEPOINT Foo", "control:savepoint name=foo"},
      {"SAVEPOINT \"Foo\"", "control:savepoint name=Foo"},
      {"RELEASE foo", "control:release name=foo"},
      {"RELEASE SAVEPOINT foo", "control:release name=foo"},
      {"RELEASE SAVEPOINT", "control:release name=savepoint"},
      {"ROLLBACK TO foo", "control:rollback_to name=foo"},
      {"ROLLBACK TO SAVEPOINT foo", "control:rollback_to name=foo"},
      {"ROLLBACK WORK TO SAVEPOINT FOO", "control:rollback_to name=foo"},
      {"ROLLBACK TRANSACTION TO foo", "control:rollback_to name=foo"},
      {"ROLLBACK TO SAVEPOINT", "control:rollback_to name=savepoint"},
      {"PREPARE TRANSACTION 'gid'", "control:prepare"},
      {"COMMIT PREPARED 'gid'", "control:commit_prepared"},
      {"ROLLBACK PREPARED 'gid'", "control:rollback_prepared"},
  };
  ExpectRows(kRows);
}

TEST(Classify, OtherAndUnknown) {
  const Row kRows[] = {
      {"LOCK TABLE t IN ACCESS EXCLUSIVE MODE", "other locking"},
      {"LISTEN a", "other"},
      {"UNLISTEN *", "other"},
      {"NOTIFY a, 'b'", "other"},
      {"VACUUM (ANALYZE) t", "other"},
      {"ANALYZE t", "other"},
      {"ANALYSE", "other"},
      {"CHECKPOINT", "other"},
      {"ALTER SYSTEM SET work_mem = '1MB'", "other"},
      {"COPY t TO '/tmp/x'", "other"},
      {"COPY t TO PROGRAM 'cat'", "other"},
      {"COPY (SELECT 1) TO '/tmp/x'", "other"},
      {"COPY (SELECT 1) TO PROGRAM 'cat'", "other"},
      {"SELECT pg_notify('a', 'b')", "other"},
      {"SELECT pg_terminate_backend(1)", "other"},
      {"SELECT pg_switch_wal()", "other"},
      {"FROBNICATE t", "unknown"},
      {"START_REPLICATION SLOT s LOGICAL 0/0", "unknown"},
      {"START", "unknown"},
      {"\"select\" 1", "unknown"},
      {"1", "unknown"},
      {"'select'", "unknown"},
      {"PREPARE p", "unknown name=p"},
      {"COPY t", "unknown"},
      {"EXPLAIN ANALYZE", "unknown"},
      {"SELECT U&\"!006eextval\" UESCAPE '!' ('s')", "unknown"},
      {"SELECT 1; SELECT 2", "unknown several"},
      {"BEGIN; DELETE FROM t", "unknown several"},
      {";; COMMIT;; ROLLBACK", "unknown several"},
      {"EXPLAIN SELECT 1; DELETE FROM t", "unknown several"},
      {"COPY t TO STDOUT; DELETE FROM t", "unknown several"},
      {"DEALLOCATE PREPARE; SELECT 1", "unknown several"},
  };
  ExpectRows(kRows);
}

TEST(Classify, TextWithoutATokenIsEmpty) {
  for (const char* text : {"", "  ", ";", " ; -- x\n ; /* y */"}) {
    EXPECT_EQ(Describe(Classify(text)), "read empty") << text;
  }
}

TEST(Classify, TextThatDoesNotEndIsUnknown) {
  for (const char* text : {"select 'a", "select \"a", "begin /* x", "select $$a", "/* x",
                           "select 1; select 'a", "copy t from stdin /*"}) {
    EXPECT_EQ(Classify(text).effect, sql::Effect::kUnknown) << text;
    EXPECT_FALSE(Classify(text).copy_in) << text;
    EXPECT_FALSE(Classify(text).empty) << text;
  }
}

TEST(Classify, ObeysStandardConformingStrings) {
  const std::string text = "select 'a\\', nextval('s') --'";
  EXPECT_EQ(Describe(Classify(text)), "write");
  EXPECT_EQ(Describe(Classify("select 'a\\', nextval(''s'') --'",
                              {.standard_conforming_strings = false})),
            "read");
}

TEST(Classify, IgnoresCase) {
  std::string text = "with a as (delete from t returning *) select * from a for no key update";
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  EXPECT_EQ(Describe(Classify(text)), "write locking");
}

TEST(WritesOrKeepsState, IsWhatACopyOfTheSessionMustRun) {
  for (const char* text : {"create table t (a int)", "delete from t", "set a = 1", "execute p",
                           "frobnicate", "refresh materialized view v", "select nextval('s')",
                           "reindex table t", "select pg_advisory_lock(1)", "a; b"}) {
    EXPECT_TRUE(sql::WritesOrKeepsState(Classify(text))) << text;
  }
  for (const char* text : {"select 1", "begin", "commit", "lock t", "notify a", "listen a",
                           "vacuum", "analyze", "checkpoint", "declare c cursor for select 1",
                           "fetch c", "close c", "copy t to stdout", "alter system reset all"}) {
    EXPECT_FALSE(sql::WritesOrKeepsState(Classify(text))) << text;
  }
}

TEST(Classify, ConfiguredFunctionsWrite) {
  sql::FunctionNames writing;
  for (const char* name : {"audit", "app.Log_It", "\"Odd Name\"", "move"}) {
    ASSERT_TRUE(writing.Add(name)) << name;
  }
  for (const char* name : {"", "1", "a.b.c", "a.", "a b", "\"open", "U&\"a\"", "a(", "'a'"}) {
    EXPECT_FALSE(sql::FunctionNames().Add(name)) << name;
  }
  const auto effect = [&](std::string_view text) {
    return Describe(Classify(text, {}, &writing));
  };
  for (const char* text :
       {"SELECT audit(1)", "select AUDIT ( 1 )", "SELECT any_schema.audit()", "SELECT app.log_it()",
        "SELECT log_it()", "SELECT \"Odd Name\"()", "SELECT * FROM audit(1) a",
        "SELECT 1 WHERE (SELECT \"audit\"(2)) > 0", "WITH a AS (SELECT audit(1)) TABLE a",
        "EXPLAIN ANALYZE SELECT audit(1)", "COPY (SELECT audit(1)) TO STDOUT", "SELECT move(1)"}) {
    EXPECT_EQ(effect(text), "write") << text;
    EXPECT_EQ(Describe(Classify(text)), "read") << text;
  }
  EXPECT_EQ(effect("DECLARE c CURSOR FOR SELECT audit(1)"), "write cursor name=c");
  EXPECT_EQ(Describe(Classify("DECLARE c CURSOR FOR SELECT audit(1)")), "read cursor name=c");
  for (const char* text :
       {"SELECT audit", "SELECT 'audit(1)'", "SELECT other.log_it()", "SELECT odd_name()",
        "SELECT \"AUDIT\"(1)", "EXPLAIN SELECT audit(1)", "SELECT audit.x(1)"}) {
    EXPECT_EQ(effect(text), "read") << text;
  }
  EXPECT_EQ(effect("PREPARE p AS SELECT audit(1)"), "session prepared=write name=p");
}

TEST(Classify, TellsObjectsAndWhatIsOneServersOwn) {
  for (const char* text : {"TRUNCATE t", "SELECT 1 INTO t", "WITH a AS (SELECT 1) SELECT * INTO t",
                           "SELECT 1 INTO TEMP TABLE t"}) {
    EXPECT_TRUE(Classify(text).objects) << text;
  }
  for (const char* text : {"INSERT INTO t SELECT 1", "DELETE FROM t", "SELECT t.into FROM t",
                           "WITH a AS (INSERT INTO t VALUES (1) RETURNING 1) SELECT * FROM a"}) {
    EXPECT_FALSE(Classify(text).objects) << text;
  }
  for (const char* text :
       {"ALTER SYSTEM SET a = 1", "CHECKPOINT", "COPY t TO '/x'", "COPY (SELECT 1) TO PROGRAM 'x'",
        "SELECT pg_cancel_backend(1)", "SELECT pg_notify('a', ''), pg_switch_wal()",
        "SELECT public.dblink_exec('a', 'b')", "SELECT lo_export(1, '/x')"}) {
    EXPECT_TRUE(Classify(text).one_server) << text;
    EXPECT_EQ(Classify(text).effect, sql::Effect::kOther) << text;
  }
  for (const char* text : {"LISTEN a", "NOTIFY a", "SELECT pg_notify('a', '')", "VACUUM", "LOCK t",
                           "COPY t TO STDOUT", "ALTER TABLE system ADD a int"}) {
    EXPECT_FALSE(Classify(text).one_server) << text;
  }
  // Whether it took the lock, only its answer tells; what else it does to the session is done.
  EXPECT_TRUE(Classify("SELECT pg_try_advisory_lock_shared(1, 2)").one_server);
  EXPECT_FALSE(Classify("SELECT pg_try_advisory_lock(1), pg_advisory_lock(2)").one_server);
  EXPECT_FALSE(Classify("SELECT set_config('a', 'b', false), pg_try_advisory_lock(1)").one_server);
}

TEST(Classify, TellsWhatCommitsByItself) {
  const Row kRows[] = {
      {"CREATE INDEX CONCURRENTLY i ON t(a)", "ddl commits"},
      {"CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t(a)", "ddl commits"},
      {"CREATE INDEX concurrently_ ON t(a)", "ddl"},
      {"DROP INDEX CONCURRENTLY i", "ddl commits"},
      {"DROP INDEX i", "ddl"},
      {"REINDEX TABLE CONCURRENTLY t", "ddl commits"},
      {"REINDEX (VERBOSE, CONCURRENTLY) INDEX i", "ddl commits"},
      {"REINDEX SCHEMA s", "ddl commits"},
      {"REINDEX TABLE t", "ddl"},
      {"CLUSTER", "ddl commits"},
      {"CLUSTER (VERBOSE) t USING i", "ddl"},
      {"ALTER TABLE t DETACH PARTITION p CONCURRENTLY", "ddl commits"},
      {"ALTER TABLE t DETACH PARTITION p", "ddl"},
      {"CALL p(1)", "write may_commit"},
      {"DO $$BEGIN INSERT INTO t VALUES (1); Commit; END$$", "write may_commit"},
      {"DO $$BEGIN CALL p(); END$$", "write may_commit"},
      {"DO $$BEGIN PERFORM 1; END$$", "write"},
  };
  ExpectRows(kRows);
}

TEST(Classify, TellsWhatACursorIsNeededFor) {
  const Row kRows[] = {
      {"UPDATE t SET a = 1 WHERE CURRENT OF c", "write cursor name=c"},
      {"DELETE FROM t WHERE CURRENT OF \"C\" RETURNING a", "write cursor name=C"},
      {"SELECT current, of FROM t", "read"},
  };
  ExpectRows(kRows);
}

TEST(Classify, TellsWhatATableIsMadeBy) {
  const Row kRows[] = {
      {"CREATE TABLE m AS EXECUTE Q(1)", "ddl name=q"},
      {"CREATE TABLE m AS SELECT 1 AS execute", "ddl"},
  };
  ExpectRows(kRows);
}

}  // namespace
