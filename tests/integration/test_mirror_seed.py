"""What the mirrors that pgbraid replaces got wrong, and their own test lists, through a mirror.

F01 to F27 are their tests, X12 to X18 their hangs, defects are theirs by number or by name. What
is not here is in test_mirror.py and test_mirror_faults.py; tests/README.md has the whole table.
"""

import os

import pytest

from conftest import FULL, ONE_IO
from harness import postgres, processes, wire

pytestmark = [pytest.mark.proxy_only, ONE_IO]


def told(pair, text):
    """Asks by a simple query, waits for the mirror; what t has there."""
    raw = pair.session()
    assert not wire.first_error(raw.ask(text)), text
    pair.check_equal(raw)
    assert pair.target.metric("pgbraid_mirror_refused_total") == 0 and pair.dropped() == 0
    return pair.on_mirror("SELECT id, v FROM t ORDER BY 1")


def inserts(*values):
    return "; ".join(f"INSERT INTO t VALUES ({number}, {value})"
                     for number, value in enumerate(values))


# -- F01 to F05: where statements end ------------------------------------------------------------

SPLIT = {
    "f01 single": (inserts("'a'"), ["a"]),
    "f01 two": (inserts("'a'", "'b'"), ["a", "b"]),
    "f01 trailing semicolon": (inserts("'a'", "'b'") + ";", ["a", "b"]),
    "f01 empty": (";;" + inserts("'a'") + "; ;", ["a"]),
    "f01 whitespace only": (" \n\t ", []),
    "f02 single quotes": (inserts("'a;b'", "'c'"), ["a;b", "c"]),
    "f02 doubled quote": (inserts("'it''s;'", "''';'''"), ["it's;", "';'"]),
    "f02 backslash in E": (inserts(r"E'a\';b'", r"E'\\'", "'c'"), ["a';b", "\\", "c"]),
    "f02 backslash in a plain string": (inserts(r"'a\'", "'b;'"), ["a\\", "b;"]),
    "f03 quoted identifier": (
        'CREATE TABLE "a;b"(x int); INSERT INTO "a;b" VALUES (1); INSERT INTO t SELECT x, '
        "'x' FROM \"a;b\"", ["x"]),
    "f03 doubled double quote": (
        'CREATE TABLE "a"";b"(x int); INSERT INTO "a"";b" VALUES (1); ' + inserts("'y'"), ["y"]),
    "f04 dollar": (inserts("$$a;b'$$", "'c'"), ["a;b'", "c"]),
    "f04 tagged": (inserts("$t$a;$$;b$t$", "'c'"), ["a;$$;b", "c"]),
    "f04 nested": (
        "DO $x$BEGIN EXECUTE $y$INSERT INTO t VALUES (0, $$a;b$$)$y$; END$x$; "
        "INSERT INTO t VALUES (1, 'c')", ["a;b", "c"]),
    "f05 line comment": (inserts("'a'") + " -- ; not\n; INSERT INTO t VALUES (1, 'b')",
                         ["a", "b"]),
    "f05 block comment": ("/* ; */" + inserts("'a'", "/* ; */ 'b'"), ["a", "b"]),
    "f05 nested block comment": ("/* ; /* ; */ ; */" + inserts("'a'", "'b'"), ["a", "b"]),
}


@pytest.mark.parametrize("case", SPLIT)
def test_statement_splitting(case, pair):
    text, values = SPLIT[case]
    assert [value for _, value in told(pair, text)] == values


@pytest.mark.parametrize("head", [
    "COPY t FROM STDIN", "copy public.t from stdin", 'COPY "t" (id, v) FROM STDIN',
    'COPY "public"."t" FROM STDIN WITH (FORMAT text)', "/* c */ COPY\nt\n(id,v)\nFROM\nSTDIN;",
    "COPY t(v, id) FROM STDIN (DELIMITER E'\\t')"])
def test_f13_copy_finds_its_table(head, pair):
    raw = pair.session()
    row = b"v\t1\n" if "(v, id)" in head else b"1\tv\n"
    turn = raw.send(wire.query(head), wire.copy_data(row), wire.COPY_DONE).read_turn()
    assert wire.kinds(turn) == "GCZ"
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT id, v FROM t") == [(1, "v")]


def test_f14_no_statement_is_in_the_log_however_long(pair):
    pair.on_mirror("INSERT INTO t VALUES (1, 'mirror only')")
    raw = pair.session()
    pair.ask(raw, f"INSERT INTO t VALUES (1, 'a secret {'x' * 300}')")
    pair.finish(raw)
    pair.target.log_contains("mirror.refused")
    assert "secret" not in pair.target.log_text() and "INSERT" not in pair.target.log_text()


F15 = {
    "simple": ("$1", ["a"], "a"),
    "none": ("'none'", [], "none"),
    "inside single quotes": ("'$1' || $1", ["a"], "$1a"),
    "inside double quotes": ("(SELECT \"$1\" FROM (SELECT $1::text AS \"$1\") q)", ["a"], "a"),
    "inside dollar quotes": ("$q$ $1 $q$ || $1", ["a"], " $1 a"),
    "two digits": ("$1::text || $2 || $3 || $4 || $5 || $6 || $7 || $8 || $9 || $10 || $11",
                   list("abcdefghijk"), "abcdefghijk"),
    "doubled quote": ("'it''s $1' || $1", ["a"], "it's $1a"),
    "no parameters at all": ("'$0' || '$abc' || $1", ["$2"], "$0$abc$2"),
}


@pytest.mark.parametrize("case", F15)
def test_f15_parameters_are_bound_not_pasted(case, pair):
    value, parameters, expected = F15[case]
    raw = pair.session()
    turn = raw.send(wire.one_shot(f"INSERT INTO t VALUES (1, {value})", parameters),
                    wire.SYNC).read_turn()
    assert not wire.first_error(turn)
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT v FROM t") == [(expected,)]


# -- F20 to F27: the procedures of their document ------------------------------------------------


def test_f20_version_through_the_proxy(pair):
    assert pair.target.psql("-Atc", "SELECT version()", database=pair.database).stdout.strip() \
        == pair.primary.value("SELECT version()")
    assert pair.target.metric("pgbraid_mirror_offered_total") == 0


def test_f21_a_hundred_clients_have_their_own_pid_and_tag(pair):
    raws = [pair.session(application_name=f"tag {number}") for number in range(100)]
    for raw in raws:
        raw.send(wire.query("SELECT pg_backend_pid(), current_setting('application_name')"))
    seen = [wire.columns_of(raw.read_turn()[1][1]) for raw in raws]
    assert len({pid for pid, _ in seen}) == 100
    assert [tag.decode() for _, tag in seen] == [f"tag {number}" for number in range(100)]
    tag = "current_setting('application_name')"
    for number, raw in enumerate(raws):
        raw.send(wire.query(f"INSERT INTO t VALUES ({number}, {tag})"))
    for raw in raws:
        assert not wire.first_error(raw.read_turn())
    for raw in raws:
        pair.finish(raw)
    pair.check_equal()
    assert pair.on_mirror("SELECT count(DISTINCT v) FROM t") == [(100,)]


def test_f22_set_current_setting_and_pid_in_one_query(pair):
    raw = pair.session()
    turn = raw.ask("SET my.tag = 'x'; SELECT current_setting('my.tag'); SELECT pg_backend_pid(); "
                   "INSERT INTO t VALUES (1, current_setting('my.tag'))")
    rows = [wire.columns_of(body)[0].decode() for kind, body in turn if kind == "D"]
    assert rows[0] == "x" and int(rows[1]) == raw.pid
    pair.ask(raw, "INSERT INTO t VALUES (2, current_setting('my.tag'))")
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT v FROM t") == [("x",), ("x",)]


@pytest.fixture
def tls_pair(pair, papers, new_target):
    pair.target = new_target(pair.primary.url() + "?sslmode=disable", [
        *papers.flags, "--mirror", pair.mirror.url(user="postgres")])
    return pair


def test_f23_fifty_tls_clients(tls_pair):
    raws = []
    for number in range(50):
        raw = tls_pair.target.wire().start_tls()
        raws.append(raw.login(user="postgres", database=tls_pair.database))
        assert raw.socket.version()
        raw.send(wire.query(f"INSERT INTO t VALUES ({number}, 'tls')"))
    for raw in raws:
        assert not wire.first_error(raw.read_turn())
    for raw in raws:
        tls_pair.finish(raw)
    tls_pair.check_equal()
    assert tls_pair.on_mirror("SELECT count(*) FROM t") == [(50,)]


def test_f24_a_deadlock_on_the_mirror_is_tried_again(pair):
    """The mirror's transaction is the victim of one that only the mirror has."""
    raw = pair.session()
    pair.ask(raw, "INSERT INTO t VALUES (1, ''), (2, '')")
    pair.finish(raw)
    rival = pair.mirror.connect(pair.database)
    rival.autocommit = False
    cursor = rival.cursor()
    cursor.execute("SET deadlock_timeout = '100s'; UPDATE t SET v = v WHERE id = 2")
    assert pair.ask(raw, "BEGIN", "INSERT INTO t VALUES (3, 'new')", "UPDATE t SET v = 'a' WHERE "
                    "id = 1", "UPDATE t SET v = 'b' WHERE id = 2", "COMMIT") == [""] * 5
    processes.wait_until(lambda: pair.on_mirror(
        f"SELECT 1 FROM pg_stat_activity WHERE datname = '{pair.database}' AND wait_event_type = "
        "'Lock'"), "the mirror's transaction to wait for the rival")
    cursor.execute("UPDATE t SET v = v WHERE id = 1")  # returns once the other is the victim
    pair.target.wait_for("pgbraid_mirror_retries_total", 1)
    rival.rollback()
    rival.close()
    pair.check_equal(raw)
    assert pair.target.metric("pgbraid_mirror_refused_total") == 0 and pair.dropped() == 0


@pytest.mark.parametrize("clients,jobs", [(10, 2), (100, 10), (50, 5)])
def test_f25_pgbench_over_tls(clients, jobs, tls_pair):
    environment = {**os.environ, "PGSSLMODE": "require"}
    at = [*tls_pair.target.address(tls_pair.database)[:-2], tls_pair.database]
    processes.run([postgres.program("pgbench"), "-i", "-q", "-s", "1", *at], env=environment)
    seconds = 60 if FULL else 3
    done = processes.run([postgres.program("pgbench"), "-n", "-c", str(clients), "-j", str(jobs),
                          "-T", str(seconds), *at], env=environment)
    assert "number of failed transactions: 0 " in done.stdout
    tls_pair.check_equal(tls_pair.session(), without=["mtime"])
    assert tls_pair.dropped() == 0


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_f26_their_certificates_by_an_authority_of_ones_own(mode, tls_pair, papers):
    environment = {"PGSSLMODE": mode, "PGSSLROOTCERT": str(papers.authority.file)}
    done = tls_pair.target.psql("-c", "INSERT INTO t VALUES (1, 'by psql')", "-c", "\\conninfo",
                                database=tls_pair.database, env=environment)
    assert "SSL connection" in done.stdout
    tls_pair.check_equal(tls_pair.session())
    stranger = {**environment, "PGSSLROOTCERT": str(papers.stranger.file)}
    refused = tls_pair.target.psql("-c", "SELECT 1", database=tls_pair.database, env=stranger,
                                   check=False)
    assert refused.returncode != 0 and "certificate verify failed" in refused.stderr


def test_f27_the_primary_commits_what_the_mirror_refuses(pair, tmp_path):
    pair.on_mirror("ALTER TABLE t ADD CONSTRAINT short CHECK (length(v) < 5)")
    script = tmp_path / "f27.sql"
    script.write_text("BEGIN;\nINSERT INTO t VALUES (1, 'fits');\nINSERT INTO t VALUES (2, 'too "
                      "long for it');\nCOMMIT;\nINSERT INTO t VALUES (3, 'fine');\n")
    done = pair.target.psql("-v", "ON_ERROR_STOP=1", "-f", str(script), database=pair.database)
    assert done.stderr == ""
    pair.finish(pair.session())
    pair.settle()
    assert pair.on_primary("SELECT id FROM t ORDER BY 1") == [(1,), (2,), (3,)]
    assert pair.on_mirror("SELECT id FROM t ORDER BY 1") == [(3,)]  # a transaction is not halved
    assert pair.target.metric("pgbraid_mirror_refused_total") == 1
    pair.target.log_contains("mirror.refused")
    assert "sqlstate=23514" in pair.target.log_text()


# -- X12 to X18: what hung or broke, with a mirror -----------------------------------------------


def test_x12_copy_out_that_fails_leaves_the_mirror_in_step(pair):
    raw = pair.session()
    turn = raw.ask("COPY (SELECT 10 / (5 - g) FROM generate_series(1, 9) g) TO STDOUT")
    assert wire.first_error(turn)["C"] == "22012" and wire.status(turn) == "I"
    pair.ask(raw, "INSERT INTO t VALUES (1, 'after')")
    pair.check_equal(raw)


def test_x13_flush_after_an_error(pair):
    raw = pair.session().send(wire.one_shot("INSERT INTO t VALUES (1, '')"),
                              wire.one_shot("SELECT 1/0"), wire.FLUSH)
    assert raw.read_until("E")[-1][0] == "E"
    raw.send(wire.one_shot("INSERT INTO t VALUES (2, '')"), wire.FLUSH, wire.SYNC,
             wire.one_shot("INSERT INTO t VALUES (3, '')"), wire.SYNC)
    raw.read_turn()
    raw.read_turn()
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT id FROM t") == [(3,)]


def test_x14_pipeline_of_30_mb_without_sync_arrives_whole(pair, new_target):
    pair.target = new_target(pair.primary, [
        "--mirror", pair.mirror.url(user="postgres"), "--mirror-queue-bytes", "128m",
        "--mirror-transaction-bytes", "64m"])
    raw = pair.session()
    raw.send(wire.parse("INSERT INTO t VALUES ($1, $2)", "s"))
    for number in range(300):
        raw.send(wire.bind([str(number), b"x" * 100_000], name="s"), wire.execute())
    assert wire.kinds(raw.send(wire.SYNC).read_turn()) == "1" + "2C" * 300 + "Z"
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT count(*), min(length(v)) FROM t") == [(300, 100_000)]
    assert pair.dropped() == 0


def test_x15_k6_a_notification_comes_once_and_none_from_the_mirror(pair):
    raw, sender = pair.session(), pair.session()
    raw.ask("LISTEN news")
    eavesdropper = pair.mirror.connect(pair.database)
    eavesdropper.cursor().execute("LISTEN news")
    pair.ask(sender, "NOTIFY news, 'one'", "BEGIN", "INSERT INTO t VALUES (1, '')",
             "SELECT pg_notify('news', 'two')", "COMMIT")
    for word in (b"one", b"two"):
        kind, body = raw.read_frame()
        assert kind == "A" and body[4:] == b"news\0" + word + b"\0"
    pair.finish(sender)
    assert wire.kinds(raw.ask("SELECT 1")) == "TDCZ"  # nothing else was on its way
    eavesdropper.poll()
    assert eavesdropper.notifies == []
    eavesdropper.close()
    pair.check_equal(raw)


def test_x16_a_backend_that_dies_while_its_client_idles(pair):
    raw = pair.session()
    pair.ask(raw, "INSERT INTO t VALUES (1, '')", "BEGIN", "INSERT INTO t VALUES (2, '')")
    pair.primary.sql(f"SELECT pg_terminate_backend({raw.pid})")
    assert raw.expect_closed()["C"] == "57P01"
    pair.check_equal(pair.session())
    assert pair.on_mirror("SELECT id FROM t") == [(1,)]
    assert pair.dropped() == 0


def test_x17_a_client_that_asks_for_gss_first(pair):
    raw = pair.target.wire().send(wire.request_code(wire.GSSENC_REQUEST))
    assert raw.read(1) == b"N"
    raw.login(user="postgres", database=pair.database)
    pair.ask(raw, "INSERT INTO t VALUES (1, '')")
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT id FROM t") == [(1,)]


def test_x18_stray_copy_data_is_nobodys(pair):
    raw = pair.session()
    raw.send(wire.copy_data(b"7\tstray\n"), wire.COPY_DONE)
    pair.ask(raw, "INSERT INTO t VALUES (1, '')")
    raw.send(wire.query("COPY t FROM STDIN"), wire.copy_data(b"x\n"), wire.COPY_DONE)
    assert wire.first_error(raw.read_turn())["C"] == "22P02"
    raw.send(wire.copy_data(b"8\tlate\n"), wire.COPY_DONE,
             wire.query("COPY t FROM STDIN"), wire.copy_data(b"2\tright\n"), wire.COPY_DONE)
    assert wire.kinds(raw.read_turn()) == "GCZ"
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT id FROM t ORDER BY 1") == [(1,), (2,)]
