"""Descriptors, memory, names and connections run out, or come in numbers that nobody foresaw: rows
R of the reliability catalogue by their ids. What is bounded is measured, and then still serves."""

import fcntl
import http.client
import os
import re
import resource
import ssl
import sys
import termios
import time

import pytest

from conftest import FULL, ONE_IO
from harness import processes, proxy, wire
from harness.processes import wait_until

pytestmark = pytest.mark.proxy_only
POOLED = ["--auth", "trust", "--pool-mode", "transaction"]
ACCEPT_PAUSE = 0.1  # seconds between two looks of a listener that had no descriptor
SANITIZED = proxy.MEMORY_MAX > 100 << 20


def pooled(new_target, server, *flags, **more):
    return new_target(server.url(user="postgres"), [*POOLED, *flags], **more)


# -- R1 ------------------------------------------------------------------------------------------


class KeptOpen:
    """The admin endpoint on a connection that is there before descriptors run out."""

    def __init__(self, target):
        self.connection = http.client.HTTPConnection("127.0.0.1", target.admin_port,
                                                     timeout=processes.DEADLINE)

    def metric(self, name):
        self.connection.request("GET", "/metrics")
        text = self.connection.getresponse().read().decode()
        return sum(float(line.split()[-1]) for line in text.splitlines()
                   if line.startswith((name + "{", name + " ")))


def few_descriptors():
    processes.die_with_the_tests()
    resource.setrlimit(resource.RLIMIT_NOFILE, (120, 120))


def test_r1_without_descriptors_accepting_pauses_and_goes_on(new_target, server, database):
    target = pooled(new_target, server, "--max-conns", "2", before_exec=few_descriptors)
    admin = KeptOpen(target)
    inside = target.login(database)
    began = admin.metric("pgbraid_io_accept_failures_total")
    start = time.monotonic()
    crowd = [target.wire() for _ in range(200)]  # the kernel has them, some wait for a descriptor
    wait_until(lambda: admin.metric("pgbraid_io_accept_failures_total") >= began + 5, "failures")
    assert inside.rows("SELECT 1") == [["1"]]
    failures = admin.metric("pgbraid_io_accept_failures_total") - began
    looks = (time.monotonic() - start) / ACCEPT_PAUSE + 1
    assert failures <= 2 * looks, "a shard looks again after a pause, not at once"
    for raw in crowd[:140]:
        raw.shut()
    for raw in crowd[140:]:
        raw.login(user="postgres", database=database)
        assert raw.rows("SELECT 1") == [["1"]]
        raw.shut()
    inside.shut()
    assert "event=server.accept_failed" in target.log_text()


# -- R2, R3 --------------------------------------------------------------------------------------


def little_memory():
    processes.die_with_the_tests()
    if not SANITIZED:  # which takes much more for its shadow
        resource.setrlimit(resource.RLIMIT_DATA, (256 << 20, 256 << 20))


@ONE_IO
def test_r2_large_rows_for_who_does_not_read_fit_into_little_memory(new_target, server, database):
    """256 MiB for all data of the process: 40 clients ask for a gigabyte each and read nothing, 20
    write to servers that do not read. Each costs about queue-high."""
    target = new_target(server, before_exec=little_memory)
    server.sql("CREATE TABLE locked (v text)", database)
    deaf = [target.login(database) for _ in range(40)]
    for raw in deaf:
        raw.send(wire.query("SELECT repeat('x', 1000000) FROM generate_series(1, 1000)"))
    with server.connect(database) as holder, holder.cursor() as cursor:
        holder.autocommit = False
        cursor.execute("BEGIN; LOCK TABLE locked")
        writers = [target.login(database) for _ in range(20)]
        for raw in writers:
            raw.send(wire.query("COPY locked FROM STDIN"))
            raw.socket.setblocking(False)
            try:
                while raw.socket.send(wire.copy_data(b"x" * 65536)):
                    pass
            except BlockingIOError:
                pass
        target.wait_until_stalled(server, database, len(deaf))
        with target.login(database) as other:
            assert other.rows("SELECT 1") == [["1"]]
        assert target.rss() < proxy.MEMORY_MAX
        for raw in deaf + writers:
            raw.reset()
        holder.rollback()
    wait_until(lambda: target.metric("pgbraid_session_clients") == 0, "all clients to be gone")


HUGE = {
    "10 MB": "SELECT length('" + "x" * 10_000_000 + "')",
    "100,000 parentheses": "SELECT " + "(" * 100_000 + "1" + ")" * 100_000,
    "20,000 CASEs": "SELECT " + "CASE WHEN true THEN " * 20_000 + "1" + " END" * 20_000,
    # PostgreSQL itself reads these in quadratic time.
    "4,000 comments": "SELECT 1 " + "/*" * 4_000 + "*/" * 4_000,
    "an endless comment": "SELECT 1 " + "/*" * 4_000,
    "100,000 statements": "SELECT 1;" * 100_000,
    "an endless dollar quote": "SELECT $a$" + "$b$" * 2_000,
}


@ONE_IO
@pytest.mark.parametrize("sql", HUGE.values(), ids=HUGE.keys())
def test_r3_huge_and_deep_sql_is_answered_as_the_server_does(sql, new_target, server, database):
    """Whatever reads statements does so in one pass, without recursion."""
    target = pooled(new_target, server, "--max-conns", "2")
    direct = proxy.Direct(server).login(database)
    raw = target.login(database)
    for sent in (wire.query(sql), wire.one_shot(sql) + wire.SYNC):
        expected = direct.send(sent).read_turn()
        got = raw.send(sent).read_turn()
        assert wire.kinds(got) == wire.kinds(expected)
        assert wire.first_error(got).get("C") == wire.first_error(expected).get("C")
    assert raw.rows("SELECT 1") == [["1"]]
    for one in (raw, direct):
        one.shut()


# -- R4 ------------------------------------------------------------------------------------------


@ONE_IO
def test_r4_distinct_statements_of_one_client_are_forgotten(new_target, server, database):
    target = pooled(new_target, server, "--max-conns", "1", "--max-prepared-statements", "50")
    raw = target.login(database)
    held = []
    for batch in range(1000 if FULL else 20):
        sent = b""
        for number in range(1000):
            named = number % 2 == 0
            sql = f"SELECT {batch * 1000 + number} /* {'x' * 200} */"
            name = f"s{number}" if named else ""
            sent += wire.parse(sql, name) + wire.bind(name=name) + wire.execute()
            sent += wire.close("S", name) if named else b""
            sent += wire.SYNC if number % 10 == 9 else b""
        raw.send(sent)
        for _ in range(100):
            assert "E" not in wire.kinds(raw.read_turn())
        held.append(target.rss())
    assert held[-1] < held[4] + (8 << 20), held
    assert server.value("SELECT 1") == 1
    raw.shut()


@ONE_IO
def test_r4_names_that_one_client_may_keep_are_bounded(new_target, server, database):
    target = pooled(new_target, server, "--max-conns", "1")
    raw = target.login(database)
    error = {}
    for batch in range(15):
        raw.send(b"".join(wire.parse("SELECT 1", f"n{batch * 1000 + number}")
                          for number in range(1000)) + wire.SYNC)
        frames = raw.read_until("Z", "E")
        if frames[-1][0] == "E":
            error = wire.fields_of(frames[-1][1])
            break
    assert (error.get("C"), batch) == ("54000", 10)
    assert target.value("SELECT 1", database) == 1
    raw.shut()


@ONE_IO
def test_r4_pools_of_names_that_nobody_has_are_forgotten(new_target, server):
    """One service for every database name, and a pool for each one that a client thinks of."""
    target = new_target(server.url(user="postgres"), [*POOLED, "--min-conns", "0"])
    held = []
    for number in range(100_000 if FULL else 600):
        name = f"nobody{number:06}" + "x" * 40
        with target.wire().send(wire.startup(user="postgres", database=name)) as raw:
            assert raw.expect_closed()["C"] == "3D000"
        if number % 100 == 99:
            held.append(target.rss())
    assert held[-1] < held[1] + (4 << 20), held
    assert target.value("SELECT 1") == 1


# -- R5 ------------------------------------------------------------------------------------------


def with_stderr(descriptor):
    def before():
        processes.die_with_the_tests()
        os.dup2(descriptor, 2)
    return before


@ONE_IO
@pytest.mark.parametrize("kind", ["full disk", "blocked pipe"])
def test_r5_a_log_that_takes_nothing_stops_nobody(kind, new_target, server, database):
    if kind == "full disk":
        reader, writer = None, os.open("/dev/full", os.O_WRONLY)
    else:
        reader, writer = os.pipe()
        fcntl.fcntl(writer, 1031, 4096)  # F_SETPIPE_SZ
    target = pooled(new_target, server, "--log-level", "debug", "--log-protocol",
                    before_exec=with_stderr(writer))
    os.close(writer)
    raw = target.login(database)

    def full():
        for _ in range(50):
            assert raw.rows("SELECT 1") == [["1"]]
        if reader is None:
            return target.metric("pgbraid_base_log_dropped_lines_total") > 0
        waiting = fcntl.ioctl(reader, termios.FIONREAD, b"\0" * 4)
        return int.from_bytes(waiting, sys.byteorder) > 4096 - 1024

    wait_until(full, "the log to be full")
    assert raw.rows("SELECT 1") == [["1"]]
    raw.shut()
    target.stop()
    if reader is not None:
        os.close(reader)


# -- R6 ------------------------------------------------------------------------------------------


def sockets_to(port):
    """TCP sockets of this machine whose other end is `port`, in any state."""
    with open("/proc/net/tcp") as table:
        return sum(line.split()[2].endswith(f":{port:04X}") for line in table.readlines()[1:])


@ONE_IO
def test_r6_a_storm_of_connects_takes_no_ports_to_the_server(new_target, server, database):
    target = pooled(new_target, server, "--max-conns", "4", "--min-conns", "0")
    before = sockets_to(server.port)
    for _ in range(20_000 if FULL else 1_000):
        with target.login(database) as raw:
            raw.ask("SELECT 1")
            raw.send(wire.TERMINATE)
    assert target.metric("pgbraid_backend_pool_opened_total") <= 4
    assert sockets_to(server.port) <= before + 4


# -- R7 ------------------------------------------------------------------------------------------


def test_r7_idle_tls_clients_cost_what_is_stated(new_target, server, database, papers):
    """docs/configuration.md states the memory of an idle client with TLS."""
    count = 2000 if FULL else 200
    target = pooled(new_target, server, *papers.flags)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def enter():
        raw = target.wire().start_tls(context)
        raw.login(user="postgres", database=database)
        assert raw.rows("SELECT 1") == [["1"]]
        return raw

    clients = [enter() for _ in range(100)]
    before = target.rss()
    clients += [enter() for _ in range(count)]
    each = (target.rss() - before) / count
    print(f"bytes of an idle TLS client: {each:.0f}")
    assert SANITIZED or each < 48 * 1024
    for raw in clients:
        raw.shut()


# -- R8 ------------------------------------------------------------------------------------------


@ONE_IO
def test_r8_no_name_of_a_client_becomes_a_label(new_target, server, database):
    target = pooled(new_target, server, "--min-conns", "0")
    lines = len(target.metrics())
    for number in range(30):
        with target.login(database, application_name=f"strange{number}") as raw:
            raw.ask(f"SELECT 'strange{number}'")
        name = f"strange{number}"
        with target.wire().send(wire.startup(user=name, database=name)) as raw:
            raw.expect_closed()
    samples = target.metrics()
    assert len(samples) == lines
    assert not [sample for sample in samples if "strange" in sample or database in sample]
    labels = set(re.findall(r'(\w+)="', " ".join(samples)))
    assert labels <= {"shard", "role", "cause", "engine", "version", "le", "mirror"}, labels


# -- R9 ------------------------------------------------------------------------------------------


def ends_well(target, database):
    with target.login(database) as raw:
        raw.ask("SELECT 1")
        raw.send(wire.TERMINATE)


def fails(target, database):
    with target.login(database) as raw:
        raw.ask("SELECT 1/0")
        raw.send(wire.parse("SELEC", "s"), wire.SYNC).read_turn()


def is_refused(target, database):
    with target.wire().send(wire.startup(user="postgres", database="no such one")) as raw:
        raw.expect_closed()


def says_nonsense(target, database):
    with target.login(database) as raw:
        raw.send(b"\xff" * 100).expect_closed()


def breaks_off_at_start(target, database):
    target.wire().send(wire.startup(user="postgres", database=database)[:9]).reset()


def breaks_off_in_a_result(target, database):
    raw = target.login(database)
    raw.send(wire.query("SELECT repeat('x', 100000) FROM generate_series(1, 30)"))
    raw.read_frame()
    raw.reset()


def breaks_off_in_a_transaction(target, database):
    raw = target.login(database)
    raw.ask("BEGIN; SET work_mem = '1MB'")
    raw.send(wire.parse("SELECT $1::int", "s"), wire.bind(["1"], name="s"))
    raw.reset()


def cancels(target, database):
    with target.login(database) as raw:
        with target.wire().send(wire.cancel_request(raw.pid, raw.secret)) as other:
            other.expect_end_of_stream()
        raw.ask("SELECT 1")


PATHS = [ends_well, fails, is_refused, says_nonsense, breaks_off_at_start, breaks_off_in_a_result,
         breaks_off_in_a_transaction, cancels]


@pytest.mark.parametrize("mode", ["passed", "transaction"])
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__)
@ONE_IO
def test_r9_nothing_leaks_on_any_path(path, mode, new_target, server, database):
    target = (pooled(new_target, server, "--max-conns", "4", "--min-conns", "0")
              if mode == "transaction" else new_target(server))
    held = []
    rounds = 125_000 if FULL else 60
    for _ in range(5):
        for _ in range(rounds):
            path(target, database)
        wait_until(lambda: target.metric("pgbraid_session_clients") == 0, "clients to be gone")
        held.append(target.rss())
    # Pages that come and go, and far less than a kilobyte for each round.
    assert SANITIZED or held[-1] < held[1] + max(2 << 20, 3 * rounds * 100), held
    if mode == "passed":
        wait_until(lambda: server.backend_count(database) == 0, "every backend to be gone")
    assert target.metric("pgbraid_io_streams") <= 5  # the pool's, and ours to the admin endpoint
