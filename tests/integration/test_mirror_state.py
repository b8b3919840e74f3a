"""What a session kept on the mirror and lost with its connection there is rebuilt or named.

The mirror's backends are ended while the session is in one of many states. What the session does
next arrives, or is counted as dropped with the cause `state_lost`; nothing else may happen to it,
and no row may come to stand on the mirror that the primary does not have.
"""

import collections

import pytest

from conftest import ONE_IO
from harness import wire
from harness.processes import wait_until

pytestmark = [pytest.mark.proxy_only, ONE_IO]


def insert(value, number=1):
    return f"INSERT INTO public.t VALUES ({number}, {value})"


def run(name, *values):
    return wire.bind(values, name=name) + wire.execute() + wire.SYNC


SETTING = insert("current_setting('my.v')")
PARSE = wire.parse("INSERT INTO public.t VALUES ($1, 'named')", "s") + wire.SYNC
SET_BY_VALUE = wire.one_shot("SELECT set_config('my.v', $1, false)", ["x"]) + wire.SYNC
TEMP = "CREATE TEMP TABLE mine(a int)"
FROM_TEMP = "INSERT INTO public.t SELECT a, 'temp' FROM mine"
LATIN = wire.frame("Q", "INSERT INTO public.t VALUES (1, 'caf\u00e9')".encode("latin-1") + b"\0")
# Before the mirror's backends are ended, and after.
STATES = {
    "nothing": ([], [insert("'x'")]),
    "SET": (["SET my.v = 'x'"], [SETTING]),
    "SET twice": (["SET my.v = 'x'", "SET my.v = 'y'"], [SETTING]),
    "SET in a transaction": (["BEGIN", "SET my.v = 'x'", "COMMIT"], [SETTING]),
    "SET that was undone": (["SET my.v = 'x'", "BEGIN", "SET my.v = 'y'", "ROLLBACK"], [SETTING]),
    "SET LOCAL that has ended": (
        ["SET my.v = 'x'", "BEGIN", "SET LOCAL my.v = 'y'", insert("'local'", 2), "COMMIT"],
        [SETTING]),
    "SET LOCAL, open": (["BEGIN", "SET LOCAL my.v = 'x'", insert("'open'", 2)],
                        [SETTING, "COMMIT"]),
    "savepoint, open": (["BEGIN", insert("'kept'", 2), "SAVEPOINT s", insert("'undone'", 3)],
                        ["ROLLBACK TO s", insert("'x'"), "COMMIT"]),
    "RESET ALL": (["SET TimeZone = 'Asia/Tokyo'", "RESET ALL"],
                  [insert("current_setting('TimeZone')")]),
    "TimeZone": (["SET TIME ZONE 'Asia/Tokyo'"],
                 [insert("'2020-01-01 00:00+00'::timestamptz::text")]),
    "DateStyle": (["SET DateStyle = 'ISO, DMY'"], [insert("'01/02/2020'::date::text")]),
    "search_path": (["CREATE SCHEMA other", "CREATE TABLE other.t(id int, v text)",
                     "SET search_path = other"], ["INSERT INTO t VALUES (1, 'other')"]),
    "role": (["SET ROLE pg_monitor"], ["RESET ROLE", insert("current_user")]),
    "role in use": (["GRANT INSERT ON t TO pg_monitor", "SET ROLE pg_monitor"],
                    [insert("current_user"), "RESET ROLE"]),
    "session authorization": (["GRANT INSERT ON t TO pg_monitor",
                               "SET SESSION AUTHORIZATION pg_monitor"],
                              [insert("session_user"), "RESET SESSION AUTHORIZATION"]),
    "client_encoding": (["SET client_encoding = 'LATIN1'"], [LATIN]),
    "standard_conforming_strings": (["SET standard_conforming_strings = off"],
                                    [insert(r"'a\\b'")]),
    "set_config": (["SELECT set_config('my.v', 'x', false)"], [SETTING]),
    "set_config by value": ([SET_BY_VALUE], [SETTING]),
    "set_config, then RESET ALL": (
        ["SELECT set_config('datestyle', 'ISO, DMY', false)", "RESET ALL"],
        [insert("'01/02/2020'::date::text")]),
    "set_config in DO": (["DO $$BEGIN PERFORM set_config('my.v', 'x', false); END$$"], [SETTING]),
    "PREPARE": (["PREPARE q(int) AS INSERT INTO t VALUES ($1, 'q')"], ["EXECUTE q(1)"]),
    "PREPARE, DEALLOCATE": (["PREPARE q AS SELECT 1", "DEALLOCATE q",
                             "PREPARE q(int) AS INSERT INTO t VALUES ($1, 'q')"], ["EXECUTE q(1)"]),
    "PREPARE on a temporary table": (
        [TEMP, "PREPARE q(int) AS INSERT INTO mine VALUES ($1)"], ["EXECUTE q(1)", FROM_TEMP]),
    "Parse": ([PARSE], [run("s", "1")]),
    "temporary table": ([TEMP], ["INSERT INTO mine VALUES (1)", FROM_TEMP]),
    "temporary table with rows": ([TEMP, "INSERT INTO mine VALUES (1)"], [FROM_TEMP]),
    "temporary table made in a transaction": (
        ["BEGIN", TEMP, "INSERT INTO mine VALUES (1)", "COMMIT"], [FROM_TEMP]),
    "temporary table, dropped again": ([TEMP, "DROP TABLE mine"], [insert("'x'")]),
    "temporary table, discarded": ([TEMP, "DISCARD ALL"], [insert("'x'")]),
    "temporary table that hides another": (
        ["CREATE TEMP TABLE t(id int, v text)"],
        ["INSERT INTO t VALUES (1, 'x')", "INSERT INTO public.t SELECT * FROM t",
         "DROP TABLE pg_temp.t", "INSERT INTO t VALUES (2, 'other')"]),
    "temporary view": (["CREATE TEMP VIEW mine AS SELECT 1 AS a"], [FROM_TEMP]),
    "temporary function": (
        ["CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE sql AS 'SELECT ''f'''"],
        [insert("pg_temp.f()")]),
    "currval": (["CREATE SEQUENCE s", "SELECT nextval('s')"], [insert("currval('s')::text")]),
    "lastval": (["CREATE SEQUENCE s", "SELECT nextval('s')"], [insert("lastval()::text")]),
    "cursor, open": (["BEGIN", "DECLARE c CURSOR FOR SELECT 1", "FETCH c"],
                     ["FETCH c", insert("'x'"), "COMMIT"]),
    "cursor WITH HOLD": (["DECLARE c CURSOR WITH HOLD FOR SELECT 1"],
                         ["FETCH c", insert("'x'"), "CLOSE c"]),
    "advisory lock": (["SELECT pg_advisory_lock(1)"],
                      [insert("'x'"), "SELECT pg_advisory_unlock(1)"]),
    "LISTEN": (["LISTEN c"], ["NOTIFY c", insert("'x'")]),
}


def say(raw, sent):
    turn = raw.send(wire.query(sent) if isinstance(sent, str) else sent).read_turn()
    assert not wire.first_error(turn), sent


def end_backends(pair):
    """Returns when they are gone, so that nothing is on its way to them."""
    pair.on_mirror("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = "
                   f"'{pair.database}' AND pid <> pg_backend_pid()")


def rows(server, database, tables):
    return collections.Counter((table, *row) for table in tables
                               for row in server.sql(f"SELECT * FROM {table}", database))


def check_arrived_or_lost(pair, raw):
    """Equal, or what is missing was dropped because of the lost state and for no other reason."""
    pair.finish(raw)
    pair.settle()
    tables = pair.primary.checksums(pair.database)
    one, two = (rows(server, pair.database, tables) for server in (pair.primary, pair.mirror))
    lost = pair.target.metric("pgbraid_mirror_dropped_total", cause="state_lost")
    assert two - one == collections.Counter(), "stands on the mirror only"
    assert sum((one - two).values()) <= lost, (one - two, pair.counters())
    assert pair.dropped() == lost and pair.target.metric("pgbraid_mirror_refused_total") == 0
    return lost


@pytest.mark.parametrize("state", STATES)
def test_state_is_rebuilt_or_its_loss_is_counted(state, pair):
    before, after = STATES[state]
    raw = pair.session()
    pair.finish(raw)  # the mirror has seen this session
    for sent in before:
        say(raw, sent)
    if not pair.primary.value("SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state "
                              "LIKE 'idle in transaction%%'", args=(pair.database,)):
        pair.settle()
    end_backends(pair)
    for sent in after:
        say(raw, sent)
    raw.ask("RESET ROLE")
    check_arrived_or_lost(pair, raw)


# -- state that went with a transaction which the mirror did not take ------------------------------


OTHER = ["CREATE SCHEMA other", "CREATE TABLE other.t(id int, v text)",
         "INSERT INTO public.t VALUES (1, '')"]
SETS = ["BEGIN", "SET search_path = other", "UPDATE public.t SET v = 'x' WHERE id = 1", "COMMIT"]


def check_in_its_place(pair, raw):
    say(raw, "INSERT INTO t VALUES (3, 'other')")
    pair.finish(raw)
    pair.settle()
    assert pair.on_primary("SELECT * FROM other.t") == [(3, "other")]
    assert pair.on_mirror("SELECT * FROM public.t WHERE id = 3") == [], "in the wrong table"
    lost = pair.target.metric("pgbraid_mirror_dropped_total", cause="state_lost")
    assert len(pair.on_mirror("SELECT * FROM other.t")) + lost == 1


def test_a_setting_whose_transaction_was_refused_is_not_forgotten(pair):
    raw = pair.session()
    for text in OTHER:
        say(raw, text)
    pair.finish(raw)
    pair.on_mirror("ALTER TABLE public.t ADD CHECK (v <> 'x')")
    for text in SETS:
        say(raw, text)
    check_in_its_place(pair, raw)


def test_a_setting_whose_transaction_is_of_unknown_outcome_is_not_forgotten(pair):
    raw = pair.session()
    for text in OTHER:
        say(raw, text)
    pair.finish(raw)
    rival = pair.mirror.connect(pair.database)
    rival.autocommit = False
    rival.cursor().execute("LOCK TABLE public.t")
    for text in SETS:
        say(raw, text)
    wait_until(lambda: pair.mirror.sql(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s AND "
        "wait_event_type = 'Lock'", args=(pair.database,)), "the mirror's transaction to wait")
    rival.close()
    check_in_its_place(pair, raw)


# -- while the connection stays --------------------------------------------------------------------


def be_refused(pair, raw, *texts):
    """A transaction with these that the mirror does not take."""
    pair.on_mirror("ALTER TABLE n ADD CHECK (a <> 1) NOT VALID")
    for text in ("BEGIN", *texts, "INSERT INTO public.n VALUES (1, 1)", "COMMIT"):
        say(raw, text)


def test_what_was_discarded_is_not_discarded_again(pair):
    raw = pair.session()
    for text in (TEMP, "DISCARD TEMP", TEMP, "CREATE SEQUENCE s", "SELECT nextval('s')",
                 "DISCARD SEQUENCES", "DISCARD PLANS", "SELECT nextval('s')"):
        say(raw, text)
    be_refused(pair, raw, "SET my.v = 'x'")  # so that its connection gets the settings anew
    for text in ("INSERT INTO mine VALUES (1)", FROM_TEMP, insert("currval('s')::text", 2),
                 insert("current_setting('my.v')", 3)):
        say(raw, text)
    pair.finish(raw)
    pair.settle()
    assert pair.on_mirror("SELECT * FROM t ORDER BY id") == [(1, "temp"), (2, "2"), (3, "x")]
    assert pair.target.metric("pgbraid_mirror_refused_total") == 1 and pair.dropped() == 0


@pytest.mark.parametrize("how", ["DROP TABLE pg_temp.t", "DISCARD TEMP"])
def test_a_temporary_table_that_only_the_mirror_still_has_hides_nothing(pair, how):
    raw = pair.session()
    say(raw, "CREATE TEMP TABLE t(id int, v text)")
    pair.finish(raw)
    be_refused(pair, raw, how)
    say(raw, "INSERT INTO t VALUES (1, 'x')")
    pair.finish(raw)
    pair.settle()
    assert pair.on_mirror("SELECT * FROM public.t") == [(1, "x")]
    assert pair.target.metric("pgbraid_mirror_refused_total") == 1 and pair.dropped() == 0
