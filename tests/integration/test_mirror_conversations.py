"""Whole conversations after which primary and mirror are equal, and nothing was refused or dropped.

Each is the smallest that shows one way in which a copy can go wrong: what a statement means may
hang on a setting, a name, a lock, another session, or the moment at which the text was read.
"""

import pytest

from conftest import ONE_IO
from harness import wire

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
