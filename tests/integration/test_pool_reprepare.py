"""E12: a shared prepared statement whose result type changes under it.

PostgreSQL refuses such a statement until it is parsed again (0A000). Behind a pool a client may
meet that for a statement that it parsed a moment ago, since somebody else's was there first.
"""

import psycopg
import pytest

from conftest import ONE_IO
from harness import processes, wire

pytestmark = [pytest.mark.proxy_only, ONE_IO]
SQL = "SELECT * FROM changing"
RUN = wire.describe() + wire.execute()  # of the portal just bound
ADD = "ALTER TABLE changing ADD COLUMN more int DEFAULT 7"


class Pool:
    """A database with a table, behind pgbraid."""

    def __init__(self, server, database, target):
        self.server, self.database, self.target = server, database, target
        self.change("CREATE TABLE changing AS SELECT 1 AS v")

    def change(self, sql=ADD):
        self.server.sql(sql, self.database)

    def login(self):
        return self.target.login(self.database)

    def prepared(self, sql=SQL, run=wire.bind(name="s") + RUN):
        """A client that has parsed `sql` as s, and run it."""
        raw = self.login()
        assert not wire.first_error(turn(raw, wire.parse(sql, "s")))
        assert not wire.first_error(turn(raw, run))
        return raw

    def repeated(self):
        return self.target.metric("pgbraid_backend_pool_repeated_total")


@pytest.fixture
def new_pool(new_target, server, database):
    def make(size=1, flags=(), shards=1):
        target = new_target(server.url(user="postgres"),
                            ["--pool-mode", "transaction", "--max-conns", str(size), "--auth",
                             "trust", *flags], shards)
        return Pool(server, database, target)

    return make


@pytest.fixture
def pool(new_pool):
    return new_pool()


def turn(raw, *frames):
    return raw.send(*frames, wire.SYNC).read_turn()


def rows(frames):
    return [[v.decode() for v in wire.columns_of(body)] for kind, body in frames if kind == "D"]


def test_e12_a_changed_statement_is_prepared_anew_and_asked_again(pool):
    raw = pool.prepared()
    pool.change()
    again = turn(raw, wire.bind(name="s"), RUN)
    assert wire.kinds(again) == "2TDCZ" and rows(again) == [["1", "7"]]
    assert pool.repeated() == 1
    again = turn(raw, wire.bind(name="s"), RUN)
    assert wire.kinds(again) == "2TDCZ" and rows(again) == [["1", "7"]]
    assert pool.repeated() == 1
    raw.shut()


def test_e12_who_has_just_parsed_it_knows_nothing_of_the_old_one(pool):
    holder = pool.prepared()
    pool.change()
    with pool.login() as raw:
        got = turn(raw, wire.parse(SQL, "mine"), wire.bind(name="mine"), wire.execute())
        assert wire.kinds(got) == "12DCZ" and rows(got) == [["1", "7"]]
    assert pool.repeated() == 1
    holder.shut()


def test_e12_a_describe_is_answered_once_and_with_the_new_types(pool):
    sql = "SELECT * FROM changing WHERE v = $1"
    holder = pool.prepared(sql, wire.bind(["1"], name="s") + RUN)
    pool.change("ALTER TABLE changing ALTER COLUMN v TYPE bigint")
    with pool.login() as raw, pool.server.connect(pool.database) as direct:
        with direct.cursor() as cursor:
            cursor.execute("SELECT 'int8'::regtype::oid")
            int8 = cursor.fetchone()[0]
        got = turn(raw, wire.parse(sql, "mine"), wire.describe("S", "mine"))
        assert wire.kinds(got) == "1tTZ"
        assert int.from_bytes(got[1][1][2:6], "big") == int8
    assert pool.repeated() == 1
    holder.shut()


def test_e12_a_flush_instead_of_a_sync(pool):
    raw = pool.prepared()
    pool.change()
    first = raw.send(wire.bind(name="s"), RUN, wire.FLUSH).read_until("C", "E")
    assert wire.kinds(first) == "2TDC" and rows(first) == [["1", "7"]]
    again = turn(raw, wire.bind(name="s"), RUN)
    assert wire.kinds(again) == "2TDCZ" and rows(again) == [["1", "7"]]
    assert pool.repeated() == 1
    raw.shut()


def test_e12_all_that_stands_behind_it_in_the_pipeline(pool):
    raw = pool.prepared()
    pool.change()
    got = turn(raw, (wire.bind(name="s") + RUN) * 2, wire.close("S", "s"),
               wire.parse("SELECT 'other'", "s"), wire.bind(name="s"), RUN,
               wire.one_shot("INSERT INTO changing VALUES (2) RETURNING v"))
    assert wire.kinds(got) == "2TDC2TDC312TDC12TDCZ"
    assert rows(got) == [["1", "7"], ["1", "7"], ["other"], ["2"]]
    assert pool.server.sql("SELECT count(*) FROM changing", pool.database) == [(2,)]
    assert pool.repeated() == 1
    assert rows(turn(raw, wire.bind(name="s"), RUN)) == [["other"]]
    raw.shut()


def test_e12_what_writes_runs_once(pool):
    raw = pool.prepared("INSERT INTO changing VALUES (2) RETURNING *")
    pool.change()
    got = turn(raw, wire.bind(name="s"), RUN)
    assert wire.kinds(got) == "2TDCZ" and rows(got) == [["2", "7"]]
    assert pool.server.sql("SELECT count(*) FROM changing", pool.database) == [(3,)]
    raw.shut()


REFUSED = {
    "in a transaction": (wire.query("BEGIN"), wire.bind(name="s") + RUN + wire.SYNC),
    "behind what ran": (b"", wire.one_shot("INSERT INTO changing VALUES (2)")
                        + wire.bind(name="s") + RUN + wire.SYNC),
    "behind another portal": (b"", wire.parse("SELECT 1") + wire.bind(portal="p")
                              + wire.bind(name="s") + RUN + wire.SYNC),
    "by a description of before": (b"", wire.bind(name="s") + wire.execute() + wire.SYNC),
    "before another turn": (b"", wire.bind(name="s") + RUN + wire.SYNC + wire.query("SELECT 5")),
    "in a long turn": (b"", wire.bind(name="s") + RUN
                       + wire.bind([b"x" * 20_000], name="long") + wire.execute() + wire.SYNC),
}


@pytest.mark.parametrize("case", REFUSED)
def test_e12_what_cannot_be_repeated_fails_once_as_in_postgresql(pool, case):
    raw = pool.prepared()
    turn(raw, wire.parse("SELECT length($1)", "long"))
    before, frames = REFUSED[case]
    if before:
        raw.send(before).read_turn()
    pool.change()
    error = wire.first_error(raw.send(frames).read_turn())
    assert error.get("C") == "0A000" and error["R"] == "RevalidateCachedQuery"
    if case == "before another turn":
        assert rows(raw.read_turn()) == [["5"]]
    assert wire.status(raw.ask("ROLLBACK")) == "I"
    assert rows(turn(raw, wire.bind(name="s"), RUN)) == [["1", "7"]]
    assert pool.repeated() == 0
    assert pool.server.sql("SELECT count(*) FROM changing", pool.database) == [(1,)]
    raw.shut()


def test_e12_every_connection_that_has_it_prepares_it_anew(new_pool):
    pool = new_pool(size=3)
    clients = [pool.login() for _ in range(3)]

    def everywhere():
        """Each client on a connection of its own, which all have the statement then."""
        for raw in clients:
            raw.ask("BEGIN")
        answers = [rows(turn(raw, wire.bind(name="s"), RUN)) for raw in clients]
        for raw in clients:
            raw.ask("COMMIT")
        return answers

    for raw in clients:
        turn(raw, wire.parse(SQL, "s"))
    assert everywhere() == [[["1"]]] * 3
    pool.change()
    assert rows(turn(clients[0], wire.bind(name="s"), RUN)) == [["1", "7"]]
    assert everywhere() == [[["1", "7"]]] * 3
    assert pool.repeated() == 1
    for raw in clients:
        raw.shut()


def test_e12_who_knows_the_old_rows_is_told_also_where_it_was_prepared_anew(pool):
    """By a Describe of its own, or by the error that PostgreSQL has for it."""
    asks, other, knows, raw = (pool.prepared() for _ in range(4))
    with pool.login() as never:
        turn(never, wire.parse(SQL, "s"), wire.bind(name="s"), wire.execute())
        pool.change()
        assert rows(turn(other, wire.bind(name="s"), RUN)) == [["1", "7"]]
        assert wire.kinds(turn(asks, wire.bind(name="s"), RUN)) == "2TDCZ"
        assert rows(turn(never, wire.bind(name="s"), wire.execute())) == [["1", "7"]]
    for client, frames in ((knows, wire.execute()), (raw, wire.FLUSH + RUN)):
        failed = turn(client, wire.parse("SELECT 0"), wire.bind(name="s"), frames, wire.close("S"))
        error = wire.first_error(failed)
        assert wire.kinds(failed) == "1EZ" and error["R"] == "RevalidateCachedQuery"
        assert (error["S"], error["C"]) == ("ERROR", "0A000")
        assert rows(turn(client, wire.bind(name="s"), wire.execute())) == [["1", "7"]]
    assert pool.repeated() == 1
    for client in (asks, other, knows, raw):
        client.shut()


def test_e12_an_error_in_front_of_it_does_not_lose_count_of_it(pool):
    """The Close of the old one is swallowed with what stands behind an error."""
    raw, other = pool.prepared(), pool.prepared()
    pool.change()
    error = wire.first_error(turn(raw, wire.bind(name="s"), wire.execute()))
    assert error.get("C") == "0A000"
    pool.change("ALTER TABLE changing DROP COLUMN more")
    failed = turn(other, wire.one_shot("SELECT 1/0"), wire.bind(name="s"), RUN)
    assert wire.first_error(failed).get("C") == "22012"
    assert rows(turn(other, wire.bind(name="s"), RUN)) == [["1"]]
    assert rows(turn(raw, wire.bind(name="s"), RUN)) == [["1"]]
    raw.shut()
    other.shut()


def test_e12_psycopg_sees_only_right_answers(new_pool):
    pool = new_pool(size=2)
    dsn = f"host=127.0.0.1 port={pool.target.port} user=postgres dbname={pool.database}"
    with psycopg.connect(dsn, autocommit=True) as one, psycopg.connect(dsn, autocommit=True) as two:
        for count in range(4):
            for connection in (one, two, one, two):
                found = connection.execute(SQL, prepare=True, binary=True).fetchall()
                assert found == [(1,) + (7,) * count]
            with one.pipeline():
                cursors = [one.execute(SQL, prepare=True) for _ in range(3)]
            assert [cursor.fetchall() for cursor in cursors] == [[(1,) + (7,) * count]] * 3
            pool.change(f"ALTER TABLE changing ADD COLUMN more{count} int DEFAULT 7")
    assert pool.repeated() >= 3


def test_e12_a_mirror_gets_what_was_repeated_once(new_pool, server, database, shared_mirror):
    shared_mirror.sql(f"CREATE DATABASE {database}")
    for cluster in (server, shared_mirror):
        cluster.sql("CREATE TABLE kept(v int)", database)
    pool = new_pool(flags=["--mirror", shared_mirror.url(user="postgres")])
    raw = pool.prepared("INSERT INTO kept VALUES (1) RETURNING *")
    pool.change("ALTER TABLE kept ADD COLUMN more int")
    shared_mirror.sql("ALTER TABLE kept ADD COLUMN more int", database)
    assert wire.kinds(turn(raw, wire.bind(name="s"), RUN)) == "2TDCZ"
    assert pool.repeated() == 1
    raw.ask("INSERT INTO kept VALUES (3)")
    processes.wait_until(lambda: shared_mirror.sql("SELECT v FROM kept WHERE v = 3", database),
                         "the mirror to have the last one")
    assert shared_mirror.sql("SELECT v FROM kept ORDER BY 1", database) == [(1,), (1,), (3,)]
    raw.shut()
    shared_mirror.sql(f"DROP DATABASE {database} WITH (FORCE)")
