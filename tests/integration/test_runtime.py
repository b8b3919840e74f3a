"""The process as an operator sees it: io_uring refused, draining, networks that misbehave.

Rows T of the reliability catalogue by their ids; those that need a look inside are unit tests
of io/ (tests/README.md says which).
"""

import os
import random
import signal
import subprocess
import threading

import pytest

from conftest import FULL
from harness import memlock, processes, proxy, seccomp, wire
from harness.processes import wait_until


@pytest.mark.proxy_only
def test_t7_where_io_uring_is_blocked_epoll_serves_and_one_line_says_why(server, new_target, io):
    target = new_target(server, before_exec=seccomp.forbid_io_uring, io="auto")
    assert target.value("SELECT 1") == 1
    said = [line for line in target.log_text().splitlines()
            if "io_uring" in line and "warn" in line.lower()]
    assert len(said) == 1 and "epoll" in said[0], target.log_text()


@pytest.mark.proxy_only
def test_t7_asking_for_io_uring_where_it_is_blocked_is_an_error(server, tmp_path):
    refused = proxy.Proxy(tmp_path / "refused", server.url(), "io_uring")
    refused.before_exec = seccomp.forbid_io_uring
    with pytest.raises(AssertionError, match="io_uring"):
        refused.start()
    assert refused.process.returncode not in (0, None)


@pytest.mark.proxy_only
def test_t7_where_one_shard_gets_no_ring_epoll_serves_on_all(server, new_target):
    target = new_target(server, before_exec=memlock.too_little_for_two_shards, io="auto")
    assert target.value("SELECT 1") == 1
    if not memlock.CHARGED:  # a kernel whose rings take no locked memory has them for all
        assert "io=io_uring" in target.log_text()
        return
    assert "io=epoll" in target.log_text()
    said = [line for line in target.log_text().splitlines() if "level=warn" in line]
    assert len(said) == 1 and "not every shard" in said[0] and "memlock" in said[0], said


@pytest.mark.proxy_only
def test_t7_asking_for_io_uring_where_one_shard_gets_no_ring_is_an_error(server, tmp_path):
    refused = proxy.Proxy(tmp_path / "refused", server.url(), "io_uring")
    refused.before_exec = memlock.too_little_for_two_shards
    if not memlock.CHARGED:
        refused.start()
        refused.stop()
        return
    with pytest.raises(AssertionError, match="--io io_uring: .*memlock"):
        refused.start()
    assert refused.process.returncode == 1


def nonce_loop(target, database, seed, rounds, faults):
    """Answers carry what this client alone asked for: text of odd sizes, cut oddly."""
    dice = random.Random(seed)
    try:
        with target.login(database) as raw:
            for number in range(rounds):
                nonce = f"{seed}:{number}:{dice.getrandbits(64):x}"
                size = dice.choice([0, 1, 100, 4096, 16384, 70_000, 300_000])
                sent = wire.one_shot("SELECT $1::text, repeat($1, $2::int)",
                                     [nonce, str(size // len(nonce))]) + wire.SYNC
                at = dice.randrange(1, len(sent))
                raw.send(sent[:at]).send(sent[at:])
                row = next(body for kind, body in raw.read_turn() if kind == "D")
                assert wire.columns_of(row) == [nonce.encode(),
                                                (nonce * (size // len(nonce))).encode()]
    except BaseException as fault:  # noqa: BLE001 - shown by the test
        faults.append((seed, fault))


@pytest.mark.parametrize("buffers", [(), ("--buffer-size", "4096")], ids=["default", "small"])
def test_t1_t9_no_client_sees_anothers_bytes(buffers, new_target, server, database):
    """More clients with big answers than there are receive buffers: the ring runs dry (T1)."""
    target = new_target(server, flags=buffers)
    faults = []
    threads = [threading.Thread(target=nonce_loop, args=(
        target, database, seed, 2000 if FULL else 40, faults)) for seed in range(48)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_t3_descriptors_reused_at_once_carry_nothing_over(target, server, database):
    """Clients leave while rows are in flight and others take their descriptors."""
    for number in range(2000 if FULL else 200):
        raw = target.login(database)
        raw.send(wire.query(f"SELECT 'old {number}' FROM generate_series(1, 20000)"))
        raw.read_frame()
        raw.reset()
        with target.login(database) as fresh:
            assert fresh.rows(f"SELECT 'new {number}'") == [[f"new {number}"]]
    wait_until(lambda: server.backend_count(database) == 0, "every backend to be gone")


def test_t4_pieces_of_every_size_arrive_whole(gate, new_target, server, database):
    """The server's and the client's segments are cut to a few bytes by a gate."""
    cut = gate(server)
    cut.slice_bytes = 3
    target = new_target(f"postgres://127.0.0.1:{cut.port}" if not proxy.DIRECT else cut)
    with target.login(database) as raw:
        for size in (0, 1, 7, 1000, 20_000):
            assert raw.rows(f"SELECT repeat('x', {size})") == [["x" * size]]
        raw.send_byte_by_byte(wire.one_shot("SELECT 1") + wire.SYNC)
        assert wire.kinds(raw.read_turn()) == "12TDCZ"


@pytest.mark.proxy_only
def test_t6_completion_queue_that_overflows_loses_nothing(new_target, server, database, io):
    """The queue has 16 places for each submission entry. Newer kernels hand over 20 completions per
    call; but each is answered, and 16 answers are a call: with as many sockets as become ready
    while the process is stopped, the queue is full within a few rounds."""
    target = new_target(server, flags=["--ring-size", "16"], shards=1)
    clients = [target.login(database) for _ in range(50)]
    idle = target.metric("pgbraid_io_streams")
    for round_number in range(3):
        strangers = [target.wire() for _ in range(1000)]
        target.wait_for("pgbraid_io_streams", idle + len(strangers))
        target.process.send_signal(signal.SIGSTOP)
        try:
            for stranger in strangers:
                stranger.send(wire.request_code(wire.SSL_REQUEST))
            for raw in clients:
                raw.send(wire.query(f"SELECT {round_number}") * 3)
        finally:
            target.process.send_signal(signal.SIGCONT)
        for raw in clients:
            for _ in range(3):
                turn = raw.read_turn()
                assert wire.kinds(turn) == "TDCZ"
                assert wire.columns_of(turn[1][1]) == [str(round_number).encode()]
        for stranger in strangers:
            assert stranger.read(1) == b"N"
            stranger.shut()
        wait_until(lambda: target.metric("pgbraid_io_streams") == idle, "the strangers to be gone")
    if io == "io_uring":
        assert target.metric("pgbraid_io_queue_overflows_total") > 0
    for raw in clients:
        raw.shut()


@pytest.mark.parametrize("fault", ["cut", "reset"])
def test_network_lost_on_the_way_to_the_server_ends_the_client(fault, gate, new_target, server,
                                                               database):
    way = gate(server)
    target = new_target(f"postgres://127.0.0.1:{way.port}" if not proxy.DIRECT else way)
    idle, busy = target.login(database), target.login(database)
    busy.send(wire.query("SELECT pg_sleep(600)"))
    getattr(way, fault)()
    for raw in (idle, busy):
        assert "C" not in wire.kinds(raw.read_to_end())
    with target.login(database) as again:
        assert again.rows("SELECT 1") == [["1"]]


@pytest.mark.proxy_only
def test_server_that_cannot_be_reached_is_a_clear_error(gate, new_target, server):
    way = gate(server)
    way.close()
    target = new_target(f"postgres://127.0.0.1:{way.port}")
    error = target.wire().send(wire.startup(user="postgres", database="postgres")).expect_closed()
    assert error["S"] == "FATAL" and error["C"][:2] in ("08", "57"), error


@pytest.mark.proxy_only
def test_sigterm_drains_and_ends_with_success(target, database):
    busy = target.login(database)
    busy.send(wire.query("SELECT pg_sleep(1), 'finished'"))
    idle = target.login(database)
    process = target.process
    process.send_signal(signal.SIGTERM)
    assert wire.kinds(busy.read_until("Z", "E"))[:4] == "TDCZ"
    assert idle.expect_closed().get("C", "57P01") == "57P01"
    for raw in (busy, idle):
        raw.shut()
    target.stop()
    assert process.returncode == 0
    target.start()


@pytest.mark.proxy_only
@pytest.mark.parametrize("flags,named", [
    (["--shard", "2"], "--shard"), (["--primary"], "--primary"), (["--shards", "many"], "many"),
    (["--io", "kqueue"], "kqueue"), (["--mirror", "postgres://h:1/d?sslmod=x"], "sslmod"),
    (["--mirror", "mysql://h"], "--mirror: the URL starts with"),
    (["--listen", "nowhere"], "nowhere")])
def test_a_wrong_flag_is_an_error_that_names_it(flags, named, server):
    base = [proxy.BINARY, "--listen", f"127.0.0.1:{processes.free_port()}"]
    if flags != ["--primary"]:
        base += ["--primary", server.url()]
    done = subprocess.run(base + flags, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=processes.DEADLINE, env=dict(os.environ))
    assert done.returncode not in (0, -6, -11) and named in done.stdout, done.stdout


@pytest.mark.proxy_only
def test_admin_port_tells_that_it_lives_is_ready_and_counts(target, database):
    assert target.http("/livez")[0] == 200 and target.http("/readyz")[0] == 200
    with target.login(database) as raw:
        raw.rows("SELECT 1")
        status, text = target.http("/metrics")
    assert status == 200 and text.rstrip().endswith("# EOF") and "pgbraid_" in text
    assert any("_bucket{" in line for line in text.splitlines())
    assert target.http("/nothing")[0] == 404


@pytest.mark.proxy_only
def test_no_password_in_any_log_line(new_server, new_target):
    server = new_server({"someone": "scram-sha-256", "all": "trust"})
    server.sql("CREATE ROLE someone SUPERUSER LOGIN PASSWORD 'canary-4711'")
    target = new_target(server, flags=["--log-level", "debug", "--mirror", new_server().url(
        database="nothing", user="someone", password="canary-4711")])
    assert target.value("SELECT 1", user="someone", password="canary-4711") == 1
    assert "canary-4711" not in target.log_text()
    assert "canary-4711" not in target.http("/metrics")[1]
