"""The mirror never hurts: load, a mirror that stops, dies or is not there, logins, refusals.

Rows K of the reliability catalogue are named in the tests.
"""

import re
import signal
import subprocess
import threading

import pytest

from conftest import FULL, ONE_IO
from harness import postgres, processes, proxy, wire
from harness.pair import Pair
from harness.processes import wait_until

pytestmark = pytest.mark.proxy_only


# -- load ----------------------------------------------------------------------------------------


def pgbench(pair, *options):
    return [postgres.program("pgbench"), *options, *pair.target.address(pair.database)[:-2],
            pair.database]


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_tpcb_leaves_equal_tables(mode, pair):
    processes.run(pgbench(pair, "-i", "-q", "-s", "1"))
    per_client = 100_000 // 3 // 8 if FULL else 150
    done = processes.run(pgbench(pair, "-n", "-M", mode, "-c", "8", "-j", "2", "-t",
                                 str(per_client)), timeout=1800)
    assert "number of failed transactions: 0 " in done.stdout
    pair.check_equal(pair.session(), without=["mtime"])
    assert pair.on_mirror("SELECT count(*) FROM pgbench_history")[0][0] == per_client * 8
    assert pair.dropped() == 0


# -- a mirror that stops, dies, is not there -----------------------------------------------------


def load_for(pair, seconds, *options):
    """pgbench is the clock: it runs that long and must not see one error."""
    return subprocess.Popen(pgbench(pair, "-n", "-c", "4", "-T", str(seconds), *options),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def joined(load):
    out, err = load.communicate(timeout=300)
    assert load.returncode == 0 and "number of failed transactions: 0 " in out, out + err


def test_k1_stopped_mirror_costs_no_client_error_and_every_loss_is_counted(own_mirror):
    pair = own_mirror()
    processes.run(pgbench(pair, "-i", "-q", "-s", "1"))
    pair.check_equal(pair.session(), without=["mtime"])
    pair.mirror.pause()
    joined(load_for(pair, 60 if FULL else 5))
    assert pair.target.peak_rss() < proxy.MEMORY_MAX + (64 << 20)
    pair.mirror.resume()
    joined(load_for(pair, 1))
    pair.check_equal_or_counted("pgbench_history", without=["mtime"])


def test_k1_memory_for_a_stopped_mirror_is_bounded_in_bytes(own_mirror):
    pair = own_mirror()
    raw = pair.session()
    pair.ask(raw, "CREATE TABLE big(a text)")
    pair.finish(raw)
    pair.mirror.pause()
    for _ in range(1000 if FULL else 200):
        turn = raw.send(wire.one_shot("INSERT INTO big VALUES ($1)", [b"x" * 1_000_000]),
                        wire.SYNC).read_turn()
        assert wire.first_error(turn) == {}
    assert pair.target.peak_rss() < proxy.MEMORY_MAX + (64 << 20)
    assert pair.dropped() > 0
    pair.mirror.resume()
    pair.check_equal_or_counted("big")


def test_k5_mirror_killed_and_restarted(own_mirror):
    pair = own_mirror()
    processes.run(pgbench(pair, "-i", "-q", "-s", "1"))
    pair.check_equal(pair.session(), without=["mtime"])
    load = load_for(pair, 6)
    for number in range(3):
        pair.target.wait_for("pgbraid_mirror_delivered_total",
                             pair.target.metric("pgbraid_mirror_delivered_total") + 50)
        pair.mirror.kill()
        wait_until(lambda: not processes.accepts(pair.mirror.port), "the mirror to be gone")
        pair.mirror.start()
    joined(load)
    joined(load_for(pair, 1))
    pair.check_equal_or_counted("pgbench_history", without=["mtime"])


def black_holed(gate):
    gate.black_hole()
    yield


def one_byte_a_second(gate):
    gate.slice_bytes, gate.delay = 1, 1.0
    yield
    gate.slice_bytes, gate.delay = 0, 0.0
    gate.cut()  # a piece that is under way keeps its pace


def silent_to_who_comes(gate):
    """Connections are taken and hear nothing."""
    gate.black_hole()
    gate.cut()
    yield


def gone_every_second(gate):
    """As one that is started again and again."""
    ending = threading.Event()

    def act():
        while not ending.wait(0.5):
            gate.refuse()
            ending.wait(0.5)
            gate.heal()

    thread = threading.Thread(target=act)
    thread.start()
    yield
    ending.set()
    thread.join()


@ONE_IO
@pytest.mark.parametrize("fault", [black_holed, one_byte_a_second, silent_to_who_comes,
                                   gone_every_second])
def test_k1_mirror_behind_a_bad_network_costs_no_client_error(fault, own_mirror, gate, new_target):
    pair = own_mirror()
    between = gate(pair.mirror)
    pair.target = new_target(pair.primary, [
        "--mirror", f"postgres://postgres@127.0.0.1:{between.port}", "--mirror-timeout", "3s"])
    processes.run(pgbench(pair, "-i", "-q", "-s", "1"))
    pair.check_equal(pair.session(), without=["mtime"])
    acting = fault(between)
    next(acting)
    joined(load_for(pair, 60 if FULL else 5, "-R", "200"))
    next(acting, None)
    between.heal()
    joined(load_for(pair, 1, "-R", "200"))
    pair.check_equal_or_counted("pgbench_history", without=["mtime"])


def test_mirror_that_is_down_at_start_is_joined_later(own_mirror, new_target):
    pair = own_mirror()
    pair.mirror.stop()
    pair.target = new_target(pair.primary, ["--mirror", pair.mirror.url(user="postgres")])
    assert pair.target.http("/readyz")[0] == 200
    raw = pair.session()
    for number in range(20):
        assert pair.ask(raw, f"INSERT INTO t VALUES ({number}, 'early')") == [""]
    pair.mirror.start()
    for number in range(20, 40):
        assert pair.ask(raw, f"INSERT INTO t VALUES ({number}, 'late')") == [""]
    pair.finish(raw)
    pair.check_equal_or_counted("t")


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_sigterm_does_not_wait_for_a_mirror_that_cannot_be_reached(how, own_mirror):
    """Killed, it refuses connections; paused, it takes them and never answers the login."""
    pair = own_mirror(flags=["--drain-timeout", "120s"])
    getattr(pair.mirror, how)()
    raw = pair.session()
    for number in range(20):
        assert pair.ask(raw, f"INSERT INTO t VALUES ({number}, '')") == [""]
    pair.target.log_contains("mirror.connect_failed")
    assert pair.target.metric("pgbraid_mirror_queued_units") == 20
    process = pair.target.process
    process.send_signal(signal.SIGTERM)
    assert raw.expect_closed().get("C", "57P01") == "57P01"
    raw.shut()
    assert process.wait(timeout=10) == 0
    assert re.search(r"mirror\.dropped .*cause=shutdown transactions=20 ", pair.target.log_text())
    assert re.search(r"mirror\.drained .*offered=20 delivered=0 refused=0 dropped=20",
                     pair.target.log_text())
    pair.target.start()
    if how == "pause":
        pair.mirror.resume()


def test_sigterm_gives_a_slow_mirror_its_time(own_mirror):
    pair = own_mirror(flags=["--drain-timeout", "120s"])
    raw = pair.session()
    pair.ask(raw, "INSERT INTO t VALUES (0, '')")
    pair.finish(raw)
    pair.mirror.pause()
    for number in range(1, 20):
        assert pair.ask(raw, f"INSERT INTO t VALUES ({number}, '')") == [""]
    process = pair.target.process
    process.send_signal(signal.SIGTERM)
    raw.expect_closed()
    raw.shut()
    pair.target.log_contains("server.draining")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=2)
    pair.mirror.resume()
    assert process.wait(timeout=processes.DEADLINE) == 0
    assert pair.on_mirror("SELECT count(*) FROM t") == [(20,)]
    assert "mirror.dropped" not in pair.target.log_text()
    pair.target.start()


# -- logins, filters, refusals -------------------------------------------------------------------


@pytest.mark.parametrize("method", ["password", "md5", "scram-sha-256"])
def test_login_to_the_mirror(method, own_mirror):
    stored = "md5" if method == "md5" else "scram-sha-256"
    pair = own_mirror({"shadow": method}, "shadow", "p%40ss%20w%2Frd%25", "SET password_encryption "
                      f"= '{stored}'; CREATE ROLE shadow SUPERUSER LOGIN PASSWORD 'p@ss w/rd%'")
    raw = pair.session()
    pair.ask(raw, "INSERT INTO t VALUES (1, '')")
    pair.check_equal(raw)
    assert "p@ss w/rd" not in pair.target.log_text()
    assert "p%40ss" not in pair.target.log_text()


def test_wrong_password_for_the_mirror_hurts_nobody(own_mirror):
    pair = own_mirror({"shadow": "scram-sha-256"}, "shadow", "wrong-secret",
                      "CREATE ROLE shadow SUPERUSER LOGIN PASSWORD 'right'")
    raw = pair.session()
    for number in range(50):
        assert pair.ask(raw, f"INSERT INTO t VALUES ({number}, '')") == [""]
    assert pair.on_mirror("SELECT * FROM t") == []
    pair.target.log_contains("28P01")
    assert "wrong-secret" not in pair.target.log_text()


def test_mirror_that_names_a_database_gets_that_databases_sessions_only(server, shared_mirror,
                                                                         database, new_target):
    pair = Pair(server, shared_mirror, database)
    other = Pair(server, shared_mirror, database + "_o")
    try:
        pair.target = other.target = new_target(
            server, ["--mirror", shared_mirror.url(user="postgres", database=database)])
        stranger, raw = other.session(), pair.session()
        other.ask(stranger, "INSERT INTO t VALUES (1, 'other')")
        pair.ask(raw, "INSERT INTO t VALUES (1, 'mine')")
        pair.check_equal(raw)
        assert pair.on_mirror("SELECT v FROM t") == [("mine",)]
        assert other.on_mirror("SELECT v FROM t") == []
        assert pair.target.metric("pgbraid_mirror_offered_total") == 2  # mine and the marker
    finally:
        for name in (database, database + "_o"):
            shared_mirror.sql(f"DROP DATABASE {name} WITH (FORCE)")
        server.sql(f"DROP DATABASE {database}_o WITH (FORCE)")


def test_two_mirrors_both_get_everything(pair, own_mirror, new_target):
    second = own_mirror_pair(pair, own_mirror)
    both = new_target(pair.primary, ["--mirror", pair.mirror.url(user="postgres"),
                                     "--mirror", second.url(user="postgres")])
    pair.target = both
    raw = pair.session()
    for number in range(30):
        pair.ask(raw, f"INSERT INTO t VALUES ({number}, '')")
    pair.check_equal(raw)
    wait_until(lambda: second.checksums(pair.database) == pair.primary.checksums(pair.database),
               "the second mirror to be equal")
    assert both.metric("pgbraid_mirror_delivered_total") == 62


def own_mirror_pair(pair, own_mirror):
    """A second mirror with the pair's schema; the primary has it already."""
    pair.on_primary("DROP TABLE t, done, n")
    return own_mirror().mirror


def test_k4_refused_on_the_mirror_only_is_counted_and_unseen_by_the_client(pair):
    pair.on_mirror("INSERT INTO t VALUES (5, 'mirror only')")
    raw = pair.session()
    assert wire.kinds(raw.ask("INSERT INTO t VALUES (5, 'refused there')")) == "CZ"
    assert wire.kinds(raw.ask("INSERT INTO t VALUES (6, 'fine')")) == "CZ"
    pair.finish(raw)
    pair.settle()
    assert pair.target.metric("pgbraid_mirror_refused_total") == 1
    assert pair.target.metric("pgbraid_mirror_delivered_total") == 2
    assert pair.on_mirror("SELECT id FROM t ORDER BY 1") == [(5,), (6,)]
    assert wire.kinds(raw.ask("SELECT 1")) == "TDCZ"
