"""TLS on both legs, against a real PostgreSQL: modes, logins, work."""

import os
import signal
import socket
import ssl
import threading

import psycopg2
import pytest

from conftest import ONE_IO
from harness import certificates, postgres, processes, wire
from harness.tls import IN_USE, MODES, refusal, refused_at_start, url, verified

pytestmark = pytest.mark.proxy_only


def client_uses_tls(target, mode, **more):
    connection = target.connect(sslmode=mode, **more)
    try:
        return connection.info.ssl_in_use
    finally:
        connection.close()


# -- modes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [True, False], ids=["tls server", "plain server"])
def test_every_mode_of_both_legs(new_target, new_server, papers, tls):
    server = new_server()
    if tls:
        certificates.switch_on(server, *papers.server)
    for mode in MODES:
        text = verified(server, papers, mode) if "verify" in mode else url(server, mode)
        target = new_target(text, papers.flags)
        reachable = tls or mode in ("disable", "allow", "prefer")
        for client in MODES:
            more = {"sslmode": client, "sslrootcert": papers.authority.file}
            if not reachable:
                assert "could not connect to the server behind pgbraid" in refusal(target, **more)
                continue
            encrypted = client_uses_tls(target, client, sslrootcert=papers.authority.file)
            assert encrypted == (client not in ("disable", "allow")), (mode, client)
            on_server = target.value(IN_USE, **more)
            assert on_server == (tls and mode not in ("disable", "allow")), (mode, client)


@ONE_IO
@pytest.mark.parametrize("kind", ["hostssl", "hostnossl"])
def test_allow_takes_tls_where_the_server_refuses_to_do_without(new_target, tls_server, kind):
    """As libpq: without TLS first, and with TLS where the server says no to that. Passed through,
    by pgbraid's own login, and by a look-up of secrets."""
    server = tls_server()
    server.sql("CREATE ROLE app SUPERUSER LOGIN PASSWORD 'pencil'")
    server.require("scram-sha-256", kind)
    own = url(server, "allow").replace("//", "//app:pencil@")
    look_up = ["--auth-user", "app", "--auth-password", "pencil"]
    for text, flags in ((url(server, "allow"), []), (own, []), (url(server, "allow"), look_up)):
        target = new_target(text, flags, shards=1)
        assert target.value(IN_USE, user="app", password="pencil") == (kind == "hostssl")


@ONE_IO
@pytest.mark.parametrize("own_login", [False, True], ids=["passed through", "own"])
def test_allow_cancels_as_the_session_was_dialled(new_target, tls_server, own_login):
    server = tls_server()
    server.require("trust", "hostssl")
    text = url(server, "allow")
    target = new_target(text.replace("//", "//postgres:x@") if own_login else text,
                        ["--auth", "trust"] if own_login else [], shards=1)
    raw = target.login()
    raw.send(wire.query("SELECT pg_sleep(600)"))
    running = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    processes.wait_until(lambda: server.sql(running), "the query to run")
    with target.wire() as cancel:
        cancel.send(wire.cancel_request(raw.pid, raw.secret)).expect_end_of_stream()
    assert wire.first_error(raw.read_turn())["C"] == "57014"


@ONE_IO
def test_allow_keeps_the_refusal_of_a_server_that_has_no_tls(new_target, new_server):
    """What the client hears is what the server said to the plain login."""
    server = new_server({"postgres": "trust"})
    target = new_target(url(server, "allow"), shards=1)
    assert "no pg_hba.conf entry" in refusal(target, user="stranger")
    target.log_contains("session.no_tls_either")
    assert target.value("SELECT 1") == 1


@ONE_IO
def test_allow_mirrors_over_tls_where_that_is_demanded(new_target, tls_server, server, database):
    mirror = tls_server()
    mirror.sql(f"CREATE DATABASE {database}")
    for one in (server, mirror):
        one.sql("CREATE TABLE t(a int)", database)
    mirror.require("trust", "hostssl")
    target = new_target(server, ["--mirror", url(mirror, "allow").replace("//", "//postgres@")])
    with target.login(database) as raw:
        raw.ask("INSERT INTO t VALUES (1)")
        processes.wait_until(lambda: mirror.sql("SELECT 1 FROM t", database), "the row to arrive")


def test_clients_get_no_tls_where_it_is_not_enabled(new_target, server):
    target = new_target(server)
    assert "does not support SSL" in refusal(target, sslmode="require")
    assert client_uses_tls(target, "prefer") is False


def test_clients_verify_the_proxy(new_target, server, papers):
    target = new_target(server, papers.flags)
    for mode in ("verify-ca", "verify-full"):
        more = {"sslmode": mode, "sslrootcert": papers.authority.file}
        assert target.value("SELECT 1", **more) == 1
        assert "certificate verify failed" in refusal(
            target, sslmode=mode, sslrootcert=papers.stranger.file)
    tls = target.metrics()
    done = [value for key, value in tls.items()
            if key.startswith("pgbraid_io_tls_handshakes_total") and 'role="server"' in key]
    assert sum(done) >= 2
    target.wait_for("pgbraid_io_tls_handshake_failures_total", 1, cause="refused")


def test_tls_required_refuses_plain_clients_but_serves_their_cancels(new_target, server, database,
                                                                      papers):
    """libpq before version 17 sends a cancel in the clear, whatever the session has."""
    target = new_target(server, papers.flags + ["--tls-required"])
    raw = target.wire().send(wire.startup(user="postgres", database=database))
    error = raw.expect_closed()
    assert (error["S"], error["C"]) == ("FATAL", "28000")
    assert "sslmode=require" in error["M"]
    secured = target.wire().start_tls().login(user="postgres", database=database)
    running = ("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = "
               f"'{database}'")
    for cancel in (target.wire(), target.wire().start_tls()):
        secured.send(wire.query("SELECT pg_sleep(600)"))
        processes.wait_until(lambda: server.sql(running), "the query to run")
        cancel.send(wire.cancel_request(secured.pid, secured.secret))
        assert cancel.expect_end_of_stream() == b""
        assert wire.first_error(secured.read_turn())["C"] == "57014"


def test_a_unix_socket_needs_no_tls(new_target, server, papers, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("s"))
    target = new_target(server, [*papers.flags, "--tls-required", "--listen", f"{folder}:6432"])
    local = {"host": folder, "port": 6432, "user": "postgres", "dbname": "postgres"}
    connection = psycopg2.connect(**local)
    assert connection.info.ssl_in_use is False
    connection.close()
    client = socket.socket(socket.AF_UNIX)
    client.connect(f"{folder}/.s.PGSQL.6432")
    client.sendall(wire.request_code(wire.SSL_REQUEST))
    assert client.recv(1) == b"N"
    client.close()
    assert "encrypted connections only" in refusal(target, sslmode="disable")


@pytest.mark.parametrize("ask", [True, False], ids=["asked for", "direct"])
def test_tls_behind_a_balancers_header(new_target, server, papers, ask):
    target = new_target(server, papers.flags + ["--proxy-protocol-from", "127.0.0.0/8"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["postgresql"])
    header = b"PROXY TCP4 192.0.2.77 10.0.0.1 55555 5432\r\n"
    for cut in (0, 1, len(header)):
        raw = target.wire().send(header[:cut]).send(header[cut:])
        raw.start_tls(context, ask=ask).login(user="postgres", database="postgres")
        assert raw.rows("SELECT 1") == [["1"]]
    target.log_contains("192.0.2.77")


def test_unusable_files_stop_the_start(io, server, papers, tmp_path):
    def said(*flags, text=server.url()):
        return refused_at_start(tmp_path / "p", io, text, *flags)

    missing = str(tmp_path / "none.crt")
    assert f'certificate file "{missing}"' in said("--enable-tls", "--tls-cert", missing,
                                                    "--tls-key", papers.proxy[1])
    assert "does not belong to" in said("--enable-tls", "--tls-cert", papers.proxy[0], "--tls-key",
                                        papers.server[1])
    open_key = tmp_path / "open.key"
    open_key.write_bytes(open(papers.proxy[1], "rb").read())
    os.chmod(open_key, 0o644)
    assert "can be read by others" in said("--enable-tls", "--tls-cert", papers.proxy[0],
                                           "--tls-key", str(open_key))
    assert "--primary: CA file" in said(text=url(server, "verify-ca", sslrootcert=missing))


# -- who may log in --------------------------------------------------------------------------------


def test_scram_passes_through_one_encrypted_leg_and_not_two(new_target, tls_server, papers):
    server = tls_server("scram-sha-256")
    server.sql("CREATE ROLE someone LOGIN PASSWORD 'a'")
    as_someone = {"user": "someone", "password": "a"}
    server_leg = new_target(url(server, "require"), papers.flags)
    assert server_leg.value(IN_USE, sslmode="disable", **as_someone) is True
    said = refusal(server_leg, sslmode="require", **as_someone)
    assert "SCRAM cannot pass through two encrypted connections" in said
    assert "users file or auth_query" in said
    raw = server_leg.wire().start_tls().send(wire.startup(user="someone", database="postgres"))
    assert raw.expect_closed()["C"] == "28000"
    client_leg = new_target(url(server, "disable"), papers.flags)
    assert client_leg.value("SELECT 1", sslmode="require", **as_someone) == 1
    assert "password authentication failed" in refusal(client_leg, sslmode="require",
                                                       user="someone", password="b")
    assert "channel binding" in refusal(client_leg, sslmode="require", channel_binding="require",
                                        **as_someone)
    neither = new_target(url(server, "disable"))
    assert neither.value("SELECT 1", **as_someone) == 1


def test_b7_client_certificates(new_target, server, papers):
    asked = papers.flags + ["--tls-ca", papers.authority.file]
    for demanded in (False, True):
        target = new_target(server, asked + (["--tls-verify-client"] if demanded else []))
        shown = {"sslmode": "require", "sslcert": papers.alice[0], "sslkey": papers.alice[1]}
        assert target.value("SELECT 1", **shown) == 1
        wrong = dict(shown, sslcert=papers.mallory[0], sslkey=papers.mallory[1])
        refusal(target, **wrong)
        without = {"sslmode": "require", "sslcert": "none"}
        if demanded:
            refusal(target, **without)
        else:
            assert target.value("SELECT 1", **without) == 1
        assert target.metric("pgbraid_io_tls_handshake_failures_total", role="server",
                             cause="certificate") == 1 + demanded


def test_our_certificate_opens_a_server_that_asks_for_one(new_target, tls_server, papers):
    server = tls_server(client_ca=papers.authority.file)
    server.require("cert", kind="hostssl")
    server.sql("CREATE ROLE alice LOGIN")
    shown = {"sslcert": papers.alice[0], "sslkey": papers.alice[1]}
    target = new_target(verified(server, papers, "verify-full", **shown))
    assert target.value("SELECT current_user", user="alice") == "alice"
    assert "certificate authentication failed" in refusal(target, user="postgres")
    nobody = new_target(verified(server, papers, "verify-full"))
    refusal(nobody, user="alice")


# -- work ------------------------------------------------------------------------------------------


def test_direct_tls_towards_the_server(new_target, scripted, papers):
    """PostgreSQL 17 has it; the one at hand may not, so the proxy is its own server."""
    behind = scripted(None)
    inner = new_target(behind.url() + "?sslmode=disable", papers.flags)
    outer = new_target(f"postgres://127.0.0.1:{inner.port}?sslmode=verify-full&sslrootcert="
                       f"{papers.authority.file}&sslnegotiation=direct")
    with outer.login() as raw:
        assert raw.rows("SELECT 1") == [["1"]]
    assert inner.metric("pgbraid_io_tls_handshakes_total", role="server") == 1
    assert inner.metric("pgbraid_session_ssl_refused_total") == 0


def test_pgbench_over_both_legs(new_target, tls_server, papers):
    server = tls_server()
    target = new_target(verified(server, papers, "verify-full"), papers.flags)
    environment = dict(os.environ, PGSSLMODE="verify-full", PGSSLROOTCERT=papers.authority.file)

    def pgbench(*arguments):
        return processes.run([postgres.program("pgbench"), "-h", "127.0.0.1", "-p",
                              str(target.port), "-U", "postgres", *arguments, "postgres"],
                             env=environment)

    pgbench("-i", "-s", "1", "-q")
    done = pgbench("-c", "8", "-j", "2", "-t", "200", "-M", "prepared")
    assert "number of transactions actually processed: 1600/1600" in done.stdout
    assert server.value("SELECT sum(abalance) FROM pgbench_accounts") == server.value(
        "SELECT sum(delta) FROM pgbench_history")


def test_psql_and_its_cancels(new_target, tls_server, papers):
    """libpq before version 17 sends its cancels in the clear; they are served unless TLS is
    required of clients."""
    server = tls_server()
    target = new_target(url(server, "require"), papers.flags)
    told = target.psql("-c", "\\conninfo", env={"PGSSLROOTCERT": "none"})
    assert "SSL connection (protocol: TLSv1.3, cipher: TLS_AES_128_GCM_SHA256" in told.stdout
    connection = target.connect(sslmode="require")
    running = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"

    def cancel():
        processes.wait_until(lambda: server.sql(running), "the query to run")
        connection.cancel()

    threading.Thread(target=cancel, daemon=True).start()
    with connection.cursor() as cursor, pytest.raises(psycopg2.errors.QueryCanceled):
        cursor.execute("SELECT pg_sleep(600)")
    connection.close()


def test_sigterm_ends_a_handshake_that_hangs(new_target, server, papers):
    target = new_target(server, papers.flags)
    raw = target.wire().send(wire.request_code(wire.SSL_REQUEST))
    assert raw.read(1) == b"S"
    target.process.send_signal(signal.SIGTERM)
    assert raw.expect_end_of_stream() == b""
    assert target.process.wait(processes.DEADLINE) == 0
    target.start()
