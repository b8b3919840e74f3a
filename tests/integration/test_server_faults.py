"""J1-J14: servers that die, stop, refuse, or go silent. Who had one hears of it once; pools heal.

Clients are served in three ways: the login passes through, or pgbraid lends a connection for the
session or for a transaction.
"""

import os
import signal
import socket
import threading
import time

import pytest

from conftest import FULL, ONE_IO
from harness import processes, wire
from harness import server as servers
from harness.fixtures import new_folder
from harness.postgres import Postgres
from harness.processes import wait_until

pytestmark = [pytest.mark.proxy_only, ONE_IO]

WAYS = ["through", "session", "transaction"]
POOLED = ["session", "transaction"]
CONNECTIONS = "pgbraid_backend_pool_connections"
FREE = "pgbraid_backend_pool_free"
WAITING = "pgbraid_backend_pool_waiting"
OPENED = "pgbraid_backend_pool_opened_total"
OPEN_FAILURES = "pgbraid_backend_pool_open_failures_total"
DENIED = "pgbraid_backend_pool_denied_total"


@pytest.fixture
def front(enter):
    """front(way, server, size=1, *flags, ...): see enter(); no connection is opened unasked."""
    def make(way, server, size=1, *flags, **more):
        none = ["--min-conns", "0"] if way == "transaction" else []
        return enter(way, server.port, size, *none, *flags, **more)

    return make


@pytest.fixture(scope="module")
def shattered(template, tmp_path_factory):
    cluster = Postgres(new_folder(tmp_path_factory, "fragile"), template=template,
                       settings={"synchronous_commit": "on"})  # what it has confirmed stays
    cluster.start()
    cluster.sql("CREATE TABLE t (x int)")
    yield cluster
    cluster.remove()


@pytest.fixture
def fragile(shattered):
    """A cluster that these tests crash. It runs again whenever a test begins."""
    if shattered.process is None:
        shattered.start()
    answers_again(shattered)
    return shattered


def backends(server, more="true"):
    return [pid for (pid,) in server.sql(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND "
        f"pid <> pg_backend_pid() AND {more} ORDER BY backend_start")]


def wait_for_backend(server, more):
    return wait_until(lambda: backends(server, more), f"a backend with {more}")[0]


def answers_again(server):
    """After a crash it starts again by itself."""
    def asked():
        try:
            return server.sql("SELECT 1")
        except Exception:  # noqa: BLE001 - whatever psycopg2 calls it
            return False

    wait_until(asked, "the server to have recovered")


def ask_anew(target):
    """What a new client is answered; nothing if it is closed, or told that there is no place."""
    raw = target.wire()
    try:
        return raw.login(user="postgres", database="postgres").ask("SELECT 1")
    except (wire.Closed, AssertionError):
        return []
    finally:
        raw.shut()


def fatals(raw):
    """SQLSTATEs of the FATAL messages up to the end of the connection."""
    errors = [wire.fields_of(body) for kind, body in raw.read_to_end() if kind == "E"]
    return [error["C"] for error in errors if error["S"] == "FATAL"]


# -- J1, J2: one backend ------------------------------------------------------------------------


MOMENTS = {
    "idle": ("", "state = 'idle'"),
    "query": ("SELECT pg_sleep(600)", "wait_event = 'PgSleep'"),
    "transaction": ("BEGIN", "state = 'idle in transaction'"),
    "copy": ("COPY t FROM STDIN", "state = 'active' AND query LIKE 'COPY t%'"),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("way", WAYS)
def test_j1_who_had_the_killed_backend_hears_it_once_and_the_pool_heals(way, moment, front,
                                                                        fragile):
    text, seen = MOMENTS[moment]
    target = front(way, fragile)
    owner = target.login()
    assert owner.rows("SELECT 1") == [["1"]]
    if text:
        owner.send(wire.query(text))
    os.kill(wait_for_backend(fragile, seen), signal.SIGKILL)
    if (way, moment) != ("transaction", "idle"):  # then nobody had it
        assert fatals(owner) == ["08007" if moment in ("query", "copy") else "08006"]
        owner = None
    answers_again(fragile)
    with owner or target.login() as again:
        assert again.rows("SELECT 1") == [["1"]]
    if way != "through":
        assert target.metric(DENIED) == 0


def test_j2_a_backend_that_stops_costs_its_client_the_query_timeout(front, fragile):
    """The connection is destroyed, and the only place of the pool is free again."""
    target = front("transaction", fragile, 1, "--query-timeout", "1s", shards=1)
    first = target.login()
    assert first.rows("SELECT 1") == [["1"]]
    stopped = wait_for_backend(fragile, "state = 'idle'")
    os.kill(stopped, signal.SIGSTOP)
    try:
        second = target.login()
        second.send(wire.query("SELECT 2"))
        assert fatals(second) == ["57014"]
        assert first.rows("SELECT 1") == [["1"]]
        assert target.metric(CONNECTIONS) == 1 and target.metric(OPENED) == 2
    finally:
        os.kill(stopped, signal.SIGCONT)


def test_j2_a_backend_that_stops_before_it_has_the_settings(front, fragile):
    """Nothing of the client's was sent yet: it has waited for a connection for too long."""
    target = front("transaction", fragile, 1, "--query-wait-timeout", "1s", shards=1)
    first, second = target.login(), target.login(application_name="second")
    assert first.rows("SELECT 1") == [["1"]]
    stopped = wait_for_backend(fragile, "state = 'idle'")
    os.kill(stopped, signal.SIGSTOP)
    try:
        second.send(wire.query("SELECT 2"))
        assert fatals(second) == ["53300"]
        # Its place stays taken for some seconds: the server has not ended that connection.
        wait_until(lambda: wire.kinds(ask_anew(target)) == "TDCZ", "others to be served")
    finally:
        os.kill(stopped, signal.SIGCONT)


# -- J3: the whole server -----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["kill", "immediate"])
def test_j3_who_waits_outlives_a_crash_and_a_recovery(how, front, fragile):
    clients = 12
    target = front("transaction", fragile, clients)
    idle = [target.login() for _ in range(clients)]
    owner = target.login()
    owner.ask("BEGIN; INSERT INTO t VALUES (1)")
    if how == "kill":
        fragile.kill()
    else:
        fragile.stop("immediate")
    assert fatals(owner) == ["57P01" if how == "kill" else "08006"]  # its backend may say it
    for raw in idle:
        raw.send(wire.query("SELECT 1"))
    target.wait_for(OPEN_FAILURES, 3)
    assert target.metric(WAITING) == clients
    fragile.start()
    for raw in idle:
        assert wire.kinds(raw.read_turn()) == "TDCZ"
    assert target.metric(DENIED) == 0


class Recovering:
    """A script for a server: FATAL 57P03 for every login until it is told that it may serve. Each
    is kept until the test says so: who dialled before that is seen before the next one."""

    def __init__(self):
        self.serves = threading.Event()
        self.may_refuse = threading.Semaphore(0)
        self.refused = 0
        self.under_way = 0
        self.most = 0  # logins under way at once
        self.after = 0  # logins since it serves
        self._lock = threading.Lock()

    def __call__(self, connection):
        if self.serves.is_set():
            self.after += 1
            servers.answer_correctly(connection)
            return
        with self._lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        self.may_refuse.acquire()
        with self._lock:
            self.under_way -= 1
            self.refused += 1
        connection.send(wire.frame("E", b"SFATAL\0VFATAL\0C57P03\0Mthe database system is in "
                                        b"recovery mode\0\0"))


def test_j3_a_server_that_recovers_is_not_stormed(front, scripted):
    clients, shards = 20, 1
    recovery = Recovering()
    server = scripted(None, recovery)
    target = front("transaction", server, clients, options="?sslmode=disable", shards=shards)
    waiting = [target.wire().send(wire.startup(user="postgres", database="postgres"))
               for _ in range(clients)]
    target.wait_for(WAITING, clients)
    for tries in range(6):
        wait_until(lambda: recovery.under_way > 0, "it to be tried again")
        assert recovery.most == 1  # one tries for all
        recovery.may_refuse.release()
        wait_until(lambda: recovery.refused > tries, "that to be refused")
    assert target.metric(WAITING) == clients
    recovery.serves.set()
    recovery.may_refuse.release()  # who came between
    for raw in waiting:
        raw.finish_login()
        assert wire.kinds(raw.ask("SELECT 1")) == "TDCZ"
    assert recovery.after <= clients
    assert target.metric(DENIED) == 0


# -- J5, J13: sockets ---------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_j5_a_reset_hits_whom_it_hits(way, front, gate, server, database):
    path = gate(server)
    target = front(way, path, 2)
    owner, other = target.login(database), target.login(database)
    for raw in (owner, other):
        raw.ask("BEGIN")
    path.reset(1)
    assert fatals(owner) == ["08006"]
    assert other.rows("SELECT 1") == [["1"]]
    with target.login(database) as newcomer:
        assert newcomer.rows("SELECT 1") == [["1"]]
    assert other.rows("SELECT 1") == [["1"]]
    path.reset()
    assert fatals(other) == ["08006"]
    errors = 0
    for _ in range(25):
        with target.login(database) as again:
            errors += again.rows("SELECT 1") != [["1"]]
    assert errors == 0
    if way != "through":
        assert target.metric(OPEN_FAILURES) == 0


def test_j13_one_bad_socket_does_not_ban_a_pool(front, gate, server, database):
    path = gate(server)
    target = front("transaction", path, 2, shards=1)
    holder, other = target.login(database), target.login(database)
    holder.ask("BEGIN")
    path.refuse_new()
    other.send(wire.query("SELECT 1"))
    target.wait_for(OPEN_FAILURES, 3)
    holder.ask("COMMIT")  # what is there serves, though nothing new can be had
    assert wire.kinds(other.read_turn()) == "TDCZ"
    assert target.metric(CONNECTIONS) == 1
    path.heal()
    holder.ask("BEGIN")
    assert other.rows("SELECT 1") == [["1"]]
    path.reset(1)  # the free one, or the one that is held: the other goes on
    assert other.ask("SELECT 1")[-1][0] == "Z"


# -- J6, J7, J9: connections that do not come about ---------------------------------------------


class BlackHole:
    """A port whose backlog is full: a SYN to it is never answered."""

    def __init__(self):
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.port = self._listener.getsockname()[1]
        self._fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._fillers.append(filler)

    def close(self):
        for one in (self._listener, *self._fillers):
            one.close()


def says_nothing(connection):
    connection.read_frame()


def never_shakes_hands(connection):
    connection.send(b"S")
    connection.read(1 << 20)
    return False


def never_answers_ssl(connection):
    connection.read(1 << 20)
    return False


def asks_and_waits(connection):
    connection.send(wire.frame("R", b"\0\0\0\3"))
    connection.read(1 << 20)


HOLES = {
    "SYN": (None, None, "disable"),
    "SSLRequest": (never_answers_ssl, says_nothing, "prefer"),
    "handshake": (never_shakes_hands, says_nothing, "require"),
    "login": (None, says_nothing, "disable"),
    "password": (None, asks_and_waits, "disable"),
}


@pytest.mark.parametrize("hole", HOLES)
@pytest.mark.parametrize("way", ["through", "transaction"])
def test_j6_the_deadline_covers_all_of_connecting(way, hole, front, scripted, request):
    on_ssl, script, sslmode = HOLES[hole]
    if script is None:
        server = BlackHole()
        request.addfinalizer(server.close)
    else:
        server = scripted(on_ssl, script)
    target = front(way, server, 1, "--login-timeout", "2s", shards=1,
                   options=f"?connect_timeout=1&sslmode={sslmode}")
    raw = target.wire().send(wire.startup(user="postgres", database="postgres"))
    while (frame := raw.read_frame())[0] != "E":
        assert frame[0] == "R"
    assert wire.fields_of(frame[1])["C"] == "08006"
    raw.expect_closed()
    wait_until(lambda: target.metric("pgbraid_session_clients") == 0, "it to be gone")
    if way == "transaction":
        assert target.metric(OPEN_FAILURES) >= 1
    assert target.http("/livez")[0] == 200


def test_j7_a_server_without_a_place_left_serves_by_what_is_there(front, new_server):
    server = new_server(settings={"max_connections": "8", "superuser_reserved_connections": "3",
                                  "max_wal_senders": "0"})
    server.sql("CREATE ROLE app LOGIN")
    target = front("transaction", server, 5, options="/postgres?connect_timeout=1", user="app",
                   shards=1)
    holders = [target.login(user="app") for _ in range(2)]
    for raw in holders:
        raw.ask("BEGIN")
    others = [server.connect() for _ in range(6)]  # superusers, who get the last places too
    waiting = [target.login(user="app") for _ in range(3)]
    for raw in waiting:
        raw.send(wire.query("SELECT 1"))
    target.wait_for(OPEN_FAILURES, 6)  # longer than connect_timeout
    assert target.metric(WAITING) == 3 and target.metric(CONNECTIONS) == 2
    assert target.metric(DENIED) == 0
    holders[0].ask("COMMIT")
    for raw in waiting:  # one connection serves them all
        assert wire.kinds(raw.read_turn()) == "TDCZ"
    for connection in others:
        connection.close()
    for raw in waiting:
        raw.ask("BEGIN")
    assert target.metric(CONNECTIONS) > 2
    assert holders[1].rows("SELECT 1") == [["1"]]


def test_j9_a_name_that_is_not_found_concerns_its_own_service_only(new_target, server, database,
                                                                   tmp_path):
    config = tmp_path / "names.toml"
    config.write_text('[[service]]\nname = "lost"\n'
                      'primary = "postgres://nobody.invalid:5432?connect_timeout=2"\n')
    target = new_target(server.url(), ["--config", str(config)])
    lost = [target.wire().send(wire.startup(user="postgres", database="lost")) for _ in range(8)]
    with target.login(database) as other:
        assert other.rows("SELECT 1") == [["1"]]
    for raw in lost:
        error = raw.expect_closed()
        assert error["C"] == "08006" and "invalid" not in error["M"]
    target.log_contains("nobody.invalid")


# -- J8, J10, J14: what the server itself says --------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_j8_a_primary_that_became_a_replica_says_so_itself(way, front, fragile):
    """One address is one server: pgbraid follows no roles. What a replica refuses (25006) is
    passed on, the transaction fails cleanly, and after a promotion the same client writes again."""
    fragile.stop()
    signal_file = os.path.join(fragile.data, "standby.signal")
    with open(signal_file, "w"):
        pass
    processes.give_to_postgres(signal_file)
    fragile.start()
    target = front(way, fragile)
    raw = target.login()
    count = raw.rows("SELECT count(*) FROM t")
    raw.ask("BEGIN")
    assert wire.first_error(raw.ask("INSERT INTO t VALUES (8)"))["C"] == "25006"
    assert wire.status(raw.ask("COMMIT")) == "I"
    assert raw.rows("SELECT count(*) FROM t") == count
    fragile.sql("SELECT pg_promote()")
    turn = raw.ask("INSERT INTO t VALUES (8)")
    assert "C" in wire.kinds(turn) and not wire.first_error(turn)
    fragile.sql("DELETE FROM t WHERE x = 8")


@pytest.mark.parametrize("way", WAYS)
def test_j10_the_servers_own_timeout_is_told_in_its_words(way, front, server, database):
    server.sql(f"ALTER DATABASE {database} SET idle_in_transaction_session_timeout = '100ms'")
    target = front(way, server)
    raw = target.login(database)
    raw.ask("BEGIN")
    errors = [wire.fields_of(body) for kind, body in raw.read_to_end() if kind == "E"]
    assert [(error["S"], error["C"]) for error in errors] == [("FATAL", "25P03")]
    assert errors[0]["M"] == "terminating connection due to idle-in-transaction timeout"
    with target.login(database) as other:
        assert other.rows("SELECT 1") == [["1"]]


def test_j10_an_idle_pooled_connection_that_the_server_ends_is_nobodys(front, server, database):
    server.sql(f"ALTER DATABASE {database} SET idle_session_timeout = '100ms'")
    target = front("transaction", server)
    raw = target.login(database)
    for _ in range(3):
        assert raw.rows("SELECT 1") == [["1"]]
        wait_until(lambda: target.metric(CONNECTIONS) == 0, "the server to end it")
    assert target.metric(OPEN_FAILURES) == 0


@pytest.mark.parametrize("way", WAYS)
def test_j14_a_full_disk_is_told_and_nothing_is_tried_again(way, front, server, database):
    server.sql("CREATE SEQUENCE tries; CREATE FUNCTION write() RETURNS void LANGUAGE plpgsql AS $$"
               "BEGIN PERFORM nextval('tries'); RAISE EXCEPTION 'could not extend file' "
               "USING ERRCODE = 'disk_full'; END $$", database)
    target = front(way, server)
    raw = target.login(database)
    for number in range(10):
        asked = wire.query("SELECT write()") if number % 2 else (
            wire.one_shot("SELECT write()") + wire.SYNC)
        turn = raw.send(asked).read_turn()
        assert wire.first_error(turn)["C"] == "53100" and wire.status(turn) == "I"
    assert raw.rows("SELECT last_value FROM tries") == [["10"]]


# -- J11: outcomes ------------------------------------------------------------------------------


class Forgetful:
    """A script: answers BEGIN and SELECT, and goes away without a word at anything else."""

    def __init__(self):
        self.asked = []

    def __call__(self, connection):
        connection.send(servers.greeting())
        status = b"I"
        while True:
            kind, body = connection.read_frame()
            if kind in "PBDESQ":
                self.asked.append(kind + body.decode("latin-1"))
            if kind == "Q" and body.startswith(b"BEGIN"):
                status = b"T"
                connection.send(servers.complete("BEGIN") + servers.ready(status))
            elif kind == "Q" and body.startswith(b"SELECT 1"):
                connection.send(servers.row_description("one") + servers.row(b"1")
                                + servers.complete("SELECT 1") + servers.ready(status))
            elif kind == "E" and "COPY" in "".join(self.asked):
                connection.send(wire.frame("1") + wire.frame("2") + wire.frame("G", b"\0\0\0"))
            elif kind == "c" or (kind in "QS" and "COPY" not in "".join(self.asked)):
                return


@pytest.mark.parametrize("begin,asked,sqlstate", [
    ("SELECT 1", wire.query("INSERT INTO t VALUES (1)"), "08007"),
    ("SELECT 1", wire.one_shot("INSERT INTO t VALUES (1)") + wire.SYNC, "08007"),
    ("BEGIN", wire.query("INSERT INTO t VALUES (1)"), "08006"),
    ("BEGIN", wire.query(" insert into t values (1);\n"), "08006"),
    ("BEGIN", wire.query("COMMIT"), "08007"),
    ("BEGIN", wire.query(" \n end transaction;"), "08007"),
    ("BEGIN", wire.query("PREPARE TRANSACTION 'x'"), "08007"),
    ("BEGIN", wire.query("/* so */ COMMIT"), "08007"),
    ("BEGIN", wire.query("INSERT INTO t VALUES (1); COMMIT"), "08007"),
    ("BEGIN", wire.one_shot("COMMIT") + wire.SYNC, "08007"),
], ids=range(10))
@pytest.mark.parametrize("way", WAYS)
def test_j11_a_connection_lost_after_a_commit_was_sent(way, begin, asked, sqlstate, front,
                                                       scripted):
    memory = Forgetful()
    server = scripted(None, memory)
    target = front(way, server, options="?sslmode=disable", shards=1)
    raw = target.login("postgres")
    raw.ask(begin)
    count = len(memory.asked)
    raw.send(asked)
    assert fatals(raw) == [sqlstate]
    once = len(memory.asked)
    assert once > count
    with target.login("postgres") as other:
        assert wire.kinds(other.ask("SELECT 1")) == "TDCZ"
        assert memory.asked[once:] == ["QSELECT 1\0"]  # nothing a second time


@pytest.mark.parametrize("way", WAYS)
def test_j11_a_sync_that_copy_swallows_leaves_the_doubt(way, front, scripted):
    server = scripted(None, Forgetful())
    target = front(way, server, options="?sslmode=disable", shards=1)
    raw = target.login("postgres")
    raw.send(wire.parse("COPY t FROM STDIN"), wire.bind(), wire.execute(), wire.FLUSH)
    assert raw.read_until("G")
    raw.send(wire.copy_data(b"1\n"), wire.SYNC, wire.COPY_DONE)
    assert fatals(raw) == ["08007"]


@pytest.mark.parametrize("way", WAYS)
def test_j11_what_is_not_known_may_have_been_done(way, front, new_server):
    """A COMMIT that waits for a standby is already on disk when its backend dies."""
    server = new_server(settings={"synchronous_standby_names": "'nobody'"})
    server.sql("SET synchronous_commit = local; CREATE TABLE t (x int)")
    target = front(way, server)
    raw = target.login()
    raw.ask("SET synchronous_commit = on")
    raw.ask("BEGIN")
    raw.ask("INSERT INTO t VALUES (11)")
    raw.send(wire.query("COMMIT"))
    os.kill(wait_for_backend(server, "wait_event = 'SyncRep'"), signal.SIGKILL)
    assert fatals(raw) == ["08007"]
    answers_again(server)
    assert server.value("SELECT count(*) FROM t") == 1


# -- J12: time ----------------------------------------------------------------------------------


def stop_for(target, seconds):
    """SIGSTOP for so long: time itself is what is tested here."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end, "the time to pass", 2 * seconds)
    target.process.send_signal(signal.SIGCONT)


def test_j12_a_proxy_that_was_suspended_kills_nobody_who_answered_in_time(front, server, database):
    clients, timeout = 4, 3
    target = front("transaction", server, 2 * clients, "--idle-transaction-timeout", f"{timeout}s",
                   "--query-timeout", f"{timeout}s")
    askers = [target.login(database) for _ in range(clients)]
    holders = [target.login(database) for _ in range(clients)]
    for raw in holders:
        raw.send(wire.query("BEGIN"))
    for raw in holders:
        raw.read_turn()
    for raw in askers:
        raw.send(wire.query("SELECT pg_sleep(0.2)"))
    target.process.send_signal(signal.SIGSTOP)
    for raw in holders:
        raw.send(wire.query("SELECT 1"))
    stop_for(target, 60 if FULL else 1.5 * timeout)
    for raw in askers + holders:
        assert wire.kinds(raw.read_turn()) == "TDCZ"
    # Those who still say nothing are given up, as ever.
    assert {raw.expect_closed()["C"] for raw in holders} == {"25P03"}
