"""The gap ledger: what a mirror lacks is named by table, cause and number, and a restart forgets
none.

The servers are real; what the ledger says is held against the rows that the mirror really lacks.
"""

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request

import pytest

from harness import processes, wire
from harness.processes import wait_until

pytestmark = [pytest.mark.proxy_only, pytest.mark.one_io]

SECRET = "pw-of-the-mirror"
BIG = "x" * 30_000


def mirrors(pair):
    status, text = pair.target.http("/v1/mirrors")
    assert status == 200
    assert SECRET not in text and "postgres://" not in text and "INSERT" not in text
    return json.loads(text)


def gaps(pair):
    """{(table, cause, sqlstate): (statements, transactions)} of the only mirror."""
    (mirror,) = mirrors(pair)
    return {(gap["table"], gap["cause"], gap["sqlstate"]): (gap["statements"], gap["transactions"])
            for gap in mirror["gaps"]}


def order(pair, path):
    """(status, body) of a DELETE."""
    request = urllib.request.Request(f"http://127.0.0.1:{pair.target.admin_port}{path}",
                                     method="DELETE")
    try:
        with urllib.request.urlopen(request, timeout=processes.DEADLINE) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def lacking(pair, table):
    """Rows of the primary that the mirror has not."""
    count = f"SELECT count(*) FROM {table}"
    return pair.on_primary(count)[0][0] - pair.on_mirror(count)[0][0]


def ledger_file(folder):
    with open(os.path.join(folder, "gap-ledger-mirror1.json")) as file:
        return json.load(file)


@pytest.fixture
def kept(own_mirror, tmp_path):
    """A pair whose ledger is kept, with little memory for what waits."""
    folder = str(tmp_path / "state")
    pair = own_mirror({"shadow": "scram-sha-256"}, "shadow", SECRET,
                      f"CREATE ROLE shadow SUPERUSER LOGIN PASSWORD '{SECRET}'",
                      ["--state-dir", folder, "--mirror-queue-bytes", "512k",
                       "--drain-timeout", "1s"])
    pair.folder = folder
    return pair


def restart(pair):
    pair.target.stop()
    pair.target.start()


# -- what is named -------------------------------------------------------------------------------


def test_a_refused_statement_names_its_table_and_sqlstate(kept):
    kept.on_primary('CREATE TABLE "Odd one"(id int); CREATE TABLE twin(id int PRIMARY KEY)')
    kept.on_mirror("CREATE TABLE twin(id int PRIMARY KEY); INSERT INTO twin VALUES (7)")
    raw = kept.session()
    assert kept.ask(raw, 'INSERT INTO public."Odd one" VALUES (1)',
                    'INSERT INTO public."Odd one" VALUES (2)', "INSERT INTO twin VALUES (7)",
                    "INSERT INTO t VALUES (1, 'fine')") == ["", "", "", ""]
    kept.finish(raw)
    kept.settle()
    assert gaps(kept) == {('public."Odd one"', "refused", "42P01"): (2, 2),
                          ("twin", "refused", "23505"): (1, 1)}
    assert kept.target.metric("pgbraid_mirror_gap_tables") == 2
    assert kept.target.metric("pgbraid_mirror_gap_statements_total", cause="refused") == 3
    (mirror,) = mirrors(kept)
    assert mirror["name"] == "mirror1" and mirror["reachable"] and mirror["gaps_kept"]
    assert mirror["address"] == f"127.0.0.1:{kept.mirror.port}"
    assert mirror["offered"] == 5 and mirror["delivered"] == 2 and mirror["refused"] == 3
    assert mirror["queued_units"] == 0 and mirror["lag_seconds"]["p99"] > 0
    raw.shut()


def test_a_transaction_that_is_refused_lacks_all_its_tables(kept):
    kept.on_primary("CREATE TABLE only_here(id int)")
    raw = kept.session()
    kept.ask(raw, "BEGIN", "INSERT INTO t VALUES (1, '')", "UPDATE t SET v = 'x'",
             "INSERT INTO only_here VALUES (1)", "SELECT 1", "COMMIT")
    kept.finish(raw)
    kept.settle()
    assert gaps(kept) == {("t", "refused", "42P01"): (2, 1),
                          ("only_here", "refused", "42P01"): (1, 1)}
    raw.shut()


def test_what_is_dropped_over_budget_is_what_the_mirror_lacks(kept):
    raw = kept.session()
    kept.ask(raw, "INSERT INTO t VALUES (0, '')")
    kept.finish(raw)
    kept.mirror.pause()
    for number in range(1, 61):
        turn = raw.send(wire.one_shot("INSERT INTO n(id, b) VALUES ($1, $2)",
                                      [str(number).encode(), BIG.encode()]), wire.SYNC).read_turn()
        assert wire.first_error(turn) == {}
        assert kept.ask(raw, f"INSERT INTO t VALUES ({number}, '{BIG}')") == [""]
    assert mirrors(kept)[0]["dropped"]["over_budget"] > 0
    kept.mirror.resume()
    kept.settle()
    named = gaps(kept)
    assert set(named) == {("n", "over_budget", None), ("t", "over_budget", None)}
    for table in ("n", "t"):
        missing = lacking(kept, table)
        assert 0 < missing < 60 and named[(table, "over_budget", None)] == (missing, missing)
    raw.shut()


def test_no_text_or_secret_is_in_any_output(kept):
    raw = kept.session()
    kept.on_mirror("DROP TABLE n")
    kept.ask(raw, "INSERT INTO n(b) VALUES ('hush-hush')", "DO $$BEGIN PERFORM 'hush-hush'; END$$",
             "SELECT set_config('hush.hush', 'hush-hush', false)")
    kept.finish(raw)
    kept.settle()
    assert ("n", "refused", "42P01") in gaps(kept)
    raw.shut()
    restart(kept)
    with open(os.path.join(kept.folder, "gap-ledger-mirror1.json")) as file:
        outputs = [kept.target.log_text(), kept.target.http("/v1/mirrors")[1],
                   kept.target.http("/metrics")[1], file.read()]
    for output in outputs:
        assert "hush-hush" not in output and SECRET not in output


# -- restarts ------------------------------------------------------------------------------------


def test_a_restart_forgets_nothing(kept):
    kept.on_mirror("DROP TABLE n")
    raw = kept.session()
    kept.ask(raw, "INSERT INTO n(id) VALUES (1)")
    kept.finish(raw)
    raw.shut()
    before = mirrors(kept)[0]["gaps"]
    assert len(before) == 1
    kept.target.stop()
    assert ledger_file(kept.folder)["clean"] is True
    kept.target.start()
    assert mirrors(kept)[0]["gaps"] == before
    assert ledger_file(kept.folder)["clean"] is False
    raw = kept.session()
    kept.ask(raw, "INSERT INTO n(id) VALUES (2)")
    kept.finish(raw)
    kept.settle()
    assert gaps(kept) == {("n", "refused", "42P01"): (2, 2)}
    raw.shut()


def test_what_the_drain_drops_is_kept(kept):
    raw = kept.session()
    kept.ask(raw, "INSERT INTO t VALUES (0, '')")
    kept.finish(raw)
    kept.mirror.pause()
    for number in range(1, 6):
        kept.ask(raw, f"INSERT INTO t VALUES ({number}, '')")
    raw.shut()
    kept.target.stop()
    kept.mirror.resume()
    kept.target.start()
    # What had been sent when the drain ended may have been applied, and nobody was told.
    statements, transactions = gaps(kept)[("t", "shutdown", None)]
    assert statements == transactions == 5
    wait_until(lambda: lacking(kept, "t") in (4, 5), "the mirror to lack what was not sent")


def test_kill_with_work_queued_leaves_the_crash_entry(kept):
    raw = kept.session()
    kept.ask(raw, "INSERT INTO t VALUES (0, '')")
    kept.finish(raw)
    wait_until(lambda: ledger_file(kept.folder)["pending"] == 0, "the file to say: nothing queued")
    kept.mirror.pause()
    for number in range(1, 6):
        kept.ask(raw, f"INSERT INTO t VALUES ({number}, '')")
    wait_until(lambda: ledger_file(kept.folder)["pending"] == 5, "the file to say: work is queued")
    kept.kill()
    raw.shut()
    kept.mirror.resume()
    kept.target.start()
    assert gaps(kept) == {("*", "crash", None): (0, 5)}
    restart(kept)
    assert gaps(kept) == {("*", "crash", None): (0, 5)}


def test_kill_with_nothing_queued_leaves_no_entry(kept):
    kept.on_mirror("DROP TABLE n")
    raw = kept.session()
    kept.ask(raw, "INSERT INTO n(id) VALUES (1)")
    kept.finish(raw)
    kept.settle()

    def is_written():
        file = ledger_file(kept.folder)
        return file["pending"] == 0 and len(file["gaps"]) == 1

    wait_until(is_written, "the file to have the gap, with nothing queued")
    kept.kill()
    raw.shut()
    kept.target.start()
    assert gaps(kept) == {("n", "refused", "42P01"): (1, 1)}


def test_a_broken_file_is_named_and_kept(kept):
    kept.target.stop()
    path = os.path.join(kept.folder, "gap-ledger-mirror1.json")
    with open(path, "w") as file:
        file.write('{"version":1,"mirror":')
    kept.target.start()
    assert gaps(kept) == {("*", "ledger_lost", None): (0, 0)}
    kept.target.log_contains("mirror.gap_ledger_broken")
    assert path in kept.target.log_text()
    with open(path + ".broken") as file:
        assert file.read() == '{"version":1,"mirror":'


def test_a_second_process_on_one_folder_is_refused(kept):
    argv = list(kept.target.argv)
    for flag in ("--listen", "--admin"):
        argv[argv.index(flag) + 1] = "127.0.0.1:0"
    second = subprocess.run(argv, capture_output=True, text=True, timeout=processes.DEADLINE)
    assert second.returncode != 0
    assert "--state-dir" in second.stderr and "in use by another pgbraid" in second.stderr


def test_a_folder_that_cannot_be_made_is_refused(kept):
    argv = list(kept.target.argv)
    for flag in ("--listen", "--admin"):
        argv[argv.index(flag) + 1] = "127.0.0.1:0"
    argv[argv.index("--state-dir") + 1] = kept.target.log + "/state"
    done = subprocess.run(argv, capture_output=True, text=True, timeout=processes.DEADLINE)
    assert done.returncode != 0 and "--state-dir" in done.stderr


def test_without_a_folder_the_log_says_so(own_mirror):
    pair = own_mirror()
    assert pair.target.log_text().count("mirror.gap_ledger_in_memory") == 1
    assert mirrors(pair)[0]["gaps_kept"] is False


# -- orders --------------------------------------------------------------------------------------


def test_delete_forgets_what_was_mended(kept):
    kept.on_mirror("DROP TABLE n; DROP TABLE t")
    raw = kept.session()
    kept.ask(raw, "INSERT INTO n(id) VALUES (1)", "INSERT INTO t VALUES (1, '')")
    kept.finish(raw)
    kept.settle()
    path = "/v1/mirrors/mirror1/gaps"
    assert order(kept, "/v1/mirrors/nobody/gaps")[0] == 404
    assert order(kept, path + "?tabel=n")[0] == 400
    last = json.loads(kept.target.http(path)[1])[0]["last"]
    assert order(kept, path + "?table=n&until=2000-01-01T00:00:00Z") == (200, {"cleared": 0})
    assert len(gaps(kept)) == 2
    assert order(kept, f"{path}?table=n&until={last}") == (200, {"cleared": 1})
    assert gaps(kept) == {("t", "refused", "42P01"): (1, 1)}
    assert kept.target.metric("pgbraid_mirror_gap_tables") == 1
    raw.shut()
    restart(kept)
    assert gaps(kept) == {("t", "refused", "42P01"): (1, 1)}
    assert order(kept, path) == (200, {"cleared": 1})
    assert gaps(kept) == {}
    kept.target.process.send_signal(signal.SIGTERM)
    assert kept.target.process.wait(timeout=processes.DEADLINE) == 0
    assert ledger_file(kept.folder)["gaps"] == []
    kept.target.start()
