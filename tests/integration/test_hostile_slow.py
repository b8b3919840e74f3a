"""Peers that do not read, or read slowly, and half-closed ones: rows I of the catalogue."""

import socket

import pytest

from conftest import FULL
from harness import proxy, wire
from harness.processes import wait_until


def test_i1_many_clients_that_never_read(target, server, database, bystander):
    count = 100
    deaf = [target.login(database) for _ in range(count)]
    for raw in deaf:
        raw.send(wire.query("SELECT repeat('x', 1000000) FROM generate_series(1, 1000)"))
    target.wait_until_stalled(server, database, count)
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
    target.wait_until_stalled(server, database)
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


def test_i8_half_closed_client_that_is_gone_ends_its_query(target, server, database, bystander):
    raw = target.login(database)
    raw.send(wire.query("SELECT repeat('x', 1000000) FROM generate_series(1, 1000000)"))
    raw.half_close()
    raw.read_frame()
    raw.shut()  # unread rows: a reset
    wait_until(lambda: server.backend_count(database) == 1, "the query's backend to be gone")
