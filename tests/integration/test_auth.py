"""Who may in, with real clients and a real PostgreSQL: users file, rules, auth_query, own user."""

import os

import psycopg2
import pytest

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


def whoami(proxy, user, password):
    connection = proxy.connect(user=user, password=password)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
            return cursor.fetchone()[0]
    finally:
        connection.close()


def refusal(proxy, user, password):
    with pytest.raises(psycopg2.OperationalError) as caught:
        proxy.connect(user=user, password=password)
    return str(caught.value).strip().split("FATAL:  ")[1]


def wrong(user):
    return f'password authentication failed for user "{user}"'


@pytest.mark.proxy_only
def test_stored_keys_pass_through(new_target, scram, tmp_path):
    """The file has no password, only what PostgreSQL stores: the client's proof logs in."""
    stored = scram.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'alice'")
    proxy = new_target(url(scram), ["--users-file",
                       users_file(tmp_path, ("alice", stored))])
    assert whoami(proxy, "alice", "pencil") == "alice"
    assert refusal(proxy, "alice", "crayon") == wrong("alice")
    assert refusal(proxy, "mallory", "pencil") == wrong("mallory")


@pytest.mark.proxy_only
@pytest.mark.parametrize("method", ["scram-sha-256", "md5", "password"])
def test_plain_secrets_by_every_method(new_target, scram, tmp_path, method):
    proxy = new_target(url(scram), ["--auth", method, "--users-file",
                       users_file(tmp_path, ("alice", "pencil"))])
    assert whoami(proxy, "alice", "pencil") == "alice"
    assert refusal(proxy, "alice", "crayon") == wrong("alice")
    assert refusal(proxy, "mallory", "pencil") == wrong("mallory")


@pytest.mark.proxy_only
def test_c2_auth_query_answers_as_postgresql_would(new_target, scram):
    proxy = new_target(url(scram), ["--auth-user", "asker", "--auth-password", "ask"])
    assert whoami(proxy, "alice", "pencil") == "alice"
    assert whoami(proxy, "lasting", "pencil") == "lasting"
    for user in ("expired", "nologin", "nobody"):
        assert refusal(proxy, user, "pencil") == wrong(user)


@pytest.mark.proxy_only
def test_c13_a_changed_password_is_asked_for_after_one_refusal(new_target, scram):
    proxy = new_target(url(scram), ["--auth-user", "asker", "--auth-password", "ask",
                       "--auth-query-max-age", "1h"], shards=1)
    assert whoami(proxy, "alice", "pencil") == "alice"
    scram.sql("ALTER ROLE alice PASSWORD 'crayon'")
    assert refusal(proxy, "alice", "crayon") == wrong("alice")
    assert whoami(proxy, "alice", "crayon") == "alice"


@pytest.mark.proxy_only
def test_c3_rules_decide(new_target, scram, tmp_path):
    rules = tmp_path / "hba"
    rules.write_text("host all lasting all reject\nhost all alice 127.0.0.1/32 scram-sha-256\n")
    proxy = new_target(url(scram), ["--auth-user", "asker", "--auth-password", "ask",
                       "--hba-file", str(rules)])
    assert whoami(proxy, "alice", "pencil") == "alice"
    assert refusal(proxy, "lasting", "pencil").startswith("pg_hba.conf rejects connection")
    assert refusal(proxy, "asker", "ask").startswith("no pg_hba.conf entry")


@pytest.mark.proxy_only
def test_the_urls_own_user(new_target, scram):
    proxy = new_target(url(scram, "alice:pencil@"))
    assert whoami(proxy, "alice", "pencil") == "alice"
    assert refusal(proxy, "alice", "crayon") == wrong("alice")
    assert refusal(proxy, "lasting", "pencil") == wrong("lasting")


@pytest.mark.proxy_only
def test_s1_no_secret_in_the_log(new_target, scram, tmp_path):
    proxy = new_target(url(scram), ["--auth-user", "asker", "--auth-password", "ask-me",
                       "--users-file", users_file(tmp_path, ("alice", "pencil")),
                       "--log-level", "debug", "--log-protocol"])
    assert whoami(proxy, "alice", "pencil") == "alice"
    refusal(proxy, "lasting", "pencil")
    log = proxy.log_text()
    assert "pencil" not in log and "ask-me" not in log and "SCRAM-SHA-256$" not in log
