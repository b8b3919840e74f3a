"""Delivery: what became of a transaction is known though its answer was lost; what passes is tried
again, what cannot be reached is waited for."""

import threading

import pytest

from conftest import ONE_IO
from harness import processes, wire
from harness.threads import together

pytestmark = [pytest.mark.proxy_only, ONE_IO]

RETRIES = "pgbraid_mirror_retries_total"
FOUND = "pgbraid_mirror_found_applied_total"
DELIVERED = "pgbraid_mirror_delivered_total"
BREAKERS = "pgbraid_mirror_open_breakers"
LANES = ("FROM pg_stat_activity WHERE backend_type = 'client backend' AND "
         "pid <> pg_backend_pid() AND application_name <> ''")
PATIENT = ["--mirror-retries", "1000", "--retry-delay", "10ms"]


def count_up(pair, clients=8, rounds=150):
    """Each client adds one to rows of its own and to a shared one, alone and in transactions."""
    for side in (pair.on_primary, pair.on_mirror):
        side(f"INSERT INTO n SELECT i, 0 FROM generate_series(0, {clients}) i")

    def one(name):
        raw = pair.session(application_name="counter")
        own = f"UPDATE n SET a = a + 1 WHERE id = {name}"
        shared = "UPDATE n SET a = a + 1 WHERE id = 0"
        for step in range(rounds):
            text = own if step % 3 else f"BEGIN; {own}; {shared}; COMMIT"
            assert wire.first_error(raw.ask(text)) == {}

    return lambda: together(lambda name=name: one(name) for name in range(1, clients + 1))


@pytest.mark.parametrize("order", ["causal", "session"])
def test_killed_backends_leave_nothing_out_and_nothing_twice(order, own_mirror):
    pair = own_mirror(flags=["--mirror-order", order, *PATIENT])
    over = []

    def kill():
        while not (over and pair.settled()):
            done = pair.target.metric(DELIVERED)
            processes.wait_until(lambda: pair.target.metric(DELIVERED) >= done + 30 or over,
                                 "transactions between two blows")
            pair.mirror.sql(f"SELECT pg_terminate_backend(pid) {LANES}")
            if over:
                return

    def work():
        try:
            count_up(pair, rounds=600)()
        finally:
            over.append(True)

    together([work, kill])
    pair.check_equal()
    assert pair.dropped() == 0, pair.counters()
    assert pair.target.metric(FOUND) + pair.target.metric(RETRIES) > 0


def test_crashes_of_the_mirror_leave_nothing_out_and_nothing_twice(own_mirror):
    pair = own_mirror(flags=PATIENT)
    work = threading.Thread(target=count_up(pair, rounds=400), daemon=True)
    work.start()
    for _ in range(3):
        done = pair.target.metric(DELIVERED)
        processes.wait_until(lambda: pair.target.metric(DELIVERED) >= done + 50,
                             "transactions between two crashes")
        pair.mirror.kill()
        pair.mirror.start()
    work.join()
    assert pair.on_primary("SELECT sum(a) FROM n WHERE id > 0") == [(8 * 400,)]
    pair.check_equal()
    assert pair.dropped() == 0, pair.counters()


def test_mirror_that_forbids_markers_is_told_and_unknown_stays_unknown(own_mirror):
    pair = own_mirror(user="plain", prepare="CREATE USER plain")
    pair.on_mirror("GRANT ALL ON ALL TABLES IN SCHEMA public TO plain")
    raw = pair.session()
    pair.ask(raw, "INSERT INTO t VALUES (1, 'a')")
    pair.check_equal(raw)
    assert "mirror.no_marker" in pair.target.log_text()
    assert pair.on_mirror("SELECT count(*) FROM pg_namespace WHERE nspname = 'pgbraid'") == [(0,)]


def test_markers_can_be_switched_off(own_mirror):
    pair = own_mirror(flags=["--mirror-marker=false"])
    raw = pair.session()
    pair.ask(raw, "INSERT INTO t VALUES (1, 'a')")
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT count(*) FROM pg_namespace WHERE nspname = 'pgbraid'") == [(0,)]


def test_marker_of_a_closed_connection_is_gone(pair):
    raw = pair.session()
    pair.ask(raw, "SET search_path = public, pg_catalog", "INSERT INTO t VALUES (1, 'a')")
    pair.finish(raw)
    rows = "SELECT count(*) FROM pgbraid.mirror_marker"
    before = pair.on_mirror(rows)[0][0]
    assert before >= 1
    raw.__exit__()  # its settings were its own, so its connection goes with it
    processes.wait_until(lambda: pair.on_mirror(rows)[0][0] < before, "the marker to be deleted")


ALONE = {
    "index concurrently": "CREATE INDEX CONCURRENTLY i ON t (v)",
    "reindex concurrently": "REINDEX TABLE CONCURRENTLY t",
    "discard": "DISCARD ALL",
    "procedure that commits": "CALL steps()",
    "block that commits": "DO $$BEGIN INSERT INTO t VALUES (7, 'x'); COMMIT; END$$",
    "comment at the end": "INSERT INTO t VALUES (8, 'x') -- ; not the end",
    "semicolons": "INSERT INTO t VALUES (9, ';');;",
}


@pytest.mark.parametrize("statement", ALONE)
def test_statements_that_refuse_company_are_applied(statement, pair):
    raw = pair.session()
    pair.ask(raw, "CREATE PROCEDURE steps() LANGUAGE plpgsql AS $$BEGIN INSERT INTO t VALUES "
                  "(5, 'x'); COMMIT; INSERT INTO t VALUES (6, 'y'); END$$")
    assert pair.ask(raw, ALONE[statement]) == [""]
    assert pair.ask(raw, "INSERT INTO t VALUES (10, 'z')") == [""]
    pair.check_equal(raw)
    assert pair.target.metric("pgbraid_mirror_refused_total") == 0
    indexes = "SELECT count(*) FROM pg_indexes WHERE tablename = 't'"
    assert pair.on_mirror(indexes) == pair.on_primary(indexes)


@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_marks_do_not_need_the_sessions_rights(protocol, pair):
    raw = pair.session()
    pair.ask(raw, "CREATE ROLE nobody_much", "GRANT INSERT ON t, done TO nobody_much",
             "SET ROLE nobody_much", "SET search_path = pg_catalog")
    if protocol == "simple":
        assert pair.ask(raw, "INSERT INTO public.t VALUES (1, 'a')") == [""]
    else:
        raw.send(wire.parse("INSERT INTO public.t VALUES (1, 'a')") + wire.bind() +
                 wire.execute() + wire.SYNC)
        assert wire.first_error(raw.read_turn()) == {}
    pair.check_equal(raw)
    pair.ask(raw, "RESET ROLE", "DROP OWNED BY nobody_much", "DROP ROLE nobody_much")
    pair.finish(raw)
    assert pair.target.metric("pgbraid_mirror_refused_total") == 0


def test_mirror_whose_markers_were_dropped_gets_them_again(pair):
    raw = pair.session()
    pair.ask(raw, "INSERT INTO t VALUES (1, 'a')")
    pair.finish(raw)
    pair.on_mirror("DROP SCHEMA pgbraid CASCADE")
    pair.ask(raw, "INSERT INTO t VALUES (2, 'a')", "BEGIN", "INSERT INTO t VALUES (3, 'a')",
             "COMMIT")
    pair.check_equal(raw)
    assert pair.target.metric("pgbraid_mirror_refused_total") == 0
    assert pair.dropped() == 0


def test_open_breaker_is_seen_and_closes(own_mirror):
    pair = own_mirror()
    raw = pair.session()
    pair.mirror.kill()
    for number in range(5):
        pair.ask(raw, f"INSERT INTO t VALUES ({number}, 'a')")
    pair.target.wait_for(BREAKERS, 1)
    pair.mirror.start()
    pair.check_equal(raw)
    assert pair.target.metric(BREAKERS) == 0


# -- what a connection that was given up still runs ------------------------------------------------


@pytest.mark.parametrize("marker", ["true", "false"])
def test_statement_that_took_too_long_does_not_run_on(marker, own_mirror):
    """Else it would keep its locks, and who is tried next would wait for them."""
    pair = own_mirror(flags=["--mirror-timeout", "1s", f"--mirror-marker={marker}",
                             "--mirror-retries", "0"])
    raw = pair.session()
    pair.finish(raw)
    rival = pair.mirror.connect(pair.database)
    rival.autocommit = False
    rival.cursor().execute("LOCK TABLE public.t")
    waiting = ("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "
               "query LIKE '%slow%'")
    pair.ask(raw, "INSERT INTO t VALUES (1, 'slow')")
    processes.wait_until(lambda: pair.on_mirror(waiting) == [(1,)], "the statement to wait")
    pair.settle()
    processes.wait_until(lambda: pair.on_mirror(waiting) == [(0,)], "the statement to be stopped")
    rival.close()
    pair.ask(raw, "INSERT INTO t VALUES (2, 'then')")
    pair.finish(raw)
    assert pair.on_mirror("SELECT id FROM t") == [(2,)]


# -- lines that operators of other mirrors look for ------------------------------------------------


def test_lines_of_connections_and_losses(own_mirror):
    pair = own_mirror(flags=["--mirror-queue-bytes", "64k", "--mirror-transaction-bytes", "64k",
                             "--mirror-retries", "1", "--retry-delay", "10ms"])
    raw = pair.session()
    pair.ask(raw, "INSERT INTO t VALUES (1, 'a')")
    pair.finish(raw)
    pair.target.log_contains("mirror.connections")
    line = [line for line in pair.target.log_text().splitlines() if "mirror.connections" in line][0]
    assert all(field in line for field in ("acquired_conns", "idle_conns", "total_conns")), line
    pair.ask(raw, f"INSERT INTO t VALUES (2, '{'x' * 100_000}')")
    pair.target.log_contains("Transaction buffer overflow")
    pair.on_mirror("CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE "
                   "EXCEPTION 'again' USING ERRCODE = '40001'; END$$; CREATE TRIGGER fails BEFORE "
                   "INSERT ON n FOR EACH ROW EXECUTE FUNCTION fails()")
    pair.ask(raw, "INSERT INTO n VALUES (1)")
    pair.target.log_contains("Mirror operation failed after all retries")
    pair.mirror.stop()
    pair.ask(raw, "INSERT INTO t VALUES (3, 'c')")
    pair.target.log_contains("Failed to acquire connection from pool")


def test_lines_of_handshakes_that_fail(server, database, papers, tls_server, new_target):
    """The mirror's, whose authority is a stranger, and a client's that says nonsense."""
    mirror = tls_server()
    target = new_target(server, [
        *papers.flags, "--mirror", mirror.url(user="postgres")
        + f"?sslmode=verify-ca&sslrootcert={papers.stranger.file}"])
    with target.login(database) as raw:
        raw.ask("CREATE TABLE a(b int)")
        target.log_contains("connection from pool: TLS handshake failed")
    raw = target.wire().send(wire.request_code(wire.SSL_REQUEST))
    assert raw.read(1) == b"S"
    raw.send(b"this is no handshake at all").expect_closed()
    target.log_contains("message=\"TLS handshake failed\"")
