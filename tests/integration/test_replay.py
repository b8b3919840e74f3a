"""What `pgbraid replay` makes of a capture on another server: the same rows, or what came out
otherwise; and of one that is damaged, what is good.
"""

import glob
import json
import os
import subprocess

import pytest

from conftest import FULL
from harness import fidelity, postgres, processes, proxy, wire
from harness.capture import copy_database, files_of, replay, run_all_kinds, watched_replay
from harness.pair import Pair
from harness.threads import together
from test_mirror_fidelity import CLIENTS, SEED, STATEMENTS, check_shares

pytestmark = [pytest.mark.proxy_only, pytest.mark.one_io]

_SETTINGS = {"max_prepared_transactions": "64", "deadlock_timeout": "100ms",
             "max_connections": "300", "autovacuum": "off"}


def run_hot_rows(target, sessions):
    """Sessions that write the same few rows at once, each after what the others may have done."""
    raw = target.login("capturing")
    raw.rows("CREATE TABLE hot(id int PRIMARY KEY, n int, last int)")
    raw.rows("INSERT INTO hot SELECT i, 0, 0 FROM generate_series(1, 5) i")
    raw.shut()

    def write(worker):
        session = target.login("capturing")
        for i in range(50):
            session.rows("BEGIN")
            session.rows(f"UPDATE hot SET n = n + 1, last = {worker * 1000 + i} "
                         f"WHERE id = {i % 5 + 1}")
            session.rows("COMMIT")
        session.shut()

    together([lambda worker=worker: write(worker) for worker in range(sessions)])
    return 2 + 50 * sessions


def check_same(report, committed):
    assert (report["transactions"], report["applied"], report["different"]) == (
        committed, committed, 0), report
    assert sum(report["original"]) == sum(report["replay"]) == committed


def test_a_replay_into_an_empty_clone_gives_the_same_rows(capturing, clone, server):
    """COPY, binary parameters, transactions; then 8 sessions that write the same rows."""
    target, folder = capturing()
    run_all_kinds(target)
    committed = 7 + run_hot_rows(target, 8)
    target.wait_for("pgbraid_capture_transactions_total", committed)
    target.stop()
    check_same(replay(folder, clone, "replayed")[1], committed)
    for table in ("t", "hot"):
        text = f"SELECT * FROM {table} ORDER BY 1, 2"
        assert clone.sql(text, "replayed") == server.sql(text, "capturing")


def test_a_replay_by_sessions_keeps_the_order_of_each(capturing, clone, server):
    target, folder = capturing()
    run_all_kinds(target)
    target.wait_for("pgbraid_capture_transactions_total", 7)
    target.stop()
    check_same(replay(folder, clone, "replayed", "--order", "session")[1], 7)
    text = "SELECT * FROM t ORDER BY 1, 2"
    assert clone.sql(text, "replayed") == server.sql(text, "capturing")


def test_a_replay_reports_what_comes_out_otherwise(capturing, clone):
    target, folder = capturing()
    raw = target.login("capturing")
    assert wire.first_error(raw.ask("INSERT INTO t(id) VALUES (1)")) == {}
    assert wire.first_error(raw.ask("UPDATE t SET v = 'x' WHERE id = 1")) == {}
    raw.shut()
    target.wait_for("pgbraid_capture_transactions_total", 2)
    target.stop()
    clone.sql("INSERT INTO t(id) VALUES (1)", "replayed")
    code, report, _ = replay(folder, clone, "replayed")
    assert (code, report["applied"], report["different"], report["refused"]) == (1, 2, 1, 0)
    assert report["differences"] == [{"was": "UPDATE 1", "is": "UPDATE 2", "transactions": 1}]
    clone.sql("DROP TABLE t", "replayed")
    code, report, _ = replay(folder, clone, "replayed")
    assert (code, report["applied"], report["refused"]) == (1, 0, 2)
    assert report["sqlstates"] == {"42P01": 2}
    assert report["differences"] == [
        {"was": "INSERT 0 1", "is": "42P01", "transactions": 1},
        {"was": "UPDATE 1", "is": "42P01", "transactions": 1}]


def test_a_replay_that_cannot_be_done_says_why(capturing, tmp_path):
    target, folder = capturing()
    run_all_kinds(target)
    target.wait_for("pgbraid_capture_transactions_total", 7)
    target.stop()
    nobody = f"postgres://postgres@127.0.0.1:{processes.free_port()}/x?sslmode=disable"
    for arguments, why in ((["replay", folder], "--to SERVER"),
                           (["replay", folder, "--to", nobody], "cannot be reached"),
                           (["replay", str(tmp_path / "nowhere"), "--dry-run"], "nowhere"),
                           (["replay", folder, "--to", nobody, "--speed", "-1"], "--speed")):
        run = subprocess.run([proxy.BINARY, *arguments], capture_output=True, text=True,
                             timeout=processes.DEADLINE, check=False)
        assert run.returncode == 2 and why in run.stderr, (arguments, run)
    dry = subprocess.run([proxy.BINARY, "replay", folder, "--dry-run", "--json"], check=True,
                         capture_output=True, text=True, timeout=processes.DEADLINE)
    assert json.loads(dry.stdout)["transactions"] == 7


def test_a_replay_runs_as_who_the_sessions_were(capturing, clone, server):
    """The rows say who wrote them; --role login: whoever has logged in."""
    target, folder = capturing()
    for cluster, name in ((server, "capturing"), (clone, "replayed")):
        cluster.sql("CREATE ROLE capturing LOGIN")
        cluster.sql("CREATE TABLE who(id int, name text DEFAULT current_user);"
                    "GRANT ALL ON who TO capturing", name)
    raw = target.login("capturing", user="capturing")
    assert wire.first_error(raw.ask("INSERT INTO who(id) VALUES (1)")) == {}
    raw.shut()
    target.wait_for("pgbraid_capture_transactions_total", 1)
    target.stop()
    for flags in ((), ("--role", "login")):
        assert replay(folder, clone, "replayed", *flags)[0] == 0
    assert clone.sql("SELECT name FROM who ORDER BY 1", "replayed") == [
        ("capturing",), ("postgres",)]
    clone.sql("DROP OWNED BY capturing", "replayed")
    server.sql("DROP OWNED BY capturing", "capturing")


def test_progress_is_told_only_where_it_was_asked_for(capturing, clone):
    """A capture of two transactions that are more than a second apart, as it was."""
    target, folder = capturing()
    raw = target.login("capturing")
    for text in ("INSERT INTO t(id) VALUES (1)", "SELECT pg_sleep(1.2)"):
        assert wire.first_error(raw.ask(text)) == {}
    raw.shut()
    target.wait_for("pgbraid_capture_transactions_total", 2)
    target.stop()
    assert replay(folder, clone, "replayed")[2] == ""
    told = replay(folder, clone, "replayed", "--progress", "--speed", "1")[2].splitlines()
    assert told and all(line.startswith("replay: ") for line in told)


def test_a_replay_takes_memory_for_what_waits_and_not_for_the_capture(capturing, clone):
    """A few hundred MiB of statements, as fast as the server takes them."""
    count, size = 256, 1 << 20
    target, folder = capturing()
    raw = target.login("capturing")
    for i in range(count):
        text = f"INSERT INTO t(id) VALUES (length('{'x' * (size + i)}'))"
        assert wire.first_error(raw.ask(text)) == {}
        if i % 32 == 31:  # no more than a capture may have on its way to the disk
            target.wait_for("pgbraid_capture_transactions_total", i + 1)
    raw.shut()
    target.stop()
    assert sum(os.path.getsize(name) for name in files_of(folder)) > count * size
    report, peak = watched_replay(folder, clone, "replayed")
    check_same(report, count)
    assert peak < proxy.MEMORY_MAX + (32 << 20), f"{peak >> 20} MiB"
    assert clone.sql("SELECT id - %d FROM t ORDER BY 1" % size, "replayed") == [
        (i,) for i in range(count)]


WAITING_COMMIT = """
CREATE TABLE slow(id int);
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END$$;
CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION wait()
"""


@pytest.mark.parametrize("count, size", [(1100, 1), (80, 1 << 20)])
def test_a_commit_that_took_long_holds_nothing_up(count, size, capturing, clone, server):
    """More transactions, or bytes, than may wait for the server committed while one COMMIT was
    under way: it has its place before all of them, and is captured behind."""
    target, folder = capturing()
    for cluster, name in ((server, "capturing"), (clone, "replayed")):
        cluster.sql(WAITING_COMMIT, name)
    holder = server.connect("capturing")
    holder.cursor().execute("SELECT pg_advisory_lock(1)")
    slow, quick = target.login("capturing"), target.login("capturing")
    for text in ("BEGIN", "INSERT INTO slow VALUES (1)"):
        assert wire.first_error(slow.ask(text)) == {}
    slow.send(wire.query("COMMIT"))
    processes.wait_until(lambda: server.value(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == 1,
        "the COMMIT to wait")
    for i in range(count):
        insert = f"INSERT INTO t(id) VALUES (length('{'x' * size}'))"
        for text in ("BEGIN", insert, "COMMIT"):
            assert wire.first_error(quick.ask(text)) == {}
        if size > 1:  # no more than a capture may have on its way to the disk
            target.wait_for("pgbraid_capture_transactions_total", i + 1)
    holder.close()
    assert wire.first_error(slow.read_turn()) == {}
    for raw in (slow, quick):
        raw.shut()
    target.wait_for("pgbraid_capture_transactions_total", count + 1)
    target.stop()
    check_same(replay(folder, clone, "replayed")[1], count + 1)
    assert clone.sql("SELECT count(*) FROM t", "replayed") == [(count,)]


# -- captures that are not whole -----------------------------------------------------------------


def test_what_is_good_of_a_torn_capture_is_replayed(capturing, clone):
    target, folder = capturing(shards=1)
    raw = target.login("capturing")
    for i in range(5):
        assert wire.first_error(raw.ask(f"INSERT INTO t(id) VALUES ({i})")) == {}
    target.wait_for("pgbraid_capture_transactions_total", 5)
    target.kill()
    raw.shut()
    segment, = glob.glob(f"{folder}/*/*.segment")
    with open(segment, "rb") as file:
        end = len(file.read().rstrip(b"\0"))
    os.truncate(segment, end - 1)
    code, report, complaint = replay(folder, clone, "replayed", codes=(3,))
    assert (code, report["applied"], report["different"], report["open_ends"]) == (3, 4, 0, 1)
    assert "was not closed" in complaint
    assert clone.sql("SELECT id FROM t ORDER BY 1", "replayed") == [(0,), (1,), (2,), (3,)]


def test_what_is_good_of_a_damaged_capture_is_replayed(capturing, clone):
    """A log that loses a record in its middle: what is before it is good."""
    target, folder = capturing(shards=1)
    raw = target.login("capturing")
    for i in range(5):
        assert wire.first_error(raw.ask(f"INSERT INTO t(v) VALUES ('row number {i}')")) == {}
        target.wait_for("pgbraid_capture_transactions_total", i + 1)
    raw.shut()
    target.stop()
    segment, = glob.glob(f"{folder}/*/*.segment")
    with open(segment, "r+b") as file:
        at = file.read().index(b"row number 2")
        file.seek(at)
        file.write(b"ROW")
    code, report, complaint = replay(folder, clone, "replayed", codes=(3,))
    assert (code, report["transactions"], report["applied"], report["different"]) == (3, 2, 2, 0)
    assert segment in report["damage"][0] and segment in complaint
    assert clone.sql("SELECT v FROM t ORDER BY 1", "replayed") == [
        ("row number 0",), ("row number 1",)]


def test_a_capture_that_is_cut_short_under_a_replay_ends_it(capturing, clone):
    """The second of two transactions is gone when its turn comes; the first is reported."""
    target, folder = capturing(shards=1)
    raw = target.login("capturing")
    for text in ("INSERT INTO t(id) VALUES (1)", "SELECT pg_sleep(3)"):
        assert wire.first_error(raw.ask(text)) == {}
    raw.shut()
    target.wait_for("pgbraid_capture_transactions_total", 2)
    target.stop()
    segment, = glob.glob(f"{folder}/*/*.segment")

    def cut():
        processes.wait_until(lambda: clone.sql("SELECT id FROM t", "replayed"), "the first one")
        os.truncate(segment, 64)

    done = []
    together([cut, lambda: done.append(
        replay(folder, clone, "replayed", "--speed", "1", codes=(2,)))])
    (_, report, complaint), = done
    assert (report["transactions"], report["applied"], report["undecided"]) == (2, 1, 0)
    assert segment in complaint and "cannot be read again" in complaint


# -- whole loads ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["simple", "extended"])
def test_tpcb_replayed_onto_a_copy_leaves_equal_tables(mode, server, shared_mirror, database,
                                                       new_target, tmp_path):
    """8 clients of pgbench; the copy is as it was before them."""
    folder = str(tmp_path / "capture")
    target = new_target(server, ["--capture", folder])
    bench = [postgres.program("pgbench"), *target.address(database)[:-2], database]
    processes.run([*bench, "-i", "-q", "-s", "1"])
    target.stop()
    copy_database(server, shared_mirror, database)
    folder = str(tmp_path / "run")
    target = new_target(server, ["--capture", folder])
    bench = [postgres.program("pgbench"), *target.address(database)[:-2], database]
    each = 2000 if FULL else 150
    done = processes.run([*bench, "-n", "-M", mode, "-c", "8", "-j", "2", "-t", str(each)],
                         timeout=1800)
    assert "number of failed transactions: 0 " in done.stdout
    processes.wait_until(
        lambda: target.metric("pgbraid_capture_transactions_total") >= 8 * each, "the capture")
    target.stop()
    code, report, _ = replay(folder, shared_mirror, database)
    assert code == 0 and report["applied"] == report["transactions"] >= 8 * each, report
    sums = [one.checksums(database, ["mtime"]) for one in (server, shared_mirror)]
    assert sums[0] == sums[1]
    assert sums[0]["public.pgbench_history"][0] == 8 * each
    shared_mirror.sql(f"DROP DATABASE {database} WITH (FORCE)")


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_random_sessions_replayed_onto_a_copy_leave_equal_databases(mode, new_server, new_target,
                                                                    tmp_path):
    """What test_mirror_fidelity asks of a mirror, of a replay: its clients, and all of their rows,
    objects and sequences afterwards."""
    primary, copy = new_server(settings=_SETTINGS), new_server(settings=_SETTINGS)
    for one in (primary, copy):
        one.sql(fidelity.ROLE)
    pair = Pair(primary, copy, "fidelity")
    primary.sql(fidelity.SCHEMA, pair.database)
    copy.sql(f"DROP DATABASE {pair.database}")
    copy_database(primary, copy, pair.database)
    folder = str(tmp_path / "capture")
    pair.target = new_target(primary.url(user="postgres"), [
        "--auth", "trust", "--pool-mode", mode, "--max-conns", "64", "--capture", folder])
    world = fidelity.World(pair, SEED, STATEMENTS, CLIENTS)
    world.run()
    check_shares(world)
    assert pair.target.metric("pgbraid_capture_left_out_total") == 0
    pair.target.stop()
    code, report, log = replay(folder, copy, pair.database)
    print(world.report(), report, log, sep="\n")
    differences = fidelity.without_moved_sequences(
        pair, fidelity.compare(primary, copy, pair.database))
    assert differences == {}, f"seed {SEED}"
    assert (code, report["lacking"], report["refused"], report["undecided"]) == (0, 0, 0, 0), (
        f"seed {SEED}")
