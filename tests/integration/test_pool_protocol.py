"""Rows E: a client of a pool hears, byte for byte, what it would hear from PostgreSQL itself.

Each conversation is held with the server directly and through pgbraid, where two others take and
leave the connections between its turns, with statements of the same names and other settings.
"""

import pytest

from conftest import ONE_IO
from harness import wire

pytestmark = [pytest.mark.proxy_only, ONE_IO]
RUN = wire.describe() + wire.execute()


class Others:
    """Two clients; at any time one of them has a connection for itself, never the same for long."""

    def __init__(self, target, database):
        self.clients = [target.login(database, timezone=zone, application_name=zone)
                        for zone in ("Asia/Tokyo", "America/Lima")]
        self.turns = 0
        for raw in self.clients:
            for name in ("a", "b", "c"):
                raw.send(wire.parse("SELECT 'of the others', $1::text", name))
            raw.send(wire.SYNC).read_turn()

    def move(self):
        holder, taker = self.clients[self.turns % 2], self.clients[(self.turns + 1) % 2]
        self.turns += 1
        if wire.status(taker.ask("BEGIN")) == "T":
            for name in ("a", "b", "c"):
                taker.send(wire.bind([f"x{self.turns}"], name=name), wire.execute())
            taker.send(wire.one_shot("SELECT 'unnamed of the others'"), wire.SYNC).read_turn()
        if self.turns > 1:
            holder.ask("COMMIT")

    def shut(self):
        for raw in self.clients:
            raw.shut()


class Talk:
    """One side of a conversation, and what was heard."""

    def __init__(self, raw, others=None):
        self.raw, self.others, self.heard = raw, others, []

    def say(self, *frames, until="Z", count=1):
        """Sends all of them, hears `count` frames of the kinds `until`, as far as the last."""
        if self.others:
            self.others.move()
        self.raw.send(*frames)
        for _ in range(count):
            self.heard += self.raw.read_until(*until)
        return self.heard

    def sql(self, text):
        return self.say(wire.query(text))

    def sync(self, *frames):
        return self.say(*frames, wire.SYNC)


@pytest.fixture(params=["transaction", "session"])
def behind(request, new_target, server, database):
    """hold(conversation) -> what was heard directly, and what behind a pool, told three times."""
    flags = ["--pool-mode", request.param, "--max-conns", "4", "--auth", "trust"]
    target = new_target(server.url(user="postgres"), flags, shards=1)
    direct = wire.Wire("127.0.0.1", server.port)
    direct.login(user="postgres", database=database)
    opened = [direct]

    def hold(conversation, prepare="SELECT 1"):
        heard = []
        transaction = request.param == "transaction"
        others = Others(target, database) if transaction else None
        pooled = target.login(database)
        opened.append(pooled)
        assert pooled.parameters == direct.parameters
        for _ in range(3):
            for raw, among in ((direct, None), (pooled, others)):
                server.sql(prepare, database)
                talk = Talk(raw, among)
                conversation(talk)
                heard.append(talk.heard)
        if others:
            others.shut()
        return heard

    yield hold
    for raw in opened:
        raw.shut()


def same(heard):
    for first, second in zip(heard[::2], heard[1::2]):
        assert [shown(frame) for frame in second] == [shown(frame) for frame in first]
        assert second == first
    return True


def shown(frame):
    kind, body = frame
    return kind, wire.fields_of(body) if kind in "EN" else body[:200]


# -- E1: an error anywhere in a pipeline ----------------------------------------------------------

TWENTY = [
    wire.parse("SELECT 1", "a"), wire.bind(name="a"), wire.describe(), wire.execute(),
    wire.parse("SELECT $1::int"), wire.bind(["2"]), wire.describe("S"), wire.execute(),
    wire.close("S", "a"),
    wire.parse("SELECT generate_series(1, 3)", "b"), wire.describe("S", "b"),
    wire.bind(name="b", portal="p"), wire.describe("P", "p"), wire.execute("p", 1),
    wire.execute("p"), wire.close("P", "p"),
    wire.parse("SELECT 3", "c"), wire.bind(name="c"), wire.execute(), wire.close("S", "c")]
WRONG = {"parse": wire.parse("SELEC 1", "bad"), "bind": wire.bind(name="missing"),
         "bind too much": wire.bind(["1", "2"], name="a"), "execute": wire.execute("missing"),
         "describe": wire.describe("S", "missing"),
         "divide": wire.parse("SELECT 1/0", "z") + wire.bind(name="z") + wire.execute()}
TIDY = wire.close("S", "a") + wire.close("S", "b") + wire.close("S", "c") + wire.close("S", "z")


@pytest.mark.parametrize("wrong", WRONG)
def test_e1_an_error_at_each_place_of_a_pipeline(behind, wrong):
    def talk(to):
        for place in range(20):
            frames = TWENTY[:place] + [WRONG[wrong]] + TWENTY[place + 1:]
            to.sync(b"".join(frames))  # Sync at the end
            to.sync(TIDY)
            early = b"".join(frames[:place + 1]) + wire.SYNC + b"".join(frames[place + 1:])
            to.say(early, wire.SYNC, count=2)
            to.sync(TIDY)
            # No Sync before the error was read.
            to.say(b"".join(frames), wire.FLUSH, until="E")
            to.sync()
            to.sync(TIDY)

    assert same(behind(talk))


# -- E2 to E7 -------------------------------------------------------------------------------------

def query_without_a_sync(to):
    to.say(wire.one_shot("SELECT 1"), wire.query("SELECT 2"))
    to.say(wire.parse("SELECT 4", "a"), wire.bind(name="a"), RUN, wire.query("SELECT 2"))
    to.say(wire.bind(name="a"), RUN, wire.query("SELECT 2; SELECT 3"), wire.query("SELECT 4"),
           count=2)
    to.say(wire.one_shot("SELECT 1/0"), wire.query("SELECT 2"), wire.SYNC)
    to.say(wire.bind(name="missing"), wire.query("SELECT 2"), wire.query("SELECT 3"), wire.SYNC)
    to.say(wire.one_shot("SELECT 1"), wire.query("SELECT 1/0"))
    to.say(wire.one_shot("INSERT INTO kept VALUES (1)"), wire.query("SELECT 1/0"), wire.SYNC,
           count=2)
    to.sql("SELECT v + 0 FROM kept")
    to.sync(wire.close("S", "a"))


def parse_and_close_without_a_sync(to):
    to.say(wire.parse("SELECT 1", "a"), wire.close("S", "a"), wire.parse("SELECT 2", "a"),
           wire.close("S", "missing"), wire.parse("SELECT 3", "b"), wire.FLUSH, until="1", count=3)
    to.sync(wire.bind(name="b"), RUN, wire.close("S", "b"), wire.close("S", "b"),
            wire.parse("SELECT 4", "b"), wire.bind(name="a"), RUN)
    to.say(wire.close("S", "a"), wire.FLUSH, until="3")
    to.say(wire.parse("SELECT 5", "a"), wire.FLUSH, until="1")
    to.say(wire.query("SELECT 6"))
    to.sync(wire.parse("SELECT 1", "b"))  # taken
    to.sync(wire.close("S", "a"), wire.bind(name="a"), wire.close("S", "b"))
    to.sync(wire.bind(name="b"), RUN, wire.close("S", "b"), wire.parse("SELECT 7", "a"))
    to.sync(wire.close("S", "a"), wire.parse("SELECT 8", "a"), wire.close("S", "a"),
            wire.parse("SELECT 9", "a"), wire.bind(name="a"), RUN, wire.close("S", "a"))


def row_limits(to):
    some = wire.parse("SELECT generate_series(1, 5)", "a") + wire.bind(name="a", portal="p")
    to.say(some, wire.describe("P", "p"), wire.execute("p", 2), wire.FLUSH, until="s")
    to.say(wire.execute("p", 2), wire.FLUSH, until="s")
    to.say(wire.execute("p", 2), wire.FLUSH, until="C")
    to.say(wire.close("P", "p"), wire.FLUSH, until="3")
    to.sync()
    to.sync(wire.execute("p", 1))  # gone with its transaction
    to.sql("BEGIN")
    to.sync(wire.bind(name="a", portal="p"), wire.execute("p", 2))
    to.sync(wire.execute("p", 2))
    to.sync(wire.close("P", "p"))
    to.sync(wire.execute("p", 2))
    to.sql("ROLLBACK")
    to.sync(wire.close("S", "a"))


def describe_of_begin(to):
    to.sync(wire.parse("BEGIN", "a"), wire.describe("S", "a"))
    to.sync(wire.bind(name="a"), RUN, wire.parse("SELECT 1"), wire.describe("S"), wire.bind(), RUN)
    to.sync(wire.one_shot("COMMIT"))
    to.sync(wire.bind(name="a"), RUN, wire.one_shot("SELECT 2"), wire.one_shot("ROLLBACK"))
    to.sync(wire.close("S", "a"))


def long_unnamed_statements(to):
    """Longer than what is held: they go through as they are."""
    long = wire.parse(f"SELECT 1 AS long --{'x' * 100_000}")
    to.sync(wire.parse("SELECT 2 AS short"))
    to.sync(long, wire.bind(), RUN)
    to.sql("SELECT 1/0")
    to.sync(wire.bind(), RUN)
    to.sync(long, wire.bind(), RUN)
    to.sync(wire.one_shot("SELECT 1/0"))
    to.sync(long)
    to.sync(wire.bind(), RUN, wire.one_shot("SELECT 3"), wire.bind(), RUN)


def close_what_is_not_there(to):
    to.sync(wire.close("S", "missing"), wire.close("P", "missing"), wire.close("S"),
            wire.close("P"))
    to.sync(wire.parse("SELECT 1", "a"), wire.bind(name="a", portal="a"), wire.close("S", "a"),
            wire.execute("a"))
    to.sync(wire.bind(name="a"))
    to.sync(wire.parse("SELECT 2", "a"), wire.bind(name="a", portal="a"), wire.close("P", "a"),
            wire.bind(name="a"), RUN, wire.execute("a"))
    to.sync(wire.bind(name="a"), RUN, wire.close("S", "a"))
    to.sync(wire.close("X", "a"))


def parse_fails(to):
    to.sync(wire.parse("SELEC 1", "a"), wire.bind(name="a"), wire.execute())
    to.sync(wire.bind(name="a"), wire.execute())
    to.sync(wire.parse("SELECT 1", "a"), wire.bind(name="a"), RUN)
    to.sync(wire.close("S", "a"), wire.parse("SELECT nothing", "a"))
    to.sync(wire.parse("SELECT 2", "a"), wire.bind(name="a"), RUN, wire.close("S", "a"))
    to.sql("BEGIN")
    to.sync(wire.parse("SELECT nothing", "a"))
    to.sync(wire.parse("SELECT 3", "a"))
    to.sql("ROLLBACK")
    to.sync(wire.bind(name="a"))
    to.sync(wire.parse("SELECT 4", "a"), wire.bind(name="a"), RUN, wire.close("S", "a"))


def several_in_one_query(to):
    insert = "INSERT INTO kept VALUES"
    for text in (f"BEGIN; {insert} (1); COMMIT; {insert} (2); ROLLBACK",
                 "BEGIN; INSERT INTO kept VALUES (3); ROLLBACK; BEGIN", "SELECT 1", "COMMIT",
                 "BEGIN; SELECT 1/0; COMMIT; SELECT 2", "SELECT 3", "ROLLBACK; SELECT 4",
                 "SELECT 1; SELECT 1/0; BEGIN", "SELECT 5; BEGIN; SAVEPOINT s; SELECT nothing",
                 "ROLLBACK TO s; SELECT 6", "COMMIT AND CHAIN", "SELECT 7", "ROLLBACK; COMMIT",
                 "", ";;", "BEGIN;", ";", "ABORT -- COMMIT"):
        to.sql(text)
    to.sql("SELECT v + 0 FROM kept")


def notices(to):
    to.sql("DO $$BEGIN FOR i IN 1..10000 LOOP RAISE NOTICE 'number %', i; END LOOP; END$$")
    to.sync(wire.one_shot("SELECT 'and on it goes'"))


def odd_shapes(to):
    many = ", ".join(f"{n}::int AS c{n}" for n in range(1600))
    to.sync(wire.parse(f"SELECT {many}", "a"), wire.bind(name="a", results=[1]), RUN)
    to.sync(wire.bind(name="a"), RUN, wire.close("S", "a"))
    to.sync(wire.parse("SELECT", "a"), wire.describe("S", "a"), wire.bind(name="a"), RUN)
    to.sync(wire.bind(name="a", results=[1]), RUN, wire.close("S", "a"))
    to.sync(wire.one_shot(""))
    to.sync(wire.parse("", "a"), wire.describe("S", "a"), wire.bind(name="a"), RUN,
            wire.close("S", "a"))
    to.sync(wire.parse("SELECT $1::int4, $2::text, $3::bytea, $4::numeric", "a", [23]))
    every = [b"\0\0\0\7", "text", b"\0\1\xff", None]
    for formats in ([1, 0, 1, 0], [1]):
        to.sync(wire.describe("S", "a"), wire.bind(every, name="a", formats=formats, results=[1]),
                RUN)
    to.sync(wire.bind([None] * 4, name="a", results=[0, 1, 0, 1]), RUN)
    to.sync(wire.bind(["7", "", "\\x00", "1.50"], name="a"), RUN)
    to.sync(wire.bind(["7"], name="a"), RUN)
    to.sync(wire.bind(["x", "", "", ""], name="a"), RUN)
    to.sync(wire.close("S", "a"))
    to.sync(wire.parse("SELECT $1", "a"), wire.describe("S", "a"),
            wire.bind(["x" * 300_000], name="a"), RUN, wire.close("S", "a"))


CONVERSATIONS = {
    "e2-a query without a sync": query_without_a_sync,
    "e3-parse and close without a sync": parse_and_close_without_a_sync,
    "e4-row limits": row_limits,
    "e5-describe of begin": describe_of_begin,
    "e6-close of what is not there": close_what_is_not_there,
    "e7-parse fails": parse_fails,
    "e8-long unnamed statements": long_unnamed_statements,
    "e13-several statements in one query": several_in_one_query,
    "e15-10,000 notices": notices,
    "e16-odd shapes": odd_shapes,
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation_is_what_it_is_with_postgresql(behind, name):
    table = "DROP TABLE IF EXISTS kept; CREATE TABLE kept(v int)"
    assert same(behind(CONVERSATIONS[name], table))


# -- E10: the same statements in SQL and in the protocol ------------------------------------------

def sql_and_protocol(to):
    to.sync(wire.parse("SELECT 'of the protocol'", "a"))
    to.sql("PREPARE b AS SELECT 'of SQL'")
    to.sync(wire.bind(name="b"), RUN, wire.bind(name="a"), RUN)
    to.sql("EXECUTE b")
    to.sync(wire.describe("S", "b"), wire.close("S", "b"))
    to.sql("EXECUTE b")
    to.sql("DEALLOCATE a")
    to.sql("DEALLOCATE a")
    to.sync(wire.bind(name="a"))
    to.sync(wire.parse("SELECT 'new'", "a"), wire.bind(name="a"), RUN)
    to.sql("PREPARE c AS SELECT 3")
    to.sql("DEALLOCATE ALL")
    for name in ("a", "b", "c"):
        to.sync(wire.bind(name=name))
        to.sql(f"EXECUTE {name}")
        to.sql(f"DEALLOCATE {name}")
    to.sync(wire.parse("SELECT 4", "a"), wire.bind(name="a"), RUN)
    to.sql("BEGIN")
    to.sql("DEALLOCATE a")
    to.sql("ROLLBACK")
    to.sync(wire.bind(name="a"))
    to.sync(wire.parse("SELECT 5", "a"), wire.one_shot("DEALLOCATE a"), wire.bind(name="a"))
    to.sync(wire.parse("SELECT 6", "a"), wire.one_shot("SELECT 1/0"), wire.close("S", "a"))
    to.sync(wire.bind(name="a"), RUN)
    to.sql("DISCARD ALL")
    to.sync(wire.bind(name="a"))
    to.sql("DEALLOCATE PREPARE a")
    to.sync(wire.parse("SELECT 7", "a"), wire.bind(name="a"), RUN)
    to.sync(wire.one_shot("DISCARD ALL"))
    to.sync(wire.bind(name="a"))


def test_e10_both_views_of_prepared_statements_stay_equal(behind):
    assert same(behind(sql_and_protocol))


def test_e10_execute_in_sql_of_the_protocols_statement_is_refused(new_target, server, database):
    """It has another name on the server, so it is not found, and nobody else's is."""
    flags = ["--pool-mode", "transaction", "--max-conns", "2", "--auth", "trust"]
    target = new_target(server.url(user="postgres"), flags, shards=1)
    with target.login(database) as one, target.login(database) as two:
        for raw in (one, two):
            raw.send(wire.parse("SELECT 1", "a"), wire.SYNC).read_turn()
        assert wire.first_error(one.ask("EXECUTE a")).get("C") == "26000"
        two.ask("PREPARE a AS SELECT 'of two'")
        assert two.rows("EXECUTE a") == [["of two"]]
        assert wire.first_error(one.ask("EXECUTE a")).get("C") == "26000"


# -- E8: which statement a name is ----------------------------------------------------------------

def types_make_another_statement(to):
    for oid, value in ((23, "1"), (25, "1"), (1700, "1.0"), (0, "1")):
        to.sync(wire.parse("SELECT $1", "a", [oid]), wire.describe("S", "a"),
                wire.bind([value], name="a"), RUN)
        to.sync(wire.parse("SELECT $1", "b", [25]), wire.bind([value], name="b"), RUN)
        to.sync(wire.bind([value], name="a"), RUN, wire.close("S", "a"), wire.close("S", "b"))


def test_e8_the_same_text_with_other_types_is_another_statement(behind):
    assert same(behind(types_make_another_statement))


def test_e8_a_thousand_statements_in_a_cache_of_ten(new_target, server, database):
    flags = ["--pool-mode", "transaction", "--max-conns", "2", "--auth", "trust",
             "--max-prepared-statements", "10"]
    target = new_target(server.url(user="postgres"), flags, shards=1)
    others = Others(target, database)
    raw = target.login(database)
    for first in range(0, 1000, 50):
        names = range(first, first + 50)
        # Five times what may be kept, within one pipeline.
        raw.send(*(wire.parse(f"SELECT {n}", f"s{n}") for n in names), wire.SYNC).read_turn()
        for n in names:
            raw.send(wire.bind(name=f"s{n}"), wire.execute())
        assert numbers(raw.send(wire.SYNC).read_turn()) == list(names)
        others.move()
    for step in (1, 7, 333):
        chosen = [n * step % 1000 for n in range(100)]
        raw.send(*(wire.bind(name=f"s{n}") + wire.execute() for n in chosen))
        assert numbers(raw.send(wire.SYNC).read_turn()) == chosen
        others.move()
    raw.ask("BEGIN")
    held = raw.rows("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'pgbraid%'")
    raw.ask("COMMIT")
    assert int(held[0][0]) <= 10
    others.shut()
    raw.shut()


def numbers(frames):
    return [int(wire.columns_of(body)[0]) for kind, body in frames if kind == "D"]


# -- E9: the unnamed statement --------------------------------------------------------------------

def test_e9_an_unnamed_statement_that_was_skipped_is_not_somebody_elses(new_target, server,
                                                                        database):
    flags = ["--pool-mode", "transaction", "--max-conns", "1", "--auth", "trust"]
    target = new_target(server.url(user="postgres"), flags, shards=1)
    run = wire.bind() + wire.execute() + wire.SYNC
    with target.login(database) as one, target.login(database) as two:
        one.send(wire.parse("SELECT 1"), wire.SYNC).read_turn()
        two.send(wire.parse("SELECT 2"), wire.SYNC).read_turn()
        # Behind an error: that it was to be parsed again for `one` is not looked at either.
        failed = one.send(wire.bind(name="missing"), run).read_turn()
        assert wire.first_error(failed).get("C") == "26000"
        assert numbers(one.send(run).read_turn()) == [1]
        failed = two.send(wire.bind(name="missing"), wire.parse("SELECT 3"), run).read_turn()
        assert wire.first_error(failed).get("C") == "26000"
        assert numbers(two.send(run).read_turn()) == [2]


# -- E14 ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_e14_a_fatal_error_in_a_pipeline_is_told_once(new_target, server, database, mode):
    flags = ["--pool-mode", mode, "--max-conns", "2", "--auth", "trust"]
    target = new_target(server.url(user="postgres"), flags, shards=1)
    for name in ("", "a"):
        raw = target.login(database)
        for text in ("SELECT 1", "SELECT pg_terminate_backend(pg_backend_pid())", "SELECT 2"):
            raw.send(wire.parse(text, name), wire.bind(name=name), RUN,
                     wire.close("S", name) if name else b"")
        frames = raw.send(wire.SYNC, wire.query("SELECT 3")).read_to_end()
        errors = [wire.fields_of(body) for kind, body in frames if kind == "E"]
        assert [(error["S"], error["C"]) for error in errors] == [("FATAL", "57P01")]
        assert frames[-1][0] == "E"
        raw.shut()
    assert target.value("SELECT 1", database) == 1
