"""What the other tests stand on: certificates that are right or wrong as named, servers that ask
for what they should, PostgreSQL 18 with what is new in it. Against servers directly."""

import ssl

import psycopg2
import pytest

from harness import logins, postgres18, processes, proxy, wire
from harness.certificates import KINDS, switch_on

GOOD_FOR_LOCALHOST = {"server", "name only", "common name only", "below intermediate", "ed25519"}
GOOD_FOR_ADDRESS = {"server", "address only", "below intermediate", "ed25519"}
# libpq also compares an address with a DNS name (RFC 2818 would not); OpenSSL does not.
ALSO_FOR_LIBPQ = {"address as name"}
PLAIN_METHODS = [method for method in logins.METHODS if method != "cert"]


def connect(server, method="scram", host="127.0.0.1", **more):
    target = proxy.Direct(server)
    target.host = host
    more.setdefault("password", logins.password(method))
    return target.connect(user=logins.user(method), **more)


@pytest.fixture
def presenting(template, tmp_path_factory, certificates, new_server):
    """A server that shows the certificate of a kind: presenting(kind) -> server."""
    def make(kind):
        return show(new_server(), certificates.pair(kind))

    return make


def show(server, pair):
    return switch_on(server, pair.cert, pair.key)


def verified(server, host, ca):
    try:
        proxy.Target.connect(_at(server, host), sslmode="verify-full", sslrootcert=ca).close()
        return True
    except psycopg2.OperationalError as refusal:
        assert "certificate" in str(refusal), refusal
        return False


def _at(server, host):
    target = proxy.Direct(server)
    target.host = host
    return target


def test_each_certificate_is_wrong_in_its_own_way(presenting, certificates):
    server = presenting("server")
    by_name, by_address = set(), set()
    for kind in KINDS:
        show(server, certificates.pair(kind))
        if verified(server, "localhost", certificates.ca):
            by_name.add(kind)
        if verified(server, "127.0.0.1", certificates.ca):
            by_address.add(kind)
    assert by_name == GOOD_FOR_LOCALHOST
    assert by_address == GOOD_FOR_ADDRESS | ALSO_FOR_LIBPQ


def test_a_wildcard_covers_one_label(presenting, certificates):
    server = presenting("wildcard")
    for name, fits in (("db.example.test", True), ("a.b.example.test", False),
                       ("example.test", False)):
        raw = wire.Wire("127.0.0.1", server.port)
        try:
            raw.start_tls(wire.tls_context(certificates.ca), name)
            assert fits, name
        except ssl.SSLCertVerificationError:
            assert not fits, name
        raw.shut()


@pytest.mark.parametrize("method", PLAIN_METHODS)
@pytest.mark.parametrize("tls", ["disable", "require", "verify-full"])
def test_a_role_logs_in_by_its_method_only(login_server, certificates, method, tls):
    more = {"sslmode": tls, "sslrootcert": certificates.ca}
    connect(login_server, method, **more).close()
    if method != "trust":
        with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
            connect(login_server, method, password="wrong", **more)


def test_channel_binding_needs_tls_and_a_hash(login_server, certificates, presenting):
    connect(login_server, "scram", sslmode="require", channel_binding="require").close()
    with pytest.raises(psycopg2.OperationalError, match="channel binding"):
        connect(login_server, "scram", sslmode="disable", channel_binding="require")
    with pytest.raises(psycopg2.OperationalError, match="channel binding"):
        connect(login_server, "md5", sslmode="require", channel_binding="require")


def test_a_client_certificate_must_name_its_user(login_server, certificates):
    def with_pair(pair):
        return connect(login_server, "cert", sslmode="require", sslcert=pair.cert,
                       sslkey=pair.key)

    name = logins.user("cert")
    with_pair(certificates.client(name)).close()
    with_pair(certificates.client(name, "intermediate")).close()
    for wrong in (certificates.client("somebody"), certificates.client(name, "other ca"),
                  certificates.client(name, None), certificates.client(name, "ca", -1)):
        with pytest.raises(psycopg2.OperationalError):
            with_pair(wrong)
    with pytest.raises(psycopg2.OperationalError, match="valid client certificate"):
        connect(login_server, "cert", sslmode="require")


def test_direct_tls_needs_alpn(server18, certificates):
    raw = wire.Wire("127.0.0.1", server18.port)
    raw.start_tls(wire.tls_context(certificates.ca, direct=True), "localhost", ask=False)
    assert raw.socket.selected_alpn_protocol() == "postgresql"
    raw.login(user=logins.user("trust"), database="postgres")
    assert raw.rows("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [["t"]]
    raw.shut()
    without = wire.Wire("127.0.0.1", server18.port)
    with pytest.raises((ssl.SSLError, OSError, wire.Closed)):
        without.start_tls(wire.tls_context(certificates.ca), "localhost", ask=False)
        without.login(user=logins.user("trust"), database="postgres")


def test_libpq_18_speaks_direct_tls_to_psql(server18, certificates):
    environment = {"PGSSLNEGOTIATION": "direct", "PGSSLROOTCERT": certificates.ca,
                   "PGPASSWORD": logins.password("scram"), "PGMAXPROTOCOLVERSION": "3.2",
                   **postgres18.libpq_environment()}
    target = proxy.Direct(server18)
    target.host = "localhost"
    done = target.psql("-Atc", "SELECT version() ~ '^PostgreSQL 18'", user=logins.user("scram"),
                       env={**environment, "PGSSLMODE": "verify-full"})
    assert done.stdout.strip() == "t"


def test_protocol_3_2_has_long_cancel_keys(server18):
    raw = wire.Wire("127.0.0.1", server18.port)
    raw.login(wire.V3_0 + 2, user=logins.user("trust"), database="postgres")
    assert len(raw.secret) == 32
    raw.send(wire.query("SELECT pg_sleep(60)"))
    processes.wait_until(
        lambda: server18.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"),
        "the sleep to have begun")
    canceller = wire.Wire("127.0.0.1", server18.port)
    canceller.send(wire.cancel_request(raw.pid, raw.secret)).expect_end_of_stream()
    assert wire.first_error(raw.read_turn())["C"] == "57014"
    raw.shut()


@pytest.mark.parametrize("pool_mode", ["session", "transaction"])
def test_pgbouncer_stands_in_for_a_pooler(server, new_bouncer, database, pool_mode):
    bouncer = new_bouncer(server, {"pool_mode": pool_mode})
    first, second = bouncer.login(database), bouncer.login(database)
    pids = {raw.rows("SELECT pg_backend_pid()")[0][0] for raw in (first, second)}
    assert len(pids) == (1 if pool_mode == "transaction" else 2)
    for raw in (first, second):
        raw.shut()
