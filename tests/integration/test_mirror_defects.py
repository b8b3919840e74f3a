"""Defects of frenzy and frenzypg, each by name, and rows K3, K6 and K8 of the catalogue.

Those that X01 to X18 name are in test_mirror.py and test_mirror_seed.py; tests/README.md has the
table. Waits are for counters, never for a time.
"""

import pytest

from conftest import ONE_IO
from harness import proxy, wire
from harness.processes import wait_until

pytestmark = [pytest.mark.proxy_only, ONE_IO]


def refused(pair):
    return pair.target.metric("pgbraid_mirror_refused_total")


def waiting(server, pair, kind="Lock"):
    """Backends of the pair's database that wait for something."""
    return server.sql("SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event_type = "
                      "%s", args=(pair.database, kind))


def hold(pair, text):
    """A transaction of the mirror's own that holds what `text` locks; close() lets go."""
    rival = pair.mirror.connect(pair.database)
    rival.autocommit = False
    rival.cursor().execute(text)
    return rival


# -- frenzy --------------------------------------------------------------------------------------


def test_frenzy_transactions_of_two_clients_do_not_mix(pair):
    kept, undone = pair.session(), pair.session()
    pair.ask(kept, "BEGIN", "INSERT INTO t VALUES (1, 'kept')")
    pair.ask(undone, "BEGIN", "INSERT INTO t VALUES (2, 'undone')")
    pair.ask(kept, "INSERT INTO t VALUES (3, 'kept')", "COMMIT")
    pair.ask(undone, "INSERT INTO t VALUES (4, 'undone')", "ROLLBACK")
    pair.finish(undone)
    pair.check_equal(kept)
    assert pair.on_mirror("SELECT id FROM t ORDER BY 1") == [(1,), (3,)]


def test_frenzy_tags_and_errors_are_the_primarys(pair):
    raw = pair.session()
    tags = [body for text in ("INSERT INTO t VALUES (1, ''), (2, '')", "UPDATE t SET v = 'x'",
                              "DELETE FROM t WHERE id = 1", "TRUNCATE t", "BEGIN", "ROLLBACK")
            for kind, body in raw.ask(text) if kind == "C"]
    assert tags == [b"INSERT 0 2\0", b"UPDATE 2\0", b"DELETE 1\0", b"TRUNCATE TABLE\0", b"BEGIN\0",
                    b"ROLLBACK\0"]
    pair.ask(raw, "INSERT INTO t VALUES (1, '')")
    error = wire.first_error(raw.ask("INSERT INTO t VALUES (1, '')"))
    assert error["C"] == "23505" and error["n"] == "t_pkey" and error["D"]
    pair.check_equal(raw)


def test_frenzy_client_does_not_wait_for_a_mirror(pair):
    raw = pair.session()
    rival = hold(pair, "LOCK TABLE t")
    assert pair.ask(raw, *(f"INSERT INTO t VALUES ({number}, '')" for number in range(50))
                    ) == [""] * 50
    wait_until(lambda: waiting(pair.mirror, pair), "the mirror to stand still")
    assert pair.target.metric("pgbraid_mirror_delivered_total") == 0
    rival.close()
    pair.check_equal(raw)


def test_frenzy_mirror_that_is_down_at_start_is_found_under_its_own_address(pair, own_mirror,
                                                                           new_target):
    """Two mirrors, the first of them down: the second's work must not go to the first's place."""
    pair.on_primary("DROP TABLE t, done, n")
    first = own_mirror().mirror
    first.stop()
    pair.target = new_target(pair.primary, [
        "--mirror", first.url(user="postgres") + "?name=first",
        "--mirror", pair.mirror.url(user="postgres") + "?name=second"])
    raw = pair.session()
    pair.ask(raw, "INSERT INTO t VALUES (1, '')")
    pair.finish(raw)
    assert pair.target.metric("pgbraid_mirror_delivered_total", mirror="second") == 2
    assert pair.target.metric("pgbraid_mirror_delivered_total", mirror="first") == 0
    first.start()
    pair.target.wait_for("pgbraid_mirror_delivered_total", 2, mirror="first")
    assert first.checksums(pair.database) == pair.primary.checksums(pair.database)
    assert pair.dropped() == 0


# -- frenzypg ------------------------------------------------------------------------------------


def test_frenzypg_transactions_of_one_session_do_not_overtake(pair):
    raw = pair.session()
    pair.ask(raw, "INSERT INTO t VALUES (0, '')")
    for number in range(100):
        pair.ask(raw, "BEGIN", f"UPDATE t SET v = md5(v || '{number}')",
                 f"INSERT INTO n VALUES ({number}, 0, (SELECT v FROM t))", "COMMIT")
    pair.check_equal(raw)
    assert pair.dropped() == 0


def test_frenzypg_statements_that_its_filter_took_for_reads_are_mirrored(pair):
    raw = pair.session()
    said = pair.ask(
        raw, "WITH x AS (INSERT INTO t VALUES (1, 'cte') RETURNING id) SELECT * FROM x",
        "WITH x AS (UPDATE t SET v = 'changed' RETURNING id) SELECT count(*) FROM x",
        "WITH x AS (DELETE FROM t WHERE id = 99 RETURNING id) SELECT count(*) FROM x",
        "PREPARE q AS INSERT INTO t VALUES (2, 'executed')", "EXECUTE q",
        "CREATE MATERIALIZED VIEW mv AS SELECT * FROM t", "DELETE FROM t WHERE id = 1",
        "REFRESH MATERIALIZED VIEW mv", "CREATE TABLE copied AS TABLE mv",
        "GRANT SELECT ON t TO pg_monitor", "COMMENT ON TABLE t IS 'said'",
        "BEGIN", "LOCK TABLE t", "INSERT INTO t VALUES (3, 'locked')", "COMMIT",
        "CREATE SEQUENCE q1", "SELECT setval('q1', 7)",
        "INSERT INTO t VALUES (nextval('q1'), 'next')")
    assert said == [""] * len(said)
    pair.check_equal(raw)
    for text in ("SELECT relacl::text FROM pg_class WHERE relname = 't'", "TABLE copied",
                 "SELECT obj_description('t'::regclass)", "SELECT last_value FROM q1"):
        assert pair.on_mirror(text) == pair.on_primary(text), text
    assert refused(pair) == 0


def at_most_once(pair, rows):
    """Nobody knows, so it was left: counted, not tried again; or it is known and stands once."""
    pair.settle()
    assert (rows, pair.unknown()) in ((0, 1), (1, 0), (1, 1)), pair.counters()


def test_frenzypg_what_was_cut_off_in_the_middle_is_not_applied_twice(pair):
    raw = pair.session()
    pair.ask(raw, "INSERT INTO t VALUES (1, '')")
    pair.finish(raw)
    rival = hold(pair, "LOCK TABLE t")
    pair.ask(raw, "BEGIN", "INSERT INTO n VALUES (1, 1, 'x')", "UPDATE t SET v = 'x'", "COMMIT")
    blocked = wait_until(lambda: waiting(pair.mirror, pair), "the transaction to wait")
    pair.mirror.sql(f"SELECT pg_terminate_backend({blocked[0][0]}, 10000)")
    rival.close()
    pair.finish(raw)
    at_most_once(pair, pair.on_mirror("SELECT count(*) FROM n")[0][0])


def test_frenzypg_a_commit_of_unknown_outcome_is_not_applied_twice(pair):
    """The connection ends while the mirror is in its COMMIT: in a trigger that comes only then."""
    raw = pair.session()
    pair.ask(raw, "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM "
             "pg_advisory_xact_lock_shared(77); RETURN NULL; END'",
             "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON n DEFERRABLE INITIALLY DEFERRED FOR "
             "EACH ROW EXECUTE FUNCTION late()")
    pair.finish(raw)
    rival = hold(pair, "SELECT pg_advisory_xact_lock(77)")
    pair.ask(raw, "BEGIN", "INSERT INTO n VALUES (1, 1, 'x')", "UPDATE t SET v = 'x'", "COMMIT")
    blocked = wait_until(lambda: waiting(pair.mirror, pair), "the COMMIT to wait")
    assert pair.mirror.value(f"SELECT query FROM pg_stat_activity WHERE pid = {blocked[0][0]}"
                             ) == "COMMIT"
    pair.mirror.sql(f"SELECT pg_terminate_backend({blocked[0][0]}, 10000)")
    rival.close()
    pair.finish(raw)
    at_most_once(pair, pair.on_mirror("SELECT count(*) FROM n")[0][0])


def test_frenzypg_whether_to_try_again_is_not_read_from_the_error_text(pair):
    pair.on_mirror("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION "
                   "''connection reset by peer: timeout, deadlock detected''; END'; "
                   "CREATE TRIGGER f BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()")
    raw = pair.session()
    pair.ask(raw, "INSERT INTO t VALUES (1, '')")
    pair.finish(raw)
    assert refused(pair) == 1 and pair.target.metric("pgbraid_mirror_retries_total") == 0
    assert "sqlstate=P0001" in pair.target.log_text()


def test_frenzypg_failures_of_the_mirror_are_seen_at_the_default_level(pair):
    pair.on_mirror("INSERT INTO t VALUES (1, 'mirror only')")
    raw = pair.session()
    pair.ask(raw, "INSERT INTO t VALUES (1, '')")
    pair.finish(raw)
    line = next(line for line in pair.target.log_text().splitlines() if "mirror.refused" in line)
    assert "level=warn" in line and "sqlstate=23505" in line


def test_frenzypg_large_transactions_are_not_thinned_out(pair):
    """12 MiB, above its 10: all of it arrives, in one transaction."""
    raw = pair.session()
    pair.ask(raw, "BEGIN")
    for number in range(1200):
        turn = raw.send(wire.one_shot(f"INSERT INTO t VALUES ({number}, $1)", [b"x" * 10_000]),
                        wire.SYNC).read_turn()
        assert not wire.first_error(turn)
    pair.ask(raw, "COMMIT")
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT count(*), count(DISTINCT xmin::text) FROM t") == [(1200, 1)]


# -- rows K3, K6, K8 -----------------------------------------------------------------------------


def test_k3_nothing_is_sent_before_the_primary_has_committed(pair):
    raw = pair.session()
    pair.ask(raw, "BEGIN", "INSERT INTO t VALUES (1, '')", "SAVEPOINT s",
             "INSERT INTO t VALUES (2, '')")
    pair.finish(pair.session())
    assert pair.target.metric("pgbraid_mirror_offered_total") == 1  # the other session's marker
    pair.ask(raw, "ROLLBACK TO s", "ROLLBACK")
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT * FROM t") == []


def test_k6_sequences_follow_but_for_what_was_undone(pair):
    raw = pair.session()
    pair.ask(raw, "CREATE SEQUENCE s", "SELECT nextval('s')", "SELECT setval('s', 10)",
             "SELECT nextval('s') FROM generate_series(1, 3)")
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT last_value FROM s") == [(13,)]
    pair.ask(raw, "BEGIN", "SELECT nextval('s')", "ROLLBACK")  # the primary's alone
    pair.check_equal(raw)
    assert (pair.on_primary("SELECT last_value FROM s"), pair.on_mirror("SELECT last_value FROM s")
            ) == ([(14,)], [(13,)])


def test_k6_large_objects_of_a_chosen_number_are_mirrored(pair):
    raw = pair.session()
    assert pair.ask(raw, "SELECT lo_create(4711)", "SELECT lo_put(4711, 0, 'abc')", "BEGIN",
                    "SELECT lowrite(lo_open(4711, 131072), 'xy')", "COMMIT") == [""] * 5
    pair.check_equal(raw)
    for server in (pair.on_primary, pair.on_mirror):
        assert bytes(server("SELECT lo_get(4711)")[0][0]) == b"xyc"
    pair.ask(raw, "SELECT lo_unlink(4711)")
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT count(*) FROM pg_largeobject_metadata") == [(0,)]
    assert refused(pair) == 0


def test_k6_function_calls_of_the_protocol_are_counted_as_dropped(pair):
    raw = pair.session()
    turn = raw.send(wire.function_call(715, [(4712).to_bytes(4, "big")])).read_turn()  # lo_create
    assert wire.kinds(turn) == "VZ"
    pair.finish(raw)
    pair.settle()
    dropped = pair.target.metric("pgbraid_mirror_dropped_total", cause="function_call")
    assert dropped == pair.dropped() == 1
    assert pair.on_mirror("SELECT count(*) FROM pg_largeobject_metadata") == [(0,)]


LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"


def locks(pair):
    text = (LOCKS + " AND database = (SELECT oid FROM pg_database WHERE datname = "
            f"'{pair.database}')")
    return [server(text)[0][0] for server in (pair.on_primary, pair.on_mirror)]


def test_k6_advisory_locks_of_sessions_are_mirrored_and_freed(pair):
    raw = pair.session()
    pair.ask(raw, "SELECT pg_advisory_lock(1)", "SELECT pg_advisory_lock(2)",
             "SELECT pg_advisory_unlock(1)", "BEGIN", "SELECT pg_advisory_xact_lock(3)",
             "INSERT INTO t VALUES (1, '')", "COMMIT")
    pair.finish(raw)
    assert locks(pair) == [1, 1]
    raw.shut()
    wait_until(lambda: locks(pair) == [0, 0], "both servers to have freed the session's locks")
    assert refused(pair) == 0 and pair.dropped() == 0


def test_k8_a_cancelled_statement_leaves_nothing_and_the_lane_goes_on(pair):
    outside = pair.primary.connect(pair.database)
    outside.cursor().execute("SELECT pg_advisory_lock(5)")
    raw = pair.session()
    raw.send(wire.query("INSERT INTO t SELECT 1, pg_advisory_xact_lock(5)::text"))
    wait_until(lambda: waiting(pair.primary, pair, "Lock"), "the statement to wait for the lock")
    pair.target.wire().send(wire.cancel_request(raw.pid, raw.secret)).expect_end_of_stream()
    assert wire.first_error(raw.read_turn())["C"] == "57014"
    pair.ask(raw, "BEGIN", "INSERT INTO t VALUES (2, '')")
    raw.send(wire.query("UPDATE t SET v = pg_advisory_xact_lock(5)::text"))
    wait_until(lambda: waiting(pair.primary, pair, "Lock"), "the second one to wait for it")
    pair.target.wire().send(wire.cancel_request(raw.pid, raw.secret)).expect_end_of_stream()
    assert wire.first_error(raw.read_turn())["C"] == "57014"
    pair.ask(raw, "COMMIT", "INSERT INTO t VALUES (3, '')")
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT id FROM t") == [(3,)] and pair.dropped() == 0
    outside.close()


@pytest.mark.parametrize("leave", ["shut", "reset"])
@pytest.mark.parametrize("explicit", [False, True], ids=["alone", "in a transaction"])
def test_k8_a_client_that_dies_in_its_copy_leaves_nothing(leave, explicit, pair):
    raw = pair.session()
    if explicit:
        pair.ask(raw, "BEGIN", "INSERT INTO t VALUES (7, '')")
    raw.send(wire.query("COPY t FROM STDIN"), wire.copy_data(b"1\ta\n"))
    assert raw.read_frame()[0] == "G"
    raw.send(wire.copy_data(b"2\tb\n") * 1000)
    getattr(raw, leave)()
    wait_until(lambda: pair.primary.backend_count(pair.database) == 0, "the backend to be gone")
    pair.check_equal(pair.session())
    assert pair.on_mirror("SELECT * FROM t") == []
    wait_until(lambda: pair.target.metric("pgbraid_mirror_queued_bytes") == 0, "no bytes kept")


def test_k8_copy_into_a_stopped_mirror_is_held_within_its_bound_and_let_go(own_mirror):
    pair = own_mirror(flags=["--mirror-queue-bytes", "32m"])
    raw = pair.session()
    pair.ask(raw, "CREATE TABLE big(a text)")
    pair.finish(raw)
    pair.mirror.pause()
    for _ in range(40):
        raw.send(wire.query("COPY big FROM STDIN"), wire.copy_data(b"x" * 9999 + b"\n") * 500,
                 wire.COPY_DONE)
        assert wire.kinds(raw.read_turn()) == "GCZ"
        assert pair.target.metric("pgbraid_mirror_queued_bytes") <= 32 << 20
    assert pair.target.peak_rss() < proxy.MEMORY_MAX + (64 << 20)
    dropped = pair.target.metric("pgbraid_mirror_dropped_total", cause="over_budget")
    assert dropped == pair.dropped() > 0
    pair.mirror.resume()
    pair.settle()
    assert pair.on_mirror("SELECT count(*) FROM big") == [(500 * (40 - dropped),)]
    wait_until(lambda: pair.target.metric("pgbraid_mirror_queued_bytes") == 0, "no bytes kept")
