"""Ends and new beginnings of the process: rows N of the reliability catalogue by their ids."""

import os
import re
import signal
import threading

import psycopg2
import pytest

from conftest import FULL, ONE_IO
from harness import processes, proxy, wire
from harness.locks import RowLock
from harness.processes import wait_until
from harness.thread_stop import StoppedThread

pytestmark = pytest.mark.proxy_only
POOLED = ["--auth", "trust", "--pool-mode", "transaction", "--max-conns", "8"]


def pooled(new_target, server, *flags):
    return new_target(server.url(user="postgres"), [*POOLED, *flags])


def in_transaction(server, database):
    return server.value("SELECT count(*) FROM pg_stat_activity WHERE datname = %s "
                        "AND state LIKE 'idle in transaction%%'", args=(database,))


@ONE_IO
def test_n1_killed_under_load_it_serves_again_and_leaves_no_transaction(new_target, server,
                                                                        database):
    server.sql("CREATE TABLE t (n int)", database)
    target = pooled(new_target, server)
    for _ in range(100 if FULL else 5):
        clients = [target.login(database) for _ in range(8)]
        for number, raw in enumerate(clients):
            raw.ask(f"BEGIN; INSERT INTO t VALUES ({number})")
        clients[0].send(wire.query("SELECT pg_sleep(0.01)") * 20)
        target.kill()
        wait_until(lambda: in_transaction(server, database) == 0, "open transactions to end")
        target.start()
        assert target.value("SELECT count(*) FROM t", database) == 0
        for raw in clients:
            raw.shut()


@ONE_IO
def test_n2_a_second_signal_ends_it_at_once(new_target, server, database):
    """The client's query takes an hour, and the drain would wait for it as long."""
    target = pooled(new_target, server, "--drain-timeout", "1h")
    raw = target.login(database)
    raw.ask("BEGIN")
    raw.send(wire.query("SELECT pg_sleep(3600)"))
    target.process.send_signal(signal.SIGTERM)
    target.log_contains("event=server.draining")
    assert target.process.poll() is None
    target.process.send_signal(signal.SIGINT)
    assert target.process.wait(processes.DEADLINE) == 0
    target.log_contains("event=server.stopped_at_once")
    assert raw.expect_closed() == {}
    target.process = None


@ONE_IO
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_n2_drain_lets_transactions_end_and_tells_the_idle(mode, new_target, server, database):
    lock = RowLock(server, database)
    target = new_target(server.url(user="postgres"),
                        ["--auth", "trust", "--pool-mode", mode, "--drain-timeout", "1h"])
    idle, busy, asking = (target.login(database) for _ in range(3))
    busy.ask("BEGIN; INSERT INTO t VALUES (1)")
    asking.ask("BEGIN")
    asking.send(wire.query("UPDATE t SET x = x"))
    lock.wait_for()
    target.process.send_signal(signal.SIGTERM)
    assert idle.expect_closed()["C"] == "57P01"
    lock.let_go()
    assert wire.kinds(asking.read_turn()) == "CZ"
    for raw in (busy, asking):
        assert wire.status(raw.ask("INSERT INTO t VALUES (2)")) == "T"
        assert wire.status(raw.ask("COMMIT")) == "I"
        assert raw.expect_closed()["C"] == "57P01"
    assert target.process.wait(processes.DEADLINE) == 0
    assert server.value("SELECT count(*) FROM t", database) == 4  # the lock's own, and theirs
    target.process = None


@ONE_IO
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_n2_a_client_without_end_is_cut_at_the_deadline(mode, new_target, server, database):
    target = new_target(server.url(user="postgres"),
                        ["--auth", "trust", "--pool-mode", mode, "--drain-timeout", "500ms"])
    raw, waits = target.login(database), target.login(database)
    raw.ask("BEGIN")
    waits.send(wire.query("SELECT pg_sleep(3600)"))
    wait_until(lambda: server.value("SELECT count(*) FROM pg_stat_activity WHERE datname = %s "
                                    "AND state = 'active'", args=(database,)) == 1, "the query")
    target.process.send_signal(signal.SIGTERM)
    assert raw.expect_closed()["C"] == "57P01"
    assert waits.expect_closed()["C"] == "57P01"
    assert target.process.wait(processes.DEADLINE) == 0
    assert in_transaction(server, database) == 0
    target.process = None


class Worker(threading.Thread):
    """Transactions through a port, on a connection that is opened again whenever it has gone.

    It may go between two transactions only. `failures` are those within one.
    """

    def __init__(self, target, database, leaves):
        super().__init__()
        self.target, self.database, self.leaves = target, database, leaves
        self.failures, self.done, self.over = [], 0, threading.Event()

    def run(self):
        connection = None
        while not self.over.is_set():
            inside = False
            try:
                connection = connection or self.target.connect(self.database)
                with connection.cursor() as cursor:
                    cursor.execute("BEGIN")
                    inside = True
                    cursor.execute("SELECT pg_sleep(0.002)")
                    cursor.execute("COMMIT")
                self.done += 1
                if self.leaves:
                    connection.close()
                    connection = None
            except psycopg2.Error as error:
                connection = None
                if inside:
                    self.failures.append(str(error))


def test_n3_a_new_process_takes_over_the_port(new_target, server, database, io):
    """Clients that are there keep the old process until their transaction ends, who comes gets one
    of the two; at the end only the new one is left."""
    old = pooled(new_target, server)
    new = proxy.Proxy(os.path.dirname(old.log) + "-new", server.url(user="postgres"), io, POOLED)
    new.argv[new.argv.index("--listen") + 1] = f"127.0.0.1:{old.port}"
    new.port = old.port
    workers = [Worker(old, database, leaves=number % 2 == 1) for number in range(8)]
    for worker in workers:
        worker.start()
    old.wait_for("pgbraid_session_logins_total", 20)
    new.start()
    old.process.send_signal(signal.SIGTERM)
    assert old.process.wait(processes.DEADLINE) == 0
    old.process = None
    logins = new.metric("pgbraid_session_logins_total")
    new.wait_for("pgbraid_session_logins_total", logins + 20)
    for worker in workers:
        worker.over.set()
    for worker in workers:
        worker.join()
        assert not worker.failures and worker.done > 0
    new.check_alive()
    new.stop()


def test_n3_who_is_queued_at_the_listener_is_told(new_target, server, database):
    """The process stands still while clients connect and the signal comes: the kernel has accepted
    them for it. None is reset: each is served to its end, or told that the system shuts down."""
    target = pooled(new_target, server)
    target.process.send_signal(signal.SIGSTOP)
    waiting = [target.wire() for _ in range(40)]
    target.process.send_signal(signal.SIGTERM)
    target.process.send_signal(signal.SIGCONT)
    said = [raw.expect_end_of_stream() for raw in waiting]
    told = [wire.fields_of(each[5:])["C"] for each in said if each]
    assert set(told) <= {"57P01", "57P03"}
    assert target.process.wait(processes.DEADLINE) == 0
    target.process = None
    for raw in waiting:
        raw.shut()


@ONE_IO
def test_n5_a_shard_that_stands_still_is_reported_and_the_others_serve(new_target, server,
                                                                       database):
    target = new_target(server, ["--watchdog-timeout", "1s"], shards=3)
    clients = [target.login(database) for _ in range(9)]
    with StoppedThread(target.process.pid, "shard 1"):
        target.wait_for("pgbraid_server_stalled_shards", 1)
        target.log_contains("event=server.shard_stalled")
        served = [raw for raw in clients if answers(raw)]
        assert 0 < len(served) < len(clients)
    wait_until(lambda: target.metric("pgbraid_server_stalled_shards") == 0, "it to turn again")
    target.log_contains("event=server.shard_turns_again")
    lines = [line for line in target.log_text().splitlines() if "shard_stalled" in line]
    assert len(lines) == 1 and "level=error" in lines[0] and "shard=1" in lines[0]
    for raw in clients:
        if raw not in served:
            assert wire.kinds(raw.read_turn()) == "TDCZ"
        raw.shut()


def answers(raw):
    """True if the client's shard turns; else its query stays asked."""
    raw.send(wire.query("SELECT 1"))
    raw.deadline = 1
    try:
        return wire.kinds(raw.read_turn()) == "TDCZ"
    except AssertionError:
        return False
    finally:
        raw.deadline = processes.DEADLINE


@ONE_IO
def test_n5_the_policy_may_be_to_end(new_target, server):
    target = new_target(server, ["--watchdog-timeout", "1s", "--watchdog-action", "abort"])
    with StoppedThread(target.process.pid, "shard 1"):
        wait_until(lambda: "event=server.shard_stalled" in target.log_text(), "the report")
    assert target.process.wait(processes.DEADLINE) == -signal.SIGABRT
    target.process = None


@ONE_IO
def test_n8_a_restart_while_the_mirror_is_behind(own_mirror):
    """What waits for a mirror is in memory: it is dropped with the drain's deadline, and counted;
    what comes after the restart is mirrored. (No other state outlives a process yet.)"""
    pair = own_mirror(flags=["--drain-timeout", "500ms"])
    raw = pair.session()
    pair.ask(raw, "INSERT INTO t VALUES (0, '')")
    pair.finish(raw)
    pair.mirror.pause()
    for number in range(1, 6):
        assert pair.ask(raw, f"INSERT INTO t VALUES ({number}, '')") == [""]
    pair.target.process.send_signal(signal.SIGTERM)
    raw.expect_closed()
    raw.shut()
    assert pair.target.process.wait(processes.DEADLINE) == 0
    drained = re.findall(r"mirror\.drained .*offered=(\d+) delivered=(\d+) refused=(\d+) "
                         r"dropped=(\d+)", pair.target.log_text())
    offered, delivered, refused, dropped = (sum(map(int, each)) for each in zip(*drained))
    assert offered == delivered + refused + dropped and dropped >= 4
    pair.mirror.resume()
    pair.target.start()
    again = pair.session()
    assert pair.ask(again, "INSERT INTO t VALUES (9, '')") == [""]
    pair.finish(again)
    assert pair.on_mirror("SELECT count(*) FROM t WHERE id IN (0, 9)") == [(2,)]
    assert pair.on_primary("SELECT count(*) FROM t") == [(7,)]
    again.shut()
