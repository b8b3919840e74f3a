"""COPY and replication that go wrong at each place: rows H of the reliability catalogue."""

import pytest

from conftest import FULL
from harness import proxy, wire
from harness.processes import wait_until

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
        target.wait_until_stalled(server, database)
        for _ in range(10):
            raw.read_frame()
    got = wire.kinds(raw.read_turn())
    assert got.endswith("cCZ") and len(got) + 30 == count + 4
    assert target.peak_rss() < proxy.MEMORY_MAX


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
