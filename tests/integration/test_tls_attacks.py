"""Attacks on TLS from both sides: rows B of the reliability catalogue, and A15.

Rows that need a peer which misbehaves inside of TLS stand in tests/unit/io (tls_*_test.cc).
"""

import concurrent.futures
import os
import socket
import ssl
import struct
import threading

import pytest

from harness import certificates, processes, wire
from harness import gate as gates
from harness import server as servers
from harness.pair import Pair
from harness.tls import IN_USE, MODES, no_connection, refused_at_start, url, verified

pytestmark = pytest.mark.proxy_only


def test_b1_bytes_behind_the_request_end_the_connection(new_target, server, papers):
    target = new_target(server, papers.flags)
    start = wire.startup(user="postgres", database="postgres")
    for behind in (b"\x16", start, wire.query("SELECT 1"), wire.request_code(wire.SSL_REQUEST)):
        raw = target.wire().send(wire.request_code(wire.SSL_REQUEST) + behind)
        error = raw.expect_closed()
        assert error["C"] == "08P01" and "after SSL request" in error["M"]
    assert target.metric("pgbraid_session_logins_total") == 0


def test_b1_a_plain_start_up_behind_the_answer_is_no_start_up(new_target, server, papers):
    target = new_target(server, papers.flags)
    raw = target.wire().send(wire.request_code(wire.SSL_REQUEST))
    assert raw.read(1) == b"S"
    raw.send(wire.startup(user="postgres", database="postgres"))
    assert b"R\x00" not in raw.expect_end_of_stream()
    assert target.metric("pgbraid_io_tls_handshake_failures_total", cause="protocol") == 1
    assert target.metric("pgbraid_session_logins_total") == 0


@pytest.mark.parametrize("mode", ["prefer", "require"])
def test_b2_bytes_behind_the_servers_answer_are_fatal(new_target, scripted, mode):
    for glued in (b"S" + servers.greeting(), b"N" + servers.greeting()):
        server = scripted(lambda connection, glued=glued: not connection.send(glued))
        target = new_target(url(server, mode))
        no_connection(target)
        assert server.logins == 0


@pytest.mark.parametrize("mode", ["prefer", "require"])
def test_b3_an_error_instead_of_an_answer_is_neither_kept_nor_shown(new_target, scripted, mode):
    text = wire.frame("E", b"SFATAL\0C28000\0M" + b"you are hacked " * 2000 + b"\0\0")
    server = scripted(lambda connection: not connection.send(text))
    target = new_target(url(server, mode))
    no_connection(target)
    target.log_contains("session.connect_failed")
    assert "hacked" not in target.log_text()
    assert server.logins == 0


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_b4_a_mode_that_demands_tls_never_falls_back(new_target, scripted, papers, mode):
    server = scripted(None)
    options = {} if mode == "require" else {"sslrootcert": papers.authority.file}
    target = new_target(url(server, mode, **options))
    no_connection(target)
    assert server.logins == 0
    target.log_contains("does not allow to go on")


def test_prefer_tries_again_without_tls_after_a_failed_handshake(new_target, scripted):
    """As libpq does, and only `prefer`."""
    def fail(connection):
        connection.send(b"S")
        connection.read(1)  # the ClientHello has come
        connection.send(b"this is no ServerHello")
        return False

    server = scripted(fail)
    target = new_target(url(server, "prefer"))
    with target.login() as raw:
        assert raw.rows("SELECT 1") == [["1"]]
    assert server.logins == 1
    strict = new_target(url(server, "require"))
    no_connection(strict)
    assert server.logins == 1


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_b5_certificates_of_servers(new_target, tls_server, papers, tmp_path, mode):
    own = papers.authority
    expired = own.issue(f"expired{os.getpid()}", "IP:127.0.0.1", days=-1)
    self_signed = certificates.Authority(tmp_path / "self", "127.0.0.1")
    cases = {  # certificate: the strictest mode that accepts it
        "right": (papers.server, "verify-full"),
        "another host's": (own.issue("other", "IP:127.0.0.2"), "verify-ca"),
        "a name for an address": (own.issue("dns", "DNS:127.0.0.1"), "verify-ca"),
        "a common name for an address": (own.issue("cn", subject="/CN=127.0.0.1"), "verify-ca"),
        "a stranger's": (papers.stranger.issue("srv", "IP:127.0.0.1"), "require"),
        "its own": ((self_signed.file, self_signed.file[:-3] + "key"), "require"),
        "expired": (expired, "require"),
    }
    for what, (certificate, strictest) in cases.items():
        server = tls_server(certificate=certificate)
        text = url(server, mode) if mode == "require" else verified(server, papers, mode)
        target = new_target(text)
        if MODES.index(mode) <= MODES.index(strictest):
            assert target.value(IN_USE) is True, what
        else:
            no_connection(target)
            target.log_contains("certificate verify failed")


def test_b5_the_name_to_be_verified_can_be_given(new_target, tls_server, papers):
    server = tls_server()
    named = new_target(verified(server, papers, "verify-full"), ["--tls-server-name", "db.example"])
    assert named.value(IN_USE) is True
    other = new_target(verified(server, papers, "verify-full"), ["--tls-server-name", "x.example"])
    no_connection(other)
    other.log_contains("hostname mismatch")


def test_skip_verify_is_said_and_contradicts_verification(new_target, tls_server, papers, io,
                                                          tmp_path):
    server = tls_server(certificate=papers.stranger.issue("skip", "DNS:nowhere"))
    target = new_target(verified(server, papers, "require"), ["--tls-skip-verify"])
    assert target.value(IN_USE) is True
    target.log_contains("server.tls_skip_verify")
    assert target.log_text().count("server.tls_skip_verify") == 1
    assert "contradict each other" in refused_at_start(
        tmp_path / "p", io, verified(server, papers, "verify-ca"), "--tls-skip-verify")


def test_b6_a_cancel_is_encrypted_like_its_session(new_target, tls_server, papers):
    server = tls_server()
    way = gates.Gate(server.port)
    way.seen = bytearray()
    try:
        target = new_target(f"postgres://127.0.0.1:{way.port}?sslmode=verify-full&sslrootcert="
                            + papers.authority.file)
        raw = target.login().send(wire.query("SELECT pg_sleep(600)"))
        running = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        processes.wait_until(lambda: server.sql(running), "the query to run")
        target.wire().send(wire.cancel_request(raw.pid, raw.secret)).expect_end_of_stream()
        assert wire.first_error(raw.read_turn())["C"] == "57014"
        assert way.seen.count(wire.request_code(wire.SSL_REQUEST)) == 2
        assert struct.pack("!I", wire.CANCEL_REQUEST) not in way.seen
        assert b"pg_sleep" not in way.seen
    finally:
        way.close()


def test_b6_a_mirror_is_verified_like_any_server(new_target, server, database, tls_server, papers):
    mirror = tls_server("scram-sha-256")
    mirror.sql("CREATE ROLE copy SUPERUSER LOGIN PASSWORD 'c'")
    both = Pair(server, mirror, database)
    mirrored = verified(mirror, papers, "verify-full").replace("//", "//copy:c@")
    both.target = new_target(server, ["--mirror", mirrored])
    raw = both.session()
    assert both.ask(raw, "INSERT INTO t VALUES (1, 'over TLS')") == [""]
    both.check_equal(raw)
    assert mirror.value("SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                        "WHERE usename = 'copy'") is True
    impostor = new_target(server, ["--mirror", mirrored, "--tls-server-name", "x.example"])
    other = impostor.login(database)
    assert both.ask(other, "INSERT INTO t VALUES (2, 'for nobody')") == [""]
    impostor.log_contains("hostname mismatch")
    assert both.on_mirror("SELECT id FROM t") == [(1,)]


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_b8_old_versions_are_refused(new_target, server, papers, version):
    target = new_target(server, papers.flags)
    done = processes.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{target.port}", "-starttls", "postgres",
         version, "-cipher", "ALL:@SECLEVEL=0"], check=False, input="")
    assert "Cipher is (NONE)" in done.stdout
    assert target.metric("pgbraid_io_tls_handshake_failures_total", cause="protocol") == 1


def test_b10_a_row_of_64_mb_both_ways(new_target, tls_server, papers):
    server = tls_server()
    target = new_target(url(server, "require"), papers.flags)
    connection = target.connect(sslmode="require")
    size = 64 << 20
    with connection.cursor() as cursor:
        cursor.execute("SELECT repeat('0123456789abcdef', %s)", (size // 16,))
        text = cursor.fetchone()[0]
        assert text == "0123456789abcdef" * (size // 16)
        cursor.execute("SELECT length(%s), md5(%s) = md5(repeat('0123456789abcdef', %s))",
                       (text, "", size // 16))
        assert cursor.fetchone()[0] == size
    connection.close()
    assert target.peak_rss() < 100 << 20


def test_b10_both_ends_at_once_with_a_slow_reader(new_target, tls_server, papers):
    server = tls_server()
    target = new_target(url(server, "require"), papers.flags)
    raw = target.wire().start_tls().login(user="postgres", database="postgres")
    raw.send(wire.query("SELECT repeat('x', 20000000)"))
    target.wait_until_stalled(server, "postgres")
    assert target.rss() < 100 << 20
    turn = raw.read_turn()
    assert len(wire.columns_of(turn[1][1])[0]) == 20_000_000


def test_b11_a_result_that_is_cut_off_is_no_result(new_target, scripted, papers):
    def half_a_result(connection):
        connection.send(servers.greeting())
        connection.read_frame()
        connection.send(servers.row_description("a") + servers.row(b"1"))
        os.close(connection.socket.detach())  # the end of TCP, no close_notify

    server = scripted(servers.secured_by(*papers.server), half_a_result)
    target = new_target(url(server, "require"), papers.flags)
    raw = target.wire().start_tls().login(user="postgres", database="postgres")
    raw.send(wire.query("SELECT 1"))
    frames = raw.read_to_end()
    assert "C" not in wire.kinds(frames) and "Z" not in wire.kinds(frames)
    assert wire.first_error(frames)["C"] == "08007"  # a SELECT may have done anything
    assert target.metric("pgbraid_io_tls_broken_total") == 1


def test_b12_an_error_stays_with_its_connection(new_target, tls_server, papers):
    server = tls_server()
    target = new_target(url(server, "require"), papers.flags, shards=1)
    steady = target.connect(sslmode="require")
    with steady.cursor() as cursor:
        for _ in range(20):
            raw = target.wire().start_tls()
            plain = socket.socket(fileno=os.dup(raw.socket.fileno()))
            plain.sendall(b"\x17\x03\x03\x00\x20" + b"g" * 32)
            plain.close()
            with pytest.raises((ssl.SSLError, wire.Closed)):
                raw.read(1)
            # So long that some record comes in two parts: OpenSSL is asked, and has to wait.
            cursor.execute("SELECT length(%s)", ("x" * 1_000_000,))
            assert cursor.fetchone() == (1_000_000,)
    steady.close()


def test_b13_a_storm_of_handshakes_next_to_queries(new_target, tls_server, papers):
    server = tls_server()
    target = new_target(url(server, "require"), papers.flags, shards=1)
    steady = target.connect(sslmode="require")
    over = threading.Event()
    asked = 0

    def one(_):
        with target.wire().start_tls().login(user="postgres", database="postgres") as raw:
            return raw.rows("SELECT 1") == [["1"]]

    with concurrent.futures.ThreadPoolExecutor(16) as pool, steady.cursor() as cursor:
        storm = pool.map(one, range(150))
        threading.Thread(target=lambda: (list(storm), over.set()), daemon=True).start()
        while not over.is_set():
            cursor.execute("SELECT %s", (asked,))
            assert cursor.fetchone() == (asked,)
            asked += 1
    assert target.metric("pgbraid_io_tls_handshakes_total", role="server") == 151
    assert asked > 0
    steady.close()


def test_b15_a_ticket_is_no_login(new_target, tls_server, papers):
    server = tls_server("scram-sha-256")
    server.sql("CREATE ROLE someone LOGIN PASSWORD 'a'")
    target = new_target(url(server, "disable"), papers.flags)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # its ticket comes with the handshake
    first = target.wire().start_tls(context)
    session = first.socket.session
    second = target.wire().send(wire.request_code(wire.SSL_REQUEST))
    assert second.read(1) == b"S"
    second.socket = context.wrap_socket(second.socket, session=session)
    assert second.socket.session_reused
    second.send(wire.startup(user="someone", database="postgres"))
    kind, body = second.read_frame()
    assert (kind, body[:4]) == ("R", struct.pack("!I", 10))  # asked for a password all the same
    assert target.metric("pgbraid_io_tls_resumptions_total", role="server") == 1


def test_b16_encryption_is_decided_once(new_target, server, papers):
    target = new_target(server, papers.flags)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["postgresql"])
    for ask in (True, False):
        for again in (wire.SSL_REQUEST, wire.GSSENC_REQUEST):
            raw = target.wire().start_tls(context, ask=ask)
            assert raw.socket.selected_alpn_protocol() == "postgresql"
            raw.send(wire.request_code(again))
            assert raw.expect_closed()["C"] == "0A000"
    raw = target.wire().send(wire.request_code(wire.GSSENC_REQUEST))
    assert raw.read(1) == b"N"
    raw.start_tls().login(user="postgres", database="postgres")
    late = target.wire().send(wire.request_code(wire.GSSENC_REQUEST))
    assert late.read(1) == b"N"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        late.start_tls(context, ask=False)


def test_a15_direct_tls_needs_the_protocols_name(new_target, server, papers):
    target = new_target(server, papers.flags)

    def context(*protocols):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
        if protocols:
            made.set_alpn_protocols(list(protocols))
        return made

    raw = target.wire().start_tls(context("h2", "postgresql"), ask=False)
    raw.login(user="postgres", database="postgres")
    assert raw.rows("SELECT 1") == [["1"]]
    with pytest.raises(ssl.SSLError):
        target.wire().start_tls(context("h2"), ask=False).read(1)
    nameless = target.wire().start_tls(context(), ask=False)
    assert nameless.expect_end_of_stream() == b""
    target.log_contains("direct TLS without the protocol's name")
    http = target.wire().send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"GET" not in http.expect_end_of_stream()
