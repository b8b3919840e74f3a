"""Rows F: what a pool does with connections that fail, are held, or belong to another server."""

import os
import random

import pytest

from conftest import FULL, ONE_IO
from harness import processes, wire
from harness.postgres import Postgres
from harness import postgres18
from harness.fixtures import new_folder

pytestmark = [pytest.mark.proxy_only, ONE_IO]


@pytest.fixture
def new_pool(new_target, server):
    """new_pool(size, *flags, mode, upstream) -> the proxy, with a pool of `size` connections."""
    def make(size, *flags, mode="transaction", upstream=None, shards=1):
        url = (upstream or server).url(user="postgres")
        return new_target(url, ["--pool-mode", mode, "--max-conns", str(size), "--auth", "trust",
                                *flags], shards)

    return make


def pid_of(raw):
    return int(raw.rows("SELECT pg_backend_pid()")[0][0])


def wait_until_gone(pid):
    processes.wait_until(lambda: not os.path.exists(f"/proc/{pid}"), f"process {pid} to be gone")


# -- F6 -------------------------------------------------------------------------------------------

RESETS = {"fails": "SELECT 1/0", "answers with rows": "SELECT 1",
          "copies": "COPY (SELECT 1) TO STDOUT", "ends the session":
          "SELECT pg_terminate_backend(pg_backend_pid())"}
if FULL:  # ten seconds each
    RESETS["waits for data"] = "COPY pg_temp.nothing FROM STDIN"
    RESETS["takes too long"] = "DO $$BEGIN PERFORM pg_sleep(60); END$$"


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("reset", RESETS)
def test_f6_a_connection_that_cannot_be_reset_is_closed(new_pool, database, reset, mode):
    pool = new_pool(1, "--reset-query", RESETS[reset], mode=mode)
    raw = pool.login(database)
    raw.ask("LISTEN somebody")  # pins it, so it is to be reset
    before = pid_of(raw)
    raw.send(wire.TERMINATE).read_to_end()
    wait_until_gone(before)
    with pool.login(database) as newcomer:
        assert pid_of(newcomer) != before
        assert newcomer.rows("SELECT pg_listening_channels()") == []


# -- F7 -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_f7_a_connection_that_ended_while_it_was_free_is_never_handed_out(new_pool, server,
                                                                         database, mode):
    pool = new_pool(2, mode=mode)
    waiting = pool.login(database) if mode == "transaction" else None
    for _ in range(20):
        raw = waiting or pool.login(database)
        before = pid_of(raw)
        if mode == "session":
            raw.send(wire.TERMINATE).read_to_end()
            pool.wait_for("pgbraid_backend_pool_free", 1)
        server.sql("SELECT pg_terminate_backend(%s)", args=(before,))
        wait_until_gone(before)
        with pool.login(database) as newcomer:
            assert pid_of(newcomer) != before
        if waiting:
            assert pid_of(waiting) != before
    if waiting:
        waiting.shut()


def test_f7_a_server_that_was_started_again_serves_who_is_still_there(new_pool, new_server):
    own = new_server()
    pool = new_pool(3, upstream=own)
    clients = [pool.login() for _ in range(3)]
    for raw in clients:
        raw.send(wire.parse("SELECT 1", "s"), wire.SYNC).read_turn()
        raw.ask("BEGIN")
    for raw in clients:
        raw.ask("COMMIT")
    own.restart()
    for raw in clients:
        turn = raw.send(wire.bind(name="s"), wire.execute(), wire.SYNC).read_turn()
        assert wire.kinds(turn) == "2DCZ"
        raw.shut()


# -- F8 -------------------------------------------------------------------------------------------

VANISH = {
    "at once": b"",
    "after a query": wire.query("SELECT 1"),
    "in a sleep": wire.query("SELECT pg_sleep(600)"),
    "in a transaction": wire.query("BEGIN") + wire.query("SELECT 1"),
    "with rows in flight": wire.query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)"),
    "in a pipeline": wire.one_shot("SELECT pg_sleep(600)"),
}


def vanish(raw, how, dice):
    """One that only closes might still read: what it has asked runs to its end."""
    if b"pg_sleep" in VANISH[how] or dice.random() < 0.5:
        raw.reset()
    else:
        raw.shut()


def test_f8_clients_that_come_and_vanish_do_not_take_more_than_the_pool(new_target, server,
                                                                        database):
    """The role's limit is the pool's: a connection too many would be refused by the server."""
    server.sql(f"CREATE ROLE {database} LOGIN CONNECTION LIMIT 24")
    pool = new_target(server.url(user=database), ["--pool-mode", "transaction", "--max-conns", "24",
                                                  "--min-conns", "0", "--auth", "trust"])
    dice = random.Random(8)
    clients = []
    holders = [pool.login(database=database) for _ in range(24)]
    for raw in holders:
        raw.ask("BEGIN")
    for number in range(2000 if FULL else 120):
        if number == 60:
            for raw in holders:  # in the middle of it all places become free, by vanishing too
                raw.reset()
        raw = pool.wire()
        how = dice.choice(list(VANISH))
        raw.send(wire.startup(user="postgres", database=database), VANISH[how])
        clients.append((raw, how))
        if len(clients) > 60:
            vanish(*clients.pop(dice.randrange(60)), dice)
    for raw, how in clients:
        vanish(raw, how, dice)
    with pool.login(database) as newcomer:
        assert newcomer.rows("SELECT 1") == [["1"]]
    assert pool.metric("pgbraid_backend_pool_opened_total") >= 24
    assert pool.metric("pgbraid_backend_pool_open_failures_total") == 0
    server.sql(f"DROP ROLE {database}")


def test_f5_a_connection_that_is_parted_with_takes_no_buffers(new_target, server, database):
    """Its rows still come while its query is cancelled; nobody takes them any more."""
    flags = ["--pool-mode", "transaction", "--max-conns", "4", "--min-conns", "0"]
    pool = new_target(server.url(user="postgres"), [*flags, "--auth", "trust"], shards=1)
    for _ in range(12):
        raw = pool.login(database=database)
        raw.send(wire.query("SELECT repeat('x', 100000) FROM generate_series(1, 30)"))
        raw.read_frame()
        raw.reset()
    pool.wait_for("pgbraid_backend_pool_connections", 0)
    assert pool.metric("pgbraid_backend_pool_discarded_total") > 0
    assert pool.metric("pgbraid_io_starved_total") == 0


# -- F9 -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_f9_one_channel_name_in_two_databases_is_two_channels(new_pool, server, database, mode):
    other = f"{database}_other"
    server.sql(f"CREATE DATABASE {other}")
    pool = new_pool(2, mode=mode)
    listeners = {name: pool.login(name) for name in (database, other)}
    for raw in listeners.values():
        raw.ask("LISTEN news")
    for name in listeners:
        with pool.login(name) as speaker:
            speaker.ask(f"NOTIFY news, '{name}'")
    for name, raw in listeners.items():
        kind, body = raw.read_frame()
        assert (kind, body[4:]) == ("A", wire.cstr("news") + wire.cstr(name))
        assert wire.kinds(raw.ask("SELECT 1")) == "TDCZ"  # and no other
        raw.shut()
    server.sql(f"DROP DATABASE {other} WITH (FORCE)")


# -- F13 ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("user", ["alice", "asker"])
def test_f13_a_look_up_needs_no_connection_of_the_pool(new_target, new_server, user):
    """One connection, and somebody has it: who comes is let in, and then waits for its turn."""
    own = new_server(auth="scram-sha-256")
    own.sql("CREATE ROLE asker SUPERUSER LOGIN PASSWORD 'pencil'")
    own.sql("CREATE ROLE alice LOGIN PASSWORD 'pencil'")
    target = new_target(own.url(), ["--pool-mode", "transaction", "--max-conns", "1",
                                    "--auth-user", "asker", "--auth-password", "pencil",
                                    "--auth-query-max-age", "0"], shards=1)
    with target.connect(user=user, password="pencil") as holder:
        with holder.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT 1")
        second = target.connect(user=user, password="pencil")
        holder.commit()
    with second.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == (user,)
    second.close()
    holder.close()


# -- F14 ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", ["transaction"])
def test_f14_a_failed_transaction_keeps_its_connection_until_it_ends(new_pool, database, mode):
    pool = new_pool(2, mode=mode)
    with pool.login(database) as failed, pool.login(database) as other:
        failed.ask("BEGIN")
        mine = pid_of(failed)
        assert wire.status(failed.ask("SELECT 1/0")) == "E"
        for _ in range(3):
            assert pid_of(other) != mine
            assert wire.first_error(failed.ask("SELECT 1")).get("C") == "25P02"
        assert wire.status(failed.ask("COMMIT")) == "I"
        assert failed.rows("SELECT 1") == [["1"]]


def test_f14_one_that_is_left_open_meets_the_limit_for_idle_transactions(new_pool, database):
    pool = new_pool(1, "--idle-transaction-timeout", "300ms")
    with pool.login(database) as failed, pool.login(database) as other:
        failed.ask("BEGIN")
        failed.ask("SELECT 1/0")
        assert failed.expect_closed().get("C") == "25P03"
        assert other.rows("SELECT 1") == [["1"]]


# -- F15 ------------------------------------------------------------------------------------------

def test_f15_a_session_lock_outlives_its_transaction_and_pins(new_pool, database):
    pool = new_pool(3)
    with pool.login(database) as owner, pool.login(database) as other:
        owner.ask("BEGIN")
        owner.ask("SELECT pg_advisory_lock(15)")
        owner.ask("COMMIT")
        mine = pid_of(owner)
        for _ in range(3):
            assert other.rows("SELECT pg_try_advisory_lock(15)") == [["f"]]
            assert pid_of(other) != mine
            assert pid_of(owner) == mine
        assert owner.rows("SELECT pg_advisory_unlock(15)") == [["t"]]
        owner.ask("SELECT pg_advisory_lock(15)")
        owner.shut()
        processes.wait_until(
            lambda: other.rows("SELECT pg_try_advisory_lock(15)") == [["t"]],
            "the lock to end with its session")


# -- F16 ------------------------------------------------------------------------------------------

def at_the_place_of(server, other):
    """`other`, not started yet, will listen where `server` does."""
    other.port = server.port
    other.set({"port": str(server.port)})
    return other


def hear(raw):
    """A turn; what it tells of parameters is kept as by a client."""
    turn = raw.ask("SELECT 1")
    assert wire.kinds(turn).replace("S", "") == "TDCZ"
    for kind, body in turn:
        if kind == "S":
            key, value = body[:-1].split(b"\0", 1)
            raw.parameters[key.decode()] = value.decode()
    return turn


@pytest.fixture
def spare(template, tmp_path_factory):
    """Makes a cluster that is not started: spare(version)."""
    made = []

    def make(version):
        folder = new_folder(tmp_path_factory, "spare")
        if version == 18:
            programs = postgres18.copied(new_folder(tmp_path_factory, "programs"))
            made.append(Postgres(folder, programs=programs))
        else:
            made.append(Postgres(folder, template=template))
        return made[-1]

    yield make
    for cluster in made:
        cluster.remove()


@pytest.mark.parametrize("version", [15, 18])
def test_f16_a_client_is_told_what_another_server_reports(new_pool, new_server, spare, version):
    own = new_server()
    pool = new_pool(2, upstream=own)
    plain, berlin = pool.login(), pool.login(timezone="Europe/Berlin")
    hear(plain)
    hear(berlin)
    other = at_the_place_of(own, spare(version))
    other.set({"timezone": "'Asia/Tokyo'", "datestyle": "'German'"})
    own.stop()
    other.start()
    for raw in (plain, berlin):
        assert "S" in wire.kinds(hear(raw))
        assert "S" not in wire.kinds(hear(raw))
    with wire.Wire("127.0.0.1", other.port) as direct:
        direct.login(user="postgres", database="postgres")
        assert plain.parameters == direct.parameters
    assert plain.parameters["TimeZone"] == "Asia/Tokyo"
    assert berlin.parameters == {**plain.parameters, "TimeZone": "Europe/Berlin"}
    for raw in (plain, berlin):
        assert raw.rows("SHOW timezone") == [[raw.parameters["TimeZone"]]]
        raw.shut()
    other.stop()


# -- F12 ------------------------------------------------------------------------------------------

ZONE, STYLE = "SHOW TimeZone", "SHOW DateStyle"
# What is said, in that order, and what the session has then, which began with ISO, MDY and UTC.
RESET_AMONG_SETS = {
    "another one is reset": (["BEGIN", "RESET TimeZone", "SET DateStyle = 'ISO, DMY'", "COMMIT"],
                             "ISO, DMY", "UTC"),
    "all are reset before": (["BEGIN", "RESET ALL", "SET DateStyle = 'ISO, DMY'", "COMMIT"],
                             "ISO, DMY", "UTC"),
    "it is reset behind": (["BEGIN", "SET DateStyle = 'ISO, DMY'", "SET TimeZone = 'Asia/Tokyo'",
                            "RESET DateStyle", "COMMIT"], "ISO, MDY", "Asia/Tokyo"),
    "the reset is undone": (["SET DateStyle = 'ISO, DMY'", "BEGIN", "RESET DateStyle", "ROLLBACK"],
                            "ISO, DMY", "UTC"),
    "in one text": (["SET TimeZone = 'Asia/Tokyo'; RESET DateStyle; SET DateStyle = 'ISO, DMY'; "
                     "RESET TimeZone"], "ISO, DMY", "UTC"),
}


@pytest.mark.parametrize("case", RESET_AMONG_SETS)
def test_f12_what_is_set_beside_a_reset_stays(new_pool, database, case):
    texts, style, zone = RESET_AMONG_SETS[case]
    pool = new_pool(1)
    own = {"DateStyle": "ISO, MDY", "TimeZone": "UTC"}
    with (pool.login(database, **own) as raw,
          pool.login(database, DateStyle="German", TimeZone="Asia/Tokyo") as other):
        for text in texts:
            assert not wire.first_error(raw.ask(text)), text
        for _ in range(2):
            assert other.rows(STYLE) == [["German, DMY"]]
            assert [raw.rows(STYLE), raw.rows(ZONE)] == [[[style]], [[zone]]]
        raw.ask("RESET ALL")
        assert other.rows(ZONE) == [["Asia/Tokyo"]]
        assert [raw.rows(STYLE), raw.rows(ZONE)] == [[["ISO, MDY"]], [["UTC"]]]


def test_f12_all_is_reset_while_what_was_set_is_read_back(new_target, gate, server, database):
    slow = gate(server)
    target = new_target(f"postgres://postgres@127.0.0.1:{slow.port}/{database}", [
        "--pool-mode", "transaction", "--auth", "trust", "--max-conns", "1"], shards=1)
    before = server.value("SHOW search_path")
    with target.login(database) as raw, target.login(database, search_path="other") as other:
        raw.ask("SELECT 1")
        slow.delay = 0.2
        raw.ask("SET search_path = elsewhere")  # the server is asked for it as soon as that is done
        raw.ask("RESET ALL")
        slow.delay = 0.0
        assert other.rows("SHOW search_path") == [["other"]]
        assert raw.rows("SHOW search_path") == [[before]]


# -- E9 -------------------------------------------------------------------------------------------


def first_row(frames):
    return [wire.columns_of(body) for kind, body in frames if kind == "D"][0]


def named(raw, text):
    turn = raw.send(wire.parse(text, text), wire.bind(name=text), wire.execute(),
                    wire.SYNC).read_turn()
    assert not wire.first_error(turn)


def test_e9_a_connection_that_has_an_earlier_unnamed_statement_of_its_client(new_pool, database):
    pool = new_pool(2)
    with (pool.login(database) as raw, pool.login(database) as one, pool.login(database) as two):
        one.ask("BEGIN")
        first = first_row(raw.send(wire.one_shot("SELECT 'first', pg_backend_pid()"),
                                   wire.SYNC).read_turn())
        named(two, "BEGIN")  # has that connection, and leaves its unnamed statement
        one.ask("COMMIT")
        raw.send(wire.parse("SELECT 'second', pg_backend_pid()"), wire.SYNC).read_turn()
        one.ask("BEGIN")  # has the other one
        named(two, "COMMIT")
        raw.send(wire.bind(), wire.execute(), wire.SYNC)
        second = first_row(raw.read_turn())
        assert (second[1], second[0]) == (first[1], b"second")
