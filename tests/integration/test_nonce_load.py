"""F1, PR1: nobody reads what was meant for somebody else. tests/load/nonce_load is the judge.

Each run's figures (what was asked, who died where, how many cancels hit) are in the test's output;
the judge fails a run in which some kind of fault never fired.
"""

import os
import re
import threading

import pytest

from harness import bouncer, pools, processes, proxy
from harness import gate as gates
from harness.fixtures import new_folder

FULL = os.environ.get("PGBRAID_FULL") == "1"
JUDGE = os.environ.get("PGBRAID_NONCE_LOAD", os.path.join(
    os.path.dirname(proxy.BINARY), "..", "tests", "load", "nonce_load"))
# The merge gate's million goes through the shared pool; a session of one's own has less to mix up.
QUERIES = {"direct": 30_000, "pgbouncer-transaction": 30_000, "pgbraid-session": 100_000,
           "pgbraid-transaction": 1_000_000}
NONCE = re.compile(rb"nonce:(\d+)\.\d+\.[0-9a-f]{16}")


def judge(port, database, queries, *more, clients=200):
    """(status, {figure: value}, what it said)"""
    assert os.access(JUDGE, os.X_OK), f"{JUDGE} is not there: build it, or set PGBRAID_NONCE_LOAD"
    done = processes.run(
        [JUDGE, "--connect", f"127.0.0.1:{port}", "--database", database, "--clients", str(clients),
         "--queries", str(queries), "--seed", str(1 + os.getpid()), *more], check=False,
        timeout=600 if not FULL else 36_000)
    print(done.stdout)
    figures = dict(line.split("=") for line in done.stdout.splitlines()
                   if re.fullmatch(r"\w+=[\d.]+", line))
    return done.returncode, {key: float(value) for key, value in figures.items()}, done.stdout


@pytest.fixture
def crowded(new_server):
    server = new_server(settings={"max_connections": "400"})
    server.sql("CREATE DATABASE crowd")
    return server


@pytest.fixture
def pool(request, crowded, tmp_path_factory):
    running = pools.open_pool(request.param, str(new_folder(tmp_path_factory, "pool")), crowded, 8)
    running.kind = request.param
    yield running
    running.check_alive()
    running.stop()


def without(kind):
    """What PgBouncer cannot do in transaction mode before 1.21."""
    old = kind == "pgbouncer-transaction" and bouncer.version() < (1, 21)
    return ["--without", "named,pipeline"] if old else []


@pytest.mark.parametrize("pool", ["direct", "pgbouncer-transaction", *pools.PGBRAID],
                         indirect=True)
def test_f1_every_answer_is_its_askers(pool):
    queries = QUERIES[pool.kind] * (100 if FULL and pool.kind in pools.PGBRAID else 1)
    status, figures, said = judge(pool.port, "crowd", queries, *without(pool.kind))
    assert status == 0, said
    assert figures["checked"] >= queries


@pytest.mark.parametrize("pool", ["direct", *pools.PGBRAID], indirect=True)
def test_f1_while_servers_are_killed(crowded, pool):
    over = threading.Event()
    killed = []

    def kill():
        connection = crowded.connect()
        while not over.wait(0.05):
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                               "datname = 'crowd' ORDER BY random() LIMIT 1")
                killed.extend(cursor.fetchall())
        connection.close()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        status, figures, said = judge(pool.port, "crowd", 50_000, "--losses")
    finally:
        over.set()
        killer.join()
    assert status == 0, said
    assert figures["lost"] > 0 and killed


# --- the judge can find fault ---------------------------------------------------------------


class Faults:
    """What a relay may do wrong with a server's bytes, every so often."""

    def __init__(self):
        self._seen = {}
        self._count = 0

    def _now_and_then(self, often=200):
        self._count += 1
        return self._count % often == 0

    def swap(self, data):
        """Somebody else's nonce in a client's answer."""
        def other(match):
            mine, length = match.group(1), len(match.group(0))
            former = self._seen.get(length)
            self._seen[length] = match.group(0)
            if former is None or NONCE.match(former).group(1) == mine or not self._now_and_then():
                return match.group(0)
            return former
        return NONCE.sub(other, data)

    def double(self, data):
        """A ReadyForQuery that nobody is owed: every later answer is one too early."""
        ready = b"Z\0\0\0\5I"
        return data + ready if data.endswith(ready) and self._now_and_then() else data

    def drop(self, data):
        """An answer without its rows."""
        row = data.find(b"D\0\0\0")
        if row < 0 or not self._now_and_then():
            return data
        return data[:row] + data[row + 1 + int.from_bytes(data[row + 1:row + 5], "big"):]


@pytest.mark.parametrize("fault,words", [("swap", "instead of"), ("double", "nobody asked for"),
                                         ("drop", "rows are missing")])
def test_the_judge_finds_a_faulty_relay(crowded, fault, words):
    relay = gates.Gate(crowded.port)
    relay.rewrite = getattr(Faults(), fault)
    try:
        status, figures, said = judge(relay.port, "crowd", 20_000, "--faults", "0",
                                      "--without", "copy,cancel", clients=20)
    finally:
        relay.close()
    assert status == 1 and figures["mismatches"] > 0, said
    assert words in said


def test_the_judge_finds_a_cancel_that_hits_a_stranger(crowded):
    over = threading.Event()

    def cancel():
        connection = crowded.connect()
        with connection.cursor() as cursor:
            while not over.is_set():
                cursor.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE "
                               "datname = 'crowd' AND state = 'active' LIMIT 1")
        connection.close()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    try:
        status, figures, said = judge(crowded.port, "crowd", 1_000_000, clients=20)
    finally:
        over.set()
        canceller.join()
    assert status == 1 and figures["mismatches"] > 0, said
    assert "meant for somebody else" in said
