"""What a client may have seen committed is on the mirror before what it does next, whichever
session did it; transactions that met on the primary commit on the mirror in the same order.

Values are strings to which every writer adds its name: any other order leaves another string.
"""

import json
import random

import pytest

from conftest import FULL, ONE_IO
from harness import processes, wire
from harness.threads import together

pytestmark = [pytest.mark.proxy_only, ONE_IO]

CLIENTS = 32
HANDOVERS = 1500
RUNS = 100 if FULL else 3
REORDERED = "pgbraid_mirror_reordered_total"


@pytest.fixture
def ordered(server, shared_mirror, database, new_target, pair):
    """ordered(order, *flags): the pair behind a proxy of its own."""
    def make(order, *flags):
        pair.target = new_target(server, ["--mirror", shared_mirror.url(user="postgres"),
                                          "--mirror-order", order, *flags])
        pair.on_primary("TRUNCATE t")
        pair.on_mirror("TRUNCATE t")
        return pair

    return make


def hand_over(pair, seed):
    """A token goes from client to client; who has it changes a row, some in a transaction."""
    raws = [pair.session() for _ in range(CLIENTS)]
    chance = random.Random(seed)
    for number in range(8):
        assert pair.ask(raws[0], f"INSERT INTO t VALUES ({number}, '')") == [""]
    for step in range(HANDOVERS):
        raw, row = chance.choice(raws), chance.randrange(8)
        change = f"UPDATE t SET v = right(v || '{step % 10}', 500) WHERE id = {row}"
        if chance.random() < 0.3:
            change = f"BEGIN; {change}; UPDATE t SET v = v || '.' WHERE id = {7 - row}; COMMIT"
        assert wire.first_error(raw.ask(change)) == {}
    for raw in raws:
        pair.finish(raw)


def tables(pair):
    pair.settle()
    text = "SELECT id, v FROM t ORDER BY id"
    return pair.on_primary(text), pair.on_mirror(text)


def test_handed_over_chains_are_equal(ordered):
    pair = ordered("causal")
    for seed in range(RUNS):
        hand_over(pair, seed)
        primary, mirror = tables(pair)
        assert mirror == primary, f"seed {seed}"
        for side in (pair.on_primary, pair.on_mirror):
            side("TRUNCATE t")


def test_the_chains_tell_when_only_sessions_are_in_order(ordered):
    """Without it the test above would prove nothing."""
    pair = ordered("session")
    # Nobody keeps them from meeting there in another order.
    pair.on_mirror(f"ALTER DATABASE {pair.database} SET deadlock_timeout = '10ms'")
    for seed in range(20):
        hand_over(pair, seed)
        primary, mirror = tables(pair)
        if mirror != primary:
            return
        for side in (pair.on_primary, pair.on_mirror):
            side("TRUNCATE t")
    pytest.fail("sessions in any order leave equal rows")


def meet(pair, rows, clients, rounds):
    """Transactions that wait for each other's rows on the primary, of two to four statements."""
    for number in range(rows):
        pair.on_primary(f"INSERT INTO t VALUES ({number}, '')")
        pair.on_mirror(f"INSERT INTO t VALUES ({number}, '')")

    def one(name):
        raw = pair.session()
        chance = random.Random(name)
        for step in range(rounds):
            picked = sorted(chance.sample(range(rows), chance.randint(1, min(3, rows))))
            texts = [f"UPDATE t SET v = right(v || '{chr(97 + name)}', 2000) WHERE id = {row}"
                     for row in picked]
            if chance.random() < 0.2:
                texts.insert(0, f"SELECT * FROM t WHERE id = {picked[0]} FOR UPDATE")
            assert set(pair.ask(raw, "BEGIN", *texts, "COMMIT")) == {""}, step
        pair.finish(raw)

    together(lambda name=name: one(name) for name in range(clients))


def test_transactions_that_met_commit_in_the_same_order(ordered):
    pair = ordered("causal")
    meet(pair, rows=4, clients=8, rounds=150)
    primary, mirror = tables(pair)
    assert mirror == primary
    assert pair.target.metric("pgbraid_mirror_different_total") == 0
    assert pair.target.metric("pgbraid_mirror_dropped_total") == 0


def test_more_sessions_than_connections(ordered):
    """Nobody shuts out whom all others wait for."""
    pair = ordered("causal", "--mirror-max-conns", "2")
    meet(pair, rows=3, clients=8, rounds=60)
    primary, mirror = tables(pair)
    assert mirror == primary
    assert pair.target.metric("pgbraid_mirror_dropped_total") == 0


def test_one_that_holds_what_an_earlier_one_needs_lets_go(ordered):
    """Two that met nowhere on the primary meet on the mirror, by an index that only it has: the
    later one is there first, and waits to commit behind the earlier one, which waits for it."""
    pair = ordered("causal")
    pair.on_mirror("CREATE UNIQUE INDEX ON n (a)")
    slow, quick = pair.session(), pair.session()
    with pair.mirror.connect(pair.database) as holder:
        holder.autocommit = False
        cursor = holder.cursor()
        cursor.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        # Its first statement waits on the mirror, with the place before the other one's.
        pair.ask(slow, "BEGIN", "INSERT INTO t VALUES (1, '')", "INSERT INTO n VALUES (1, 1, 's')")
        pair.ask(quick, "BEGIN", "INSERT INTO n VALUES (2, 1, 'q')")
        pair.ask(slow, "COMMIT")
        pair.ask(quick, "COMMIT")
        pair.target.wait_for(REORDERED, 1)  # the quick one was there, and has let go
        holder.rollback()
    pair.settle()
    assert pair.on_mirror("SELECT id FROM n") == [(1,)]  # the other one is refused, as it must be
    assert pair.target.metric("pgbraid_mirror_refused_total") == 1


CHANGE = "UPDATE t SET v = v || '{}' WHERE id = {}"


def named(pair):
    """The gap ledger's tables, with the cause of each."""
    status, text = pair.target.http("/v1/mirrors")
    assert status == 200
    return {gap["table"]: gap["cause"] for gap in json.loads(text)[0]["gaps"]}


def waiting(server, database, count):
    """Waits until so many of the database's sessions wait for a lock."""
    processes.wait_until(lambda: server.value(
        "SELECT count(*) >= %s FROM pg_stat_activity WHERE datname = %s AND wait_event_type = "
        "'Lock'", args=(count, database)), f"{count} sessions to wait for locks")


def test_one_that_waits_for_what_was_prepared_lets_go_of_what_an_earlier_one_needs(ordered):
    """The later one has on the mirror what the earlier one waits for, and waits for a transaction
    whose COMMIT PREPARED goes behind the earlier one."""
    pair = ordered("causal")
    for side in (pair.on_primary, pair.on_mirror):
        side("INSERT INTO t SELECT i, '' FROM generate_series(1, 3) i")
    prepares, earlier, later = (pair.session() for _ in range(3))
    pair.ask(prepares, "BEGIN", CHANGE.format("p", 2), f"PREPARE TRANSACTION '{pair.database}'")
    pair.settle()
    with pair.mirror.connect(pair.database) as holder:
        holder.autocommit = False
        holder.cursor().execute("SELECT * FROM t WHERE id = 3 FOR UPDATE")
        pair.ask(earlier, "BEGIN", CHANGE.format("e", 3), CHANGE.format("e", 1))
        # Its texts do not tell which rows it changes.
        later.send(wire.query(";".join(CHANGE.format("l", f"{row} + 0") for row in (1, 2))))
        waiting(pair.primary, pair.database, 1)
        pair.ask(earlier, "COMMIT")
        assert pair.ask(prepares, f"COMMIT PREPARED '{pair.database}'") == [""]
        assert not wire.first_error(later.read_turn())
        waiting(pair.mirror, pair.database, 2)  # the earlier one for us, the later one for it
        holder.rollback()
    processes.wait_until(pair.settled, "the mirror to go on", 20)
    primary, mirror = tables(pair)
    assert mirror == primary == [(1, "el"), (2, "pl"), (3, "e")]
    assert pair.dropped() == 0 and pair.target.metric("pgbraid_mirror_refused_total") == 0


@pytest.mark.parametrize("end, refused", [("COMMIT", 1), ("ROLLBACK", 0)])
def test_what_was_prepared_ends_before_one_that_waits_for_it(end, refused, ordered):
    """The two met nowhere on the primary; on the mirror they do, by an index that only it has."""
    pair = ordered("causal")
    pair.on_mirror("CREATE UNIQUE INDEX ON n (a)")
    prepares, single = pair.session(), pair.session()
    pair.ask(prepares, "BEGIN", "INSERT INTO n VALUES (2, 1, 'p')",
             f"PREPARE TRANSACTION '{pair.database}'")
    pair.settle()
    assert pair.ask(single, "INSERT INTO n VALUES (1, 1, 's')") == [""]
    assert pair.ask(prepares, f"{end} PREPARED '{pair.database}'") == [""]
    processes.wait_until(pair.settled, "the mirror to go on", 20)
    assert pair.on_mirror("SELECT id FROM n") == [(2,) if refused else (1,)]
    assert pair.target.metric("pgbraid_mirror_refused_total") == refused
    assert named(pair) == {"n": "refused" if refused else "order_unknown"}


def test_index_that_is_built_concurrently_does_not_wait_for_who_waits_for_it(ordered):
    """It ends when the statements beside it have: one of them waits for a transaction whose COMMIT
    PREPARED goes behind the index."""
    pair = ordered("causal")
    for side in (pair.on_primary, pair.on_mirror):
        side("INSERT INTO t VALUES (2, '')")
    prepares, indexes, later = (pair.session() for _ in range(3))
    with (pair.primary.connect(pair.database) as reader,
          pair.mirror.connect(pair.database) as holder):
        reader.set_session(isolation_level="REPEATABLE READ", autocommit=False)
        reader.cursor().execute("SELECT * FROM t")
        holder.autocommit = False
        holder.cursor().execute("LOCK TABLE n IN SHARE UPDATE EXCLUSIVE MODE")
        indexes.send(wire.query("CREATE INDEX CONCURRENTLY ON n (b)"))
        waiting(pair.primary, pair.database, 1)  # for the reader, and no more for who comes now
        pair.ask(prepares, "BEGIN", CHANGE.format("p", 2), f"PREPARE TRANSACTION '{pair.database}'")
        later.send(wire.query(CHANGE.format("l", 2)))
        waiting(pair.primary, pair.database, 2)
        reader.rollback()
        assert not wire.first_error(indexes.read_turn())
        assert pair.ask(prepares, f"COMMIT PREPARED '{pair.database}'") == [""]
        assert not wire.first_error(later.read_turn())
        waiting(pair.mirror, pair.database, 2)  # the index for us, the later one for the prepared
        holder.rollback()
    processes.wait_until(pair.settled, "the mirror to go on", 20)
    primary, mirror = tables(pair)
    assert mirror == primary == [(2, "pl")]
    assert pair.dropped() == 0 and pair.target.metric("pgbraid_mirror_refused_total") == 0
    assert pair.on_mirror("SELECT indisvalid FROM pg_index WHERE indrelid = 'n'::regclass") == [
        (True,)]


def test_what_overlapped_outside_of_transactions_is_named(ordered):
    """Nobody can tell which of two such statements wrote first; of other rows nobody asks."""
    pair = ordered("causal")
    for side in (pair.on_primary, pair.on_mirror):
        side("INSERT INTO t VALUES (1, '')")
        side("INSERT INTO n SELECT i, 0, '' FROM generate_series(1, 8) i")

    def one(name):
        raw = pair.session()
        for _ in range(150):
            shared = f"UPDATE t SET v = right(v || '{name}', 500) WHERE id = 1"
            own = f"UPDATE n SET a = a + 1 WHERE id = {name}"
            assert pair.ask(raw, shared, own) == ["", ""]
        pair.finish(raw)

    together(lambda name=name: one(name) for name in range(1, 9))
    pair.settle()
    assert named(pair) == {"t": "order_unknown"}
    everything = "SELECT id, a, b FROM n ORDER BY 1"
    assert pair.on_mirror(everything) == pair.on_primary(everything)
