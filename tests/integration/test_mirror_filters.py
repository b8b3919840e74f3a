"""Which statements reach which mirror: modes, patterns, samples, and settings that contradict.

What a mirror must get is told by rows, and by the statements that its own log or its functions
record where rows cannot tell. Both servers begin with the same tables.
"""

import itertools
import subprocess

import pytest

from harness import processes, proxy, wire

pytestmark = [pytest.mark.proxy_only, pytest.mark.one_io]

MODES = ("writes", "all", "reads", "ddl", "dml", "writes+reads")
# A function that leaves a row wherever it runs: a read that can be seen.
SEEN = """
CREATE TABLE seen(what text);
CREATE FUNCTION see(what text) RETURNS int LANGUAGE sql AS
  'INSERT INTO seen VALUES (what); SELECT 1';
"""
_names = itertools.count(1)


@pytest.fixture
def trio(server, shared_mirror, new_target):
    """A primary and one mirror for each of some settings: trio(flags, options...) -> (pair, names).

    All mirrors are databases of one cluster, so `mirror` of the pair asks the cluster."""
    made = []

    def make(*options, flags=(), schema="", login=""):
        name = f"filters{next(_names)}"
        names = [f"{name}_{i}" for i in range(len(options))]
        primary = f"{name}_primary"
        server.sql(f"CREATE DATABASE {primary}")
        made.append((server, primary))
        for database in names:
            shared_mirror.sql(f"CREATE DATABASE {database}")
            made.append((shared_mirror, database))
        tables = "CREATE TABLE t(id int PRIMARY KEY, v text);" + SEEN + schema
        server.sql(tables, primary)
        for database in names:
            shared_mirror.sql(tables, database)
        urls = [f"postgres://postgres@127.0.0.1:{shared_mirror.port}/{database}?name={database}"
                f"{option}" for database, option in zip(names, options)]
        mirrors = [word for url in urls for word in ("--mirror", url)]
        url = f"postgres://{login}127.0.0.1:{server.port}/{primary}"
        return Trio(new_target(url, [*mirrors, *flags]), shared_mirror, primary, names)

    yield make
    for where, database in made:
        where.sql(f"DROP DATABASE {database} WITH (FORCE)")


class Trio:
    def __init__(self, target, mirror, primary, names):
        self.target, self.mirror, self.primary, self.names = target, mirror, primary, names

    def session(self, **params):
        return self.target.login(self.primary, **params)

    def ask(self, raw, *statements):
        for text in statements:
            error = wire.first_error(raw.ask(text))
            assert not error, (text, error)

    def metric(self, what, name):
        return self.target.metric(f"pgbraid_mirror_{what}_total", mirror=name)

    def settle(self, *open_sessions):
        """Waits until the sessions are over, and so all is offered, and until the lanes are empty.
        For one that stays open, the number that its transactions come to."""
        def settled():
            if open_sessions:
                ready = [self.metric("offered", name) + self.metric("filtered_transactions", name)
                         for name in self.names] == list(open_sessions)
            else:
                ready = self.target.metric("pgbraid_session_clients") == 0
            return ready and all(self.metric("offered", name) == sum(
                self.metric(what, name) for what in ("delivered", "refused", "dropped"))
                for name in self.names)
        processes.wait_until(settled, f"every lane to be empty: {self.target.metrics()}")

    def rows(self, name, text):
        return [row[0] for row in self.mirror.sql(text, name)]


STATEMENTS = ["SET application_name = 'filters'",
              "BEGIN", "CREATE TABLE made(a int)", "INSERT INTO t VALUES (1, 'in a transaction')",
              "SELECT see('in a transaction')", "COMMIT",
              "INSERT INTO t VALUES (2, 'alone')", "TRUNCATE made", "SELECT see('alone')",
              "BEGIN", "INSERT INTO t VALUES (3, 'rolled back')", "SELECT see('rolled back')",
              "ROLLBACK", "VACUUM t", "LISTEN c", "COMMENT ON TABLE t IS 'changed'"]
READS = ["alone", "in a transaction"]


@pytest.mark.parametrize("mode", MODES)
def test_f06_to_f10_each_mode_leaves_exactly_its_rows(mode, trio):
    three = trio("", flags=["--mirror-filter", mode])
    name = three.names[0]
    raw = three.session()
    three.ask(raw, *STATEMENTS)
    raw.shut()
    three.settle()
    rows = [1, 2] if mode not in ("reads", "ddl") else []
    reads = READS if mode in ("all", "reads", "writes+reads") else []
    made = mode not in ("reads", "dml")
    assert three.rows(name, "SELECT id FROM t ORDER BY 1") == rows
    assert three.rows(name, "SELECT what FROM seen ORDER BY 1") == reads
    assert three.rows(name, "SELECT count(*) FROM pg_class WHERE relname = 'made'") == [int(made)]
    comment = three.rows(name, "SELECT obj_description('t'::regclass)")
    assert comment == (["changed"] if made else [None])
    assert three.metric("refused", name) == three.metric("dropped", name) == 0


FLAGS = {"--mirror-all-queries": "all", "--mirror-select-queries": "reads",
         "--mirror-ddl-only": "ddl", "--mirror-dml-only": "dml"}


@pytest.mark.parametrize("flag", FLAGS)
def test_frenzys_flags_choose_the_mode(flag, trio):
    three = trio("", flags=[flag, "--skip-rollback-mirror", "--skip-failed-tx-mirror=true"])
    name = three.names[0]
    raw = three.session()
    three.ask(raw, "INSERT INTO t VALUES (1, '')", "SELECT see('x')", "CREATE TABLE made(a int)")
    raw.shut()
    three.settle()
    got = (three.rows(name, "SELECT count(*) FROM t") == [1],
           three.rows(name, "SELECT count(*) FROM seen") == [1],
           three.rows(name, "SELECT count(*) FROM pg_class WHERE relname = 'made'") == [1])
    assert got == {"all": (True, True, True), "reads": (False, True, False),
                   "ddl": (False, False, True), "dml": (True, False, False)}[FLAGS[flag]]


REFUSED = {
    "two modes": (["--mirror-ddl-only", "--mirror-dml-only"],
                  "--mirror-dml-only: contradicts --mirror-ddl-only"),
    "a mode twice": (["--mirror-filter", "all", "--mirror-all-queries"],
                     "--mirror-all-queries: contradicts --mirror-filter"),
    "an unknown mode": (["--mirror-filter", "wirtes"], 'did you mean "writes"?'),
    "rolled back": (["--skip-rollback-mirror=false"],
                    "a mirror never gets what the primary did not commit"),
    "failed": (["--skip-failed-tx-mirror=false"],
               "a mirror never gets what the primary did not commit"),
    "a bad pattern": (["--mirror-include", "a(b"], "--mirror-include: is no regular expression"),
    "a share above all": (["--mirror-exposure", "1.5"], "from 0 to 1"),
    "a bad pattern of one mirror": (["--mirror", "postgres://u@127.0.0.1:3/d?exclude=a(b"],
                                    "--mirror: the exclude is no regular expression of RE2"),
    "a filter of the primary": (["--primary", "postgres://127.0.0.1:2/d?filter=all"],
                                "--primary: filter, exposure, generated, include and exclude"),
}


def starting(*flags):
    primary = [] if "--primary" in flags else ["--primary", "postgres://127.0.0.1:1/d"]
    done = subprocess.run([proxy.BINARY, "--listen", "127.0.0.1:0", *primary, *flags],
                          capture_output=True, text=True, timeout=processes.DEADLINE)
    return done.returncode, done.stderr


@pytest.mark.parametrize("case", REFUSED)
def test_what_contradicts_is_refused(case):
    flags, why = REFUSED[case]
    code, text = starting(*flags)
    assert code == 2 and why in text, text


def test_a_bad_pattern_in_the_file_is_named_by_line_and_key(tmp_path):
    file = tmp_path / "p.toml"
    file.write_text("[[mirror]]\nurl = 'postgres://u@127.0.0.1:3/d'\ninclude = ['ok',\n '[a']\n")
    code, text = starting("--config", str(file))
    assert code == 2 and f"{file}:4:2: mirror.include: is no regular expression" in text, text


def test_patterns_and_settings_of_each_mirror(trio):
    three = trio("", "&filter=writes%2Breads&include=%5Cbt%5Cb", "&filter=reads&exclude=secret",
                 "&exclude=%28%3Fi%29INTO%20T",
                 flags=["--mirror-exclude", "never"])
    raw = three.session()
    three.ask(raw, "INSERT INTO t VALUES (1, 'x')", "INSERT INTO seen VALUES ('a row')",
              "INSERT INTO t VALUES (2, 'never')", "SELECT see('of t') FROM t LIMIT 1",
              "SELECT see('secret')", "BEGIN", "INSERT INTO t VALUES (3, 'x')",
              "INSERT INTO seen VALUES ('in a transaction')", "COMMIT",
              "PREPARE p AS INSERT INTO t VALUES ($1, 'x')", "EXECUTE p(4)")
    raw.send(wire.parse("INSERT INTO t VALUES ($1, 'x')") + wire.bind(["5"]) + wire.execute()
             + wire.SYNC).read_turn()
    raw.shut()
    three.settle()
    writes, tables, reads, no_t = three.names

    def found(name):
        return (three.rows(name, "SELECT id FROM t ORDER BY 1"),
                three.rows(name, "SELECT what FROM seen ORDER BY 1"))

    assert found(writes) == ([1, 3, 4, 5], ["a row", "in a transaction"])
    # A mirror's own patterns take the place of those for all. It has the pattern of its include
    # alone, and the common exclude.
    assert found(tables) == ([1, 3, 4, 5], ["of t"])
    # Nothing was written there, so t is empty and the read that goes by its rows sees nothing.
    assert found(reads) == ([], [])
    assert found(no_t) == ([], ["a row", "in a transaction"])
    assert all(three.metric("refused", name) == 0 for name in three.names)
    assert three.metric("filtered_statements", reads) == 8


COUNT = 400


def test_exposure_takes_whole_transactions_and_counts_the_others(trio):
    three = trio("&exposure=0.5", "&exposure=0", "")
    raw = three.session()
    for i in range(COUNT):
        three.ask(raw, "BEGIN", f"INSERT INTO t VALUES ({2 * i}, '')",
                  f"INSERT INTO t VALUES ({2 * i + 1}, '')", "COMMIT")
    raw.shut()
    three.settle()
    half, none, all_of_them = three.names
    ids = three.rows(half, "SELECT id FROM t ORDER BY 1")
    assert len(ids) == 2 * three.metric("delivered", half)
    assert ids == [i for even in ids[::2] for i in (even, even + 1)]
    assert three.metric("delivered", half) + three.metric("filtered_transactions", half) == COUNT
    assert 0 < three.metric("delivered", half) < COUNT
    assert three.rows(none, "SELECT count(*) FROM t") == [0]
    assert three.metric("filtered_transactions", none) == COUNT
    assert three.metric("offered", none) == 0
    assert three.rows(all_of_them, "SELECT count(*) FROM t") == [2 * COUNT]
    assert three.metric("filtered_transactions", all_of_them) == 0


def test_two_sessions_ping_pong_on_one_lock_and_leave_none_on_the_mirror(trio):
    three = trio("&exposure=0.5")
    name = three.names[0]
    raws = [three.session() for _ in range(2)]
    for i in range(100):
        raw = raws[i % 2]
        three.ask(raw, "SELECT pg_advisory_lock(7)", "BEGIN",
                  f"INSERT INTO t VALUES ({i}, '')", "COMMIT", "SELECT pg_advisory_unlock(7)")
    three.settle(300)
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    assert three.rows(name, locks) == [0]
    rows = three.rows(name, "SELECT count(*) FROM t")[0]
    # Locks and unlocks always go: 200 of them.
    assert three.metric("delivered", name) == 200 + rows
    assert rows + three.metric("filtered_transactions", name) == 100
    assert three.metric("refused", name) == three.metric("dropped", name) == 0
    for raw in raws:
        raw.shut()


def test_state_of_a_transaction_that_is_not_in_the_sample_stays(trio):
    three = trio("&exposure=0&filter=reads", "&filter=reads", schema="CREATE SCHEMA s;")
    raw = three.session()
    three.ask(raw, "BEGIN", "SET search_path = s, public", "SELECT see('in')", "COMMIT",
              "CREATE TEMP TABLE own(a int)", "SELECT see('temporary') FROM own",
              "SELECT see(current_setting('search_path'))")
    raw.shut()
    three.settle()
    none, reads = three.names
    assert three.rows(none, "SELECT what FROM seen") == []
    assert three.rows(reads, "SELECT what FROM seen ORDER BY 1") == ["in", "s, public"]
    assert three.metric("refused", reads) == three.metric("refused", none) == 0
    assert three.metric("delivered", none) == 2  # SET, and the temporary table


def test_reads_of_every_protocol_run_on_a_reading_mirror(trio):
    three = trio("&filter=reads",
                 schema="INSERT INTO t SELECT g, 'x' FROM generate_series(1, 9) g;")
    name = three.names[0]
    raw = three.session()
    three.ask(raw, "BEGIN", "DECLARE c CURSOR FOR SELECT see(v) FROM t", "FETCH 4 FROM c",
              "CLOSE c", "COMMIT", "COPY t TO STDOUT", "EXPLAIN SELECT 1", "SHOW work_mem",
              "SELECT see('a'); INSERT INTO t VALUES (100, ''); SELECT see('b')")
    raw.send(wire.parse("SELECT see(v) FROM t WHERE id < $1") + wire.bind(["9"])
             + wire.execute(rows=2) + wire.execute(rows=3) + wire.SYNC).read_turn()
    raw.shut()
    three.settle()
    assert three.rows(name, "SELECT count(*) FROM seen WHERE what = 'x'") == [4 + 5]
    assert three.rows(name, "SELECT what FROM seen WHERE what <> 'x' ORDER BY 1") == ["a", "b"]
    assert three.rows(name, "SELECT count(*) FROM t") == [9]
    assert three.metric("refused", name) == 0


def test_f07_all_mirrors_what_is_not_one_servers_own(trio):
    three = trio("&filter=all")
    name = three.names[0]
    raw = three.session()
    three.ask(raw, "LISTEN c", "ANALYZE t", "VACUUM t", "CHECKPOINT",
              "SELECT pg_terminate_backend(0)", "SELECT 1")
    three.settle(4)
    assert three.metric("delivered", name) == 4  # LISTEN, ANALYZE, VACUUM, SELECT 1
    assert three.metric("filtered_statements", name) == 2
    raw.shut()


def test_writing_functions_are_mirrored_where_reads_are_not(trio):
    three = trio("", flags=["--writing-functions", "public.see"])
    name = three.names[0]
    raw = three.session()
    three.ask(raw, "SELECT see('a')", "SELECT public.see('b')", "SELECT 'see(1)'", "SELECT 1")
    raw.shut()
    three.settle()
    assert three.rows(name, "SELECT what FROM seen ORDER BY 1") == ["a", "b"]
    assert three.metric("offered", name) == 2


def test_statements_alone_are_transactions_of_their_own_on_the_mirror(trio):
    three = trio("", flags=["--skip-mirror-tx-locks"],
                 schema="ALTER TABLE t ADD made xid8 DEFAULT pg_current_xact_id();")
    name = three.names[0]
    three.mirror.sql("INSERT INTO t VALUES (2, 'is there already')", name)
    raw = three.session()
    three.ask(raw, "BEGIN", "SET LOCAL work_mem = '1MB'", "INSERT INTO t VALUES (1, '')",
              "INSERT INTO t VALUES (2, '')", "INSERT INTO t VALUES (3, '')", "COMMIT",
              "BEGIN", "INSERT INTO t VALUES (4, '')", "ROLLBACK")
    raw.shut()
    three.settle()
    assert three.rows(name, "SELECT id FROM t ORDER BY 1") == [1, 2, 3]
    assert three.rows(name, "SELECT count(DISTINCT made) FROM t") == [3]
    assert (three.metric("delivered", name), three.metric("refused", name)) == (2, 1)


# 0x95 0x5C is one character of SJIS, U+8868; by its bytes the second is a backslash.
HYOU = b"\x95\x5c"
SJIS = {
    "start-up": ({"client_encoding": "SJIS"}, []),
    "set": ({}, ["SET client_encoding = 'SJIS'"]),
    "set names": ({}, ["SET NAMES 'Shift_JIS'"]),
    "set_config": ({}, ["SELECT set_config('client_encoding', 'SJIS', false)"]),
    "rolled back": ({"client_encoding": "SJIS"},
                    ["BEGIN", "SET client_encoding = 'UTF8'", "ROLLBACK"]),
    "of the role": ({"user": "sjis_user"}, []),
}


@pytest.fixture
def sjis_user(server):
    if not server.sql("SELECT 1 FROM pg_roles WHERE rolname = 'sjis_user'"):
        server.sql("CREATE ROLE sjis_user SUPERUSER LOGIN")
        server.sql("ALTER ROLE sjis_user SET client_encoding = 'SJIS'")


@pytest.mark.parametrize("mode", ("session", "transaction"))
def test_the_encoding_of_a_pools_user_is_known_at_once(mode, trio, sjis_user):
    three = trio("", login="sjis_user@", flags=["--auth", "trust", "--pool-mode", mode])
    name = three.names[0]
    raw = three.session(user="postgres")
    text = b"INSERT INTO t VALUES (1, E'" + HYOU + b"'); INSERT INTO t VALUES (2, 'b')"
    assert not wire.first_error(raw.send(wire.frame("Q", text + b"\0")).read_turn())
    raw.shut()
    three.settle()
    assert three.rows(name, "SELECT v FROM t ORDER BY id") == ["\u8868", "b"]
    assert three.metric("statements", name) == 2


@pytest.mark.parametrize("case", SJIS)
def test_texts_are_split_in_the_clients_encoding(case, trio, sjis_user):
    params, before = SJIS[case]
    three = trio("")
    raw = three.session(**params)
    three.ask(raw, *before)
    first = b"INSERT INTO t VALUES (1, E'" + HYOU + b"'); INSERT INTO t VALUES (2, 'b')"
    turn = raw.send(wire.frame("Q", first + b"\0")).read_turn()
    assert not wire.first_error(turn)
    # Half a katakana is a character of its own, and what follows it a quote.
    second = b"INSERT INTO t VALUES (3, E'\xb1'); SELECT 1; INSERT INTO t VALUES (4, 'b')"
    turn = raw.send(wire.frame("Q", second + b"\0")).read_turn()
    assert not wire.first_error(turn)
    raw.shut()
    three.settle()
    name = three.names[0]
    assert three.rows(name, "SELECT v FROM t ORDER BY id") == ["\u8868", "b", "\uff71", "b"]
    assert three.metric("refused", name) == 0
    assert three.target.metric("pgbraid_mirror_statements_total", mirror=name) == 4 + sum(
        text.startswith(("SET", "SELECT set_config")) and case != "rolled back" for text in before)
