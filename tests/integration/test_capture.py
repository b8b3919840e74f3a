"""What --capture writes: every committed transaction, in files that only pgbraid's user may read,
without what it was told to leave out, and never at a client's expense. And what `pgbraid replay`
makes of it on another server.

`pgbraid lint` is the reader: it prints the distinct statements that it has findings for, and how
many statements it has read.
"""

import json
import os
import resource
import signal
import subprocess

import pytest

from harness import processes, proxy, wire
from harness.threads import together

pytestmark = [pytest.mark.proxy_only, pytest.mark.one_io]

CANARY = "canary0x5ecret"


@pytest.fixture
def capturing(server, new_target, tmp_path):
    """capturing(flags...) -> (target, folder): pgbraid before a database of the test's own."""
    server.sql("CREATE DATABASE capturing")
    server.sql("CREATE TABLE t(id int, v text, b bytea)", "capturing")

    def make(*flags, shards=2, **more):
        folder = str(tmp_path / "capture")
        return new_target(server, ["--capture", folder, *flags], shards=shards, **more), folder

    yield make
    server.sql("DROP DATABASE capturing WITH (FORCE)")
    server.sql("DROP ROLE IF EXISTS capturing")


def lint(folder):
    """(what lint has read, its complaints) of a capture."""
    run = subprocess.run([proxy.BINARY, "lint", "--format", "json", folder], capture_output=True,
                         text=True, timeout=processes.DEADLINE, check=False)
    assert run.returncode in (0, 1), run.stderr
    return json.loads(run.stdout), run.stderr


def files_of(folder):
    return [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]


def contains(folder, text):
    for name in files_of(folder):
        with open(name, "rb") as file:
            if text.encode() in file.read():
                return True
    return False


def run_all_kinds(target):
    """Six statements that are captured, with the canary in each; two that are not."""
    raw = target.login("capturing")
    for text in (f"INSERT INTO t VALUES (1, '{CANARY}')",
                 f"BEGIN; INSERT INTO t(id, v) VALUES (2, $${CANARY}$$); COMMIT",
                 f"SELECT count(*) FROM t WHERE v = '{CANARY}'"):
        assert wire.first_error(raw.ask(text)) == {}
    turn = raw.send(wire.parse("INSERT INTO t(id, v, b) VALUES ($1, $2, $3)", oids=(23, 25, 17)),
                    wire.bind((b"\0\0\0\3", CANARY.encode(), CANARY.encode()), formats=(1, 0, 1)),
                    wire.execute(), wire.SYNC).read_turn()
    assert wire.first_error(turn) == {}
    raw.send(wire.query("COPY t FROM STDIN")).read_until("G")
    turn = raw.send(wire.copy_data(f"4\t{CANARY}\t\\\\x00\n".encode()), wire.frame("c")).read_turn()
    assert wire.first_error(turn) == {}
    assert wire.first_error(raw.ask(f"CREATE ROLE capturing PASSWORD '{CANARY}'")) == {}
    assert wire.first_error(raw.ask("INSERT INTO nowhere VALUES (now())"))["C"] == "42P01"
    assert wire.first_error(raw.ask("BEGIN; INSERT INTO t VALUES (9); ROLLBACK")) == {}
    assert raw.rows("SELECT count(*) FROM t") == [["4"]]
    raw.shut()


def test_what_was_committed_is_there_and_reads_too(capturing):
    target, folder = capturing()
    run_all_kinds(target)
    target.wait_for("pgbraid_capture_transactions_total", 7)
    target.stop()
    read, complaint = lint(folder)
    assert (read["statements"], complaint) == (7, "")
    assert [found["rule"] for found in read["findings"]] == ["insert-without-columns"]
    assert contains(folder, CANARY)
    assert contains(folder, "CREATE ROLE capturing PASSWORD ''")
    assert not contains(folder, "nowhere")


def test_only_the_owner_may_read_it_and_nothing_is_overwritten(capturing, server):
    target, folder = capturing()
    run_all_kinds(target)
    target.wait_for("pgbraid_capture_transactions_total", 7)
    assert os.stat(folder).st_mode & 0o777 == 0o700
    assert len(files_of(folder)) >= 2
    for name in files_of(folder):
        assert os.stat(name).st_mode & 0o777 == 0o600, name
    again = subprocess.run([proxy.BINARY, "--listen", f"127.0.0.1:{processes.free_port()}",
                            "--primary", server.url(), "--capture", folder], capture_output=True,
                           text=True, timeout=processes.DEADLINE, check=False)
    assert again.returncode == 1
    assert "--capture: there is something of that name already" in again.stderr


@pytest.mark.parametrize("flags", [("--capture-redact", "all-values"),
                                   ("--capture-redact-types", "text,bytea"),
                                   ("--capture-redact-columns", "id,V,other.x,t.b")])
def test_what_is_left_out_is_nowhere_in_the_files(capturing, flags):
    target, folder = capturing(*flags)
    run_all_kinds(target)
    target.wait_for("pgbraid_capture_transactions_total", 7)
    target.stop()
    assert not contains(folder, CANARY)
    assert contains(folder, "INSERT INTO t VALUES ( 0 , '' )")
    assert lint(folder)[0]["statements"] == 7


def test_what_is_of_other_columns_stays(capturing):
    """In each way to write a row; the values of `v` go, those of `id` and `b` do not."""
    target, folder = capturing("--capture-redact-columns", "other.id,T.V")
    raw = target.login("capturing")
    for text in (f"INSERT INTO t(id, v, b) VALUES (1001, '{CANARY}', 'kept1')",
                 f"INSERT INTO t VALUES (1002, '{CANARY}', 'lost1')",
                 f"UPDATE t SET b = 'kept2' WHERE v = '{CANARY}' AND id = 1001"):
        assert wire.first_error(raw.ask(text)) == {}
    turn = raw.send(wire.parse("INSERT INTO t(b, id, v) VALUES ($1, $2, $3)"),
                    wire.bind((b"kept3", b"1003", CANARY.encode())), wire.execute(),
                    wire.parse("UPDATE t SET b = $1 WHERE v = lower($2) OR id = $3"),
                    wire.bind((b"kept4", CANARY.encode(), b"1003")), wire.execute(),
                    wire.SYNC).read_turn()
    assert wire.first_error(turn) == {}
    for head, rows in (("COPY t(v, id, b) FROM STDIN", f"{CANARY}\t1005\tkept5\n"),
                       ("COPY t(v, id, b) FROM STDIN CSV", f'"{CANARY}",1006,kept6\n'),
                       ("COPY t FROM STDIN", f"1007\t{CANARY}\tlost2\n")):
        raw.send(wire.query(head)).read_until("G")
        turn = raw.send(wire.copy_data(rows.encode()), wire.frame("c")).read_turn()
        assert wire.first_error(turn) == {}
    raw.shut()
    target.wait_for("pgbraid_capture_transactions_total", 7)
    target.stop()
    assert not contains(folder, CANARY)
    for text in ("kept1", "kept2", "kept3", "kept4", "kept5", "kept6", "1001", "1003", "1005"):
        assert contains(folder, text), text
    for text in ("lost1", "lost2", "1007"):
        assert not contains(folder, text), text


def test_a_capture_that_was_killed_is_read_up_to_its_end(capturing):
    target, folder = capturing(shards=1)
    run_all_kinds(target)
    target.wait_for("pgbraid_capture_transactions_total", 7)
    target.kill()
    read, complaint = lint(folder)
    assert read["statements"] == 7
    assert "was not closed" in complaint
    segment = max(files_of(folder), key=os.path.getsize)
    with open(segment, "rb") as file:
        end = len(file.read().rstrip(b"\0"))
    os.truncate(segment, end - 1)
    read, complaint = lint(folder)
    assert read["statements"] == 6


def files_stay_small():
    """No file may grow beyond 1 MiB, as on a disk that is full; a segment wants more."""
    processes.die_with_the_tests()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


def test_a_full_disk_costs_transactions_and_no_client_an_error(capturing, server):
    target, folder = capturing(before_exec=files_stay_small)
    raw = target.login("capturing")
    for i in range(20):
        assert wire.first_error(raw.ask(f"INSERT INTO t(id) VALUES ({i})")) == {}
    raw.shut()
    assert server.sql("SELECT count(*) FROM t", "capturing") == [(20,)]
    target.wait_for("pgbraid_capture_left_out_total", 20)
    assert target.metric("pgbraid_capture_transactions_total") == 0
    assert target.log_text().count("capture.left_out") == 1
    target.stop()
    assert lint(folder)[0]["statements"] == 0


# -- replay --------------------------------------------------------------------------------------


def replay(folder, server, database, *flags):
    """(exit status, report) of a replay as fast as it goes."""
    url = f"postgres://postgres@127.0.0.1:{server.port}/{database}?sslmode=disable"
    run = subprocess.run([proxy.BINARY, "replay", folder, "--to", url, "--speed", "0", "--json",
                          *flags], capture_output=True, text=True, timeout=2 * processes.DEADLINE,
                         check=False)
    assert run.returncode in (0, 1), run.stderr
    return run.returncode, json.loads(run.stdout)


@pytest.fixture
def clone(server, shared_mirror, capturing):
    """An empty database with the tables of the captured one, on another cluster."""
    shared_mirror.sql("CREATE DATABASE replayed")
    shared_mirror.sql("CREATE TABLE t(id int, v text, b bytea)", "replayed")
    yield shared_mirror
    shared_mirror.sql("DROP DATABASE replayed WITH (FORCE)")
    shared_mirror.sql("DROP ROLE IF EXISTS capturing")


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
    code, report = replay(folder, clone, "replayed")
    assert (code, report["applied"], report["different"], report["refused"]) == (1, 2, 1, 0)
    clone.sql("DROP TABLE t", "replayed")
    code, report = replay(folder, clone, "replayed")
    assert (code, report["applied"], report["refused"]) == (1, 0, 2)
    assert report["sqlstates"] == {"42P01": 2}


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
