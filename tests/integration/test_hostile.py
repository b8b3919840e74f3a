"""What breaks the rules: rows A, D, H and I of the reliability catalogue, by their ids.

Every test also has a bystander: a client that was there before, still gets its answers afterwards,
and sees that the proxy's memory is back near where it was. `refused` is the reaction wanted
to a broken frame after login: FATAL 08P01, then the end. PostgreSQL itself leaves out the message
where the frame's length is wrong, so a direct run accepts its plain closing too.
"""

import socket
import struct
import threading

import pytest

from conftest import FULL
from harness import proxy, wire
from harness.processes import wait_until
from harness.server import (ScriptedServer, answer_correctly, complete, greeting, ready, row,
                            row_description, select_one)

MIB = 1 << 20
BAD_LENGTHS = [0, 3, 2**31 - 1, 2**31, 2**32 - 1]
KNOWN_TYPES = b"QPBEDCSHFdcfX"
SHORT_TYPES = b"SHcf"  # the server allows these 10,000 bytes


@pytest.fixture
def bystander(target, server, database):
    """Proves that nobody else was disturbed and that memory came back."""
    raw = target.login(database)
    raw.ask("SELECT 1")
    before = target.rss()
    yield raw
    assert raw.rows("SELECT 'still here'") == [["still here"]]
    with target.login(database) as newcomer:
        assert newcomer.rows("SELECT 1") == [["1"]]
    if target.rss():
        wait_until(lambda: target.rss() < before + 24 * MIB, "the proxy's memory to come back")
    raw.shut()
    wait_until(lambda: server.backend_count(database) == 0, "every backend to be gone")


def refused(raw):
    error = raw.expect_closed()
    if not proxy.DIRECT or error:
        assert error.get("C") == "08P01" and error.get("S") == "FATAL", error
    raw.shut()


def outcome(address, data):
    """How a start-up ends: what the error says, or who one is."""
    raw = address.wire().send(data)
    try:
        raw.finish_login()
    except AssertionError as said:
        return str(said)
    except wire.Closed:
        return "closed"
    who = raw.rows("SELECT current_user, current_database(), current_setting('search_path')")
    raw.shut()
    return who


def same_outcome(target, server, data):
    direct = outcome(proxy.Direct(server), data)
    assert outcome(target, data) == direct
    return direct


# -- A: before authentication --------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 3, 4, 7, 10_005, 2**31 - 1, 2**31, 2**32 - 1, pytest.param(
    10_001, marks=pytest.mark.proxy_only)])
def test_a1_start_up_of_impossible_length_is_closed_at_once(length, target, bystander):
    raw = target.wire().send(struct.pack("!II", length, wire.V3_0) + b"user\0")
    assert raw.expect_end_of_stream()[:1] in (b"", b"E")


@pytest.mark.parametrize("options", [
    "-c=", "-c =x", "--=", "--x", "-c 'unbalanced", "-c a\\", "-", "--search_path=a -c b.c=1",
    " ".join(f"-c my.v{number}=1" for number in range(500)), "-c geqo=o+f", "\\", "-c"])
def test_a2_start_up_options_end_as_the_server_says(options, target, server, database, bystander):
    same_outcome(target, server, wire.startup(user="postgres", database=database, options=options))


def test_a3_search_path_of_one_start_up_stays_in_its_session(target, server, database, bystander):
    server.sql("CREATE SCHEMA evil; CREATE FUNCTION evil.version() RETURNS text LANGUAGE sql "
               "AS $$SELECT 'caught'$$", database)
    for where in ({"options": "-c search_path=evil,pg_catalog"},
                  {"search_path": "evil, pg_catalog"}):
        with target.login(database, **where) as raw:
            assert raw.rows("SELECT version()") == [["caught"]]
        with target.login(database) as raw:
            assert raw.rows("SELECT version() LIKE 'PostgreSQL%'") == [["t"]]
    assert bystander.rows("SHOW search_path") == [['"$user", public']]


def test_a4_second_start_up_in_the_middle_of_scram_is_fatal(new_server, new_target):
    server = new_server({"victim,attacker": "scram-sha-256", "all": "trust"})
    server.sql("CREATE ROLE victim LOGIN PASSWORD 'a'; CREATE ROLE attacker LOGIN PASSWORD 'b'")
    target = new_target(server)
    raw = target.wire().send(wire.startup(user="attacker", database="postgres"))
    kind, body = raw.read_frame()
    assert (kind, body[:4]) == ("R", struct.pack("!I", 10))
    raw.send(wire.startup(user="victim", database="postgres"))
    refused(raw)
    assert target.value("SELECT current_user", user="victim", password="a") == "victim"


def test_a4_second_start_up_after_login_is_fatal(target, database, bystander):
    raw = target.login(database)
    refused(raw.send(wire.startup(user="postgres", database=database)))


def test_a5_alternating_encryption_requests_end_at_the_first_repetition(target, bystander):
    raw = target.wire()
    try:
        raw.send((wire.request_code(wire.SSL_REQUEST)
                  + wire.request_code(wire.GSSENC_REQUEST)) * 100_000)
    except ConnectionError:
        pass  # it hung up before all was written: good
    answer = raw.expect_end_of_stream()
    assert len(answer.split(b"E")[0]) <= 2


def test_a6_any_first_byte_but_a_start_up_is_closed(target, bystander):
    for first in range(256):
        raw = target.wire().send(bytes([first]) + b"\xff\xff\xff\xff" * 3)
        assert raw.expect_end_of_stream()[:1] in (b"", b"E"), first
        raw.shut()


def test_a6_any_message_instead_of_a_password_is_fatal(new_server, new_target):
    server = new_server({"someone": "scram-sha-256", "all": "trust"})
    server.sql("CREATE ROLE someone LOGIN PASSWORD 'a'")
    target = new_target(server)
    for kind in b"QPBEDCSHFdcfX\x00\x01~\xff":
        raw = target.wire().send(wire.startup(user="someone", database="postgres"))
        assert raw.read_frame()[0] == "R"
        raw.send(wire.frame(chr(kind), b"SELECT 1\0"))
        error = raw.expect_closed()
        assert error.get("C", "08P01") in ("08P01", "28P01"), (kind, error)
        raw.shut()
    assert target.value("SELECT 1", user="someone", password="a") == 1


def test_a7_login_cut_at_every_byte_or_glued_to_what_follows(target, database, bystander):
    packet = wire.startup(user="postgres", database=database, application_name="cut")
    for at in range(1, len(packet)):
        with target.wire() as raw:
            raw.send(packet[:at]).send(packet[at:]).finish_login()
            assert raw.rows("SELECT 1") == [["1"]]
    with target.wire() as raw:
        raw.send_byte_by_byte(packet).finish_login()
    with target.wire() as raw:
        raw.send(packet + wire.query("SELECT 'glued'") + wire.TERMINATE).finish_login()
        assert wire.kinds(raw.read_to_end()) == "TDCZ"


def packet_of(body):
    return struct.pack("!II", len(body) + 8, wire.V3_0) + body


A8 = {
    "user twice": b"user\0postgres\0user\0nobody_here\0database\0postgres\0\0",
    "user twice, the right one last": b"user\0nobody_here\0user\0postgres\0database\0postgres\0\0",
    "database twice": b"user\0postgres\0database\0template1\0database\0postgres\0\0",
    "no user": b"database\0postgres\0\0",
    "empty user": b"user\0\0database\0postgres\0\0",
    "no last NUL": b"user\0postgres\0database\0postgres\0",
    "no NUL at all": b"user",
    "odd number of strings": b"user\0postgres\0database\0\0",
    "trailing bytes": b"user\0postgres\0database\0postgres\0\0more\0",
    "a user smuggled in a value": b"user\0postgres\0application_name\0x\0user\0nobody_here\0\0",
    "invalid UTF-8": b"user\0\xff\xfe\xc3\0database\0postgres\0\0",
    "63 bytes": b"user\0" + b"u" * 63 + b"\0database\0postgres\0\0",
    "64 bytes": b"user\0" + b"u" * 64 + b"\0database\0postgres\0\0",
    "128 bytes": b"user\0postgres\0database\0" + b"d" * 128 + b"\0\0",
    "4096 bytes": b"user\0" + b"u" * 4096 + b"\0database\0" + b"d" * 4096 + b"\0\0",
    "nothing": b"",
}


@pytest.mark.parametrize("case", A8)
def test_a8_odd_start_up_packets_end_as_the_server_says(case, target, server, bystander):
    same_outcome(target, server, packet_of(A8[case]))


@pytest.mark.parametrize("version", [0x00020000, 0x00030001, 0x00030002, 0x0003270F, 0x00040000,
                                     0x00010000, 0xFFFFFFFF])
def test_a9_protocol_versions(version, target, server, database, bystander):
    def answer(address):
        raw = address.wire().send(wire.startup(version, user="postgres", database=database))
        if 0 < version >> 16 < 3:  # the answer has version 2's form: E and a text
            text = raw.expect_end_of_stream()
            assert text[:1] == b"E" and b"unsupported frontend protocol" in text
            return "E", "0A000"
        kind, body = raw.read_frame()
        raw.shut()
        return kind, (wire.fields_of(body)["C"] if kind == "E" else body)

    direct = answer(proxy.Direct(server))
    assert direct[0] == ("v" if version >> 16 == 3 else "E")
    assert answer(target) == direct


def test_a10_dripping_logins_disturb_nobody_and_end_at_the_deadline(target, database, bystander):
    packet = wire.startup(user="postgres", database=database)
    dripping = [target.wire(deadline=90) for _ in range(1000 if FULL else 150)]
    for at in range(8):
        for raw in dripping:
            raw.send(packet[at:at + 1])
        assert bystander.rows("SELECT 1") == [["1"]]
        with target.login(database) as newcomer:
            assert newcomer.rows("SELECT 1") == [["1"]]
    for raw in dripping:
        if FULL:  # the deadline is a minute; the simulation checks it on a virtual clock
            raw.expect_end_of_stream()
        raw.shut()


@pytest.mark.proxy_only
def test_a11_silent_sockets_leave_room_for_others_and_for_the_admin(target, database, bystander):
    silent = [target.wire() for _ in range(6000 if FULL else 1000)]
    assert target.http("/livez")[0] == 200
    with target.login(database) as newcomer:
        assert newcomer.rows("SELECT 1") == [["1"]]
    for raw in silent:
        raw.shut()


def test_a12_sockets_that_come_and_go_leak_no_descriptor(target, bystander):
    before = target.descriptors()
    for number in range(1000 if FULL else 300):
        target.wire().shut()
        target.wire().reset()
        raw = target.wire().send(wire.request_code(wire.SSL_REQUEST))
        if number % 2:
            raw.read(1)
        raw.shut()
    wait_until(lambda: target.descriptors() <= before + 2, "the descriptors to be closed")


def test_a13_unknown_user_looks_like_a_wrong_password(new_server, new_target):
    server = new_server({"all": "scram-sha-256"})
    server.sql("CREATE ROLE known LOGIN PASSWORD 'a'")
    target = new_target(server)
    said = []
    for user in ("known", "unknw"):
        done = target.psql("-c", "SELECT 1", user=user, check=False, env={"PGPASSWORD": "wrong"})
        said.append(done.stderr.replace(user, "USER").replace(str(target.port), "PORT"))
    assert said[0] == said[1] and "password authentication failed" in said[0]


@pytest.mark.parametrize("length", [8, 12, 15, 17, 268, 269, 2**31])
def test_a14_cancel_request_of_odd_length_is_closed_in_silence(length, target, database, bystander):
    body = struct.pack("!IIII", length, wire.CANCEL_REQUEST, bystander.pid, 0)
    body = body[:length] + b"\0" * max(0, min(length, 1000) - len(body))
    raw = target.wire().send(body)
    raw.half_close()
    assert raw.expect_end_of_stream() == b""


@pytest.mark.parametrize("text", [
    b"GET / HTTP/1.1\r\nHost: secret-echo\r\n\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nsecret-echo",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0csecret-echo-secret-echo",
    b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03secret-echo" + b"\0" * 233],
    ids=["http", "proxy v1", "proxy v2", "client hello"])
def test_a15_other_protocols_than_postgresql_are_closed_without_echo(text, target, bystander):
    raw = target.wire().send(text)
    assert b"secret-echo" not in raw.expect_end_of_stream()


@pytest.mark.proxy_only
def test_a15_a_start_up_on_the_http_port_is_closed_without_echo(target, bystander):
    admin = wire.Wire("127.0.0.1", target.admin_port)
    admin.send(wire.startup(user="secret-echo") + b"\r\n\r\n")
    assert b"secret-echo" not in admin.expect_end_of_stream()
    assert target.http("/livez")[0] == 200


# -- D: framing ----------------------------------------------------------------------------------


def test_d1_frames_of_impossible_length_are_refused(target, database, bystander):
    types = range(256) if FULL else KNOWN_TYPES
    for kind in types:
        lengths = BAD_LENGTHS + ([10_005] if kind in SHORT_TYPES else [])
        for length in lengths:
            raw = target.login(database)
            refused(raw.send(struct.pack("!BI", kind, length) + b"\0" * 16))


def test_d1_a_declared_length_alone_costs_nothing(target, database, bystander):
    waiting = [target.login(database).send(struct.pack("!cI", b"Q", 1_000_000_000) + b"SELECT")
               for _ in range(20)]
    assert bystander.rows("SELECT 1") == [["1"]]
    assert target.peak_rss() < proxy.MEMORY_MAX
    for raw in waiting:
        raw.shut()


@pytest.mark.parametrize("state", ["idle", "in a transaction"])
def test_d5_unknown_type_is_fatal_and_does_not_reach_the_server(state, target, server, database,
                                                                bystander):
    def complaints():
        with open(server.log, errors="replace") as log:
            return log.read().count("invalid frontend message type")

    before = complaints()
    kinds = [k for k in range(256) if k not in KNOWN_TYPES and chr(k) != "p"]
    for kind in kinds if FULL else kinds[::6]:
        raw = target.login(database)
        if state != "idle":
            raw.ask("BEGIN")
        refused(raw.send(wire.frame(chr(kind), b"")))
    assert complaints() == before or proxy.DIRECT


@pytest.mark.proxy_only
def test_d5_a_violation_is_counted(target, database, bystander):
    before = target.metrics()
    refused(target.login(database).send(wire.frame("~")))
    words = ("violation", "error", "refus", "reject", "malformed")

    def grown():
        return [key for key, value in target.metrics().items()
                if value > before.get(key, 0) and any(word in key for word in words)]

    wait_until(grown, "a counter of violations to move")


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_d6_header_cut_anywhere(at, target, database, bystander):
    raw = target.login(database)
    message = wire.query("SELECT 'cut'")
    for _ in range(50):
        raw.send(message[:at]).send(message[at:])
        assert wire.kinds(raw.read_turn()) == "TDCZ"


def test_d6_long_messages_and_many_in_one_segment(target, database, bystander):
    raw = target.login(database)
    for size in (1, 1000, 8_000, 65_530, 300_000, 2_000_000):
        assert raw.rows(f"SELECT length('{'x' * size}')") == [[str(size)]]
    raw.send(wire.SYNC * 10_000)
    assert wire.kinds([raw.read_frame() for _ in range(10_000)]) == "Z" * 10_000
    raw.send(wire.query("SELECT 1") * 1000)
    assert wire.kinds([raw.read_frame() for _ in range(4000)]) == "TDCZ" * 1000
    raw.send_byte_by_byte(wire.one_shot("SELECT 'bytes'") + wire.SYNC)
    assert wire.kinds(raw.read_turn()) == "12TDCZ"


@pytest.mark.parametrize("leave", ["shut", "reset", "half_close"])
def test_d7_client_gone_after_part_of_a_message(leave, target, server, database, bystander):
    server.sql("CREATE TABLE held(a int)", database)
    for part in (b"Q", b"Q\0\0", struct.pack("!cI", b"Q", 1_000_000), struct.pack(
            "!cI", b"P", 1_000_000) + b"x" * 100_000):
        raw = target.login(database)
        assert wire.status(raw.ask("BEGIN; LOCK TABLE held")) == "T"
        raw.send(part)
        getattr(raw, leave)()
        # The lock is free again: the server connection ended with its client.
        assert bystander.rows("SELECT 1 FROM held") == []
        raw.shut()


def wrong(*frames):
    """A server that greets well and answers the first Query with `frames`."""
    def script(connection):
        connection.send(greeting())
        connection.read_until("Q")
        connection.send(*frames)
        connection.read_to_end()  # until the proxy closes its side too
    return script


SKEWED = {
    "row nobody asked for": select_one() + row(b"stray"),
    "two ReadyForQuery": select_one() + ready(),
    "another whole answer": select_one() + select_one(),
    "status Q": row_description("a") + row(b"1") + complete("SELECT 1") + ready(b"Q"),
    "ReadyForQuery without status": row_description("a") + complete("SELECT 0") + wire.frame("Z"),
    "unknown type": wire.frame("~", b"boo"),
    "frontend's type": wire.frame("Q", b"SELECT 1\0"),
    "ParseComplete to a Query": wire.frame("1") + select_one(),
    "length 0": struct.pack("!cI", b"D", 0) + b"\0" * 8,
    "length 3": struct.pack("!cI", b"T", 3) + b"\0" * 8,
    "length 2^31": struct.pack("!cI", b"D", 2**31) + b"\0" * 8,
    "length 2^32-1": struct.pack("!cI", b"C", 2**32 - 1) + b"\0" * 8,
    "huge ReadyForQuery": struct.pack("!cI", b"Z", 1_000_000) + b"I" * 100,
    "second greeting": greeting(),
}


@pytest.fixture
def scripted():
    made = []

    def make(script):
        made.append(ScriptedServer(script))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.proxy_only
@pytest.mark.parametrize("case", SKEWED)
def test_d11_server_out_of_step_costs_both_sides_their_connection(case, scripted, new_target):
    server = scripted(wrong(SKEWED[case]))
    target = new_target(server.url())
    raw = target.login()
    raw.send(wire.query("SELECT 1"))
    assert raw.expect_closed().get("C") == "08P01"
    again = target.login()  # nothing of the broken one is reused
    assert server.logins == 2
    again.shut()


@pytest.mark.proxy_only
def test_d11_row_description_claiming_65535_columns_costs_nothing(scripted, new_target):
    lie = row_description("a", count=65535)
    server = scripted(wrong(lie + row(b"1") + complete("SELECT 1") + ready()))
    target = new_target(server.url())
    raw = target.login()
    turn = raw.ask("SELECT 1")
    assert turn[0] == ("T", lie[5:])  # it is the client's to judge: passed on as it came
    assert target.peak_rss() < proxy.MEMORY_MAX


@pytest.mark.proxy_only
def test_d9_server_speaking_to_an_idle_client(scripted, new_target):
    spoken = threading.Event()

    def script(connection):
        connection.send(greeting(), wire.frame("N", b"SNOTICE\0C00000\0Mhello\0\0"))
        spoken.wait()
        connection.send(row(b"nobody asked"))
        connection.read_to_end()

    target = new_target(scripted(script).url())
    raw = target.login()
    assert raw.read_frame()[0] == "N"
    spoken.set()
    assert raw.expect_closed().get("C") == "08P01"


@pytest.mark.proxy_only
@pytest.mark.parametrize("reply", [b"", b"\0", b"E", struct.pack("!cI", b"R", 2**31),
                                   wire.frame("Z", b"I"), wire.frame("D", b"\0\0"),
                                   b"HTTP/1.1 200"])
def test_d1_server_that_breaks_the_login(reply, scripted, new_target):
    def script(connection):
        connection.send(reply)
        if len(reply) < 5:
            return  # closes in the middle of a frame
        connection.read_to_end()

    target = new_target(scripted(script).url())
    raw = target.wire().send(wire.startup(user="postgres", database="postgres"))
    assert raw.expect_closed().get("C", "08P01")[:2] == "08"


@pytest.mark.proxy_only
def test_d11_a_right_server_is_served_after_all_that(scripted, new_target):
    target = new_target(scripted(answer_correctly).url())
    with target.login() as raw:
        assert [wire.kinds(raw.ask("SELECT 1")) for _ in range(3)] == ["TDCZ"] * 3


def test_d12_function_calls_odd_and_oversized(target, database, bystander):
    raw = target.login(database)
    assert wire.first_error(raw.send(wire.function_call(4_000_000_000)).read_turn())["C"] == "42883"
    assert wire.kinds(raw.send(wire.frame("F", b"\0\0")).read_turn()) == "EZ"
    big = b"x" * (8 * MIB)  # byteacat
    turn = raw.send(wire.function_call(2011, [big, b"y"])).read_turn()
    assert wire.kinds(turn) == "VZ" and turn[0][1] == struct.pack("!I", len(big) + 1) + big + b"y"
    raw.send(wire.one_shot("SELECT 1"), wire.function_call(177, [b"\0\0\0\1", b"\0\0\0\2"]),
             wire.SYNC)
    assert wire.kinds(raw.read_turn() + raw.read_turn()) == "12TDCVZZ"


WRONG_PHASE = {
    "password after login": wire.frame("p", b"secret\0"),
    "copy data": wire.copy_data(b"x"), "copy done twice": wire.COPY_DONE * 2,
    "copy fail": wire.copy_fail(), "execute of no portal": wire.execute("none") + wire.SYNC,
    "bind of no statement": wire.bind(name="none") + wire.SYNC,
    "describe of no such kind": wire.describe("X", "y") + wire.SYNC,
    "close of no such kind": wire.close("X", "y") + wire.SYNC,
    "query without NUL": wire.frame("Q", b"SELECT 1"),
    "query with a NUL inside": wire.frame("Q", b"SELECT 1\0; SELECT 2\0"),
    "parse cut short": wire.frame("P", b"s\0SELECT 1\0") + wire.SYNC,
    "bind with too many values": wire.parse("SELECT 1") + wire.frame(
        "B", b"\0\0\0\0\xff\xff") + wire.SYNC,
    "bind with length -2": wire.parse("SELECT $1::text") + wire.frame(
        "B", b"\0\0\0\0\0\1\xff\xff\xff\xfe\0\0") + wire.SYNC,
    "sync with a body": wire.frame("S", b"x"), "flush with a body": wire.frame("H", b"x"),
    "query instead of copy data": wire.query("CREATE TEMP TABLE c(a int)")
    + wire.query("COPY c FROM STDIN") + wire.query("SELECT 1"),
    "terminate with a body": wire.frame("X", b"x"),
}


@pytest.mark.parametrize("case", WRONG_PHASE)
def test_d13_message_in_the_wrong_phase_has_the_servers_reaction(case, target, server, database,
                                                                 bystander):
    def reaction(address):
        raw = address.login(database)
        raw.send(WRONG_PHASE[case], wire.query("SELECT 'after'"), wire.TERMINATE)
        frames = [(kind, wire.fields_of(body).get("C") if kind == "E" else body)
                  for kind, body in raw.read_to_end()]
        raw.shut()
        return frames

    assert reaction(target) == reaction(proxy.Direct(server))


# -- H: COPY and replication ---------------------------------------------------------------------


COPY_BEGIN = wire.parse("COPY c FROM STDIN") + wire.bind() + wire.execute()
GOOD, BAD = wire.copy_data(b"1\n"), wire.copy_data(b"x\n")
H1 = {
    "simple, bad row": (wire.query("COPY c FROM STDIN") + BAD + GOOD + wire.COPY_DONE, "GEZ"),
    "simple, error at the end": (wire.query("COPY u FROM STDIN") + GOOD + GOOD + wire.COPY_DONE,
                                 "GEZ"),
    "simple, fail": (wire.query("COPY c FROM STDIN") + GOOD + wire.copy_fail(), "GEZ"),
    "simple, Sync in between": (wire.query("COPY c FROM STDIN") + GOOD + wire.SYNC + GOOD
                                + wire.COPY_DONE, "GCZ"),
    "simple, Flush in between": (wire.query("COPY c FROM STDIN") + wire.FLUSH + GOOD
                                 + wire.COPY_DONE, "GCZ"),
    "simple, no such table": (wire.query("COPY nothing FROM STDIN") + GOOD + wire.COPY_DONE, "EZ"),
    "extended, good": (COPY_BEGIN + GOOD + wire.COPY_DONE + wire.SYNC, "12GCZ"),
    "extended, bad row": (COPY_BEGIN + BAD + wire.COPY_DONE + wire.SYNC, "12GEZ"),
    "extended, Sync before the data": (COPY_BEGIN + wire.SYNC + GOOD + wire.COPY_DONE + wire.SYNC,
                                       "12GCZ"),
    "extended, Syncs everywhere": (COPY_BEGIN + wire.SYNC + GOOD + wire.SYNC + wire.COPY_DONE
                                   + wire.SYNC, "12GCZ"),
    "extended, fail": (COPY_BEGIN + GOOD + wire.copy_fail() + wire.SYNC, "12GEZ"),
    "extended, error at the end": (COPY_BEGIN.replace(b" c ", b" u ") + GOOD + GOOD
                                   + wire.COPY_DONE + wire.SYNC, "12GEZ"),
    "extended, no such table": (wire.parse("COPY nothing FROM STDIN") + wire.bind()
                                + wire.execute() + GOOD + wire.COPY_DONE + wire.SYNC, "12EZ"),
}


def copying(address, database, sent, turns=1):
    raw = address.login(database)
    raw.ask("CREATE TEMP TABLE c(a int)")
    raw.ask("CREATE TEMP TABLE u(a int UNIQUE)")
    raw.send(sent)
    frames = []
    for _ in range(turns):
        frames += raw.read_turn()
    frames += raw.ask("SELECT (SELECT count(*) FROM c), (SELECT count(*) FROM u)")
    raw.shut()
    # The schema named in an error is that of the session's temporary tables.
    return [(kind, dict(wire.fields_of(body), s="") if kind == "E" else body)
            for kind, body in frames]


@pytest.mark.parametrize("case", H1)
def test_h1_copy_in_that_errs_at_each_place(case, target, server, database, bystander):
    sent, types = H1[case]
    direct = copying(proxy.Direct(server), database, sent)
    assert wire.kinds(direct) == types + "TDCZ"
    assert copying(target, database, sent) == direct


@pytest.mark.parametrize("leave", ["shut", "reset"])
def test_h2_client_gone_in_the_middle_of_copy_leaves_no_row(leave, target, server, database,
                                                            bystander):
    server.sql("CREATE TABLE c(a int)", database)
    raw = target.login(database)
    raw.send(wire.query("COPY c FROM STDIN"), wire.copy_data(b"1\n" * 10_000) * 20)
    assert raw.read_frame()[0] == "G"
    getattr(raw, leave)()
    wait_until(lambda: server.backend_count(database) == 1, "the COPY's backend to be gone")
    assert bystander.rows("SELECT count(*) FROM c") == [["0"]]


def test_h3_copy_out_to_a_slow_reader_is_flat_in_memory(target, server, database, bystander):
    count = 10_000 if FULL else 300
    raw = target.login(database)
    raw.send(wire.query(f"COPY (SELECT repeat('x', 1000000) FROM generate_series(1, {count})) "
                        "TO STDOUT"))
    for _ in range(3):
        wait_until(lambda: stalled(server, database), "the server to stand still")
        for _ in range(10):
            raw.read_frame()
    got = wire.kinds(raw.read_turn())
    assert got.endswith("cCZ") and len(got) + 30 == count + 4
    assert target.peak_rss() < proxy.MEMORY_MAX


def stalled(server, database):
    return server.value("SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND "
                        "wait_event = 'ClientWrite'", args=(database,))


def test_h4_copy_data_of_every_shape_arrives_unchanged(target, database, bystander):
    raw = target.login(database)
    raw.ask("CREATE TEMP TABLE c(a bytea)")
    rows = [b"\\N", b"\\\\x00ff", b"\\\\x" + b"ab" * 3_000_000]
    data = b"".join(value + b"\n" for value in rows)
    raw.send(wire.query("COPY c FROM STDIN"), wire.copy_data(b""))
    for at in range(12):
        raw.send(wire.copy_data(data[at:at + 1]), wire.copy_data(b""))
    raw.send(wire.copy_data(data[12:]), wire.COPY_DONE)
    assert wire.kinds(raw.read_turn()) == "GCZ"
    assert raw.rows("SELECT count(*), sum(length(a)) FROM c") == [["3", "3000002"]]
    out = [body for kind, body in raw.ask("COPY c TO STDOUT") if kind == "d"]
    assert out == [value + b"\n" for value in rows]
    binary = [body for kind, body in raw.ask("COPY c TO STDOUT (FORMAT binary)") if kind == "d"]
    message = wire.copy_data(b"".join(binary)[:2000])
    raw.ask("CREATE TEMP TABLE b(a bytea)")
    raw.send(wire.query("COPY b FROM STDIN (FORMAT binary)"))
    raw.send_byte_by_byte(message).send(wire.copy_data(b"".join(binary)[2000:]), wire.COPY_DONE)
    assert wire.kinds(raw.read_turn()) == "GCZ"
    assert raw.rows("SELECT count(*) FROM b JOIN c USING (a)") == [["2"]]


H5 = {
    "copy in between statements": (
        wire.query("SELECT 1; COPY c FROM STDIN; COPY (SELECT 1) TO STDOUT; SELECT 2")
        + GOOD + wire.COPY_DONE, "TDCGCHdcCTDCZ", 1),
    "second copy fails": (
        wire.query("COPY c FROM STDIN; COPY c FROM STDIN; SELECT 1") + GOOD + wire.COPY_DONE
        + BAD + wire.COPY_DONE, "GCGEZ", 1),
    "copy out in a pipeline": (
        wire.one_shot("SELECT 1") + wire.parse("COPY (SELECT 1) TO STDOUT") + wire.bind()
        + wire.execute() + wire.one_shot("SELECT 2") + wire.SYNC, "12TDC12HdcC12TDCZ", 1),
    "copy in in a pipeline": (
        wire.one_shot("SELECT 1") + COPY_BEGIN + GOOD + wire.COPY_DONE + wire.one_shot("SELECT 2")
        + wire.SYNC, "12TDC12GC12TDCZ", 1),
    "failed copy in a pipeline": (
        COPY_BEGIN + BAD + wire.COPY_DONE + wire.one_shot("SELECT 2") + wire.SYNC
        + wire.one_shot("SELECT 3") + wire.SYNC, "12GEZ12TDCZ", 2),
}


@pytest.mark.parametrize("case", H5)
def test_h5_copy_inside_pipelines_and_many_statements(case, target, server, database, bystander):
    sent, types, turns = H5[case]
    direct = copying(proxy.Direct(server), database, sent, turns)
    assert wire.kinds(direct) == types + "TDCZ"
    assert copying(target, database, sent, turns) == direct


def test_h7_copy_both_of_a_replication_connection(target, server, database, bystander):
    raw = target.login(database, replication="database")
    slot = f"h7_{database}"
    raw.ask(f"CREATE_REPLICATION_SLOT {slot} LOGICAL test_decoding")
    server.sql("CREATE TABLE r(a int); INSERT INTO r VALUES (1)", database)
    raw.send(wire.query(f"START_REPLICATION SLOT {slot} LOGICAL 0/0"))
    assert raw.read_frame()[0] == "W"
    while b"table public.r: INSERT" not in raw.read_frame()[1]:
        pass
    raw.send(wire.COPY_DONE)
    assert wire.kinds(raw.read_turn())[-3:] == "CCZ"
    raw.ask(f"DROP_REPLICATION_SLOT {slot}")
    assert wire.kinds(raw.ask("IDENTIFY_SYSTEM")) == "TDCZ"
    raw.shut()


@pytest.mark.parametrize("direction", ["FROM STDIN", "TO STDOUT"])
def test_h8_backend_ended_in_the_middle_of_copy(direction, target, server, database, bystander):
    server.sql("CREATE TABLE c(a text); INSERT INTO c SELECT repeat('x', 100000) "
               "FROM generate_series(1, 1000)", database)
    raw = target.login(database)
    raw.send(wire.query(f"COPY c {direction}"))
    assert raw.read_frame()[0] in "GH"
    server.sql("SELECT pg_terminate_backend(%s)", args=(raw.pid,))
    frames = raw.read_to_end()
    assert "C" not in wire.kinds(frames) and wire.first_error(frames).get("C", "57P01") == "57P01"
    assert wire.first_error(frames) or direction == "TO STDOUT"
    raw.shut()


# -- I: back-pressure and slow peers -------------------------------------------------------------


def test_i1_many_clients_that_never_read(target, server, database, bystander):
    count = 100 if FULL else 16
    deaf = [target.login(database) for _ in range(count)]
    for raw in deaf:
        raw.send(wire.query("SELECT repeat('x', 1000000) FROM generate_series(1, 1000)"))
    wait_until(lambda: stalled(server, database) == count, "every server process to stand still")
    assert bystander.rows("SELECT 1") == [["1"]]
    assert target.peak_rss() < proxy.MEMORY_MAX
    for raw in deaf:
        raw.reset()


def test_i2_client_that_writes_all_its_binds_before_it_reads(target, database, bystander):
    count = 100_000 if FULL else 10_000
    value = b"x" * 10_000
    raw = target.login(database)
    raw.send(wire.parse("SELECT $1::text LIKE 'y%'", "s"))
    one = wire.bind([value], name="s") + wire.execute()
    for _ in range(count // 1000):
        raw.send(one * 1000)
    raw.send(wire.SYNC)
    assert wire.kinds(raw.read_turn()) == "1" + "2DC" * count + "Z"
    assert target.peak_rss() < proxy.MEMORY_MAX


def test_i3_reader_of_single_bytes(target, server, database, bystander):
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect((target.host, target.port))
    raw = wire.Wire("", 0, connected=slow).login(user="postgres", database=database)
    raw.send(wire.query("SELECT repeat('x', 1000000) FROM generate_series(1, 100)"))
    for _ in range(200):
        assert len(slow.recv(1)) == 1
        assert bystander.rows("SELECT 1") == [["1"]]
    wait_until(lambda: stalled(server, database), "the server to stand still")
    assert target.peak_rss() < proxy.MEMORY_MAX
    raw.shut()


def test_i4_big_result_completes(target, database, bystander):
    count = 10_000 if FULL else 500
    raw = target.login(database)
    raw.send(wire.query(f"SELECT repeat('x', 1000000) FROM generate_series(1, {count})"))
    total = 0
    while (frame := raw.read_frame())[0] != "Z":
        total += len(frame[1]) if frame[0] == "D" else 0
    assert total == count * 1_000_006
    assert target.peak_rss() < proxy.MEMORY_MAX


@pytest.mark.parametrize("sent,types", [
    (wire.query("SELECT 1"), "TDCZ"), (wire.one_shot("SELECT 1") + wire.SYNC, "12TDCZ"),
    (wire.one_shot("SELECT 1"), "12TDC"), (b"", "")],
    ids=["query", "extended", "no sync", "nothing"])
def test_i8_half_closed_client_gets_what_it_asked_for(sent, types, target, database, bystander):
    raw = target.login(database)
    raw.send(sent)
    raw.half_close()
    got = wire.kinds(raw.read_to_end())
    # Without a Sync PostgreSQL need not flush before it sees the end.
    assert got == types or (types == "12TDC" and types.startswith(got))
    raw.shut()

