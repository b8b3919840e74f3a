"""What breaks the framing, from the client's and from the server's side: rows D of the catalogue.

`proxy.refused` is the reaction wanted to a broken frame after login: FATAL 08P01, then the end.
"""

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


def test_d1_frames_of_impossible_length_are_refused(target, database, bystander):
    types = range(256) if FULL else KNOWN_TYPES
    for kind in types:
        lengths = BAD_LENGTHS + ([10_005] if kind in SHORT_TYPES else [])
        for length in lengths:
            raw = target.login(database)
            proxy.refused(raw.send(struct.pack("!BI", kind, length) + b"\0" * 16))


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
        proxy.refused(raw.send(wire.frame(chr(kind), b"")))
    assert complaints() == before or proxy.DIRECT


@pytest.mark.proxy_only
def test_d5_a_violation_is_counted(target, database, bystander):
    before = target.metrics()
    proxy.refused(target.login(database).send(wire.frame("~")))
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
