"""Who may in, with real clients and a real PostgreSQL: users file, rules, auth_query, own user."""

import os
import unicodedata

import psycopg2
import pytest

from conftest import ONE_IO
from harness import proxy as proxies
from harness import scram as scrams
from harness import wire
from harness.processes import wait_until
from harness.tls import refused_at_start

pytestmark = [pytest.mark.proxy_only, ONE_IO]

ASKER = ["--auth-user", "asker", "--auth-password", "ask"]
ROLES = """
CREATE ROLE asker SUPERUSER LOGIN PASSWORD 'ask';
CREATE ROLE alice LOGIN PASSWORD 'pencil';
CREATE ROLE expired LOGIN PASSWORD 'pencil' VALID UNTIL '2020-01-01';
CREATE ROLE lasting LOGIN PASSWORD 'pencil' VALID UNTIL '2099-01-01';
CREATE ROLE nologin NOLOGIN PASSWORD 'pencil';
"""


@pytest.fixture
def scram(new_server):
    """A server that lets nobody in over TCP without SCRAM."""
    cluster = new_server(auth="scram-sha-256")
    for statement in ROLES.strip().split("\n"):
        cluster.sql(statement)
    return cluster


def url(server, user=""):
    return f"postgres://{user}127.0.0.1:{server.port}"


def users_file(folder, *lines):
    path = folder / "users.txt"
    path.write_text("".join(f'"{user}" "{secret}"\n' for user, secret in lines))
    os.chmod(path, 0o600)
    return str(path)


def whoami(proxy, user, password, **more):
    connection = proxy.connect(user=user, password=password, **more)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
            return cursor.fetchone()[0]
    finally:
        connection.close()


def refusal(proxy, user, password, **more):
    with pytest.raises(psycopg2.OperationalError) as caught:
        proxy.connect(user=user, password=password, **more)
    return str(caught.value).strip().split("FATAL:  ")[1]


def wrong(user):
    return f'password authentication failed for user "{user}"'


def test_stored_keys_pass_through(new_target, scram, tmp_path):
    """The file has no password, only what PostgreSQL stores: the client's proof logs in."""
    stored = scram.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'alice'")
    proxy = new_target(url(scram), ["--users-file",
                       users_file(tmp_path, ("alice", stored))])
    assert whoami(proxy, "alice", "pencil") == "alice"
    assert refusal(proxy, "alice", "crayon") == wrong("alice")
    assert refusal(proxy, "mallory", "pencil") == wrong("mallory")


@pytest.mark.parametrize("method", ["scram-sha-256", "md5", "password"])
def test_plain_secrets_by_every_method(new_target, scram, tmp_path, method):
    proxy = new_target(url(scram), ["--auth", method, "--users-file",
                       users_file(tmp_path, ("alice", "pencil"))])
    assert whoami(proxy, "alice", "pencil") == "alice"
    assert refusal(proxy, "alice", "crayon") == wrong("alice")
    assert refusal(proxy, "mallory", "pencil") == wrong("mallory")


def test_c2_auth_query_answers_as_postgresql_would(new_target, scram):
    proxy = new_target(url(scram), ["--auth-user", "asker", "--auth-password", "ask"])
    assert whoami(proxy, "alice", "pencil") == "alice"
    assert whoami(proxy, "lasting", "pencil") == "lasting"
    for user in ("expired", "nologin", "nobody"):
        assert refusal(proxy, user, "pencil") == wrong(user)


def test_c2_a_role_without_connections_and_one_that_was_dropped(new_target, scram):
    scram.sql("CREATE ROLE full_up LOGIN PASSWORD 'pencil' CONNECTION LIMIT 0")
    scram.sql("CREATE ROLE gone LOGIN PASSWORD 'pencil'")
    proxy = new_target(url(scram) + "?connect_timeout=1",
                       [*ASKER, "--auth-query-max-age", "0"], shards=1)
    assert refusal(proxy, "full_up", "pencil") == (
        "the server behind pgbraid accepts no more connections")
    assert whoami(proxy, "gone", "pencil") == "gone"
    scram.sql("DROP ROLE gone")  # whose connection is still in the pool
    assert refusal(proxy, "gone", "pencil") == wrong("gone")


def test_c1_a_name_that_nobody_has_inherits_nothing(new_target, scram):
    """Not even from a query that answers with its own user's row, whoever was asked for."""
    first_row = ("SELECT rolname, rolpassword FROM pg_catalog.pg_authid WHERE rolname IN "
                 "('asker', $1) ORDER BY rolname <> $1 LIMIT 1")
    for query in ([], ["--auth-query", first_row]):
        proxy = new_target(url(scram), [*ASKER, *query])
        assert refusal(proxy, "nobody", "ask") == wrong("nobody")
        assert whoami(proxy, "alice", "pencil") == "alice"


def test_c13_a_changed_password_is_asked_for_after_one_refusal(new_target, scram):
    proxy = new_target(url(scram), ["--auth-user", "asker", "--auth-password", "ask",
                       "--auth-query-max-age", "1h"], shards=1)
    assert whoami(proxy, "alice", "pencil") == "alice"
    scram.sql("ALTER ROLE alice PASSWORD 'crayon'")
    assert refusal(proxy, "alice", "crayon") == wrong("alice")
    assert whoami(proxy, "alice", "crayon") == "alice"


def test_c13_a_revoked_login_lets_in_for_no_longer_than_the_answers_age(new_target, scram):
    proxy = new_target(url(scram), [*ASKER, "--auth-query-max-age", "1s"], shards=1)
    assert whoami(proxy, "alice", "pencil") == "alice"
    scram.sql("ALTER ROLE alice NOLOGIN")

    def refused():
        try:
            return whoami(proxy, "alice", "pencil") != "alice"
        except psycopg2.OperationalError as error:
            return wrong("alice") in str(error)

    wait_until(refused, "the answer to be too old")


def test_c3_rules_decide(new_target, scram, tmp_path):
    rules = tmp_path / "hba"
    rules.write_text("host all lasting all reject\nhost all alice 127.0.0.1/32 scram-sha-256\n")
    proxy = new_target(url(scram), [*ASKER, "--hba-file", str(rules)])
    assert whoami(proxy, "alice", "pencil") == "alice"
    assert refusal(proxy, "lasting", "pencil").startswith("pg_hba.conf rejects connection")
    assert refusal(proxy, "asker", "ask").startswith("no pg_hba.conf entry")


def test_the_urls_own_user(new_target, scram):
    proxy = new_target(url(scram, "alice:pencil@"))
    assert whoami(proxy, "alice", "pencil") == "alice"
    assert refusal(proxy, "alice", "crayon") == wrong("alice")
    assert refusal(proxy, "lasting", "pencil") == wrong("lasting")


def test_s1_no_secret_in_the_log(new_target, scram, tmp_path):
    proxy = new_target(url(scram), ["--auth-user", "asker", "--auth-password", "ask-me",
                       "--users-file", users_file(tmp_path, ("alice", "pencil")),
                       "--log-level", "debug", "--log-protocol"])
    assert whoami(proxy, "alice", "pencil") == "alice"
    refusal(proxy, "lasting", "pencil")
    log = proxy.log_text()
    assert "pencil" not in log and "ask-me" not in log and "SCRAM-SHA-256$" not in log


# -- look-ups of secrets --------------------------------------------------------------------------

def test_a3_nothing_of_a_client_reaches_the_look_up(new_target, scram):
    """The client's search_path, and even the asker's own, have a schema in which everything that
    an unqualified query could name is a trap."""
    scram.sql("""
        CREATE TABLE public.caught (by text);
        CREATE SCHEMA evil;
        CREATE FUNCTION evil.trap(name, text) RETURNS boolean LANGUAGE sql AS
            $$INSERT INTO public.caught VALUES (session_user) RETURNING true$$;
        CREATE OPERATOR evil.= (LEFTARG = name, RIGHTARG = text, FUNCTION = evil.trap);
        CREATE VIEW evil.pg_authid AS SELECT name 'alice' AS rolname, 'known'::text AS rolpassword,
            true AS rolcanlogin, NULL::timestamptz AS rolvaliduntil;
        GRANT USAGE ON SCHEMA evil TO PUBLIC; GRANT SELECT ON evil.pg_authid TO PUBLIC;
        GRANT INSERT ON public.caught TO PUBLIC;
        ALTER ROLE asker SET search_path = evil, pg_catalog;""")
    unqualified = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1"
    for query in ([], ["--auth-query", unqualified]):
        proxy = new_target(url(scram), [*ASKER, *query, "--auth-query-max-age", "0"])
        for options in ("-c search_path=evil,pg_catalog", "-csession_preload_libraries=evil"):
            assert refusal(proxy, "alice", "known", options=options) == wrong("alice")
        assert whoami(proxy, "alice", "pencil", options="-c search_path=evil,pg_catalog") == "alice"
    assert scram.value("SELECT count(*) FROM public.caught") == 0
    assert scram.value("SELECT evil.trap('a', 'b')")  # it would have caught
    assert scram.value("SELECT count(*) FROM public.caught") == 1


def test_a11_logins_of_one_address_leave_room_for_those_of_others(new_target, scram, tmp_path):
    proxy = new_target(url(scram), [
        "--users-file", users_file(tmp_path, ("alice", "pencil")), "--max-logins-per-address", "50",
        "--proxy-protocol-from", "127.0.0.1"], shards=1)

    def begin(address):
        raw = proxy.wire().send(f"PROXY TCP4 {address} 10.0.0.1 1 5432\r\n".encode())
        return raw.send(wire.startup(user="alice", database="postgres"))

    silent = [begin("192.0.2.1") for _ in range(300)]
    asked, refused = [], []
    for raw in silent:
        kind, body = raw.read_frame()
        (asked if kind == "R" else refused).append(raw)
        assert kind == "R" or wire.fields_of(body)["C"] == "53300"
    assert (len(asked), len(refused)) == (50, 250)
    assert proxy.http("/livez")[0] == 200
    other = begin("192.0.2.2")
    client = scrams.Client("pencil")
    assert scrams.request(other)[0] == scrams.SASL
    other.send(scrams.initial(client.first()))
    other.send(scrams.response(client.challenged(scrams.request(other)[1]).final()))
    assert other.finish_login().rows("SELECT current_user") == [["alice"]]
    asked[0].shut()  # and one of them makes room for one more
    wait_until(lambda: begin("192.0.2.1").read_frame()[0] == "R", "its place to be free")


@pytest.mark.parametrize("by", ["file", "look-up"])
def test_a13_services_are_named_to_nobody_who_has_not_logged_in(scram, tmp_path, io, by):
    """Where every service has a name, one that does not exist looks like one that does."""
    file = tmp_path / "services.toml"
    file.write_text(f'[[service]]\nname = "shop"\nprimary = "{url(scram)}/postgres"\n')
    who = (ASKER if by == "look-up" else
           ["--users-file", users_file(tmp_path, ("alice", "pencil"))])
    target = proxies.Proxy(tmp_path / "p", "", io, ["--config", str(file), *who], 1)
    at = target.argv.index("--primary")
    del target.argv[at:at + 2]
    target.start()
    said = [refusal(target, user, "crayon", database=service).replace(user, "USER")
            for user in ("alice", "nobody") for service in ("shop", "nowhere")]
    assert said == [wrong("USER")] * 4
    assert whoami(target, "alice", "pencil", database="shop") == "alice"
    assert refusal(target, "alice", "pencil", database="nowhere") == (
        'database "nowhere" does not exist')
    target.check_alive()
    target.stop()


# -- passwords ------------------------------------------------------------------------------------

PASSWORDS = {
    "p996": "p" * 996, "p1024": "q" * 1024, "p1025": "r" * 1025, "p65535": "s" * 65_535,
    "composed": "caf\u00e9", "decomposed": "cafe\u0301", "compatible": "\u2168\u00aa\ufb01",
    "nothing_within": "I\u00adX\u200d\u00e9", "spaces": "a\u00a0b\u3000c\u2009\u00e9",
    "cyrillic": "\u043f\u0430\u0440\u043e\u043b\u044c", "hangul": "\u1112\u1161\u11ab",
    "right_to_left": "\u05d0\u05d1", "both_directions": "\u05d0a\u05d1",
    "emoji": "e\u0301\U0001f600",
    "control": "\u00e9\u0007", "deprecated": "e\u0340", "only_hyphen": "\u00ad",
    "replacement": "e\u0301\ufffd", "marks": "a\u0301\u0327\u0323", "long": "cafe\u0301" * 500,
}


@pytest.fixture
def spelled(scram):
    """The server with a role for each of PASSWORDS."""
    for user, password in PASSWORDS.items():
        scram.sql(f"CREATE ROLE {user} LOGIN PASSWORD %s", args=(password,))
    return scram


def test_c15_long_and_unicode_passwords_on_both_legs(new_target, spelled, tmp_path):
    """The file has the password: pgbraid makes keys of it for the client, and for the server,
    which made its own when it was told the password."""
    proxy = new_target(url(spelled), ["--users-file", users_file(tmp_path, *PASSWORDS.items())])
    for user, password in PASSWORDS.items():
        assert whoami(proxy, user, password) == user
        assert refusal(proxy, user, password + "x") == wrong(user)


def test_c15_the_keys_are_the_servers(new_target, spelled):
    """What a client proves is enough for the server, whatever the password."""
    proxy = new_target(url(spelled), ASKER)
    for user, password in PASSWORDS.items():
        assert whoami(proxy, user, password) == user


def test_c15_a_password_in_clear(new_target, spelled, tmp_path):
    proxy = new_target(url(spelled), [*ASKER, "--auth", "password"])
    for user, password in PASSWORDS.items():
        if user == "p65535":  # more than a message of a login may have
            assert refusal(proxy, user, password).startswith("invalid message length")
        else:
            assert whoami(proxy, user, password) == user


def test_c15_another_spelling_of_the_same_password(new_target, scram, tmp_path):
    """A client without SASLprep, which sends what a keyboard gave it, in the form that the file or
    the server has not got."""
    composed = unicodedata.normalize("NFC", "cafe\u0301")
    scram.sql("ALTER ROLE alice PASSWORD %s", args=("cafe\u0301",))
    proxy = new_target(url(scram), ["--users-file", users_file(tmp_path, ("alice", "cafe\u0301"))])
    raw = proxy.wire().send(wire.startup(user="alice", database="postgres"))
    client = scrams.Client(composed)
    assert scrams.request(raw)[0] == scrams.SASL
    raw.send(scrams.initial(client.first()))
    raw.send(scrams.response(client.challenged(scrams.request(raw)[1]).final()))
    assert raw.finish_login().rows("SELECT current_user") == [["alice"]]


# -- who shares a server connection, and files ----------------------------------------------------

def backend(proxy, database="postgres", user="alice", password="pencil", **more):
    """The process that served one client, which has left again; and what it was set to."""
    connection = proxy.connect(database=database, user=user, password=password, **more)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid(), current_setting('work_mem')")
        pid, work_mem = cursor.fetchone()
    connection.close()
    return pid, work_mem


def test_c16_only_what_is_equal_shares_a_connection(new_target, scram, tmp_path):
    """Route, user, database and what the StartupMessage said; and a replication connection never
    comes from a pool."""
    scram.sql("CREATE ROLE bob LOGIN PASSWORD 'pencil'")
    scram.sql("CREATE DATABASE other")
    file = tmp_path / "services.toml"
    file.write_text(f'[[service]]\nname = "route"\nprimary = "{url(scram)}/postgres"\n')
    proxy = new_target(url(scram), [*ASKER, "--config", str(file)], shards=1)
    seen = {}

    def next_backend(**who):
        """Of a client that has left again; its connection is free once this returns."""
        pid, work_mem = backend(proxy, **who)
        free = len(seen.keys() | {pid})
        wait_until(lambda: proxy.metric("pgbraid_backend_pool_free") == free, "it to be free again")
        return pid, work_mem

    clients = {"first": {}, "route": {"database": "route"}, "user": {"user": "bob"},
               "database": {"database": "other"}, "options": {"options": "-c work_mem=5MB"}}
    for name, who in clients.items():
        pid = next_backend(**who)[0]
        assert pid not in seen, (name, seen[pid])
        seen[pid] = name
    for name, who in clients.items():
        pid, work_mem = next_backend(**who)
        assert (seen[pid], work_mem) == (name, "5MB" if name == "options" else "4MB")
    raw = proxy.wire().send(wire.startup(user="alice", database="postgres", replication="database"))
    client = scrams.Client("pencil")
    assert scrams.request(raw)[0] == scrams.SASL
    raw.send(scrams.initial(client.first()))
    raw.send(scrams.response(client.challenged(scrams.request(raw)[1]).final()))
    assert raw.expect_closed()["C"] == "0A000"


def test_c17_one_bad_line_refuses_the_file(scram, tmp_path, io):
    """Whatever stands around it; the file and the line are named."""
    right = "host all alice 127.0.0.1/32 scram-sha-256\n"
    rules, users, maps = (tmp_path / name for name in ("hba", "users", "ident"))
    for bad in ("host all all 127.0.0.1/33 scram-sha-256", "host all all all",
                "hots all all all md5", "host all all all scram-sha-265",
                "host all,,bob all all md5", 'host "all all all md5', "host all all all ldap"):
        rules.write_text(right + bad + "\n" + right)
        assert "hba:2: " in refused_at_start(tmp_path / "p", io, url(scram), *ASKER,
                                             "--hba-file", str(rules)), bad
    users.write_text('"alice" "pencil"\n"bob" pencil\n"carol" "pencil"\n')
    os.chmod(users, 0o600)
    assert "users:2: " in refused_at_start(tmp_path / "p", io, url(scram), "--users-file",
                                           str(users))
    rules.write_text(right)
    maps.write_text("m alice alice\nm /^( alice\nm bob alice\n")
    assert "ident:2: " in refused_at_start(tmp_path / "p", io, url(scram), *ASKER, "--hba-file",
                                           str(rules), "--ident-file", str(maps))
