"""Whole conversations after which primary and mirror are equal, and nothing was refused or dropped.

Each is the smallest that shows one way in which a copy can go wrong: what a statement means may
hang on a setting, a name, a lock, another session, or the moment at which the text was read.
"""

import pytest

from conftest import ONE_IO
from harness import wire
from harness.processes import wait_until

pytestmark = [pytest.mark.proxy_only, ONE_IO]


def q(text):
    return wire.query(text)


def ext(text, *values):
    return wire.one_shot(text, values) + wire.SYNC


def parse(text, name):
    return wire.parse(text, name) + wire.SYNC


def run(name, *values):
    return wire.bind(values, name=name) + wire.execute() + wire.SYNC


def insert(number, value="''"):
    return q(f"INSERT INTO t VALUES ({number}, {value})")


TWO = wire.one_shot("INSERT INTO t VALUES (2, '')")
PROCEDURE = ("CREATE PROCEDURE commits() LANGUAGE plpgsql AS 'BEGIN INSERT INTO t VALUES (1, "
             "''''); COMMIT; INSERT INTO t VALUES ({}, ''''); END'")
# One statement if a backslash escapes, else three.
ONE_BY_BACKSLASH = r"INSERT INTO t VALUES (1, 'a\'); DELETE FROM t; --')"
RULE = "CREATE TABLE r(id int); CREATE RULE x AS ON INSERT TO r DO "
CASES = {
    # -- names and texts of transaction control ---------------------------------------------------
    "control by prepared statements": [
        parse("BEGIN", "b"), parse("COMMIT", "c"), run("b"), ext("INSERT INTO t VALUES (1, '')"),
        ext("INSERT INTO t VALUES (2, '')"), run("c")],
    "savepoints by prepared statements": [
        parse("SAVEPOINT a", "b"), parse("ROLLBACK TO a", "r"), q("BEGIN"), run("b"), insert(1),
        run("r"), insert(2), q("COMMIT")],
    "savepoint of a unicode name": [q("BEGIN"), q('SAVEPOINT U&"\\0061"'), insert(1),
                                    q("ROLLBACK TO a"), insert(2), q("COMMIT")],
    "savepoint of a name that is cut": [
        q("BEGIN"), q("SAVEPOINT " + "a" * 70), insert(1), q("ROLLBACK TO " + "a" * 63), insert(2),
        q("COMMIT")],
    "an insert before BEGIN in one query": [
        q("INSERT INTO t VALUES (1, ''); BEGIN; INSERT INTO t VALUES (2, '')"),
        q("ROLLBACK; INSERT INTO t VALUES (3, '')")],
    # -- portals and prepared statements ----------------------------------------------------------
    "a portal over several turns": [
        q("BEGIN"), wire.parse("INSERT INTO t SELECT g, '' FROM generate_series(1, 3) g RETURNING "
                               "id") + wire.bind(portal="p") + wire.SYNC, insert(9),
        wire.execute("p", rows=1) + wire.SYNC, wire.execute("p", rows=1) + wire.SYNC, q("COMMIT")],
    "a portal whose savepoint is undone": [
        q("BEGIN"), wire.parse("INSERT INTO t VALUES (1, '')") + wire.bind(portal="p") + wire.SYNC,
        q("SAVEPOINT s"), wire.execute("p") + wire.SYNC, q("ROLLBACK TO s"), insert(2),
        q("COMMIT")],
    "described first, bound later": [
        wire.parse("INSERT INTO t VALUES (1, '')", "s") + wire.describe("S", "s") + wire.SYNC,
        run("s")],
    "a Flush between Bind and Execute": [
        wire.parse("INSERT INTO t VALUES (1, '')") + wire.bind() + wire.FLUSH + wire.execute()
        + wire.SYNC],
    "prepared in a transaction that is undone": [
        q("BEGIN"), q("PREPARE q(int) AS INSERT INTO t VALUES ($1, '')"), insert(1), q("ROLLBACK"),
        q("EXECUTE q(4)")],
    "prepared in a transaction that fails": [
        q("BEGIN"), q("PREPARE q(int) AS INSERT INTO t VALUES ($1, '')"), q("SELECT 1/0"),
        q("COMMIT"), q("EXECUTE q(4)")],
    "a table made by EXECUTE": [q("PREPARE q AS SELECT 1 AS a"), q("CREATE TABLE m AS EXECUTE q")],
    "EXPLAIN ANALYZE EXECUTE": [q("PREPARE q(int) AS INSERT INTO t VALUES ($1, '')"),
                                q("EXPLAIN ANALYZE EXECUTE q(3)")],
    "empty statements": [ext(""), q(";"), q("INSERT INTO t VALUES (1, '');;")],
    # -- settings ---------------------------------------------------------------------------------
    "a setting behind a savepoint that is undone": [
        q("BEGIN"), q("SET my.v = 'a'"), q("SAVEPOINT s"), q("SET my.v = 'b'"), q("ROLLBACK TO s"),
        insert(1, "current_setting('my.v')"), q("COMMIT"), insert(2, "current_setting('my.v')")],
    "SET LOCAL in one query": [
        q("CREATE SCHEMA other; CREATE TABLE other.t(id int, v text)"),
        q("BEGIN; SET LOCAL search_path = other; INSERT INTO t VALUES (1, ''); COMMIT"), insert(2)],
    "SET TRANSACTION READ WRITE": [
        q("SET default_transaction_read_only = on"), q("BEGIN"), q("SET TRANSACTION READ WRITE"),
        insert(1), q("COMMIT"), q("SET default_transaction_read_only = off")],
    # -- temporary tables -------------------------------------------------------------------------
    "DISCARD TEMP": [q("CREATE TEMP TABLE x(a int)"), q("DISCARD TEMP"),
                     q("CREATE TEMP TABLE x(a int, b int)"), q("INSERT INTO x VALUES (1, 2)"),
                     q("INSERT INTO t SELECT a, '' FROM x")],
    "ON COMMIT DELETE ROWS": [
        q("CREATE TEMP TABLE x(a int) ON COMMIT DELETE ROWS"), q("BEGIN"),
        q("INSERT INTO x VALUES (1)"), q("INSERT INTO t SELECT a, '' FROM x"), q("COMMIT"),
        q("INSERT INTO t SELECT a + 1, '' FROM x")],
    "a temporary table that hides another": [
        q("CREATE TEMP TABLE t(id int, v text)"), insert(1), q("DROP TABLE pg_temp.t"), insert(2)],
    # -- tags that are not the statement's --------------------------------------------------------
    "a rule instead": [q(RULE + "INSTEAD INSERT INTO t VALUES (NEW.id, 'rule')"),
                       q("INSERT INTO r VALUES (1); INSERT INTO t VALUES (7, 'after')")],
    "two rules also": [q(RULE + "ALSO (INSERT INTO t VALUES (NEW.id, 'a'); INSERT INTO t VALUES "
                         "(NEW.id + 1, 'b'))"),
                       q("INSERT INTO r VALUES (1); INSERT INTO t VALUES (7, 'after')")],
    "a rule that does nothing": [
        q(RULE + "INSTEAD NOTHING"),
        q("INSERT INTO r VALUES (1); INSERT INTO t VALUES (7, 'after'); SELECT 1")],
    "a value added to a type": [
        q("CREATE TYPE mood AS ENUM ('a')"), q("ALTER TYPE mood ADD VALUE 'z'"),
        q("CREATE TABLE e(m mood)"), q("INSERT INTO e VALUES ('z')")],
    "NOTIFY within a transaction": [q("BEGIN"), q("NOTIFY x"), insert(1), q("COMMIT")],
    "a procedure that commits": [q(PROCEDURE.format(2)), q("CALL commits()")],
    # -- what the mirror needs of statements that only read ---------------------------------------
    "WHERE CURRENT OF": [
        insert(1), insert(2), q("BEGIN"), q("DECLARE c CURSOR FOR SELECT * FROM t ORDER BY id"),
        q("FETCH 1 FROM c"), q("UPDATE t SET v = 'hit' WHERE CURRENT OF c"), q("COMMIT")],
    "a cursor that writes": [
        q("CREATE SEQUENCE s"), q("BEGIN"), q("DECLARE c CURSOR FOR SELECT nextval('s') FROM "
                                              "generate_series(1, 5)"),
        q("FETCH 3 FROM c"), q("COMMIT"), q("INSERT INTO t VALUES (nextval('s'), '')")],
    # -- how a transaction was begun --------------------------------------------------------------
    "BEGIN READ WRITE": [
        q("SET default_transaction_read_only = on"), q("BEGIN READ WRITE"), insert(1), insert(2),
        q("COMMIT"), q("SET default_transaction_read_only = off")],
    "BEGIN READ WRITE, one statement": [
        q("SET default_transaction_read_only = on"), q("BEGIN READ WRITE"), insert(1),
        q("COMMIT"), q("SET default_transaction_read_only = off")],
    "BEGIN with a level": [
        q("BEGIN ISOLATION LEVEL SERIALIZABLE"), insert(1, "current_setting('transaction_isolation"
                                                           "')"), insert(2), q("COMMIT")],
    # -- statements that commit by themselves -----------------------------------------------------
    "a procedure that commits, then fails": [q(PROCEDURE.format(1)), q("CALL commits()")],
    "a block that commits, then fails": [
        q("DO $$BEGIN INSERT INTO t VALUES (1, ''); COMMIT; PERFORM 1 / 0; END$$")],
    "a procedure that commits, in a pipeline": [
        q(PROCEDURE.format(3)), wire.one_shot("CALL commits()") + TWO + wire.SYNC],
    "an index built concurrently, in a pipeline": [
        wire.one_shot("CREATE INDEX CONCURRENTLY i ON t(v)") + TWO + wire.SYNC],
    "an index built concurrently before what fails": [
        wire.one_shot("CREATE INDEX CONCURRENTLY i ON t(v)") + wire.one_shot("SELECT 1/0")
        + wire.SYNC],
    "REINDEX CONCURRENTLY in a pipeline": [
        wire.one_shot("REINDEX TABLE CONCURRENTLY t") + TWO + wire.SYNC],
    # -- the moment at which a text is read -------------------------------------------------------
    "DateStyle at Parse": [
        q("CREATE TABLE d(a date)"), parse("INSERT INTO d VALUES ('01/02/2020')", "s"),
        q("SET DateStyle = 'ISO, DMY'"), run("s")],
    "standard_conforming_strings at Parse": [
        q("SET standard_conforming_strings = off"),
        parse(r"INSERT INTO t VALUES (1, 'a\\b')", "s"),
        q("SET standard_conforming_strings = on"), run("s")],
    "backslashes by SET LOCAL": [
        q("BEGIN"), q("SET LOCAL standard_conforming_strings = off"), q(ONE_BY_BACKSLASH),
        q("COMMIT")],
    "backslashes by set_config": [
        q("SELECT set_config('standard_conforming_strings', 'off', false)"), q(ONE_BY_BACKSLASH)],
    # -- names that SQL and the protocol share ----------------------------------------------------
    "EXECUTE of what Parse has prepared": [
        parse("INSERT INTO t VALUES ($1, '')", "s"), q("EXECUTE s(5)")],
    "EXECUTE of a read that Parse has prepared": [parse("SELECT 1", "s"), q("EXECUTE s")],
    # -- PREPARE and DEALLOCATE hold though their savepoint is undone -----------------------------
    "DEALLOCATE behind a savepoint that is undone": [
        q("BEGIN"), q("PREPARE q AS SELECT 1"), q("SAVEPOINT s"), q("DEALLOCATE q"),
        q("ROLLBACK TO s"), q("COMMIT")],
    "prepared anew behind a savepoint that is undone": [
        q("BEGIN"), q("PREPARE q AS INSERT INTO t VALUES (1, '')"), insert(9), q("SAVEPOINT s"),
        q("DEALLOCATE q"), q("PREPARE q AS INSERT INTO t VALUES (2, '')"), q("ROLLBACK TO s"),
        q("COMMIT"), q("EXECUTE q")],
    "prepared on a table of the same transaction": [
        q("BEGIN"), q("CREATE TABLE m(a int)"), q("SAVEPOINT s"),
        q("PREPARE q AS INSERT INTO m VALUES (1)"), q("ROLLBACK TO s"), q("EXECUTE q"),
        q("COMMIT")],
}


def indexes(server, database):
    return server.sql("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
                      database)


def check_told_and_equal(pair, raw):
    """Nothing was refused or dropped: who writes what succeeded here must succeed there."""
    pair.check_equal(raw)
    assert indexes(pair.primary, pair.database) == indexes(pair.mirror, pair.database)
    assert pair.target.metric("pgbraid_mirror_refused_total") == 0
    assert pair.dropped() == 0


@pytest.mark.parametrize("case", CASES)
def test_conversation(case, pair):
    raw = pair.session()
    for sent in CASES[case]:
        raw.send(sent).read_turn()
    check_told_and_equal(pair, raw)


def test_a_setting_that_is_still_under_way_when_the_next_text_comes(pair):
    raw = pair.session()
    raw.send(q("SET standard_conforming_strings = off"), q(ONE_BY_BACKSLASH)).read_turn()
    assert not wire.first_error(raw.read_turn())
    check_told_and_equal(pair, raw)


def test_an_empty_prepared_transaction_may_be_ended(pair):
    raw, gid = pair.session(), f"empty {pair.database}"
    assert pair.ask(raw, "BEGIN", "SELECT 1", f"PREPARE TRANSACTION '{gid}'",
                    f"COMMIT PREPARED '{gid}'") == [""] * 4
    check_told_and_equal(pair, raw)


# -- prepared statements over connections that clients share ---------------------------------------


@pytest.fixture
def pooled(pair, new_target):
    """One shard, so that the clients meet on the same connections."""
    pair.target = new_target(pair.primary.url(user="postgres"), [
        "--auth", "trust", "--pool-mode", "transaction", "--mirror",
        pair.mirror.url(user="postgres")], shards=1)
    return pair


def test_pooled_two_clients_prepare_the_same_text(pooled):
    """The second one's Parse is answered without a server."""
    one, two = pooled.session(), pooled.session()
    for number, raw in enumerate((one, two)):
        raw.send(wire.parse("INSERT INTO t VALUES ($1, '')", "s"),
                 run("s", str(number))).read_turn()
    pooled.finish(one)
    check_told_and_equal(pooled, two)


def test_pooled_a_name_is_closed_and_used_for_a_text_that_is_known(pooled):
    raw = pooled.session()
    update = "UPDATE t SET v = v || 'x'"
    for text in ("INSERT INTO t VALUES (1, '')", update, "INSERT INTO t VALUES (2, '')", update):
        raw.send(wire.close("S", "s"), wire.parse(text, "s"), run("s")).read_turn()
    check_told_and_equal(pooled, raw)


def test_pooled_a_client_that_leaves_loses_nothing(pooled):
    """What it ran last by a name that it had used before is known to have ended."""
    raw = pooled.session()
    for text in ("INSERT INTO t VALUES (1, '')", "BEGIN", "COMMIT", "INSERT INTO t VALUES (2, '')",
                 "BEGIN", "COMMIT"):
        raw.send(wire.close("S", "s"), wire.parse(text, "s"), run("s")).read_turn()
    raw.shut()
    check_told_and_equal(pooled, pooled.session())


# -- sessions among each other ---------------------------------------------------------------------


def test_currval_is_the_sessions_own(pair, new_target):
    pair.target = new_target(pair.primary, ["--mirror", pair.mirror.url(user="postgres")], shards=1)
    one, two = pair.session(), pair.session()
    pair.ask(one, "CREATE TABLE parent(id serial, v text)")
    for raw in (one, two):
        pair.ask(raw, "INSERT INTO parent(v) VALUES ('')")
        pair.finish(raw)
    pair.ask(one, "INSERT INTO t VALUES (currval('parent_id_seq'), 'child of the first')")
    check_told_and_equal(pair, one)


def test_a_lock_that_the_primary_did_not_give_is_not_taken_on_the_mirror(pair):
    """Its answer comes after the unlock that overlaps it; on the mirror it would come too late."""
    holder, other = pair.session(), pair.session()
    pair.ask(holder, "SELECT pg_advisory_lock(1)")
    pair.finish(holder)
    outside = pair.primary.connect(pair.database)
    outside.cursor().execute("SELECT pg_advisory_lock(2)")
    other.send(q("SELECT pg_try_advisory_lock(1), pg_advisory_xact_lock(2)"))
    wait_until(lambda: pair.on_primary("SELECT 1 FROM pg_stat_activity WHERE wait_event = "
                                       "'advisory' AND query LIKE '%try_advisory%'"),
               "it to have its answer, and to wait for the other lock")
    pair.ask(holder, "SELECT pg_advisory_unlock(1)")
    pair.finish(holder)
    outside.close()
    assert [wire.columns_of(body)[0] for kind, body in other.read_turn() if kind == "D"] == [b"f"]
    pair.finish(other)
    held = ("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid "
            "FROM pg_database WHERE datname = current_database())")
    assert pair.on_primary(held) == [(0,)]
    assert pair.on_mirror(held) == [(0,)]


def test_a_parameter_of_a_type_of_ones_own(pair):
    """Its OID is another one on the mirror."""
    pair.on_mirror("CREATE TYPE only_here AS ENUM ('x')")
    raw = pair.session()
    pair.ask(raw, "CREATE TYPE mood AS ENUM ('low', 'high')", "CREATE TABLE e(m mood)")
    oid = pair.on_primary("SELECT 'mood'::regtype::oid::int")[0][0]
    turn = raw.send(wire.parse("INSERT INTO e VALUES ($1)", "", (oid,)), wire.bind(["high"]),
                    wire.execute(), wire.SYNC).read_turn()
    assert not wire.first_error(turn)
    pair.on_mirror("DROP TYPE only_here")
    check_told_and_equal(pair, raw)


def test_the_clients_user_is_who_it_is_on_the_mirror(pair):
    """Its schema comes first in search_path, and current_user is its name."""
    for server in (pair.primary, pair.mirror):
        server.sql("DO $$BEGIN CREATE ROLE fidelity SUPERUSER LOGIN; EXCEPTION WHEN "
                   "duplicate_object THEN ALTER ROLE fidelity LOGIN; END$$")
        server.sql("CREATE SCHEMA fidelity; CREATE TABLE fidelity.t(id int, v text)", pair.database)
    raw = pair.target.login(pair.database, user="fidelity")
    pair.ask(raw, "INSERT INTO t VALUES (1, current_user)")
    check_told_and_equal(pair, raw)


def test_k6_what_dblink_does_elsewhere_is_done_once(pair):
    """The mirror would reach the same third server as the primary."""
    for server in (pair.primary, pair.mirror):
        server.sql("CREATE EXTENSION dblink", pair.database)
    third = (f"host={pair.primary.folder} port={pair.primary.port} user=postgres "
             f"dbname={pair.database}")
    raw = pair.session()
    assert pair.ask(raw, f"SELECT dblink_exec('{third}', 'INSERT INTO n VALUES (1, 1, ''x'')')"
                    ) == [""]
    pair.finish(raw)
    pair.settle()
    assert pair.on_primary("SELECT count(*) FROM n") == [(1,)]
