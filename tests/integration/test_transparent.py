"""A client cannot tell pgbraid from PostgreSQL: conversations, tools, big data, lost servers.

The raw conversations are held twice, with what is under test and directly with PostgreSQL, and
must give the same frames; the expected types are written down as well, so that the test also
means something when it runs directly against PostgreSQL.
"""

import hashlib
import os
import re
import signal
import struct
import subprocess
import threading

import psycopg2
import pytest

from conftest import FULL
from harness import postgres, processes, proxy, wire
from harness.processes import wait_until

MIB = 1 << 20

# name: (what the client sends in one piece, the types it gets back)
CONVERSATIONS = {
    "simple": (wire.query("SELECT 1"), "TDCZ"),
    "several statements": (wire.query("SELECT 1; SELECT 2"), "TDCTDCZ"),
    "several statements, error in the middle": (
        wire.query("SELECT 1; SELECT 1/0; SELECT 2"), "TDCEZ"),
    "empty query": (wire.query(""), "IZ"),
    "syntax error": (wire.query("SELEC 1"), "EZ"),
    "notice": (wire.query("DO $$BEGIN RAISE NOTICE 'hear me'; END$$"), "NCZ"),
    "parameter status": (wire.query("SET application_name = 'me'"), "CSZ"),
    "transaction": (wire.query("BEGIN") + wire.query("SELECT 1/0") + wire.query("SELECT 1")
                    + wire.query("COMMIT"), "CZEZEZCZ"),
    "extended": (wire.one_shot("SELECT $1::text", ["x"]) + wire.SYNC, "12TDCZ"),
    "extended, binary": (wire.one_shot("SELECT $1::int4", [struct.pack("!i", -5)], formats=[1],
                                       results=[1]) + wire.SYNC, "12TDCZ"),
    "extended, null": (wire.one_shot("SELECT $1::text", [None]) + wire.SYNC, "12TDCZ"),
    "describe a statement": (wire.parse("SELECT $1::int4", "s") + wire.describe("S", "s")
                             + wire.close("S", "s") + wire.SYNC, "1tT3Z"),
    "two turns in one piece": (wire.one_shot("SELECT 1") + wire.SYNC + wire.one_shot("SELECT 2")
                               + wire.SYNC, "12TDCZ12TDCZ"),
    "pipeline, error in the first turn": (
        wire.one_shot("SELECT 1") + wire.one_shot("SELECT 1/0") + wire.one_shot("SELECT 2")
        + wire.SYNC + wire.one_shot("SELECT 3") + wire.SYNC, "12TDC1EZ12TDCZ"),
    "query after an error is swallowed": (
        wire.parse("SELEC") + wire.query("SELECT 1") + wire.SYNC + wire.query("SELECT 2"),
        "EZTDCZ"),
    "query behind an unsynced execute": (
        wire.one_shot("SELECT 1") + wire.query("SELECT 2"), "12TDCTDCZ"),
    "syncs alone": (wire.SYNC * 3, "ZZZ"),
    "portal in two parts": (
        wire.parse("SELECT generate_series(1, 3)") + wire.bind() + wire.execute(rows=2)
        + wire.execute(rows=2) + wire.SYNC, "12DDsDCZ"),
    "close what is not there": (wire.close("S", "nothing") + wire.close("P", "nothing")
                                + wire.SYNC, "33Z"),
    "copy out": (wire.query("COPY (SELECT generate_series(1, 3)) TO STDOUT"), "HdddcCZ"),
    "copy out, extended": (wire.parse("COPY (SELECT 1) TO STDOUT") + wire.bind()
                           + wire.execute() + wire.SYNC, "12HdcCZ"),
    "copy out that fails half-way": (
        wire.query("COPY (SELECT 1/(3-x) FROM generate_series(1, 4) x) TO STDOUT"), "HddEZ"),
    "copy in": (wire.query("CREATE TEMP TABLE c(a int)") + wire.query("COPY c FROM STDIN")
                + wire.copy_data(b"1\n") + wire.copy_data(b"2\n") + wire.COPY_DONE
                + wire.query("SELECT sum(a) FROM c"), "CZGCZTDCZ"),
    "copy in, extended": (
        wire.query("CREATE TEMP TABLE c(a int)") + wire.parse("COPY c FROM STDIN") + wire.bind()
        + wire.execute() + wire.copy_data(b"1\n") + wire.COPY_DONE + wire.SYNC, "CZ12GCZ"),
    "copy in given up by the client": (
        wire.query("CREATE TEMP TABLE c(a int)") + wire.query("COPY c FROM STDIN")
        + wire.copy_data(b"1\n") + wire.copy_fail("changed my mind")
        + wire.query("SELECT count(*) FROM c"), "CZGEZTDCZ"),
    "two copies in one query": (
        wire.query("CREATE TEMP TABLE c(a int)")
        + wire.query("COPY c FROM STDIN; COPY c FROM STDIN; SELECT sum(a) FROM c")
        + wire.copy_data(b"1\n") + wire.COPY_DONE + wire.copy_data(b"2\n") + wire.COPY_DONE,
        "CZGCGCTDCZ"),
    "sync during copy is swallowed": (
        wire.query("CREATE TEMP TABLE c(a int)") + wire.parse("COPY c FROM STDIN") + wire.bind()
        + wire.execute() + wire.SYNC + wire.copy_data(b"1\n") + wire.COPY_DONE + wire.SYNC,
        "CZ12GCZ"),
    "stray copy data": (wire.copy_data(b"1\n") + wire.COPY_DONE + wire.copy_fail()
                        + wire.query("SELECT 1"), "TDCZ"),
    "function call": (wire.function_call(177, [struct.pack("!i", 2), struct.pack("!i", 3)]), "VZ"),
    "function call that fails": (
        wire.function_call(154, [struct.pack("!i", 2), struct.pack("!i", 0)]), "EZ"),
    "function call in a pipeline": (
        wire.function_call(177, [struct.pack("!i", 2), struct.pack("!i", 3)])
        + wire.query("SELECT 1") + wire.function_call(177, [None, None]), "VZTDCZVZ"),
    "implicit transaction, then BEGIN": (
        wire.query("CREATE TEMP TABLE c(a int); INSERT INTO c VALUES (1); BEGIN")
        + wire.query("ROLLBACK") + wire.query("SELECT * FROM c"), "CCCZCZEZ"),
    "deferred constraint fails at sync": (
        wire.query("CREATE TEMP TABLE c(a int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        + wire.parse("INSERT INTO c VALUES (1), (1)") + wire.bind() + wire.execute()
        + wire.SYNC, "CZ12CEZ"),
}


def hold(address, database, sent, types):
    """The frames of the whole conversation; a temporary table's schema has any number."""
    with address.login(database) as raw:
        raw.send(sent)
        frames = []
        for _ in range(types.count("Z")):
            frames += raw.read_turn()
        # Whatever still came would stand before this answer.
        frames += raw.ask("SELECT 'end'")
    return [(kind, re.sub(rb"spg_temp_\d+\0", b"spg_temp\0", body) if kind == "E" else body)
            for kind, body in frames]


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_conversation_is_that_of_a_direct_connection(name, target, server, database):
    sent, types = CONVERSATIONS[name]
    direct = hold(proxy.Direct(server), database, sent, types)
    assert wire.kinds(direct) == types + "TDCZ"
    assert hold(target, database, sent, types) == direct


def test_flush_after_an_error_answers_at_once_and_sync_ends_it(target, database):
    raw = target.login(database)
    raw.send(wire.parse("SELEC"), wire.FLUSH)
    assert raw.read_frame()[0] == "E"
    raw.send(wire.one_shot("SELECT 1"), wire.FLUSH, wire.SYNC)
    assert wire.kinds(raw.read_turn()) == "Z"
    assert raw.rows("SELECT 2") == [["2"]]


def test_flush_delivers_answers_without_sync(target, database):
    raw = target.login(database)
    raw.send(wire.one_shot("SELECT 7"), wire.FLUSH)
    assert wire.kinds(raw.read_until("C")) == "12TDC"
    raw.send(wire.SYNC)
    assert wire.kinds(raw.read_turn()) == "Z"


def test_start_up_reports_the_servers_parameters(target, server, database):
    direct, through = (where.login(database, application_name="me", DateStyle="German")
                       for where in (proxy.Direct(server), target))
    assert through.parameters == direct.parameters
    assert through.parameters["DateStyle"].startswith("German")


def test_key_data_holds_the_real_backend_pid(target, database):
    raw = target.login(database)
    assert raw.rows("SELECT pg_backend_pid()") == [[str(raw.pid)]]


# -- start-up -------------------------------------------------------------------------------


@pytest.mark.proxy_only  # Debian's server itself offers GSS encryption
def test_ssl_and_gss_requests_are_each_answered_n_once(target, database):
    for first, second in ((wire.SSL_REQUEST, wire.GSSENC_REQUEST),
                          (wire.GSSENC_REQUEST, wire.SSL_REQUEST)):
        raw = target.wire()
        assert raw.send(wire.request_code(first)).read(1) == b"N"
        assert raw.send(wire.request_code(second)).read(1) == b"N"
        raw.login(user="postgres", database=database)
        assert raw.rows("SELECT 1") == [["1"]]


@pytest.mark.parametrize("code", [
    wire.SSL_REQUEST, pytest.param(wire.GSSENC_REQUEST, marks=pytest.mark.proxy_only)])
def test_a_second_request_of_the_same_kind_is_refused(code, target):
    raw = target.wire()
    assert raw.send(wire.request_code(code)).read(1) == b"N"
    raw.send(wire.request_code(code))
    assert raw.expect_end_of_stream()[:1] in (b"", b"E")


@pytest.mark.parametrize("version", [0x00030002, 0x0003270F])
def test_newer_minor_versions_are_negotiated_as_the_server_does(version, target, server, database):
    def answer(where):
        raw = where.wire()
        raw.send(wire.startup(version, **{"user": "postgres", "database": database,
                                          "_pq_.unheard_of": "1"}))
        frames = raw.read_until("R")
        raw.finish_login()
        assert raw.rows("SELECT 1") == [["1"]]
        return frames[0]

    kind, body = answer(target)
    assert kind == "v" and body.endswith(b"_pq_.unheard_of\0")
    assert (kind, body) == answer(proxy.Direct(server))


@pytest.mark.parametrize("database_name", ["n" * 63, 'we"ird; $1 --', "ünïcödé 表", " ",
                                           "%20/x?y"])
def test_long_and_odd_names_arrive(database_name, target, server):
    quoted = '"' + database_name.replace('"', '""') + '"'
    server.sql(f"CREATE DATABASE {quoted}")
    try:
        with target.login(database_name) as raw:
            assert raw.rows("SELECT current_database()") == [[database_name]]
    finally:
        server.sql(f"DROP DATABASE {quoted} WITH (FORCE)")


@pytest.mark.parametrize("login", [{"database": "not_there"}, {"user": "nobody_here"},
                                   {"database": "x" * 64}, {"options": "-c nonsense=1"}])
def test_login_errors_are_the_servers_own(login, target, server):
    asked = dict({"user": "postgres", "database": "postgres"}, **login)
    errors = [where.wire().send(wire.startup(**asked)).expect_closed()
              for where in (proxy.Direct(server), target)]
    assert errors[0]["S"] == "FATAL"
    assert errors[1] == errors[0]


@pytest.mark.parametrize("method", ["password", "md5", "scram-sha-256"])
def test_passwords_pass_through(method, new_server, new_target):
    server = new_server({"someone": method, "all": "trust"})
    stored = "md5" if method == "md5" else "scram-sha-256"
    server.sql(f"SET password_encryption = '{stored}'; "
               "CREATE ROLE someone LOGIN PASSWORD 'p%s w$rd'")
    target = new_target(server)
    assert target.value("SELECT current_user", user="someone", password="p%s w$rd") == "someone"
    with pytest.raises(psycopg2.OperationalError, match='authentication failed for user "someone"'):
        target.connect(user="someone", password="wrong")


# -- notifications and cancel ----------------------------------------------------------------


def test_notification_reaches_an_idle_client(target, server, database):
    raw = target.login(database)
    raw.ask("LISTEN news")
    server.sql("NOTIFY news, 'extra'", database)
    kind, body = raw.read_frame()
    assert kind == "A" and body[4:] == b"news\0extra\0"


def running(server, text):
    return server.sql("SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query = %s AND "
                      "pid <> pg_backend_pid()", args=(text,))


def send_cancel(target, pid, secret):
    """Sends a CancelRequest and waits until it has been dealt with: the server then closes."""
    cancel = target.wire().send(wire.cancel_request(pid, secret))
    assert cancel.expect_end_of_stream() == b""
    cancel.shut()


def test_ctrl_c_in_psql_cancels_its_query(target, server, database):
    text = f"SELECT pg_sleep(600), '{database}'"
    psql = subprocess.Popen([postgres.program("psql"), "-X", *target.address(database), "-c", text],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: running(server, text), "the query to run")
    psql.send_signal(signal.SIGINT)
    _, said = psql.communicate(timeout=processes.DEADLINE)
    assert "canceling statement due to user request" in said


def test_cancel_request_ends_the_query_and_the_session_goes_on(target, server, database):
    text = f"SELECT pg_sleep(600), '{database}'"
    raw = target.login(database)
    raw.send(wire.query(text))
    wait_until(lambda: running(server, text), "the query to run")
    send_cancel(target, raw.pid, raw.secret)
    turn = raw.read_turn()
    assert wire.first_error(turn)["C"] == "57014"
    assert raw.rows("SELECT 1") == [["1"]]


def test_cancel_with_a_wrong_secret_has_no_effect(target, server, database):
    lock = server.connect(database)
    lock.cursor().execute("SELECT pg_advisory_lock(1)")
    text = "SELECT pg_advisory_lock(1)"
    raw = target.login(database)
    raw.send(wire.query(text))
    wait_until(lambda: running(server, text), "the query to wait for the lock")
    flipped = bytes([raw.secret[0] ^ 1]) + raw.secret[1:]
    send_cancel(target, raw.pid, flipped)
    send_cancel(target, raw.pid + 1, raw.secret)
    lock.close()
    assert wire.kinds(raw.read_turn()) == "TDCZ"


def test_cancel_of_an_idle_client_leaves_no_trace(target, database):
    raw = target.login(database)
    for _ in range(20):
        send_cancel(target, raw.pid, raw.secret)
        assert wire.kinds(raw.ask("SELECT 1")) == "TDCZ"


def test_cancel_key_of_a_client_that_left_reaches_nobody(target, server, database):
    left = target.login(database)
    pid, secret = left.pid, left.secret
    left.send(wire.TERMINATE).expect_closed()
    text = "SELECT pg_sleep(0.2)"
    others = [target.login(database) for _ in range(4)]
    for other in others:
        other.send(wire.query(text))
    send_cancel(target, pid, secret)
    assert [wire.kinds(other.read_turn()) for other in others] == ["TDCZ"] * 4


class Racer(threading.Thread):
    """Runs short queries and cancels its own ones while they may be ending."""

    def __init__(self, target, database, rounds):
        super().__init__()
        self.rounds, self.hits, self.fault = rounds, 0, None
        self._target, self._database = target, database

    def run(self):
        try:
            raw = self._target.login(self._database)
            for number in range(self.rounds):
                if number % 50 == 49:  # a new session may get what the old one's cancel aims at
                    raw.shut()
                    raw = self._target.login(self._database)
                raw.send(wire.query(("SELECT 1", "SELECT pg_sleep(0.002)")[number % 2]))
                cancel = self._target.wire().send(wire.cancel_request(raw.pid, raw.secret))
                turn = raw.read_turn()
                if number % 5:  # now and then the cancel is still under way when the next begins
                    cancel.expect_end_of_stream()
                cancel.shut()
                error = wire.first_error(turn)
                assert error.get("C", "57014") == "57014", error
                self.hits += bool(error)
            raw.shut()
        except BaseException as fault:  # noqa: BLE001 - shown by the test
            self.fault = fault


def test_raced_cancels_never_hit_a_stranger(target, database):
    racers = [Racer(target, database, (20000 if FULL else 2000) // 4) for _ in range(4)]
    strangers = [target.login(database) for _ in range(4)]
    for racer in racers:
        racer.start()
    asked = 0
    while any(racer.is_alive() for racer in racers):
        for stranger in strangers:
            stranger.send(wire.query("SELECT pg_sleep(0.002)"))
        for stranger in strangers:
            assert wire.kinds(stranger.read_turn()) == "TDCZ"
        asked += 4
    assert [racer.fault for racer in racers] == [None] * 4
    assert sum(racer.hits for racer in racers) > 0 and asked > 0


# -- servers that go away ----------------------------------------------------------------------


def test_idle_client_hears_that_its_backend_was_terminated(target, server, database):
    raw = target.login(database)
    server.sql("SELECT pg_terminate_backend(%s)", args=(raw.pid,))
    assert raw.expect_closed()["C"] == "57P01"


def test_server_stopped_killed_and_back_again(new_server, new_target):
    server = new_server()
    target = new_target(server)
    idle = target.login()
    server.stop("fast")
    assert idle.expect_closed()["C"] == "57P01"
    with pytest.raises(psycopg2.OperationalError):
        target.connect()
    server.start()
    idle = target.login()
    busy = target.login().send(wire.query("SELECT pg_sleep(600)"))
    server.kill()
    idle.expect_closed()
    assert "C" not in wire.kinds(busy.read_to_end())
    wait_until(lambda: not processes.accepts(server.port), "the old server to be gone")
    server.start()
    assert target.value("SELECT 1") == 1


# -- big things ----------------------------------------------------------------------------------


def test_pipeline_of_30_mb_without_sync(target, database):
    raw = target.login(database)
    count, value = 3000, b"x" * 10_000
    one = wire.bind([value], name="s") + wire.execute()
    raw.send(wire.parse("SELECT length($1::text)", "s"), one * count, wire.SYNC)
    assert wire.kinds(raw.read_turn()) == "1" + "2DC" * count + "Z"
    assert target.peak_rss() < proxy.MEMORY_MAX


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_copy_in_that_fails_half_way_while_the_client_goes_on_sending(extended, target, database):
    raw = target.login(database)
    raw.ask("CREATE TABLE c(a int)")
    begin = (wire.parse("COPY c FROM STDIN") + wire.bind() + wire.execute()) if extended \
        else wire.query("COPY c FROM STDIN")
    raw.send(begin, wire.copy_data(b"1\n") * 1000, wire.copy_data(b"not a number\n"),
             wire.copy_data(b"2\n" * 5000) * 500, wire.COPY_DONE)
    if extended:
        raw.send(wire.SYNC)
    turn = raw.read_turn()
    assert wire.kinds(turn) == ("12" if extended else "") + "GEZ"
    assert wire.first_error(turn)["C"] == "22P02"
    assert raw.rows("SELECT count(*) FROM c") == [["0"]]


def test_backslash_copy_of_big_data_both_ways(target, database, tmp_path):
    size = 1000 * MIB if FULL else 100 * MIB
    came, back = tmp_path / "in", tmp_path / "out"
    with open(came, "wb") as out:
        for number in range(size // 1000):
            out.write(b"%09d\t%s\n" % (number, b"%08x" % (number * 2654435761 % 2**32) * 123))
    target.psql("-c", "CREATE TABLE big(id int, payload text)", database=database)
    target.psql("-c", f"\\copy big from '{came}'", database=database, timeout=600)
    target.psql("-c", f"\\copy (select to_char(id, 'FM000000000'), payload from big) to '{back}'",
                database=database, timeout=600)
    assert digest(back) == digest(came)
    assert target.peak_rss() < proxy.MEMORY_MAX


def digest(path):
    summed = hashlib.sha256()
    with open(path, "rb") as data:
        while piece := data.read(MIB):
            summed.update(piece)
    return summed.hexdigest()


def test_dump_and_restore(target, server, database, tmp_path):
    processes.run([postgres.program("pgbench"), "-i", "-q", "-s", "2",
                   *target.address(database)[:-2], database])
    server.sql("CREATE TABLE odd(a jsonb, b bytea, c text[]); INSERT INTO odd VALUES "
               "('{\"k\": [1, null]}', '\\x00ff', ARRAY['a', NULL, 'NULL', E'\\\\'])", database)
    dump = tmp_path / "dump"
    processes.run([postgres.program("pg_dump"), "-Fc", "-f", str(dump), *target.address(database)])
    restored = database + "_r"
    server.sql(f"CREATE DATABASE {restored}")
    try:
        processes.run([postgres.program("pg_restore"), "-e", *target.address(restored), str(dump)])
        assert server.checksums(restored) == server.checksums(database)
        assert len(server.checksums(restored)) == 5
    finally:
        server.sql(f"DROP DATABASE {restored} WITH (FORCE)")


def test_client_that_stops_reading_costs_little_and_disturbs_nobody(target, server, database):
    deaf = target.login(database)
    deaf.send(wire.query("SELECT repeat('x', 1000000) FROM generate_series(1, 1000)"))
    target.wait_until_stalled(server, database)
    with target.login(database) as other:
        for number in range(500):
            assert other.rows(f"SELECT {number}") == [[str(number)]]
    assert target.peak_rss() < proxy.MEMORY_MAX
    deaf.reset()
    wait_until(lambda: server.backend_count(database) == 0, "the backends to be gone")


def test_row_of_8_mb_and_a_result_of_1600_columns(target, database):
    raw = target.login(database)
    value = "".join(chr(97 + number % 26) for number in range(1000)) * 8400
    raw.send(wire.one_shot("SELECT $1::text, md5($1)", [value]), wire.SYNC)
    row = [body for kind, body in raw.read_turn() if kind == "D"][0]
    digest_of_value = hashlib.md5(value.encode()).hexdigest()
    assert wire.columns_of(row) == [value.encode(), digest_of_value.encode()]
    columns = ", ".join(f"{number} AS c{number}" for number in range(1600))
    assert raw.rows(f"SELECT {columns}") == [[str(number) for number in range(1600)]]
    assert target.peak_rss() < proxy.MEMORY_MAX


def test_half_closed_client_still_gets_its_answer(target, server, database):
    raw = target.login(database)
    raw.send(wire.query("SELECT pg_sleep(0.1), 'late'"))
    raw.half_close()
    assert wire.kinds(raw.read_to_end()) == "TDCZ"
    wait_until(lambda: server.backend_count(database) == 0, "the backend to be gone")


# -- tools ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench(mode, target, server, database):
    address = target.address(database)[:-2]
    processes.run([postgres.program("pgbench"), "-i", "-q", "-s", "1", *address, database])
    done = processes.run([postgres.program("pgbench"), "-n", "-M", mode, "-c", "8", "-j", "2",
                          "-t", "1000" if FULL else "100", *address, database])
    assert "number of failed transactions: 0 " in done.stdout, done.stdout
    rows = server.sql("SELECT (SELECT sum(abalance) FROM pgbench_accounts), "
                      "(SELECT sum(delta) FROM pgbench_history), "
                      "(SELECT count(*) FROM pgbench_history)", database)[0]
    assert rows[0] == rows[1] and rows[2] == (8000 if FULL else 800)


def test_fifty_clients_see_their_own_answers_only(target, database):
    faults = []

    def one(number):
        try:
            with target.login(database, application_name=f"client {number}") as raw:
                for turn in range(20):
                    rows = raw.rows(f"SELECT current_setting('application_name'), {turn}, "
                                    f"pg_backend_pid(), repeat('{number % 10}', {turn * 977})")
                    assert rows == [[f"client {number}", str(turn), str(raw.pid),
                                     str(number % 10) * (turn * 977)]]
        except BaseException as fault:  # noqa: BLE001 - shown by the test
            faults.append(fault)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_logical_replication(target, server, database, tmp_path):
    slot, out = f"s_{database}", tmp_path / "changes"
    receive = [postgres.program("pg_recvlogical"), *target.address(database), "--slot", slot]
    processes.run(receive + ["--create-slot", "-P", "test_decoding"])
    try:
        server.sql("CREATE TABLE r(a int); INSERT INTO r SELECT generate_series(1, 1000)", database)
        end = server.value("SELECT pg_current_wal_insert_lsn()", database)
        server.sql("INSERT INTO r VALUES (0)", database)
        processes.run(receive + ["--start", "-f", str(out), "--endpos", end, "--no-loop"])
        assert out.read_text().count("table public.r: INSERT") == 1000
    finally:
        processes.run(receive + ["--drop-slot"], check=False)


def test_base_backup(new_server, new_target, tmp_path):
    target = new_target(new_server(settings={"wal_level": "replica"}))
    copy = tmp_path / "backup"
    processes.run([postgres.program("pg_basebackup"), *target.address()[:-2], "-D", str(copy),
                   "-X", "stream", "-c", "fast"])
    processes.run([postgres.program("pg_verifybackup"), str(copy)])
    assert os.path.exists(copy / "backup_manifest")


@pytest.mark.proxy_only
def test_server_behind_a_unix_socket(new_target, server, database):
    target = new_target(f"host={server.folder} port={server.port}")
    with target.login(database) as raw:
        assert raw.rows("SELECT inet_server_addr() IS NULL") == [["t"]]
        send_cancel(target, raw.pid, raw.secret)
        assert raw.rows("SELECT 1") == [["1"]]
