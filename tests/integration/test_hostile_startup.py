"""What breaks the rules before and during the login: rows A of the reliability catalogue.

Every test that can has a bystander (conftest.py): whoever was there before is not disturbed.
"""

import contextlib
import struct
import threading

import pytest

from conftest import FULL
from harness import proxy, wire
from harness.processes import wait_until
from harness.server import ScriptedServer, answer_correctly


def outcome(address, data):
    """How a start-up ends: what the error says, or who one is."""
    raw = address.wire().send(data)
    frames = raw.read_until("Z", "E")
    if frames[-1][0] == "E":
        said = wire.first_error(frames)
        raw.shut()
        return said["S"], said["C"], said["M"]
    who = raw.rows("SELECT current_user, current_database(), current_setting('search_path')")
    raw.shut()
    return who


@pytest.mark.parametrize("length", [0, 3, 4, 7, 10_005, 2**31 - 1, 2**31, 2**32 - 1, pytest.param(
    10_001, marks=pytest.mark.proxy_only)])
def test_a1_start_up_of_impossible_length_is_closed_at_once(length, target, bystander):
    raw = target.wire().send(struct.pack("!II", length, wire.V3_0) + b"user\0")
    assert raw.expect_end_of_stream()[:1] in (b"", b"E")


@pytest.mark.parametrize("options", [
    "-c=", "-c =x", "--=", "--x", "-c 'unbalanced", "-c a\\", "-", "--search_path=a -c b.c=1",
    " ".join(f"-c my.v{number}=1" for number in range(500)), "-c geqo=o+f", "\\", "-c"])
def test_a2_start_up_options_end_as_the_server_says(options, target, server, database, bystander):
    sent = wire.startup(user="postgres", database=database, options=options)
    assert outcome(target, sent) == outcome(proxy.Direct(server), sent)


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
    proxy.refused(raw)
    assert target.value("SELECT current_user", user="victim", password="a") == "victim"


def test_a4_second_start_up_after_login_is_fatal(target, database, bystander):
    raw = target.login(database)
    proxy.refused(raw.send(wire.startup(user="postgres", database=database)))


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
    "no user": b"database\0postgres\0\0",
    "empty user": b"user\0\0database\0postgres\0\0",
    "no last NUL": b"user\0postgres\0database\0postgres\0",
    "no NUL at all": b"user",
    "odd number of strings": b"user\0postgres\0database\0\0",
    "trailing bytes": b"user\0postgres\0database\0postgres\0\0more\0",
    "invalid UTF-8": b"user\0\xff\xfe\xc3\0database\0postgres\0\0",
    "63 bytes": b"user\0" + b"u" * 63 + b"\0database\0postgres\0\0",
    "64 bytes": b"user\0" + b"u" * 64 + b"\0database\0postgres\0\0",
    "128 bytes": b"user\0postgres\0database\0" + b"d" * 128 + b"\0\0",
    "4096 bytes": b"user\0" + b"u" * 4096 + b"\0database\0" + b"d" * 4096 + b"\0\0",
    "nothing": b"",
}


@pytest.mark.parametrize("case", A8)
def test_a8_odd_start_up_packets_end_as_the_server_says(case, target, server, bystander):
    sent = packet_of(A8[case])
    assert outcome(target, sent)[:2] == outcome(proxy.Direct(server), sent)[:2]


@pytest.mark.proxy_only  # PostgreSQL takes the last one
@pytest.mark.parametrize("body,twice", [
    (b"user\0postgres\0user\0nobody_here\0database\0postgres\0\0", "user"),
    (b"user\0nobody_here\0user\0postgres\0database\0postgres\0\0", "user"),
    (b"user\0postgres\0application_name\0x\0user\0nobody_here\0\0", "user"),  # in a value
    (b"user\0postgres\0database\0template1\0database\0postgres\0\0", "database")])
def test_a8_identity_that_is_given_twice_is_refused(body, twice, target, bystander):
    severity, sqlstate, message = outcome(target, packet_of(body))
    assert (severity, sqlstate) == ("FATAL", "08P01") and f'"{twice}" appears twice' in message


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
def test_a10_what_is_said_before_it_is_asked_for_costs_nothing(new_target):
    """The server never asks them for anything; who is served already does not notice them."""
    first, over = threading.Event(), threading.Event()

    def script(connection):
        if first.is_set():
            over.wait()
            return
        first.set()
        answer_correctly(connection)

    server = ScriptedServer(script)
    target = new_target(server.url(), shards=1)
    served = target.login()
    hasty = [target.wire() for _ in range(50)]
    for raw in hasty:
        raw.send(wire.startup(user="postgres"), wire.frame("p", b"secret\0"))
        flood(raw)
    assert wire.kinds(served.ask("SELECT 1")) == "TDCZ"
    assert target.peak_rss() < proxy.MEMORY_MAX
    over.set()
    for raw in [served, *hasty]:
        raw.shut()
    server.close()


def flood(raw):
    """Sends until the other side takes no more, at most 10 MB."""
    raw.socket.settimeout(0.02)
    with contextlib.suppress(TimeoutError):
        for _ in range(10):
            raw.socket.sendall(wire.frame("p", b"x" * 9999) * 100)


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
