"""Every wait of a client that is logged in has a bound, in every mode (PR7): who waits too long, or
keeps others waiting, is told why, counted under the cause, and leaves nothing running.

Values are short; what is waited for is the end. Nothing here says how long something took.
"""

import pytest

from conftest import ONE_IO
from harness import processes, wire
from harness.processes import wait_until

pytestmark = [pytest.mark.proxy_only, ONE_IO]

MODES = ["passed", "session", "transaction"]


@pytest.fixture
def limited(new_target, server, database):
    """limited(mode, flags...): the login passes through, or pgbraid has a pool in that mode."""
    def make(mode, *flags):
        if mode == "passed":
            return new_target(server, flags)
        return new_target(server.url(user="postgres"),
                          ["--auth", "trust", "--pool-mode", mode, "--min-conns", "0", *flags])

    return make


def ended(target, error, cause, sqlstate):
    """The client was told, the operator too."""
    assert (error.get("C"), error.get("S")) == (sqlstate, "FATAL"), error
    assert target.metric("pgbraid_session_timeouts_total", cause=cause) == 1
    assert target.metric("pgbraid_session_timeouts_total") == 1
    target.log_contains("event=session.timeout")
    lines = [line for line in target.log_text().splitlines() if "session.timeout" in line]
    assert len(lines) == 1 and f"cause={cause}" in lines[0], lines


def nothing_runs(server, database):
    wait_until(lambda: server.value("SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' "
                                    "AND datname = %s", args=(database,)) == 0,
               "what the client had left to end")


@pytest.mark.parametrize("mode", MODES)
def test_query_timeout(mode, limited, server, database):
    target = limited(mode, "--query-timeout", "400ms")
    raw = target.login(database)
    ended(target, raw.send(wire.query("SELECT pg_sleep(600)")).expect_closed(), "query", "57014")
    nothing_runs(server, database)
    raw.shut()


@pytest.mark.parametrize("mode", ["passed", "transaction"])
def test_query_timeout_is_of_one_query_however_many_are_asked_ahead(mode, limited, database):
    """The ledger is never empty for longer than the timeout; no query takes that long."""
    target = limited(mode, "--query-timeout", "3s", "--transaction-timeout", "3s")
    raw = target.login(database)
    raw.send(wire.query("SELECT pg_sleep(0.04)") * 100)
    for _ in range(100):
        assert wire.kinds(raw.read_turn()) == "TDCZ"
    assert target.metric("pgbraid_session_timeouts_total") == 0
    raw.shut()


@pytest.mark.parametrize("mode", MODES)
def test_transaction_timeout(mode, limited, server, database):
    target = limited(mode, "--transaction-timeout", "400ms")
    raw = target.login(database)
    raw.ask("BEGIN")
    while (frame := raw.send(wire.query("SELECT 1")).read_until("Z", "E")[-1])[0] == "Z":
        pass
    ended(target, wire.fields_of(frame[1]), "transaction", "25P04")
    nothing_runs(server, database)
    raw.shut()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN; SELECT 1/0"], ids=["open", "failed"])
def test_idle_transaction_timeout(mode, begin, limited, server, database):
    target = limited(mode, "--idle-transaction-timeout", "400ms")
    idle = target.login(database)  # outside of a transaction it does not count
    raw = target.login(database)
    raw.ask(begin)
    ended(target, raw.expect_closed(), "idle_transaction", "25P03")
    nothing_runs(server, database)
    assert idle.rows("SELECT 1") == [["1"]]
    for one in (raw, idle):
        one.shut()


@pytest.mark.parametrize("mode", MODES)
def test_client_idle_timeout(mode, limited, database):
    target = limited(mode, "--client-idle-timeout", "600ms")
    busy = target.login(database)
    busy.ask("BEGIN")  # inside of one it does not count
    raw = target.login(database)
    ended(target, raw.expect_closed(), "client_idle", "57P05")
    assert wire.status(busy.ask("COMMIT")) == "I"
    for one in (raw, busy):
        one.shut()


@pytest.mark.parametrize("mode", MODES)
def test_who_has_just_come_is_not_idle(mode, limited, database):
    target = limited(mode, "--client-idle-timeout", "1h")
    raw = target.login(database)
    rounds = target.metric("pgbraid_io_rounds_total")
    target.wait_for("pgbraid_io_rounds_total", rounds + 10)
    assert raw.rows("SELECT 1") == [["1"]]
    raw.shut()


def test_query_wait_timeout(limited, database):
    target = limited("transaction", "--max-conns", "1", "--query-wait-timeout", "400ms")
    holder = target.login(database)
    holder.ask("BEGIN")
    raw = target.login(database)
    ended(target, raw.send(wire.query("SELECT 1")).expect_closed(), "query_wait", "53300")
    assert wire.status(holder.ask("COMMIT")) == "I"
    for one in (raw, holder):
        one.shut()


def test_query_wait_timeout_of_a_login(limited, database):
    """In session mode a client waits for its connection before it is logged in."""
    target = limited("session", "--max-conns", "1", "--query-wait-timeout", "400ms")
    holder = target.login(database)
    raw = target.wire().send(wire.startup(user="postgres", database=database))
    ended(target, raw.expect_closed(), "query_wait", "53300")
    assert holder.rows("SELECT 1") == [["1"]]
    for one in (raw, holder):
        one.shut()


@pytest.mark.parametrize("mode", MODES)
def test_i1_client_stall_timeout(mode, limited, server, database):
    """Who does not read keeps its server for so long only, and others then get it."""
    bound = [] if mode == "passed" else ["--max-conns", "1"]
    target = limited(mode, "--client-stall-timeout", "400ms", *bound)
    raw = target.login(database)
    raw.send(wire.query("SELECT repeat('x', 1000000) FROM generate_series(1, 1000)"))
    target.wait_for("pgbraid_session_timeouts_total", 1, cause="client_stall")
    nothing_runs(server, database)
    with target.login(database) as other:
        assert other.rows("SELECT 1") == [["1"]]
    error = raw.expect_closed()  # nothing, if it was cut in the middle of a row
    assert not error or error["C"] == "08006"
    raw.shut()


def test_i1_a_client_that_reads_is_not_stalled(limited, database):
    target = limited("transaction", "--client-stall-timeout", "20s")
    raw = target.login(database)
    turn = raw.ask("SELECT repeat('x', 1000000) FROM generate_series(1, 100)")
    assert wire.kinds(turn) == "T" + 100 * "D" + "CZ"
    assert raw.rows("SELECT 1") == [["1"]]
    assert target.metric("pgbraid_backend_pauses_total") > 0
    assert target.metric("pgbraid_session_timeouts_total") == 0
    raw.shut()


def test_the_reset_query_is_bounded(limited, database):
    """Ten seconds; then the connection is closed, and who waits gets another."""
    target = limited("session", "--max-conns", "1", "--reset-query",
                     "DO $$BEGIN PERFORM pg_sleep(600); END$$")
    target.login(database).send(wire.TERMINATE).shut()
    target.wait_for("pgbraid_backend_pool_cleaned_total", 1)
    with target.login(database) as raw:
        assert raw.rows("SELECT 1") == [["1"]]
    assert target.metric("pgbraid_backend_pool_discarded_total") >= 1


def test_an_end_in_mid_answer_is_counted_all_the_same(limited, server, database):
    """The client cannot be told within a row; its connection is closed, and its query cancelled."""
    target = limited("transaction", "--query-timeout", "1s")
    raw = target.login(database)
    raw.send(wire.query("SELECT repeat('x', 1000000) FROM generate_series(1, 100000)"))
    target.wait_for("pgbraid_session_timeouts_total", 1, cause="query")
    nothing_runs(server, database)
    raw.shut()
    wait_until(lambda: target.metric("pgbraid_session_clients") == 0, "the client to be gone",
               processes.DEADLINE)
