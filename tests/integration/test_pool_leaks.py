"""F2: after every kind of client, the next one on the same pool finds nothing of it.

A leaver leaves something behind in its session, then stays, leaves, or dies. The pool holds one
server connection for whoever needs none of their own, so the next client gets the leaver's, unless
the pool keeps that for the leaver. What may not be: that the newcomer sees what was left, or that
the leaver, still there, has silently lost it. To refuse the leaver's statement is honest too.
"""

import dataclasses

import pytest

from harness import pools, processes, wire
from harness.fixtures import new_folder


@dataclasses.dataclass(frozen=True)
class Probe:
    """`leave`: statements of the leaver, each a transaction. `look`: what leaver and newcomer ask.
    `own` is the leaver's answer; a newcomer must get what a fresh session gets. An answer is the
    rows' first column, or the SQLSTATE."""
    leave: tuple
    look: str
    own: tuple
    startup: tuple = ()  # parameters of the leaver's StartupMessage
    refusal: str = ""    # what the leaver may be told instead, once others had the connection


def setting(name, value, shown=None):
    return Probe((f"SET {name} = {value}",), f"SHOW {name}", (shown or value.strip("'"),))


PROBES = {
    "a reported setting": setting("timezone", "'Asia/Kathmandu'"),
    "an unreported setting": setting("work_mem", "'7MB'"),
    "an encoding": setting("client_encoding", "'LATIN1'"),
    "a time limit": setting("statement_timeout", "'77s'"),
    "an isolation level": setting("default_transaction_isolation", "'serializable'"),
    "a replication role": setting("session_replication_role", "'replica'"),
    "a search path": setting("search_path", "leak_schema"),
    "a custom setting": Probe(("SET rig.secret = 'mine'",),
                              "SELECT coalesce(current_setting('rig.secret', true), '')",
                              ("mine",)),
    "a set_config": Probe(("SELECT set_config('rig.secret', 'mine', false)",),
                          "SELECT coalesce(current_setting('rig.secret', true), '')", ("mine",)),
    "a read-only session": Probe(("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",),
                                 "SHOW default_transaction_read_only", ("on",)),
    "a role": Probe(("SET ROLE leak_role",), "SELECT current_user", ("leak_role",)),
    "an authorization": Probe(("SET SESSION AUTHORIZATION leak_role",), "SELECT session_user",
                              ("leak_role",)),
    "a temporary table": Probe(("CREATE TEMP TABLE leak_temp AS SELECT 'mine' AS v",),
                               "SELECT v FROM leak_temp", ("mine",)),
    "a temporary view over a table": Probe(
        ("CREATE TEMP VIEW leak_seen AS SELECT 'mine' AS v",), "SELECT v FROM leak_seen",
        ("mine",)),
    "an advisory lock": Probe(("SELECT pg_advisory_lock(42)",),
                              "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND "
                              "pid = pg_backend_pid()", ("42",)),
    "a LISTEN": Probe(("LISTEN leak_channel",), "SELECT pg_listening_channels()",
                      ("leak_channel",)),
    "a holdable cursor": Probe(("DECLARE leak_cursor SCROLL CURSOR WITH HOLD FOR SELECT 'mine'",),
                               "FETCH FIRST FROM leak_cursor", ("mine",)),
    "a sequence's last value": Probe(("SELECT nextval('leak_sequence')",),
                                     "SELECT lastval() > 0", ("t",), refusal="55000"),
    "a current value": Probe(("SELECT nextval('leak_sequence')",),
                             "SELECT currval('leak_sequence') > 0", ("t",), refusal="55000"),
    "a SQL statement": Probe(("PREPARE leak_statement AS SELECT 'mine'",),
                             "EXECUTE leak_statement", ("mine",)),
    "a protocol statement": Probe((wire.parse("SELECT 'mine'", "leak_parsed"),), "\0leak_parsed",
                                  ("mine",)),
    "settings of its start": Probe((), "SHOW work_mem", ("9MB",),
                                   (("options", "-c work_mem=9MB"),)),
    "a reported setting of its start": Probe((), "SHOW datestyle", ("German, DMY",),
                                             (("datestyle", "German"),)),
}
PINNED = {"an authorization", "a temporary table", "a temporary view over a table",
          "an advisory lock", "a LISTEN", "a holdable cursor", "a SQL statement"}
# Invisible to whoever reads only statements (F3): a reset between sessions removes it all the same.
HIDDEN = Probe(("DO $$BEGIN PERFORM set_config('rig.secret', 'mine', false); END$$",),
               "SELECT coalesce(current_setting('rig.secret', true), '')", ("mine",))
# The newcomer has this much time; a pool that waits for the leaver for ever has failed.
ENDS = ("stays", "leaves", "dies")


@pytest.fixture
def leaky(server, database):
    """The probes' database; the role is the cluster's."""
    server.sql("CREATE SCHEMA leak_schema; CREATE SEQUENCE leak_sequence", database)
    if not server.sql("SELECT 1 FROM pg_roles WHERE rolname = 'leak_role'"):
        server.sql("CREATE ROLE leak_role")
    server.sql("GRANT USAGE ON SEQUENCE leak_sequence TO leak_role", database)
    return database


@pytest.fixture
def new_pool(server, tmp_path_factory):
    """new_pool(kind, size) -> a running target."""
    made = []

    def make(kind, size=1, io="io_uring"):
        folder = str(new_folder(tmp_path_factory, "pool"))
        # One shard: the next client gets the connection that the last one gave back. Of two, the
        # other one could as well open a new connection for it.
        made.append(pools.open_pool(kind, folder, server, size, io, shards=1))
        return made[-1]

    yield make
    for pool in made:
        pool.check_alive()
        pool.stop()


def look(raw, what):
    """The answer as a Probe has it."""
    if what.startswith("\0"):  # the name of a protocol statement
        raw.send(wire.bind(name=what[1:]), wire.execute(), wire.SYNC)
        turn = raw.read_turn()
    else:
        turn = raw.ask(what)
    error = wire.first_error(turn)
    if error:
        return (error["C"],)
    return tuple(wire.columns_of(body)[0].decode() for kind, body in turn if kind == "D")


def leave(raw, probe):
    """Whether the pool let the leaver do it."""
    for statement in probe.leave:
        if isinstance(statement, bytes):
            turn = raw.send(statement, wire.SYNC).read_turn()
        else:
            turn = raw.ask(statement)
        if wire.first_error(turn):
            return False
    return True


def leaks(pool, fresh, database, probe, end):
    """What went wrong, in words; [] if nothing."""
    wrong = []
    with fresh.login(database) as newcomer:
        wanted = look(newcomer, probe.look)
    try:
        leaver = pool.login(database, **dict(probe.startup))
    except AssertionError:
        return []  # refused, and said so
    done = leave(leaver, probe)
    if done and look(leaver, probe.look) != probe.own:
        wrong.append("lost at once")
    if end == "leaves":
        leaver.send(wire.TERMINATE).read_to_end()
    elif end == "dies":
        leaver.send(wire.query("BEGIN"))
        leaver.reset()
    with pool.login(database) as newcomer:
        # Before anything of its own, again in a transaction, and after it.
        answers = [look(newcomer, probe.look)]
        newcomer.ask("BEGIN")
        answers.append(look(newcomer, probe.look))
        newcomer.ask("ROLLBACK")
        answers.append(look(newcomer, probe.look))
        wrong += [f"a newcomer got {answer} instead of {wanted}" for answer in answers
                  if answer != wanted]
    if end == "stays":
        if done and look(leaver, probe.look) not in (probe.own, (probe.refusal,)):
            wrong.append("lost once somebody else had been there")
        leaver.shut()
    return wrong


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize("kind", ["direct", *pools.PGBRAID])
def test_f2_a_newcomer_finds_nothing(new_pool, server, leaky, kind, name, end):
    fresh = pools.open_pool("direct", "", server, 1)
    # Who stays and is pinned keeps the connection: there must be one more for the newcomer.
    size = 2 if end == "stays" and name in PINNED else 1
    assert leaks(new_pool(kind, size), fresh, leaky, PROBES[name], end) == []


@pytest.mark.parametrize("end", ["leaves", "dies"])
@pytest.mark.parametrize("kind", ["direct", "pgbraid-session"])
def test_f3_what_no_statement_shows_ends_with_its_session(new_pool, server, leaky, kind, end):
    fresh = pools.open_pool("direct", "", server, 1)
    assert leaks(new_pool(kind), fresh, leaky, HIDDEN, end) == []


def test_the_probes_find_leaks_where_there_are_some(new_pool, server, leaky):
    """PgBouncer's transaction mode neither pins nor cleans: all but what it follows leaks."""
    fresh = pools.open_pool("direct", "", server, 1)
    found = {name for name, probe in PROBES.items()
             if leaks(new_pool("pgbouncer-transaction"), fresh, leaky, probe, "stays")}
    followed = {"a reported setting", "an encoding", "a reported setting of its start"}
    version_dependent = {"a protocol statement", "settings of its start"}
    assert found - version_dependent == set(PROBES) - followed - version_dependent


@pytest.mark.parametrize("kind", ["direct", *pools.PGBRAID])
def test_e9_an_unnamed_statement_is_nobody_elses(new_pool, leaky, kind):
    pool = new_pool(kind)
    with pool.login(leaky) as leaver, pool.login(leaky) as newcomer:
        leaver.send(wire.parse("SELECT 'mine'"), wire.SYNC).read_turn()
        newcomer.send(wire.bind(), wire.execute(), wire.SYNC)
        assert wire.first_error(newcomer.read_turn()).get("C") == "26000"


@pytest.mark.parametrize("kind", ["direct", *pools.PGBRAID])
def test_e8_one_name_means_what_its_own_client_said(new_pool, leaky, kind):
    pool = new_pool(kind)
    clients = [pool.login(leaky) for _ in range(5)]
    for n, raw in enumerate(clients):
        raw.send(wire.parse(f"SELECT 'of {n}'", "same"), wire.SYNC).read_turn()
    for _ in range(3):
        for n, raw in enumerate(clients):
            assert look(raw, "\0same") == (f"of {n}",)
    for raw in clients:
        raw.shut()


@pytest.mark.parametrize("kind", ["direct", *pools.PGBRAID])
def test_e11_one_text_means_what_its_own_search_path_says(new_pool, server, leaky, kind):
    for tenant in ("one", "two"):
        server.sql(f"CREATE SCHEMA {tenant}; CREATE TABLE {tenant}.secret AS SELECT '{tenant}' v",
                   leaky)
    pool = new_pool(kind)
    clients = {tenant: pool.login(leaky) for tenant in ("one", "two")}
    for tenant, raw in clients.items():
        raw.ask(f"SET search_path = {tenant}")
        raw.send(wire.parse("SELECT v FROM secret", "secret"), wire.SYNC).read_turn()
    for _ in range(3):
        for tenant, raw in clients.items():
            assert look(raw, "\0secret") == (tenant,)
    for raw in clients.values():
        raw.shut()


@pytest.mark.parametrize("kind", ["direct", *pools.PGBRAID])
def test_e11_one_text_means_what_its_own_temporary_tables_say(new_pool, server, leaky, kind):
    server.sql("CREATE TABLE hidden AS SELECT 'permanent' v", leaky)
    text = "SELECT v FROM hidden"
    pool = new_pool(kind)
    with pool.login(leaky) as other:
        for make in ("AS SELECT 'mine' v", "AS SELECT 'mine anew' v"):
            with pool.login(leaky) as raw:
                raw.ask("CREATE TEMP TABLE another(a int)")  # its schema is there from now on
                raw.send(wire.parse(text, "before"), wire.SYNC).read_turn()
                assert look(raw, "\0before") == ("permanent",)
                raw.ask(f"CREATE TEMP TABLE hidden {make}")
                raw.send(wire.parse(text, "behind"), wire.SYNC).read_turn()
                assert look(raw, "\0behind") == (make.split("'")[1],)
                raw.ask("DISCARD ALL")
                raw.send(wire.parse(text, "at last"), wire.SYNC).read_turn()
                assert look(raw, "\0at last") == ("permanent",)
            other.send(wire.parse(text, make), wire.SYNC).read_turn()
            assert look(other, "\0" + make) == ("permanent",)


@pytest.mark.parametrize("kind", ["pgbraid-transaction"])
@pytest.mark.parametrize("ask", ["currval('stale')", "lastval()"])
def test_an_older_value_of_a_sequence_is_not_told(new_pool, server, leaky, kind, ask):
    """The session's latest one is another connection's."""
    server.sql("DROP SEQUENCE IF EXISTS stale; CREATE SEQUENCE stale", leaky)
    pool = new_pool(kind, 2)
    with pool.login(leaky) as raw, pool.login(leaky) as other:
        slow = wire.query("SELECT pg_sleep(0.5)")
        other.send(slow)  # on one connection: what follows is on the other one
        here = raw.rows("SELECT pg_backend_pid(), nextval('stale')")[0]
        other.read_turn()  # given back last, so it is the next one's
        there = raw.rows("SELECT pg_backend_pid(), nextval('stale')")[0]
        other.send(slow)
        back = raw.rows("SELECT pg_backend_pid()")[0]
        assert here[0] != there[0] and here[0] == back[0] and here[1] != there[1]
        assert wire.first_error(raw.ask(f"SELECT {ask}")).get("C") == "55000"
        assert raw.rows("SELECT nextval('stale')") == raw.rows(f"SELECT {ask}")
        other.read_turn()


def test_a_strangers_value_of_a_sequence_is_not_told_later(new_pool, server, leaky):
    server.sql("DROP SEQUENCE IF EXISTS strange, own; CREATE SEQUENCE strange; "
               "CREATE SEQUENCE own", leaky)
    pool = new_pool("pgbraid-transaction")
    with pool.login(leaky) as stranger, pool.login(leaky) as raw:
        for before in ("SELECT 1", "SELECT nextval('own')"):
            stranger.rows("SELECT nextval('strange')")
            raw.rows(before)
            assert wire.first_error(raw.ask("SELECT currval('strange')")).get("C") == "55000"


@pytest.mark.parametrize("way", ["simple", "extended", "named"])
def test_a_defaults_value_is_told_in_its_transaction(new_pool, server, leaky, way):
    server.sql("DROP TABLE IF EXISTS filled; CREATE TABLE filled(id serial)", leaky)
    insert, ask = "INSERT INTO filled DEFAULT VALUES", "SELECT lastval()"
    pool = new_pool("pgbraid-transaction")
    with pool.login(leaky) as stranger, pool.login(leaky) as raw:
        stranger.ask(ask)  # so they are asked for in this pool
        for name, text in (("i", insert), ("a", ask)):
            raw.send(wire.parse(text, name), wire.SYNC).read_turn()

        def say(name, text):
            if way == "simple":
                return raw.ask(text)
            if way == "named":
                return raw.send(wire.bind(name=name), wire.execute(), wire.SYNC).read_turn()
            return raw.send(wire.parse(text), wire.bind(), wire.execute(), wire.SYNC).read_turn()

        for number in range(1, 4):
            stranger.rows("SELECT setval('filled_id_seq', 1000, false)")
            stranger.rows(f"SELECT setval('filled_id_seq', {number}, false)")
            raw.ask("BEGIN")
            assert wire.first_error(say("i", insert)) == {}
            told = [wire.columns_of(body) for kind, body in say("a", ask) if kind == "D"]
            assert told == [[str(number).encode()]]
            raw.ask("COMMIT")


@pytest.mark.parametrize("kind", ["direct", *pools.PGBRAID])
@pytest.mark.parametrize("step", ["in a transaction", "in a failed one", "with rows in flight",
                                  "in COPY", "in a sleep", "half a message", "before its Sync",
                                  "before its Sync, outside a transaction",
                                  "flushed, without a Sync", "in a long message"])
@pytest.mark.parametrize("end", ["resets", "closes"])
def test_f4_f5_a_client_that_dies_leaves_nothing_open(new_pool, server, leaky, kind, step, end):
    server.sql("CREATE TABLE left_open(v int)", leaky)
    pool = new_pool(kind)
    leaver = pool.login(leaky)
    leaver.ask("BEGIN")
    leaver.ask("INSERT INTO left_open VALUES (1)")
    if step == "in a failed one":
        leaver.ask("SELECT 1/0")
    elif step == "with rows in flight":
        leaver.send(wire.query("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)"))
        leaver.read_until("D")
    elif step == "in COPY":
        leaver.send(wire.query("COPY left_open FROM STDIN")).read_until("G")
        leaver.send(wire.copy_data(b"2\n"))
    elif step == "in a sleep":
        leaver.send(wire.query("SELECT pg_sleep(2)"))
    elif step == "before its Sync":
        leaver.send(wire.one_shot("INSERT INTO left_open VALUES (5)"))
    elif step == "before its Sync, outside a transaction":
        leaver.ask("ROLLBACK")
        leaver.send(wire.one_shot("INSERT INTO left_open VALUES (6)"))
    elif step == "flushed, without a Sync":
        leaver.ask("ROLLBACK")
        leaver.send(wire.one_shot("INSERT INTO left_open VALUES (7)"), wire.FLUSH).read_until("C")
    elif step == "in a long message":
        leaver.send(wire.query(f"SELECT '{'x' * 300_000}'")[:-100_000])
    elif step == "half a message":
        leaver.send(wire.query("INSERT INTO left_open VALUES (3)")[:-4])
    if end == "resets":
        leaver.reset()
    else:
        leaver.shut()  # FIN: it might still want to read, but nothing more will come from it
    with pool.login(leaky) as newcomer:
        assert newcomer.rows("SELECT count(*) FROM left_open") == [["0"]]
        assert wire.status(newcomer.ask("SELECT 1")) == "I"
        newcomer.ask("INSERT INTO left_open VALUES (4)")
    processes.wait_until(lambda: server.sql("SELECT v FROM left_open", leaky) == [(4,)],
                         "the dead client's transaction to be gone")
