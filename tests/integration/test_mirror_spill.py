"""The spill: what a mirror's memory has no room for waits on the disk, in order; what the disk does
not take is counted and named; a kill and a restart lose nothing unsaid.

The servers and the disks are real: a disk that is full is a small tmpfs.
"""

import json
import os
import subprocess

import pytest

from conftest import FULL
from harness import postgres, processes, wire
from harness.processes import wait_until

pytestmark = [pytest.mark.proxy_only, pytest.mark.one_io]

LITTLE = ["--mirror-queue-bytes", "64k", "--drain-timeout", "2s"]
KEY = "00112233445566778899aabbccddeeff" * 2


@pytest.fixture
def spilling(own_mirror, tmp_path):
    """Makes a pair with little memory for what waits and a folder on the disk."""
    def make(*flags, folder=None, memory=LITTLE):
        folder = folder or str(tmp_path / "spill")
        pair = own_mirror(flags=["--spill-dir", folder, *memory, *flags])
        pair.folder = folder
        return pair

    return make


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key"
    path.write_text(KEY + "\n")
    path.chmod(0o600)
    return str(path)


def segments(pair):
    """Files with records, of all logs of the only mirror."""
    return [os.path.join(where, name) for where, _, names in os.walk(pair.folder)
            for name in names if name.endswith(".segment")]


def gaps(pair):
    (mirror,) = json.loads(pair.target.http("/v1/mirrors")[1])
    return {(gap["table"], gap["cause"]): gap["transactions"] for gap in mirror["gaps"]}


def pgbench(pair, *options):
    done = processes.run([postgres.program("pgbench"), *options,
                          *pair.target.address(pair.database)[:-2], pair.database], timeout=1800)
    assert "number of failed transactions: 0 " in done.stdout + done.stderr or "-i" in options
    return done


def insert(pair, raw, numbers):
    for number in numbers:
        assert pair.ask(raw, f"INSERT INTO t VALUES ({number}, '{'x' * 100}')") == [""]


def insert_big(raw, rows):
    for _ in range(rows):
        turn = raw.send(wire.one_shot("INSERT INTO big VALUES ($1)", [b"x" * 30_000]),
                        wire.SYNC).read_turn()
        assert wire.first_error(turn) == {}


def missing(pair, table="t"):
    count = f"SELECT count(*) FROM {table}"
    return pair.on_primary(count)[0][0] - pair.on_mirror(count)[0][0]


def test_all_that_a_stopped_mirror_has_missed_is_delivered_and_the_files_go(spilling):
    pair = spilling()
    pgbench(pair, "-i", "-q", "-s", "1")
    pair.check_equal(pair.session(), without=["mtime"])
    pair.mirror.pause()
    pgbench(pair, "-n", "-c", "8", "-j", "2", "-t", "2500" if FULL else "400")
    pair.target.wait_for("pgbraid_mirror_spilled_total", 2000)
    assert segments(pair)
    pair.mirror.resume()
    pgbench(pair, "-n", "-c", "8", "-j", "2", "-t", "50")
    pair.check_equal(pair.session(), without=["mtime"])
    assert pair.dropped() == 0
    assert pair.target.metric("pgbraid_mirror_spill_units") == 0
    wait_until(lambda: not segments(pair), "the files to go")
    assert pair.target.metric("pgbraid_mirror_spill_bytes") == 0
    (mirror,) = json.loads(pair.target.http("/v1/mirrors")[1])
    assert mirror["spilled"] >= 2000 and mirror["spill_units"] == 0


def test_sessions_that_are_gone_have_their_order_on_the_disk(spilling):
    """Every session changes one row again and again, and ends while the mirror stands."""
    pair = spilling()
    setup = pair.session()
    insert(pair, setup, range(8))
    pair.finish(setup)
    pair.mirror.pause()
    for row in range(8):
        raw = pair.session()
        for number in range(100):
            assert pair.ask(raw, "BEGIN", f"UPDATE t SET v = v || '{number},' WHERE id = {row}",
                            "COMMIT") == [""] * 3
        raw.send(wire.TERMINATE).expect_closed()
    pair.target.wait_for("pgbraid_mirror_spilled_total", 100)
    pair.mirror.resume()
    pair.check_equal(pair.session())
    assert pair.dropped() == 0


def test_copy_and_prepared_statements_come_back_as_they_were(spilling):
    pair = spilling()
    raw = pair.session()
    pair.finish(raw)
    pair.mirror.pause()
    for number in range(50):
        raw.send(wire.query("COPY t FROM STDIN"))
        raw.send(wire.copy_data(b"".join(b"%d\tcopied\n" % (number * 100 + i)
                                         for i in range(100))), wire.COPY_DONE)
        assert wire.first_error(raw.read_turn()) == {}
    raw.send(wire.parse("INSERT INTO n VALUES ($1, 2, $2)", "s"), wire.SYNC).read_turn()
    for number in range(300):
        turn = raw.send(wire.bind([str(number).encode(), b"v"], name="s"), wire.execute(),
                        wire.SYNC).read_turn()
        assert wire.first_error(turn) == {}
    pair.target.wait_for("pgbraid_mirror_spilled_total", 100)
    pair.mirror.resume()
    pair.check_equal(raw)
    assert pair.dropped() == 0


def test_what_a_full_disk_does_not_take_is_counted_and_named_and_no_client_sees_it(
        spilling, small_disk):
    pair = spilling(folder=small_disk(12))  # room for two segments and little more
    raw = pair.session()
    pair.ask(raw, "CREATE TABLE big(a text)")
    pair.finish(raw)
    pair.mirror.pause()
    insert_big(raw, 800)
    assert pair.target.metric("pgbraid_mirror_spilled_total") > 0
    assert pair.target.metric("pgbraid_mirror_spill_failures_total") > 0
    assert pair.dropped() > 0
    assert "mirror.spill_failed" in pair.target.log_text()
    pair.mirror.resume()
    pair.settle()
    assert missing(pair, "big") == pair.dropped()
    assert sum(count for (table, _), count in gaps(pair).items()
               if table == "big") == pair.dropped()
    assert {cause for _, cause in gaps(pair)} <= {"over_budget", "spill_lost"}
    wait_until(lambda: not segments(pair), "the files to go")
    insert(pair, raw, range(1000, 1010))
    pair.finish(raw)


def test_spill_max_is_a_bound(spilling):
    pair = spilling("--spill-max", "1m")
    raw = pair.session()
    pair.ask(raw, "CREATE TABLE big(a text)")
    pair.finish(raw)
    pair.mirror.pause()
    for _ in range(200):
        insert_big(raw, 1)
        assert pair.target.metric("pgbraid_mirror_spill_bytes") <= 1 << 20
    assert pair.target.metric("pgbraid_mirror_spilled_total") > 0
    pair.mirror.resume()
    pair.check_equal_or_counted("big")
    assert pair.dropped() > 0


def test_a_kill_without_a_key_leaves_names(spilling, tmp_path):
    pair = spilling("--state-dir", str(tmp_path / "state"))
    raw = pair.session()
    pair.finish(raw)
    pair.mirror.pause()
    insert(pair, raw, range(2000))
    pair.target.wait_for("pgbraid_mirror_spill_units", 500)
    waiting = pair.target.metric("pgbraid_mirror_spill_units")
    pair.kill()
    pair.mirror.resume()
    pair.target.start()
    named = gaps(pair)
    assert named[("t", "spill_lost")] >= waiting
    assert named[("t", "spill_lost")] <= missing(pair)
    assert "mirror.spill_lost" in pair.target.log_text()
    assert not segments(pair)


def test_an_orderly_end_without_a_key_names_what_was_left(spilling, tmp_path):
    pair = spilling("--state-dir", str(tmp_path / "state"))
    raw = pair.session()
    pair.finish(raw)
    pair.mirror.pause()
    insert(pair, raw, range(2000))
    pair.target.wait_for("pgbraid_mirror_spill_units", 500)
    raw.send(wire.TERMINATE).expect_closed()
    pair.target.stop()
    assert not segments(pair)
    pair.mirror.resume()
    pair.target.start()
    known = sum(count for (table, cause), count in gaps(pair).items()
                if table == "t" and cause in ("shutdown", "outcome_unknown"))
    assert missing(pair) <= known <= missing(pair) + 2


def restarted_after_a_kill(pair, raw, rows):
    """Kills it with `rows` rows offered to a mirror that stands; how many were on the disk before,
    at least."""
    pair.mirror.pause()
    insert(pair, raw, range(rows))
    pair.target.wait_for("pgbraid_mirror_spilled_total", rows // 2)
    waiting = int(pair.target.metric("pgbraid_mirror_spill_units"))
    pair.kill()
    pair.mirror.resume()
    pair.target.start()
    return waiting


def test_a_kill_with_a_key_loses_only_what_was_in_memory(spilling, key_file, tmp_path):
    """What was on the disk is delivered by the next process, before what that one is offered."""
    pair = spilling("--spill-key-file", key_file, "--state-dir", str(tmp_path / "state"))
    raw = pair.session()
    pair.finish(raw)
    at_least = restarted_after_a_kill(pair, raw, 2000)
    assert at_least > 500
    again = pair.session()
    insert(pair, again, range(5000, 5100))
    pair.finish(again)
    pair.settle()
    waiting = int(pair.target.metric("pgbraid_mirror_delivered_total")) - 101
    assert waiting >= at_least
    # All but the oldest, which were in memory (the first of them had been sent, and may be there),
    # and the newest, which were on their way to the disk.
    there = {row for (row,) in pair.on_mirror("SELECT id FROM t WHERE id BETWEEN 1 AND 1999")}
    assert there == set(range(min(there), min(there) + waiting))
    assert pair.on_mirror("SELECT count(*) FROM t WHERE id >= 5000") == [(100,)]
    assert pair.target.metric("pgbraid_mirror_refused_total") == 0
    assert {cause for _, cause in gaps(pair)} <= {"crash"}
    wait_until(lambda: not segments(pair), "the files to go")


def test_killed_while_it_delivers_what_was_left_nothing_is_applied_twice(spilling, key_file,
                                                                         tmp_path):
    pair = spilling("--spill-key-file", key_file, "--state-dir", str(tmp_path / "state"))
    raw = pair.session()
    assert pair.ask(raw, "CREATE TABLE twice(id int)") == [""]
    pair.finish(raw)
    pair.mirror.pause()
    for number in range(2000):
        assert pair.ask(raw, f"INSERT INTO twice VALUES ({number})") == [""]
    pair.target.wait_for("pgbraid_mirror_spill_units", 1000)
    for _ in range(2):
        pair.kill()
        pair.mirror.resume()
        pair.target.start()
        pair.target.wait_for("pgbraid_mirror_delivered_total", 100)
    pair.kill()
    pair.target.start()
    pair.finish(pair.session())
    wait_until(lambda: not segments(pair), "the files to go")
    pair.settle()
    assert pair.on_mirror("SELECT count(*) - count(DISTINCT id) FROM twice") == [(0,)]
    named = sum(count for (table, cause), count in gaps(pair).items()
                if table == "twice" and cause == "outcome_unknown")
    assert 0 < named <= 3 * 64


def test_another_key_opens_nothing_and_names_all(spilling, key_file, tmp_path):
    pair = spilling("--spill-key-file", key_file, "--state-dir", str(tmp_path / "state"))
    raw = pair.session()
    pair.finish(raw)
    pair.mirror.pause()
    insert(pair, raw, range(2000))
    pair.target.wait_for("pgbraid_mirror_spill_units", 500)
    pair.kill()
    with open(key_file, "w") as file:
        file.write(KEY[::-1])
    pair.mirror.resume()
    pair.target.start()
    assert gaps(pair)[("t", "spill_lost")] >= 500
    assert "sealed with another key" in pair.target.log_text()
    assert not segments(pair)


def test_an_orderly_end_with_a_key_keeps_what_was_left(spilling, key_file, tmp_path):
    pair = spilling("--spill-key-file", key_file, "--state-dir", str(tmp_path / "state"))
    raw = pair.session()
    pair.finish(raw)
    pair.mirror.pause()
    insert(pair, raw, range(2000))
    pair.target.wait_for("pgbraid_mirror_spill_units", 1000)
    raw.send(wire.TERMINATE).expect_closed()
    pair.target.stop()
    assert "mirror.spill_kept" in pair.target.log_text()
    pair.mirror.resume()
    pair.target.start()
    pair.finish(pair.session())
    pair.settle()
    known = sum(count for (table, cause), count in gaps(pair).items() if table == "t")
    assert missing(pair) <= known <= missing(pair) + 2
    assert missing(pair) < 1000


def test_nothing_of_a_statement_is_readable_on_the_disk(spilling):
    pair = spilling()
    raw = pair.session()
    pair.finish(raw)
    pair.mirror.pause()
    for number in range(600):
        assert pair.ask(raw, f"INSERT INTO t VALUES ({number}, 'canary-{'q' * 60}')") == [""]
    pair.target.wait_for("pgbraid_mirror_spill_units", 100)
    found = b""
    for path in segments(pair):
        with open(path, "rb") as file:
            found += file.read()
    assert len(found) > 10_000 and b"canary" not in found and b"INSERT" not in found
    pair.mirror.resume()
    pair.check_equal(raw)


@pytest.mark.parametrize("spills", [True, False])
def test_a_flood_of_copy_into_a_stopped_mirror_stays_below_a_ceiling(spills, spilling, own_mirror):
    """Counters equal the difference of row counts exactly; one COPY is one row there."""
    pair = spilling(memory=["--mirror-queue-bytes", "64m"]) if spills else own_mirror()
    raw = pair.session()
    assert pair.ask(raw, "CREATE TABLE big(a text)") == [""]
    pair.finish(raw)
    pair.mirror.pause()
    row = b"x" * 1_000_000 + b"\n"
    copies = (8 << 30) // len(row) if FULL else 250
    for _ in range(copies):
        raw.send(wire.query("COPY big FROM STDIN"), wire.copy_data(row), wire.COPY_DONE)
        assert wire.first_error(raw.read_turn()) == {}
    assert pair.target.peak_rss() < 256 << 20
    assert (pair.target.metric("pgbraid_mirror_spilled_total") > 0) == spills
    pair.mirror.resume()
    pair.settle()
    assert missing(pair, "big") == pair.dropped()
    assert spills or pair.dropped() > 0
    assert pair.target.peak_rss() < 256 << 20


# -- clients that wait (async_mirrors = false) ---------------------------------------------------


@pytest.mark.parametrize("spills", [False, True])
def test_a_client_waits_while_its_mirror_has_no_room_and_nothing_is_dropped(spills, own_mirror,
                                                                            tmp_path):
    flags = ["--spill-dir", str(tmp_path / "spill"), "--spill-max", "1m"] if spills else []
    pair = own_mirror(flags=["--async-mirrors=false", *LITTLE, *flags])
    raw = pair.session()
    assert pair.ask(raw, "CREATE TABLE big(a text)") == [""]
    pair.finish(raw)
    pair.mirror.pause()
    script = tmp_path / "inserts.sql"
    script.write_text("".join(f"INSERT INTO big VALUES ('{number}{'x' * 10_000}');\n"
                              for number in range(400)))
    load = subprocess.Popen(
        [postgres.program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(script),
         *pair.target.address(pair.database)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    full = "pgbraid_mirror_spill_units" if spills else "pgbraid_mirror_queued_units"
    pair.target.wait_for(full, 2)
    assert load.poll() is None
    pair.mirror.resume()
    assert load.wait(timeout=processes.DEADLINE * 4) == 0, load.stderr.read()
    pair.check_equal()
    assert pair.dropped() == 0
    assert pair.on_mirror("SELECT count(*) FROM big") == [(400,)]
    assert pair.target.metric("pgbraid_session_mirror_wait_seconds_count") > 0


def test_clients_that_wait_for_a_mirror_are_drained_also_one_that_has_left(own_mirror):
    pair = own_mirror(flags=["--async-mirrors=false", *LITTLE])
    raw = pair.session()
    assert pair.ask(raw, "CREATE TABLE big(a text)") == [""]
    pair.finish(raw)
    pair.mirror.pause()
    held = []
    for _ in range(2):
        session = pair.session()
        for _ in range(6):
            session.send(wire.one_shot("INSERT INTO big VALUES ($1)", [b"x" * 10_000]), wire.SYNC)
        held.append(session)
    pair.target.wait_for("pgbraid_mirror_queued_units", 5)
    held[0].reset()
    pair.target.stop()
    # What waited has not reached the primary either.
    assert 5 <= pair.on_primary("SELECT count(*) FROM big")[0][0] < 12
