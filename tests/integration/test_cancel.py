"""G1-G12: a cancel reaches the query it was meant for, or nothing (PR3), and costs little.

Three ways to serve a client: its login passes through to the server; pgbraid lends it a connection
for its life (session) or for a transaction. Rows that are stated on the wire run on all of them.
"""

import os
import struct
import threading

import pytest

from conftest import FULL, ONE_IO
from harness import server as servers
from harness import logins, wire
from harness.locks import RowLock
from harness.processes import wait_until

pytestmark = [pytest.mark.proxy_only, ONE_IO]

V3_2 = 0x00030002
WAYS = ["through", "session", "transaction"]
POOLED = ["session", "transaction"]
FORWARDED = "pgbraid_backend_cancels_forwarded_total"
UNKNOWN = "pgbraid_backend_cancels_unknown_total"
SHED = "pgbraid_backend_cancels_shed_total"
IN_FLIGHT = "pgbraid_backend_cancels_in_flight"
WAITING = "pgbraid_backend_pool_waiting"


@pytest.fixture
def front(enter, server):
    """front(way, size=1, *flags, port=the server's, ...): see enter()."""
    return lambda way, size=1, *flags, port=None, **more: enter(way, port or server.port, size,
                                                                *flags, **more)


@pytest.fixture
def row_lock(server, database):
    lock = RowLock(server, database)
    yield lock
    lock.let_go()


UPDATE = wire.query("UPDATE t SET x = x + 1")


def cancel(target, of, pid=None, secret=None):
    """A cancel request on its way: its connection."""
    return target.wire().send(wire.cancel_request(of.pid if pid is None else pid,
                                                  of.secret if secret is None else secret))


def is_over(connection):
    """True exactly when the other side has closed, now."""
    connection.socket.setblocking(False)
    try:
        return connection.socket.recv(1) == b""
    except BlockingIOError:
        return False


def assert_cancelled(raw):
    turn = raw.read_turn()
    assert wire.first_error(turn).get("C") == "57014", turn
    return turn


# -- G1, G2: never somebody else's, never a later one -------------------------------------------


@pytest.mark.parametrize("way", POOLED)
def test_g2_a_server_is_kept_back_until_the_cancel_has_arrived(way, front, gate, server, database,
                                                               row_lock):
    slow = gate(server)
    target = front(way, port=slow.port)
    owner = target.login(database)
    slow.hold_cancels()
    owner.send(UPDATE)
    row_lock.wait_for()
    canceller = cancel(target, owner)
    wait_until(lambda: slow.cancels == 1, "the cancel to be on its way")
    row_lock.let_go()
    assert wire.kinds(owner.read_turn()) == "CZ"
    owner.send(wire.TERMINATE).expect_closed()
    stranger = target.wire()
    stranger.send(wire.startup(user="postgres", database=database), wire.query("SELECT 'mine'"))
    target.wait_for(WAITING, 1)
    assert not is_over(canceller)
    slow.release_cancels()
    stranger.finish_login()
    assert wire.kinds(stranger.read_turn()) == "TDCZ"
    assert canceller.expect_end_of_stream() == b""
    assert target.metric(FORWARDED) == 1


@pytest.mark.parametrize("way", WAYS)
def test_g2_who_waits_for_the_end_of_a_cancel_is_not_hit_by_it_later(way, front, gate, server,
                                                                     database, row_lock):
    """As with PostgreSQL: its end says that whatever is asked from now on is safe."""
    slow = gate(server)
    target = front(way, port=slow.port)
    raw = target.login(database)
    raw.ask("BEGIN")
    slow.hold_cancels()
    raw.send(UPDATE)
    row_lock.wait_for()
    canceller = cancel(target, raw)
    wait_until(lambda: slow.cancels == 1, "the cancel to be on its way")
    row_lock.let_go()
    assert wire.kinds(raw.read_turn()) == "CZ"
    assert not is_over(canceller)
    slow.release_cancels()
    assert canceller.expect_end_of_stream() == b""
    assert raw.rows("SELECT count(*) FROM generate_series(1, 100000)") == [["100000"]]


def test_g1_raced_cancels_never_hit_the_next_who_gets_the_connection(front, database):
    """Two who cancel themselves while their queries end, and two who do not, on one connection."""
    target = front("transaction")
    rounds = 5000 if FULL else 300
    hits, faults = [], []

    def race():
        raw = target.login(database)
        for _ in range(rounds):
            raw.send(wire.query("SELECT pg_sleep(0.001)"))
            canceller = cancel(target, raw)
            error = wire.first_error(raw.read_turn())
            assert error.get("C", "57014") == "57014", error
            hits.append(bool(error))
            canceller.shut()

    def guard(action):
        try:
            action()
        except BaseException as fault:  # noqa: BLE001 - shown by the test
            faults.append(fault)

    racers = [threading.Thread(target=guard, args=(race,)) for _ in range(2)]
    strangers = [target.login(database) for _ in range(2)]
    for racer in racers:
        racer.start()
    while any(racer.is_alive() for racer in racers):
        for stranger in strangers:
            stranger.send(wire.query("SELECT pg_sleep(0.001)"))
        for stranger in strangers:
            assert wire.kinds(stranger.read_turn()) == "TDCZ"
    assert not faults
    assert any(hits)


# -- G3, G10: keys ------------------------------------------------------------------------------


def guess(target, pid, secret):
    """One cancel request whose end is awaited; no port is left in TIME_WAIT."""
    one = cancel(target, None, pid, secret)
    assert one.expect_end_of_stream() == b""
    one.reset()


@pytest.mark.parametrize("way", WAYS)
def test_g3_guessed_keys_hit_nobody_and_cost_the_server_nothing(way, front, server, database,
                                                                row_lock):
    target = front(way)
    left = target.login(database)
    left.send(wire.TERMINATE).expect_closed()
    raw = target.login(database).send(UPDATE)
    row_lock.wait_for()
    count = 1_000_000 if FULL else 600
    connects = target.metric("pgbraid_backend_connects_total")
    own = int.from_bytes(raw.secret, "big")
    began = server.value("SELECT extract(epoch FROM pg_postmaster_start_time())::bigint")
    for number in range(count // 6):
        for pid, secret in ((raw.pid, number.to_bytes(4, "big")),             # counted
                            (raw.pid, (own ^ (1 << number % 32)).to_bytes(4, "big")),  # one bit
                            (raw.pid, (began + number).to_bytes(4, "big")),   # from the time
                            (raw.pid, os.urandom(4)),
                            (left.pid, left.secret),                          # used before
                            (raw.pid + 1 + number, raw.secret)):
            guess(target, pid & 0xFFFFFFFF, secret)
    assert target.metric(UNKNOWN) == count // 6 * 6
    assert target.metric(FORWARDED) == 0
    assert target.metric("pgbraid_backend_connects_total") == connects
    row_lock.let_go()
    assert wire.kinds(raw.read_turn()) == "CZ"


@pytest.mark.parametrize("way", WAYS)
def test_g3_secrets_are_random_in_every_bit(way, front, database):
    target = front(way, 64)
    always, never = 0xFFFFFFFF, 0
    seen = set()
    for _ in range(64):
        with target.login(database) as raw:
            assert len(raw.secret) == 4
            secret = int.from_bytes(raw.secret, "big")
            seen.add(secret)
            always, never = always & secret, never | secret
    assert (always, never, len(seen)) == (0, 0xFFFFFFFF, 64)


@pytest.mark.parametrize("way", WAYS)
def test_g3_protocol_3_2_has_keys_of_32_bytes(way, front, server18):
    user = logins.user("trust")
    target = front(way, port=server18.port, user=user)
    with target.wire() as raw:
        raw.login(V3_2, user=user, database="postgres")
        assert len(raw.secret) == 32
        raw.send(wire.query("SELECT pg_sleep(600)"))
        wait_until(lambda: server18.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = "
                                        "'PgSleep'"), "the query to run")
        guess(target, raw.pid, raw.secret[:4])
        guess(target, raw.pid, raw.secret[:31] + bytes([raw.secret[31] ^ 1]))
        assert target.metric(UNKNOWN) == 2
        assert cancel(target, raw).expect_end_of_stream() == b""
        assert_cancelled(raw)
        assert raw.rows("SELECT 1") == [["1"]]


def test_g10_keys_of_those_who_left_match_nobody(front, database, row_lock):
    target = front("transaction", 2)
    busy = target.login(database).send(UPDATE)
    row_lock.wait_for()
    count = 20_000 if FULL else 200
    for _ in range(count):
        raw = target.login(database)
        raw.send(wire.TERMINATE).expect_closed()
        raw.shut()
        guess(target, raw.pid, raw.secret)
    assert target.metric(UNKNOWN) == count
    row_lock.let_go()
    assert wire.kinds(busy.read_turn()) == "CZ"


# -- G4, G5: nothing runs -----------------------------------------------------------------------


@pytest.mark.parametrize("asked,answer", [
    (wire.query("INSERT INTO t VALUES (4)"), "EZ"),
    (wire.one_shot("INSERT INTO t VALUES (4)") + wire.SYNC, "EZ"),
    (wire.query("INSERT INTO t VALUES (4)") + wire.query("SELECT 1"), "EZ"),
    (wire.one_shot("INSERT INTO t VALUES (4)") * 2 + wire.SYNC + wire.query("SELECT 1"), "EZ"),
])
def test_g4_a_cancel_of_who_waits_for_a_connection_is_answered(asked, answer, front, server,
                                                                 database):
    server.sql("CREATE TABLE t (x int)", database)
    target = front("transaction")
    holder, raw = target.login(database), target.login(database)
    holder.ask("BEGIN")
    raw.send(asked)
    target.wait_for(WAITING, 1)
    assert cancel(target, raw).expect_end_of_stream() == b""
    turn = raw.read_turn()
    while wire.kinds(turn)[:1] in "12":  # a Parse may have been answered before
        turn = turn[1:]
    assert wire.kinds(turn) == answer
    assert wire.first_error(turn)["C"] == "57014" and wire.status(turn) == "I"
    queued = 1 if wire.query("SELECT 1") in asked else 0
    wait_until(lambda: target.metric(WAITING) == queued, "the queue to be what it should be")
    holder.ask("COMMIT")
    if queued:
        assert wire.kinds(raw.read_turn()) == "TDCZ"
    assert raw.rows("SELECT count(*) FROM t") == [["0"]]
    assert target.metric(FORWARDED) == 0


@pytest.mark.parametrize("way", WAYS)
def test_g5_a_cancel_of_an_idle_client_sends_it_nothing(way, front, database):
    target = front(way)
    raw = target.login(database)
    for begin in ("SELECT 1", "BEGIN"):
        raw.ask(begin)
        for _ in range(20):
            assert cancel(target, raw).expect_end_of_stream() == b""
        raw.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            raw.socket.recv(1)
        assert wire.kinds(raw.ask("SELECT 1")) == "TDCZ"
    if way != "through":  # a server that runs nothing ignores a cancel: there it is passed on
        assert target.metric(FORWARDED) == 0


# -- G6, G7: floods, and servers that do not close ----------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_g6_a_flood_of_cancels_is_bounded(way, front, gate, server, database, row_lock):
    slow = gate(server)
    target = front(way, port=slow.port)
    raw = target.login(database)
    slow.hold_cancels()
    raw.send(UPDATE)
    row_lock.wait_for()
    count = 5000 if FULL else 800
    flood = [cancel(target, raw) for _ in range(count)]
    target.wait_for("pgbraid_session_cancels_total", count)
    assert target.http("/livez")[0] == 200
    with target.login("postgres", user="postgres") if way != "session" else target.wire():
        pass  # others log in
    # In two shards: 64 at once where each is passed on; one, and one behind it, where it is ours.
    assert slow.cancels <= (128 if way == "through" else 1)
    assert target.metric(IN_FLIGHT) == slow.cancels > 0
    assert target.metric(SHED) >= count - 130
    slow.release_cancels()
    for one in flood:
        assert one.expect_end_of_stream() == b""
        one.shut()
    assert_cancelled(raw)
    wait_until(lambda: target.metric(IN_FLIGHT) == 0, "no cancel to be under way")
    assert target.metric(FORWARDED) + target.metric(SHED) <= count + 1
    assert slow.cancels == target.metric(FORWARDED)
    assert raw.rows("SELECT 1") == [["1"]]


def never_done(connection):
    """Answers everything but SELECT 2, and that one never."""
    connection.send(servers.greeting())
    while True:
        kind, body = connection.read_frame()
        if kind == "X":
            return
        if kind == "Q" and b"SELECT 2" not in body:
            connection.send(servers.select_one())


@pytest.mark.parametrize("way", WAYS)
def test_g7_a_server_that_never_closes_a_cancel_frees_its_place(way, front, scripted):
    evil = scripted(None, never_done)
    evil.cancels_end.clear()
    target = front(way, 1, "--cancel-timeout", "300ms", port=evil.port,
                   options="?sslmode=disable")
    raw = target.login("postgres")
    raw.send(wire.query("SELECT 2"))
    for _ in range(3):
        assert cancel(target, raw).expect_end_of_stream() == b""
    assert evil.cancels == target.metric(FORWARDED) == 3
    wait_until(lambda: target.metric(IN_FLIGHT) == 0, "the places to be free")
    target.log_contains("cancel_failed")
    raw.reset()
    # It may still arrive: nobody else gets that connection.
    logins = evil.logins
    with target.login("postgres") as other:
        assert other.rows("SELECT 1") == [["1"]]
    assert evil.logins == logins + 1


# -- G8: shards and proxies ---------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_g8_a_cancel_that_lands_on_any_shard_finds_its_query(way, front, database, row_lock):
    """The kernel deals connections out at random: that none of 4 shards gets one of 40 cancels
    happens once in 25,000 runs."""
    target = front(way, 2, shards=4)
    raw = target.login(database)
    for _ in range(40):
        raw.send(UPDATE)
        row_lock.wait_for()
        assert cancel(target, raw).expect_end_of_stream() == b""
        assert_cancelled(raw)
    assert raw.rows("SELECT 1") == [["1"]]


@pytest.mark.parametrize("outer", WAYS)
@pytest.mark.parametrize("inner", WAYS)
def test_g8_a_cancel_goes_through_two_proxies(inner, outer, front, database, row_lock):
    first = front(inner, 2)
    second = front(outer, 2, port=first.port)
    raw = second.login(database)
    raw.send(UPDATE)
    row_lock.wait_for()
    assert cancel(second, raw).expect_end_of_stream() == b""
    assert_cancelled(raw)
    assert raw.rows("SELECT 1") == [["1"]]


# -- G9: phases ---------------------------------------------------------------------------------


def test_g9_while_a_client_logs_in_there_is_no_key(front, database):
    """It waits for a connection to greet it with; a guess of its key finds nothing."""
    target = front("session")
    holder = target.login(database)
    newcomer = target.wire().send(wire.startup(user="postgres", database=database))
    target.wait_for(WAITING, 1)
    guess(target, holder.pid + 1, holder.secret)
    assert target.metric(UNKNOWN) == 1
    holder.send(wire.TERMINATE).expect_closed()
    newcomer.finish_login()
    assert newcomer.rows("SELECT 1") == [["1"]]


@pytest.mark.parametrize("asked", [wire.query("INSERT INTO t VALUES (9)"),
                                   wire.one_shot("INSERT INTO t VALUES (9)") + wire.SYNC])
def test_g9_while_the_settings_are_brought_the_query_is_what_ends(asked, front, gate, server,
                                                                  database):
    server.sql("CREATE TABLE t (x int)", database)
    slow = gate(server)
    target = front("transaction", port=slow.port, shards=1)
    other = target.login(database, application_name="other")
    raw = target.login(database, application_name="mine")
    assert other.rows("SHOW application_name") == [["other"]]
    sent = slow.bytes_up
    slow.black_hole()
    raw.send(asked)
    wait_until(lambda: target.metric("pgbraid_backend_pool_free") == 0, "it to get the connection")
    for _ in range(3):
        assert cancel(target, raw).expect_end_of_stream() == b""
    while (frame := raw.read_frame())[0] == "1":
        pass
    assert frame[0] == "E" and wire.fields_of(frame[1])["C"] == "57014"
    assert raw.read_frame() == ("Z", b"I")
    assert slow.bytes_up == sent
    slow.heal()
    assert raw.rows("SHOW application_name") == [["mine"]]
    assert other.rows("SELECT count(*), current_setting('application_name') FROM t") == [
        ["0", "other"]]
    assert target.metric(FORWARDED) == 0


def test_g9_a_cancel_that_hits_the_reading_of_settings_loses_none(front, scripted):
    """It was meant for a SET that had just succeeded; what was set is then asked for again."""
    reads = []

    def script(connection):
        connection.send(servers.greeting())
        while True:
            kind, body = connection.read_frame()
            if kind == "X":
                return
            if kind != "Q":
                continue
            if body.startswith(b"SET "):
                wait_until(lambda: peer.cancels > 0, "the cancel")
                connection.send(servers.complete("SET") + servers.ready())
            elif b"work_mem" in body and b"SELECT 1" not in body:
                reads.append(body)
                if len(reads) == 1:
                    connection.send(wire.frame("E", b"SERROR\0VERROR\0C57014\0Mcanceling\0\0")
                                    + servers.ready())
                else:
                    connection.send(servers.row_description("work_mem") + servers.row(b"5MB")
                                    + servers.complete("SELECT 1") + servers.ready())
            else:
                connection.send(servers.select_one())

    peer = scripted(None, script)
    target = front("transaction", port=peer.port, options="?sslmode=disable")
    raw = target.login("postgres")
    raw.send(wire.query("SET work_mem = '5MB'"))
    cancelling = threading.Thread(target=lambda: wait_until(
        lambda: cancel(target, raw).expect_end_of_stream() == b"" and peer.cancels,
        "a cancel to be passed on"))
    cancelling.start()
    assert wire.kinds(raw.read_turn()) == "CZ"
    cancelling.join()
    wait_until(lambda: len(reads) == 2, "the settings to be read again")
    assert wire.kinds(raw.ask("SELECT 1")) == "TDCZ"
    assert target.metric("pgbraid_backend_pool_cleaned_total") == 0


@pytest.mark.parametrize("way", WAYS)
def test_g9_copy_in_both_directions_is_cancelled(way, front, server, database):
    server.sql("CREATE TABLE c (x text)", database)
    target = front(way)
    raw = target.login(database)
    raw.send(wire.query("COPY c FROM STDIN"))
    assert raw.read_frame()[0] == "G"
    raw.send(wire.copy_data(b"half\n"))
    assert cancel(target, raw).expect_end_of_stream() == b""
    raw.send(wire.copy_data(b"late\n"))  # PostgreSQL looks for cancels when it has read something
    assert_cancelled(raw)
    raw.send(wire.copy_data(b"later\n"), wire.COPY_DONE)  # what was under way is ignored
    assert raw.rows("SELECT count(*) FROM c") == [["0"]]
    raw.send(wire.query("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 3000000)) "
                        "TO STDOUT"))
    assert raw.read_frame()[0] == "H"
    canceller = cancel(target, raw)
    assert_cancelled(raw)
    assert canceller.expect_end_of_stream() == b""
    assert raw.rows("SELECT 1") == [["1"]]


@pytest.mark.parametrize("way", POOLED)
def test_g9_the_reset_query_is_nobodys_to_cancel(way, front, server, database):
    """Who left its connection to be cleaned has no key any more."""
    target = front(way, 1, "--reset-query", "DO $$ BEGIN PERFORM pg_advisory_xact_lock(7); END $$")
    holder = server.connect(database)
    holder.cursor().execute("SELECT pg_advisory_lock(7)")
    raw = target.login(database)
    raw.ask("CREATE TEMP TABLE mine (x int)")
    raw.send(wire.TERMINATE).expect_closed()
    wait_until(lambda: server.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory' "
                                  "AND datname = %s", args=(database,)), "the reset query to run")
    guess(target, raw.pid, raw.secret)
    assert target.metric(UNKNOWN) == 1 and target.metric(FORWARDED) == 0
    holder.close()
    with target.login(database) as other:
        assert other.rows("SELECT 1") == [["1"]]
        assert target.metric("pgbraid_backend_pool_cleaned_total") == 1
        assert target.metric("pgbraid_backend_pool_discarded_total") == 0


# -- G11, G12, TLS ------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_g11_a_negative_pid_and_a_secret_with_its_high_bit_set(way, front, scripted):
    key = (0xFFFFFFFE, b"\xff\x80\x00\xfe")

    def script(connection):
        connection.send(servers.greeting(*key))
        while connection.read_frame()[0] != "Q":
            pass
        wait_until(lambda: peer.cancels, "the cancel")
        connection.send(servers.select_one())
        connection.read_frame()

    peer = scripted(None, script)
    target = front(way, port=peer.port, options="?sslmode=disable")
    raw = target.login("postgres")
    if way == "through":
        assert raw.pid == key[0]
    raw.send(wire.query("SELECT 1"))
    wait_until(lambda: cancel(target, raw).expect_end_of_stream() == b"" and peer.cancels,
               "a cancel to be passed on")
    assert wire.kinds(raw.read_turn()) == "TDCZ"
    assert peer.cancel_keys == [key]


@pytest.mark.parametrize("way", WAYS)
def test_g12_a_cancel_needs_no_place_of_its_own(way, front, database, row_lock):
    """The pool is full and so is pgbraid; and the others that wait are none the worse for it."""
    clients = 2
    target = front(way, 1, "--max-clients", str(clients))
    raw = target.login(database)
    others = [target.wire() for _ in range(clients - 1)]
    wait_until(lambda: target.metric("pgbraid_session_clients") == clients, "it to be full")
    raw.send(UPDATE)
    row_lock.wait_for()
    one_too_many = target.wire().send(wire.startup(user="postgres", database=database))
    assert one_too_many.expect_closed()["C"] == "53300"
    assert cancel(target, raw).expect_end_of_stream() == b""
    assert_cancelled(raw)
    for other in others:
        other.shut()


@pytest.mark.parametrize("way", POOLED)
def test_a_cancel_of_a_pooled_connection_is_encrypted_like_it(way, front, gate, tls_server, papers):
    server = tls_server()
    seen = gate(server)
    seen.seen = bytearray()
    target = front(way, port=seen.port,
                   options=f"?sslmode=verify-full&sslrootcert={papers.authority.file}")
    raw = target.login().send(wire.query("SELECT pg_sleep(600)"))
    wait_until(lambda: server.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"),
               "the query to run")
    assert cancel(target, raw).expect_end_of_stream() == b""
    assert_cancelled(raw)
    assert seen.seen.count(wire.request_code(wire.SSL_REQUEST)) == 2
    assert struct.pack("!I", wire.CANCEL_REQUEST) not in seen.seen
    assert b"pg_sleep" not in seen.seen
