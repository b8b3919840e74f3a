"""What the primary committed, and nothing else, reaches the mirror.

Rows X01-X11 of the defects to stay away from and K of the reliability catalogue are named in the
tests. Most scripts plant a row on one side only, so that a statement replayed by mistake would
succeed on the mirror.
"""

import struct

import pytest

from harness import wire
from harness.threads import together

pytestmark = pytest.mark.proxy_only


# -- only what was committed ---------------------------------------------------------------------


def test_x01_failed_autocommit_statement_is_not_mirrored(pair):
    pair.on_primary("INSERT INTO t VALUES (5, 'primary only')")
    raw = pair.session()
    assert pair.ask(raw, "INSERT INTO t VALUES (5, 'again')") == ["23505"]
    turn = raw.send(wire.one_shot("INSERT INTO t VALUES (5, 'extended')"), wire.SYNC).read_turn()
    assert wire.first_error(turn)["C"] == "23505"
    pair.finish(raw)
    assert pair.on_mirror("SELECT * FROM t") == []


def test_x02_failed_query_of_several_statements_leaves_nothing(pair):
    pair.on_primary("INSERT INTO t VALUES (5, 'primary only')")
    raw = pair.session()
    assert pair.ask(raw, "INSERT INTO t VALUES (6, ''); INSERT INTO t VALUES (5, '')",
                    "INSERT INTO t VALUES (7, ''); SELECT 1/0; INSERT INTO t VALUES (8, '')",
                    "INSERT INTO t VALUES (9, ''); INSERT INTO t VALUES (10, '')"
                    ) == ["23505", "22012", ""]
    pair.finish(raw)
    assert pair.on_mirror("SELECT id FROM t ORDER BY 1") == [(9,), (10,)]


def test_x03_commit_of_an_aborted_transaction_leaves_nothing(pair):
    raw = pair.session()
    assert pair.ask(raw, "BEGIN", "INSERT INTO t VALUES (1, '')", "SELECT 1/0", "COMMIT"
                    ) == ["", "", "22012", ""]
    turn = raw.send(wire.one_shot("BEGIN"), wire.one_shot("INSERT INTO t VALUES (2, '')"),
                    wire.one_shot("SELECT 1/0"), wire.SYNC, wire.one_shot("COMMIT"),
                    wire.SYNC).read_turn() + raw.read_turn()
    assert (b"ROLLBACK\0") in [body for kind, body in turn if kind == "C"]
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT * FROM t") == []


X04 = {
    "back to savepoint, commit": (["BEGIN", "INSERT INTO t VALUES (1, '')", "SAVEPOINT s",
                                   "INSERT INTO t VALUES (2, '')", "ROLLBACK TO s",
                                   "INSERT INTO t VALUES (3, '')", "COMMIT"], [1, 3]),
    "back to savepoint, rollback": (["BEGIN", "INSERT INTO t VALUES (1, '')", "SAVEPOINT s",
                                     "INSERT INTO t VALUES (2, '')", "ROLLBACK TO SAVEPOINT s",
                                     "INSERT INTO t VALUES (3, '')", "ROLLBACK"], []),
    "error behind savepoint": (["BEGIN", "INSERT INTO t VALUES (1, '')", "SAVEPOINT s",
                                "INSERT INTO t VALUES (2, '')", "SELECT 1/0", "ROLLBACK TO s",
                                "INSERT INTO t VALUES (3, '')", "RELEASE s", "COMMIT"], [1, 3]),
    "nested, same names": (["BEGIN", "SAVEPOINT s", "INSERT INTO t VALUES (1, '')", "SAVEPOINT s",
                            "INSERT INTO t VALUES (2, '')", "ROLLBACK TO s", "RELEASE s",
                            "INSERT INTO t VALUES (3, '')", "ROLLBACK TO s",
                            "INSERT INTO t VALUES (4, '')", "COMMIT"], [4]),
    "in one query": (["BEGIN; INSERT INTO t VALUES (1, ''); SAVEPOINT s; INSERT INTO t VALUES "
                      "(2, ''); ROLLBACK TO s; COMMIT"], [1]),
    "odd names": (["BEGIN", 'SAVEPOINT "a b"', "INSERT INTO t VALUES (1, '')",
                   'ROLLBACK WORK TO SAVEPOINT "a b"', "COMMIT WORK"], []),
}


@pytest.mark.parametrize("case", X04)
def test_x04_savepoints(case, pair):
    statements, left = X04[case]
    raw = pair.session()
    pair.ask(raw, *statements)
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT id FROM t ORDER BY 1") == [(number,) for number in left]


X05 = {
    "abort": (["BEGIN", "INSERT INTO t VALUES (1, '')", "ABORT", "INSERT INTO t VALUES (2, '')"],
              [2]),
    "end": (["START TRANSACTION", "INSERT INTO t VALUES (1, '')", "END TRANSACTION"], [1]),
    "commit and chain": (["BEGIN", "INSERT INTO t VALUES (1, '')", "COMMIT AND CHAIN",
                          "INSERT INTO t VALUES (2, '')", "ROLLBACK AND CHAIN",
                          "INSERT INTO t VALUES (3, '')", "COMMIT"], [1, 3]),
    "commit prepared": (["BEGIN", "INSERT INTO t VALUES (1, '')", "PREPARE TRANSACTION 'x05 a'",
                         "COMMIT PREPARED 'x05 a'"], [1]),
    "rollback prepared": (["BEGIN", "INSERT INTO t VALUES (1, '')", "PREPARE TRANSACTION 'x05 b'",
                           "ROLLBACK PREPARED 'x05 b'", "INSERT INTO t VALUES (2, '')"], [2]),
    "prepare of a failed transaction": (["BEGIN", "INSERT INTO t VALUES (1, '')", "SELECT 1/0",
                                         "PREPARE TRANSACTION 'x05 c'"], []),
}


@pytest.mark.parametrize("case", X05)
def test_x05_other_ends_of_transactions(case, pair):
    statements, left = X05[case]
    raw = pair.session()
    pair.ask(raw, *statements)
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT id FROM t ORDER BY 1") == [(number,) for number in left]


IMPLICIT = {
    "pipeline": (wire.one_shot("INSERT INTO t VALUES (1, '')")
                 + wire.one_shot("INSERT INTO t VALUES (2, '')") + wire.SYNC, 1, [1, 2]),
    "pipeline that fails": (wire.one_shot("INSERT INTO t VALUES (1, '')")
                            + wire.one_shot("SELECT 1/0") + wire.SYNC, 1, []),
    "pipeline that fails, next turn": (
        wire.one_shot("INSERT INTO t VALUES (1, '')") + wire.one_shot("SELECT 1/0") + wire.SYNC
        + wire.one_shot("INSERT INTO t VALUES (2, '')") + wire.SYNC, 2, [2]),
    "insert; begin; rolled back": (wire.query("INSERT INTO t VALUES (1, ''); BEGIN")
                                   + wire.query("ROLLBACK"), 2, []),
    "insert; begin; committed": (wire.query("INSERT INTO t VALUES (1, ''); BEGIN")
                                 + wire.query("COMMIT"), 2, [1]),
    "commit in the middle of a query": (
        wire.query("BEGIN; INSERT INTO t VALUES (1, ''); COMMIT; INSERT INTO t VALUES (2, '');"
                   "SELECT 1/0"), 1, [1]),
    "bound, never executed": (wire.parse("INSERT INTO t VALUES (1, '')") + wire.bind()
                              + wire.SYNC, 1, []),
    "executed twice": (wire.parse("INSERT INTO t VALUES ($1, '')", "s") + wire.bind(["1"], name="s")
                       + wire.execute() + wire.bind(["2"], name="s") + wire.execute() + wire.SYNC,
                       1, [1, 2]),
    "prepared in an earlier turn": (
        wire.parse("INSERT INTO t VALUES ($1, '')", "s") + wire.SYNC + wire.bind(["1"], name="s")
        + wire.execute() + wire.SYNC, 2, [1]),
    "query swallowed after an error": (
        wire.parse("SELEC") + wire.query("INSERT INTO t VALUES (1, '')") + wire.SYNC, 1, []),
    "commit by execute and flush": (
        wire.one_shot("BEGIN") + wire.one_shot("INSERT INTO t VALUES (1, '')")
        + wire.one_shot("COMMIT") + wire.one_shot("SELECT 1/0") + wire.SYNC, 1, [1]),
    "portal in parts": (
        wire.parse("INSERT INTO t SELECT g, '' FROM generate_series(1, 3) g RETURNING id")
        + wire.bind() + wire.execute(rows=1) + wire.execute(rows=1) + wire.execute() + wire.SYNC,
        1, [1, 2, 3]),
    "commit-time failure": (
        wire.query("CREATE TABLE d(a int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        + wire.query("BEGIN; INSERT INTO t VALUES (1, ''); INSERT INTO d VALUES (1), (1)")
        + wire.query("COMMIT"), 3, []),
}


@pytest.mark.parametrize("case", IMPLICIT)
def test_implicit_transactions_and_pipelines(case, pair):
    sent, turns, left = IMPLICIT[case]
    raw = pair.session().send(sent)
    for _ in range(turns):
        raw.read_turn()
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT id FROM t ORDER BY 1") == [(number,) for number in left]


def test_k8_client_that_dies_inside_its_transaction_leaves_nothing(pair):
    for leave in ("shut", "reset"):
        raw = pair.session()
        pair.ask(raw, "BEGIN", "INSERT INTO t VALUES (1, '')")
        getattr(raw, leave)()
    pair.check_equal(pair.session())
    assert pair.on_mirror("SELECT * FROM t") == []


# -- values, formats, COPY, state of the session -------------------------------------------------


def insert(raw, values, types, formats=()):
    places = ", ".join(f"${number + 1}" for number in range(len(values)))
    raw.send(wire.parse(f"INSERT INTO p VALUES ({places})"),
             wire.bind(values, formats=formats), wire.execute(), wire.SYNC)
    assert wire.first_error(raw.read_turn()) == {}, types


def test_x06_negative_number_behind_a_minus(pair):
    for server in (pair.primary, pair.mirror):
        server.sql("INSERT INTO n SELECT g, g, '' FROM generate_series(1, 10) g", pair.database)
    raw = pair.session()
    raw.send(wire.one_shot("UPDATE n SET b = 'hit' WHERE a = 1 -$1", ["-5"]), wire.SYNC).read_turn()
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT id FROM n WHERE b = 'hit'") == [(6,)]


def test_x07_text_parameters_arrive_as_they_are(pair):
    raw = pair.session()
    pair.ask(raw, "CREATE TABLE p(a text)")
    values = ["NULL", None, "007", "1e5", "ends in $", "$1", "$$", "it's", "back\\slash", "\\", "",
              "/* no */ -- comment", "ünï\n\t", "x" * 100_000, "'; DROP TABLE p; --"]
    for value in values:
        insert(raw, [value], "text")
    pair.check_equal(raw)
    assert sorted(str(v) for (v,) in pair.on_mirror("SELECT a FROM p")) == sorted(map(str, values))


def test_x08_binary_parameters_of_common_types(pair):
    numeric = struct.pack("!hhHhhhh", 3, 1, 0x4000, 4, 1, 2345, 6789)
    values = {
        "int2": struct.pack("!h", -2), "int4": struct.pack("!i", -5), "int8": struct.pack("!q", -7),
        "float4": struct.pack("!f", 1.5), "float8": struct.pack("!d", -0.1), "bool": b"\1",
        "text": "NULL é".encode(), "bytea": bytes(range(256)), "uuid": bytes(range(16)),
        "timestamptz": struct.pack("!q", 712345678901234), "date": struct.pack("!i", 9000),
        "numeric": numeric, "jsonb": b"\1{\"a\": [1, null]}", "inet": b"\x02\x20\x00\x04\x7f\0\0\1",
        "int4[]": struct.pack("!iiiiiiiii", 1, 0, 23, 2, 1, 4, 1, 4, -1),
    }
    raw = pair.session()
    columns = ", ".join(f"c{number} {name}" for number, name in enumerate(values))
    pair.ask(raw, f"CREATE TABLE p({columns})")
    insert(raw, list(values.values()), "binary", formats=[1])
    insert(raw, [None] * len(values), "nulls", formats=[1] * len(values))
    mixed = [1 if name in ("bytea", "int8") else 0 for name in values]
    insert(raw, [values["bytea"] if name == "bytea" else values["int8"] if name == "int8" else None
                 for name in values], "mixed", formats=mixed)
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT count(*), count(c7) FROM p") == [(3, 2)]


def test_x09_order_within_sessions_is_kept_under_load(pair):
    def one(base):
        raw = pair.session()
        for number in range(base, base + 200):
            for text in (f"INSERT INTO t VALUES ({number}, 'new')",
                         f"UPDATE t SET v = v || 'er' WHERE id = {number}",
                         f"DELETE FROM t WHERE id = {number} AND v = 'newer' AND id % 3 = 0"):
                assert pair.ask(raw, text) == [""]
        pair.finish(raw)

    together(lambda base=base: one(base) for base in (0, 1000, 2000, 3000))
    pair.check_equal()


def test_causal_order_between_sessions(pair):
    """A second session writes only after the first one's commit was acknowledged."""
    first, second = pair.session(), pair.session()
    for number in range(300):
        pair.ask(first, f"INSERT INTO t VALUES ({number}, 'a')")
        assert pair.ask(second, f"UPDATE t SET v = v || 'b' WHERE id = {number}") == [""]
        pair.ask(first, f"UPDATE t SET v = v || 'c' WHERE id = {number}")
    pair.finish(second)
    pair.check_equal(first)
    assert pair.on_mirror("SELECT DISTINCT v FROM t") == [("abc",)]


def test_x10_settings_of_one_session_stay_in_its_lane(pair):
    setter, innocent = pair.session(), pair.session()
    pair.ask(setter, "CREATE SCHEMA other", "CREATE TABLE other.t(id int, v text)",
             "SET search_path = other")
    for number in range(40):
        assert pair.ask(innocent, f"INSERT INTO t VALUES ({number}, 'public')") == [""]
        assert pair.ask(setter, f"INSERT INTO t VALUES ({number}, 'other')") == [""]
    pair.finish(innocent)
    pair.check_equal(setter)
    assert pair.on_mirror("SELECT count(*) FROM other.t")[0][0] == 40


def test_settings_follow_the_session(pair):
    raw = pair.session(DateStyle="German")
    pair.ask(raw, "CREATE TABLE p(a date, b text)", "SET TimeZone = 'Asia/Tokyo'",
             "INSERT INTO p VALUES ('01.02.2020', '2020-01-01 00:00+00'::timestamptz::text)",
             "BEGIN", "SET LOCAL DateStyle = 'ISO, MDY'",
             "INSERT INTO p VALUES ('01/02/2020', 'local')", "COMMIT",
             "BEGIN", "SET DateStyle = 'ISO, MDY'", "ROLLBACK",
             "INSERT INTO p VALUES ('03.04.2020', 'back')", "RESET TimeZone",
             "SELECT set_config('my.value', 'x', false)",
             "INSERT INTO p SELECT '05.06.2020', current_setting('TimeZone')")
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT count(*) FROM p")[0][0] == 4


def test_temporary_tables_stay_with_their_session(pair):
    one, two = pair.session(), pair.session()
    for raw, base in ((one, 0), (two, 100)):
        pair.ask(raw, "CREATE TEMP TABLE mine(a int)",
                 f"INSERT INTO mine SELECT generate_series({base}, {base + 9})")
    for raw in (one, two):
        assert pair.ask(raw, "INSERT INTO t SELECT a, 'temp' FROM mine", "DROP TABLE mine"
                        ) == ["", ""]
    pair.finish(two)
    pair.check_equal(one)
    assert pair.on_mirror("SELECT count(*) FROM t")[0][0] == 20


def test_statements_of_every_writing_kind(pair):
    raw = pair.session()
    said = pair.ask(
        raw, "-- led by a comment\nINSERT INTO t VALUES (1, 'a')",
        "/* block */ WITH x AS (INSERT INTO t VALUES (2, 'b') RETURNING id) SELECT * FROM x",
        "MERGE INTO t USING (VALUES (1), (3)) s(id) ON t.id = s.id WHEN MATCHED THEN UPDATE SET "
        "v = 'm' WHEN NOT MATCHED THEN INSERT VALUES (s.id, 'n')",
        "DO $$BEGIN INSERT INTO t VALUES (4, 'do; not split'); END$$",
        "CREATE PROCEDURE pr(i int) LANGUAGE sql AS 'INSERT INTO t VALUES (i, ''call'')'",
        "CALL pr(5)", "PREPARE q AS INSERT INTO t VALUES ($1, 'prepared')", "EXECUTE q(6)",
        "DEALLOCATE q", "CREATE SEQUENCE sq", "SELECT setval('sq', 100)", "SELECT nextval('sq')",
        "INSERT INTO t VALUES (nextval('sq'), 'sequence')",
        "CREATE TABLE made AS SELECT 1 AS a", "SELECT 2 AS a INTO made2",
        "ALTER TABLE made ADD b int DEFAULT 7", "CREATE INDEX ON made(b)", "TRUNCATE made2",
        "EXPLAIN (ANALYZE, COSTS OFF) INSERT INTO t VALUES (7, 'explained')",
        "CREATE VIEW w AS SELECT * FROM t", "DELETE FROM w WHERE id = 1", "DROP VIEW w",
        "INSERT INTO t VALUES (8, ''), (9, '') RETURNING *", "(SELECT 1)", "VACUUM t",
        "CREATE TYPE mood AS ENUM ('ok')", "CREATE TABLE m2(a mood)",
        "INSERT INTO m2 VALUES ('ok')")
    assert said == [""] * len(said)
    pair.check_equal(raw)
    last = "SELECT last_value FROM sq"
    assert pair.on_mirror(last) == pair.on_primary(last)


def test_reads_are_not_mirrored(pair):
    raw = pair.session()
    pair.check_equal(raw)
    before = pair.target.metric("pgbraid_mirror_offered_total")
    for _ in range(50):
        raw.rows("SELECT * FROM t")
        raw.send(wire.one_shot("SELECT count(*) FROM t"), wire.SYNC).read_turn()
        raw.ask("COPY t TO STDOUT")
    pair.check_equal(raw)
    assert pair.target.metric("pgbraid_mirror_offered_total") == before + 1  # the marker


COPY_ROWS = wire.copy_data(b"1\ta\n2\t\\N\n") + wire.copy_data(b"") + wire.copy_data(b"3\tN") \
    + wire.copy_data(b"ULL\n")
X11 = {
    "simple": (wire.query("COPY t FROM STDIN") + COPY_ROWS + wire.COPY_DONE, 1, 3),
    "extended": (wire.parse("COPY t FROM STDIN") + wire.bind() + wire.execute() + COPY_ROWS
                 + wire.COPY_DONE + wire.SYNC, 1, 3),
    "in a transaction": (wire.query("BEGIN") + wire.query("COPY t FROM STDIN") + COPY_ROWS
                         + wire.COPY_DONE + wire.query("COMMIT"), 3, 3),
    "rolled back": (wire.query("BEGIN") + wire.query("COPY t FROM STDIN") + COPY_ROWS
                    + wire.COPY_DONE + wire.query("ROLLBACK"), 3, 0),
    "bad row": (wire.query("COPY t FROM STDIN") + COPY_ROWS + wire.copy_data(b"x\n")
                + wire.COPY_DONE, 1, 0),
    "given up": (wire.query("COPY t FROM STDIN") + COPY_ROWS + wire.copy_fail(), 1, 0),
    "two in one query": (
        wire.query("COPY t FROM STDIN; COPY t FROM STDIN; INSERT INTO t VALUES (9, '')") + COPY_ROWS
        + wire.COPY_DONE + wire.copy_data(b"4\tx\n") + wire.COPY_DONE, 1, 5),
    "csv": (wire.query("COPY t FROM STDIN (FORMAT csv, HEADER)")
            + wire.copy_data(b"id,v\n1,\"a\n,b\"\n") + wire.COPY_DONE, 1, 1),
}


@pytest.mark.parametrize("case", X11)
def test_x11_copy_in(case, pair):
    sent, turns, rows = X11[case]
    raw = pair.session().send(sent)
    for _ in range(turns):
        raw.read_turn()
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT count(*) FROM t")[0][0] == rows


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_what_goes_over_pooled_connections_is_mirrored(pair, server, shared_mirror, new_target,
                                                       mode):
    pair.target = new_target(server.url(user="postgres", password="x"), [
        "--auth", "trust", "--pool-mode", mode, "--mirror", shared_mirror.url(user="postgres")])
    for number in range(3):
        raw = pair.session(application_name=f"client {number}")
        assert pair.ask(raw, f"INSERT INTO t VALUES ({number}, 'simple')", "BEGIN",
                        f"UPDATE t SET v = 'changed' WHERE id = {number}", "COMMIT") == [""] * 4
        raw.send(wire.one_shot("INSERT INTO t VALUES ($1, $2)", (str(100 + number), "value")),
                 wire.SYNC).read_turn()
        pair.finish(raw)
        raw.shut()
    pair.check_equal()
    assert pair.on_mirror("SELECT count(*) FROM t") == [(6,)] and pair.dropped() == 0


def test_k2_transaction_above_its_bound_is_mirrored_whole_or_counted_as_dropped(pair):
    raw = pair.session()
    pair.ask(raw, "CREATE TABLE big(a text)")
    raw.send(wire.query("COPY big FROM STDIN"), wire.copy_data(b"x" * 9999 + b"\n") * 4000,
             wire.COPY_DONE)
    assert wire.kinds(raw.read_turn()) == "GCZ"
    pair.finish(raw)
    pair.settle()
    rows = pair.on_mirror("SELECT count(*) FROM big")[0][0]
    assert (rows, pair.dropped()) in ((4000, 0), (0, 1)), pair.counters()


def test_psql_script_with_errors_goes_on_and_stays_equal(pair, tmp_path):
    script = tmp_path / "mix.sql"
    script.write_text(
        "CREATE TABLE a(id serial PRIMARY KEY, v text UNIQUE);\n"
        + "".join(f"BEGIN;\nINSERT INTO a(v) VALUES ('{n}');\nSAVEPOINT s;\n"
                  f"INSERT INTO a(v) VALUES ('{n // 2}');\nROLLBACK TO s;\n"
                  f"{('COMMIT', 'ROLLBACK', 'SELECT 1/0; COMMIT')[n % 3]};\n"
                  f"INSERT INTO a(v) VALUES ('x{n % 7}');\n" for n in range(100))
        + "\\copy a(v) from stdin\none\ntwo\n\\.\n")
    pair.target.psql("-q", "-f", str(script), database=pair.database)
    pair.check_equal(pair.session(), without=["id"])  # sequence values lost in failures differ
