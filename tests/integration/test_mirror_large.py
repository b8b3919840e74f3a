"""Large transactions: what an open one holds beyond its share of memory waits on the disk, and all
of it arrives, in its order and with nothing that was rolled back.
"""

import json

import pytest

from conftest import FULL
from harness import wire
from harness.processes import wait_until

pytestmark = [pytest.mark.proxy_only, pytest.mark.one_io]

LITTLE = ["--mirror-queue-bytes", "256k", "--mirror-transaction-bytes", "128k",
          "--mirror-transaction-statements", "50"]
ROWS = 20_000 if FULL else 3000


@pytest.fixture
def large(own_mirror, tmp_path):
    """Makes a pair whose open transactions have little memory."""
    def make(*flags, memory=LITTLE, folder=None):
        folder = folder or str(tmp_path / "spill")
        pair = own_mirror(flags=["--spill-dir", folder, *memory, *flags])
        pair.raw = pair.session()
        assert pair.ask(pair.raw, "CREATE TABLE big(id int PRIMARY KEY, a text)") == [""]
        pair.finish(pair.raw)
        return pair

    return make


def overflowed(pair, what="transactions"):
    return pair.target.metric(f"pgbraid_mirror_overflow_{what}_total")


def ask(pair, *statements):
    assert pair.ask(pair.raw, *statements) == [""] * len(statements)


def insert(pair, numbers):
    for number in numbers:
        ask(pair, f"INSERT INTO big VALUES ({number}, '{'x' * 100}')")


def copy(raw, rows, size=1000, end=wire.COPY_DONE):
    """What the COPY of `rows` is answered."""
    raw.send(wire.query("COPY big FROM STDIN"))
    batch = []
    for row in rows:
        batch.append(b"%d\t%s\n" % (row, b"y" * size))
        if len(batch) == 50:
            raw.send(wire.copy_data(b"".join(batch)))
            batch = []
    raw.send(wire.copy_data(b"".join(batch)), end)
    return wire.first_error(raw.read_turn())


def gaps(pair):
    (mirror,) = json.loads(pair.target.http("/v1/mirrors")[1])
    return {(gap["table"], gap["cause"]) for gap in mirror["gaps"]}


def test_many_statements_arrive_and_what_was_rolled_back_does_not(large):
    pair = large()
    ask(pair, "BEGIN")
    insert(pair, range(ROWS))
    ask(pair, "SAVEPOINT a")
    insert(pair, range(ROWS, ROWS + 200))
    ask(pair, "SAVEPOINT b", f"DELETE FROM big WHERE id < {ROWS // 2}")
    insert(pair, range(ROWS + 200, ROWS + 400))
    ask(pair, "ROLLBACK TO b")
    insert(pair, range(ROWS + 200, ROWS + 300))
    ask(pair, "RELEASE b", "UPDATE big SET a = 'new' WHERE id % 7 = 0", "SAVEPOINT c")
    insert(pair, range(ROWS + 300, ROWS + 500))
    ask(pair, "ROLLBACK TO a")
    insert(pair, range(2 * ROWS, 2 * ROWS + 150))
    ask(pair, "COMMIT")
    assert overflowed(pair) == 1
    pair.check_equal(pair.raw)
    assert pair.on_mirror("SELECT count(*) FROM big") == [(ROWS + 150,)]
    assert pair.dropped() == 0
    assert "Transaction buffer overflow" in pair.target.log_text()


def test_a_savepoint_for_each_statement_as_psql_sets_them(large):
    pair = large()
    ask(pair, "BEGIN")
    for number in range(1000):
        ask(pair, "SAVEPOINT s", f"INSERT INTO big VALUES ({number}, '{'z' * 200}')")
        if number % 10 == 9:
            ask(pair, "ROLLBACK TO s")
        ask(pair, "RELEASE s")
    ask(pair, "COMMIT")
    assert overflowed(pair) == 1
    pair.check_equal(pair.raw)
    assert pair.on_mirror("SELECT count(*) FROM big") == [(900,)]


def test_a_large_transaction_that_is_rolled_back_leaves_nothing(large):
    pair = large()
    ask(pair, "BEGIN")
    insert(pair, range(500))
    ask(pair, "ROLLBACK")
    assert overflowed(pair) == 1
    insert(pair, range(10))
    pair.check_equal(pair.raw)
    assert pair.on_mirror("SELECT count(*) FROM big") == [(10,)]


def test_prepared_statements_in_a_pipeline_arrive_in_binary(large):
    pair = large()
    pair.raw.send(wire.parse("INSERT INTO big VALUES ($1, $2)", "s"), wire.SYNC).read_turn()
    pair.raw.send(wire.query("BEGIN")).read_turn()
    for first in range(0, 2000, 100):
        frames = [wire.bind([number.to_bytes(4, "big"), b"v" * 300], name="s", formats=[1, 0])
                  + wire.execute() for number in range(first, first + 100)]
        assert wire.first_error(pair.raw.send(b"".join(frames), wire.SYNC).read_turn()) == {}
    ask(pair, "SET LOCAL work_mem = '8MB'", "UPDATE big SET a = 'last' WHERE id = 7", "COMMIT")
    assert overflowed(pair) == 1
    pair.check_equal(pair.raw)
    assert pair.dropped() == 0


@pytest.mark.parametrize("block", [False, True])
def test_copy_of_more_than_memory_has_room_for(large, block):
    pair = large()
    if block:
        ask(pair, "BEGIN", "INSERT INTO big VALUES (-1, 'before')")
    pair.mirror.pause()
    assert copy(pair.raw, range(5 * ROWS)) == {}
    if block:
        ask(pair, "INSERT INTO big VALUES (-2, 'after')", "COMMIT")
    assert overflowed(pair) == 1
    assert overflowed(pair, "bytes") > 5 * ROWS * 1000
    assert pair.target.rss() == 0 or pair.target.rss() < 128 << 20
    pair.mirror.resume()
    pair.check_equal(pair.raw)
    assert pair.dropped() == 0


def test_copy_that_fails_in_the_end_leaves_nothing(large):
    pair = large()
    assert copy(pair.raw, range(ROWS), end=wire.copy_fail())["C"] == "57014"
    assert copy(pair.raw, [*range(ROWS), 5])["C"] == "23505"
    insert(pair, range(3))
    pair.check_equal(pair.raw)
    assert pair.on_mirror("SELECT count(*) FROM big") == [(3,)]
    assert pair.dropped() == 0


def test_it_is_sent_again_when_the_mirror_loses_the_connection(large):
    """A lock on the mirror holds it until its backend is killed; it waits with some of it sent."""
    pair = large()
    holder = pair.mirror.connect(pair.database)
    with holder.cursor() as cursor:
        cursor.execute("BEGIN; INSERT INTO big VALUES (400, 'here')")
        ask(pair, "BEGIN")
        insert(pair, range(1000))
        ask(pair, "COMMIT")
        waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
        wait_until(lambda: pair.mirror.sql(waits, args=(pair.database,)), "it to wait")
        ((pid,),) = pair.mirror.sql(waits, args=(pair.database,))
        pair.mirror.sql(f"SELECT pg_terminate_backend({pid})")
        wait_until(lambda: pair.target.metric("pgbraid_mirror_retries_total") > 0, "the next try")
        cursor.execute("ROLLBACK")
    holder.close()
    pair.check_equal(pair.raw)
    assert pair.dropped() == 0


def test_what_the_mirror_refuses_is_refused_whole_and_named(large):
    pair = large()
    pair.mirror.sql("INSERT INTO big VALUES (700, 'mirror')", database=pair.database)
    ask(pair, "BEGIN")
    insert(pair, range(1000))
    ask(pair, "COMMIT")
    wait_until(lambda: pair.target.metric("pgbraid_mirror_refused_total") == 1, "its refusal")
    assert pair.on_mirror("SELECT id FROM big") == [(700,)]
    assert ("big", "refused") in gaps(pair)
    insert(pair, [5000])
    wait_until(lambda: pair.on_mirror("SELECT count(*) FROM big") == [(2,)], "what came behind")


def test_behind_what_was_spilled_it_keeps_its_place(large):
    """The mirror stands: small ones go to the spill, a large one behind them, small ones again."""
    pair = large(memory=["--mirror-queue-bytes", "64k", "--mirror-transaction-bytes", "64k"])
    pair.mirror.pause()
    for number in range(300):
        ask(pair, f"INSERT INTO big VALUES ({number}, '{'a' * 300}')")
    pair.target.wait_for("pgbraid_mirror_spilled_total", 100)
    ask(pair, "BEGIN", "UPDATE big SET a = 'b'")
    insert(pair, range(1000, 2200))
    ask(pair, "COMMIT", "UPDATE big SET a = a || 'c'")
    for number in range(3000, 3300):
        ask(pair, f"INSERT INTO big VALUES ({number}, '{'d' * 300}')")
    assert overflowed(pair) == 1
    pair.mirror.resume()
    pair.check_equal(pair.raw)
    assert pair.dropped() == 0


def test_prepare_transaction(large):
    pair = large()
    ask(pair, "BEGIN")
    insert(pair, range(500))
    ask(pair, "PREPARE TRANSACTION 'large'", "COMMIT PREPARED 'large'")
    assert overflowed(pair) == 1
    pair.check_equal(pair.raw)
    assert pair.on_mirror("SELECT count(*) FROM big") == [(500,)]


def test_one_that_is_old_gives_up_its_memory(large):
    pair = large("--mirror-transaction-age", "1ms", "--mirror-transaction-sweep", "10ms",
                 memory=[])
    ask(pair, "BEGIN")
    insert(pair, range(10))
    wait_until(lambda: overflowed(pair) == 1, "the sweep")
    assert "Cleaned up expired transaction buffers" in pair.target.log_text()
    insert(pair, range(10, 20))
    ask(pair, "COMMIT")
    pair.check_equal(pair.raw)
    assert pair.on_mirror("SELECT count(*) FROM big") == [(20,)]


def test_what_may_be_needed_again_stays_and_works(large):
    """Settings, cursors, temporary tables, prepared statements between what goes to the disk."""
    pair = large()
    insert(pair, range(20))
    ask(pair, "BEGIN", "CREATE TEMP TABLE helper(id int) ON COMMIT PRESERVE ROWS",
        "SET LOCAL datestyle = 'German'",
        "DECLARE c CURSOR FOR SELECT * FROM big WHERE id < 20 ORDER BY id FOR UPDATE")
    insert(pair, range(100, 300))
    pair.raw.send(wire.query("FETCH 5 FROM c")).read_turn()
    ask(pair, "UPDATE big SET a = 'fetched' WHERE CURRENT OF c",
        "INSERT INTO helper SELECT id FROM big")
    insert(pair, range(300, 500))
    ask(pair, "PREPARE p AS INSERT INTO big VALUES ($1, '2.1.2001'::date::text)")
    for number in range(600, 800):
        ask(pair, f"EXECUTE p({number})")
    ask(pair, "COMMIT", "INSERT INTO big SELECT id + 1000, 'helped' FROM helper",
        "EXECUTE p(5000)")
    assert overflowed(pair) == 1
    pair.check_equal(pair.raw)
    assert pair.dropped() == 0


def test_what_the_disk_has_no_room_for_is_lost_whole_and_named(large, small_disk):
    pair = large(folder=small_disk(8))
    assert copy(pair.raw, range(20_000)) == {}
    insert(pair, range(30_000, 30_010))
    wait_until(lambda: pair.on_mirror("SELECT count(*) FROM big") == [(10,)], "what came behind")
    assert pair.dropped() == 1
    assert ("big", "spill_lost") in gaps(pair)
    assert "mirror.spill_failed" in pair.target.log_text()
    assert copy(pair.raw, range(40_000, 41_000)) == {}  # the disk has room again
    wait_until(lambda: pair.on_mirror("SELECT count(*) FROM big") == [(1010,)], "the next one")


def test_several_mirrors_read_one_file(own_mirror, new_server, tmp_path):
    other = new_server()
    pair = own_mirror(flags=["--mirror", other.url(user="postgres"), "--spill-dir",
                             str(tmp_path / "spill"), *LITTLE])
    pair.raw = pair.session()
    other.sql(f"CREATE DATABASE {pair.database}")
    ask(pair, "CREATE TABLE big(id int PRIMARY KEY, a text)", "BEGIN")
    insert(pair, range(1000))
    ask(pair, "COMMIT")
    pair.check_equal(pair.raw)
    count = "SELECT count(*), sum(id) FROM big"
    wait_until(lambda: other.sql(count, database=pair.database)
               == pair.on_primary(count), "the other mirror")
