"""What --capture writes: every committed transaction, in files that only pgbraid's user may read,
without what it was told to leave out, and never at a client's expense.

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
from harness.capture import CANARY, contains, files_of, run_all_kinds

pytestmark = [pytest.mark.proxy_only, pytest.mark.one_io]


def lint(folder):
    """(what lint has read, its complaints) of a capture."""
    run = subprocess.run([proxy.BINARY, "lint", "--format", "json", folder], capture_output=True,
                         text=True, timeout=processes.DEADLINE, check=False)
    assert run.returncode in (0, 1), run.stderr
    return json.loads(run.stdout), run.stderr


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
