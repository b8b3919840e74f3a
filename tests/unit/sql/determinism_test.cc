#include "sql/determinism.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>

namespace sql {
namespace {

// "id:name" of each finding, with a space between them.
std::string Found(std::string_view text, const FunctionNames* writing = nullptr) {
  std::string all;
  for (const Finding& finding : FindNondeterminism(text, {}, writing)) {
    all += all.empty() ? "" : " ";
    all += DeterminismRules()[static_cast<size_t>(finding.rule)].id;
    all += finding.name.empty() ? "" : ":" + finding.name;
  }
  return all;
}

struct Row {
  std::string_view text;
  std::string_view findings;
};

void Check(std::initializer_list<Row> rows) {
  for (const Row& row : rows) {
    EXPECT_EQ(Found(row.text), row.findings) << row.text;
  }
}

TEST(Determinism, NothingToFind) {
  Check({
      {"", ""},
      {"SELECT 1", ""},
      {"SELECT now(), random(), current_user, ctid FROM t LIMIT 1", ""},
      {"SELECT * FROM t WHERE at > now() - interval '1 day' ORDER BY id", ""},
      {"INSERT INTO t (a, b) VALUES ($1, $2)", ""},
      {"INSERT INTO s.t AS x (a) VALUES ('now', 'now()') ON CONFLICT (a) DO UPDATE SET a = 2", ""},
      {"INSERT INTO t (a) SELECT 1", ""},
      {"INSERT INTO t (a) SELECT a FROM u ORDER BY a", ""},
      {"UPDATE accounts SET balance = balance - $1 WHERE id = $2", ""},
      {"UPDATE t SET a = lower(b), c = coalesce(d, 0) WHERE id IN (SELECT id FROM u)", ""},
      {"DELETE FROM t WHERE id = ANY($1)", ""},
      {"DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY id LIMIT 10)", ""},
      {"DELETE FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.id LIMIT 1)", ""},
      {"UPDATE t SET \"now\" = 1, x.random = 2", ""},
      {"WITH RECURSIVE n(i) AS (SELECT 1), m(j) AS (SELECT 2) INSERT INTO t (a) SELECT i FROM n, m "
       "ORDER BY 1", ""},
      {"CREATE TABLE t (id int PRIMARY KEY, name varchar(10) DEFAULT 'x', n numeric(10, 2))", ""},
      {"CREATE VIEW v AS SELECT now()", ""},
      {"CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE sql AS $$ SELECT now() $$", ""},
      {"ALTER TABLE t OWNER TO CURRENT_USER", ""},
      {"CREATE USER someone", ""},
      {"GRANT SELECT ON t TO session_user", ""},
      {"BEGIN", ""},
      {"COMMIT", ""},
      {"SET search_path = a, b", ""},
      {"TRUNCATE t", ""},
      {"COPY t (a) FROM STDIN", ""},
      {"MERGE INTO t USING u ON (t.a = u.a) WHEN NOT MATCHED THEN INSERT (a) VALUES (u.a)", ""},
      {"INSERT INTO t (a) VALUES (age($1, $2))", ""},
      {"INSERT INTO t (a) SELECT string_agg(x, ',' ORDER BY x) FROM u ORDER BY 1", ""},
      {"INSERT INTO t (a) SELECT row_number() OVER (ORDER BY x) FROM u ORDER BY 1", ""},
      {"UPDATE t SET a = CAST(b AS numeric(3, 1)), c = d::varchar(5)", ""},
      {"EXPLAIN INSERT INTO t (a) VALUES (now())", ""},
  });
}

TEST(Determinism, ValuesOfTheMoment) {
  Check({
      {"INSERT INTO t (a) VALUES (now())", "clock:now"},
      {"INSERT INTO t (a) VALUES (CURRENT_TIMESTAMP)", "clock:current_timestamp"},
      {"INSERT INTO t (a) VALUES (CURRENT_TIMESTAMP(3))", "clock:current_timestamp"},
      {"UPDATE t SET at = pg_catalog.clock_timestamp()", "clock:clock_timestamp"},
      {"UPDATE t SET at = LOCALTIME, d = current_date", "clock:current_date clock:localtime"},
      {"DELETE FROM t WHERE at < now() - interval '1 day'", "clock:now"},
      {"INSERT INTO t (a) VALUES ('now'::timestamp)", "clock:'now'"},
      {"INSERT INTO t (a) VALUES (date 'Today')", "clock:'today'"},
      {"INSERT INTO t (a) VALUES (age($1))", "clock:age"},
      {"CREATE TABLE t (at timestamptz DEFAULT now())", "clock:now"},
      {"ALTER TABLE t ALTER COLUMN at SET DEFAULT statement_timestamp()",
       "clock:statement_timestamp"},
      {"CREATE TABLE t AS SELECT random()", "random:random"},
      {"CREATE MATERIALIZED VIEW v AS SELECT now()", "clock:now"},
      {"SELECT random() AS r INTO t", "random:random"},
      {"INSERT INTO t (a) VALUES (random())", "random:random"},
      {"INSERT INTO t (a) VALUES (gen_random_uuid())", "uuid:gen_random_uuid"},
      {"INSERT INTO t (a) VALUES (public.uuid_generate_v4())",
       "uuid:uuid_generate_v4"},
      {"INSERT INTO t (a) VALUES (crypt($1, gen_salt('bf')))", "random:gen_salt"},
      {"WITH x AS (INSERT INTO t (a) VALUES (now()) RETURNING a) SELECT a FROM x", "clock:now"},
      {"PREPARE p AS INSERT INTO t (a) VALUES (now())", "clock:now"},
      {"EXECUTE p(now())", "clock:now"},
      {"EXPLAIN ANALYZE INSERT INTO t (a) VALUES (now())", "clock:now"},
      {"insert into t (a) values (NOW /* here */ ())", "clock:now"},
      {"MERGE INTO t USING u ON (t.a = u.a) WHEN MATCHED THEN UPDATE SET b = now()", "clock:now"},
  });
}

TEST(Determinism, SequencesAndDefaults) {
  Check({
      {"INSERT INTO t (a) VALUES (nextval('s'))", "sequence-call:nextval"},
      {"SELECT nextval('s')", "sequence-call:nextval"},
      {"INSERT INTO t (a) VALUES (currval('s'))", "sequence-session:currval"},
      {"INSERT INTO t (a) VALUES (lastval())", "sequence-session:lastval"},
      {"CREATE TABLE t (id serial PRIMARY KEY, b bigserial)",
       "sequence-column:bigserial sequence-column:serial"},
      {"CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY)", "sequence-column:identity"},
      {"ALTER TABLE t ADD COLUMN id int GENERATED BY DEFAULT AS IDENTITY",
       "sequence-column:identity"},
      {"CREATE TABLE t (id int DEFAULT nextval('s'))", "sequence-call:nextval"},
      {"INSERT INTO t VALUES (1, 2)", "insert-without-columns"},
      {"INSERT INTO s.t AS x VALUES (1)", "insert-without-columns"},
      {"INSERT INTO t (SELECT 1)", "insert-without-columns"},
      {"INSERT INTO t DEFAULT VALUES", "default-value"},
      {"INSERT INTO t (a, b) VALUES (DEFAULT, 1)", "default-value"},
      {"UPDATE t SET a = DEFAULT", "default-value"},
      {"MERGE INTO t USING u ON (true) WHEN NOT MATCHED THEN INSERT VALUES (1)",
       "insert-without-columns"},
  });
}

TEST(Determinism, OrderOfRows) {
  Check({
      {"INSERT INTO t (a) SELECT a FROM u", "insert-select-order"},
      {"INSERT INTO t SELECT * FROM u", "insert-without-columns insert-select-order"},
      {"WITH x AS (SELECT a FROM u ORDER BY a) INSERT INTO t (a) SELECT a FROM x",
       "insert-select-order"},
      {"UPDATE t SET a = 1 WHERE id IN (SELECT id FROM t LIMIT 10)", "limit-order"},
      {"DELETE FROM t WHERE id IN (SELECT id FROM t FETCH FIRST 5 ROWS ONLY)", "limit-order"},
      {"DELETE FROM t USING (SELECT id FROM t LIMIT 1) x WHERE x.id = t.id", "limit-order"},
      {"UPDATE jobs SET state = 1 WHERE id = (SELECT id FROM jobs ORDER BY id LIMIT 1 FOR UPDATE "
       "SKIP LOCKED) RETURNING id", "skip-locked"},
      {"UPDATE t SET a = (SELECT string_agg(x, ',') FROM u)", "aggregate-order:string_agg"},
      {"UPDATE t SET a = (SELECT array_agg(x) FILTER (WHERE x > 1) FROM u)", ""},
      {"INSERT INTO t (a) SELECT row_number() OVER (PARTITION BY y) FROM u ORDER BY 1",
       "aggregate-order:row_number"},
      {"DELETE FROM t TABLESAMPLE BERNOULLI (10)", "table-sample:tablesample"},
      {"DELETE FROM t WHERE ctid IN (SELECT ctid FROM t ORDER BY a)", "row-address:ctid"},
      {"UPDATE t SET a = 1 WHERE xmin = $1", "row-address:xmin"},
  });
}

TEST(Determinism, TheServerTheSessionAndTheUser) {
  Check({
      {"INSERT INTO t (a) VALUES (txid_current())", "transaction-id:txid_current"},
      {"INSERT INTO t (a) VALUES (pg_current_xact_id())", "transaction-id:pg_current_xact_id"},
      {"INSERT INTO t (a) VALUES (pg_backend_pid())", "server-fact:pg_backend_pid"},
      {"INSERT INTO t (a) VALUES (inet_client_addr())", "server-fact:inet_client_addr"},
      {"INSERT INTO t (a) VALUES (current_setting('app.tenant'))", "server-fact:current_setting"},
      {"INSERT INTO t (a, b) VALUES (current_user, SESSION_USER)",
       "user:current_user user:session_user"},
      {"INSERT INTO t (a) VALUES (user)", "user:user"},
      {"INSERT INTO t (a) VALUES (current_database())", "user:current_database"},
      {"SELECT pg_advisory_lock(1)", "advisory-lock:pg_advisory_lock"},
      {"SELECT pg_try_advisory_xact_lock(1)", "advisory-lock:pg_try_advisory_xact_lock"},
      {"CREATE TEMP TABLE t (a int)", "temporary-table"},
      {"DECLARE c CURSOR WITH HOLD FOR SELECT 1", "hold-cursor"},
  });
}

TEST(Determinism, WhatReachesBeyondTheDatabase) {
  Check({
      {"COPY t FROM '/tmp/f'", "copy-file"},
      {"COPY t (a) FROM PROGRAM 'cat /tmp/f'", "copy-file:program"},
      {"COPY t TO '/tmp/f'", "one-server"},
      {"ALTER SYSTEM SET work_mem = '1GB'", "one-server"},
      {"SELECT dblink_exec('x', 'DELETE FROM t')", "other-server:dblink_exec"},
      {"LISTEN jobs", "notify:listen"},
      {"NOTIFY jobs, 'x'", "notify:notify"},
      {"SELECT pg_notify('jobs', $1)", "notify:pg_notify"},
      {"SELECT lo_create(0)", "large-object:lo_create"},
      {"INSERT INTO t (a) VALUES (lo_import('/tmp/f'))", "large-object:lo_import"},
  });
}

TEST(Determinism, CodeAndUnknownFunctions) {
  Check({
      {"DO $$ BEGIN INSERT INTO t (a) VALUES (now()); PERFORM app.touch(1); END $$",
       "clock:now code-block unknown-function:touch"},
      {"DO 'BEGIN NULL; END'", "code-block"},
      {"CALL nightly(1)", "unknown-function:nightly"},
      {"SELECT settle_invoice($1)", "unknown-function:settle_invoice"},
      {"SELECT app.lower($1)", "unknown-function:lower"},
      {"SELECT * FROM t JOIN lookup(1) l(a, b) ON f(l.a) = 1",
       "unknown-function:f unknown-function:lookup"},
      {"INSERT INTO t (a) VALUES (tax($1) + lower($2))", "unknown-function:tax"},
      {"FROBNICATE t", "not-understood"},
      {"INSERT INTO t (a) VALUES ('unfinished", "not-understood"},
  });
  FunctionNames writing;
  ASSERT_TRUE(writing.Add("settle_invoice"));
  EXPECT_EQ(Found("SELECT settle_invoice($1)", &writing), "");
  EXPECT_EQ(Found("SELECT settle_invoice(now())", &writing), "clock:now");
}

TEST(Determinism, EveryRuleHasWords) {
  std::set<std::string_view> ids;
  for (const DeterminismRule& rule : DeterminismRules()) {
    EXPECT_TRUE(ids.insert(rule.id).second) << rule.id;
    EXPECT_FALSE(rule.words.empty() || rule.why.empty() || rule.remedy.empty()) << rule.id;
  }
}

TEST(Determinism, TakesLinearTimeAndStack) {
  std::string text = "INSERT INTO t (a) VALUES (";
  for (int i = 0; i < 300000; ++i) {
    text += "f((";
  }
  EXPECT_EQ(Found(text), "unknown-function:f");
}

TEST(Outline, ShowsNoConstants) {
  EXPECT_EQ(Outline("INSERT  INTO t(a,b)\nVALUES ('secret', 12, $1, $$x$$, b'1')", 200),
            "INSERT INTO t(a, b) VALUES($, $, $1, $, $)");
  EXPECT_EQ(Outline("SELECT a.b FROM c", 8), "SELECT a...");
}

}  // namespace
}  // namespace sql
