"""Where clients come from: Unix sockets, and the PROXY protocol of load balancers in front."""

import os
import re
import socket
import stat

import psycopg2
import pytest

from harness import processes, proxy, wire

pytestmark = pytest.mark.proxy_only

HEADER_1 = b"PROXY TCP4 192.0.2.77 10.0.0.1 55555 5432\r\n"
HEADER_2 = (b"\r\n\r\n\0\r\nQUIT\n\x21\x21" + (36).to_bytes(2, "big")
            + socket.inet_pton(socket.AF_INET6, "2001:db8::77") + bytes(16)
            + (55555).to_bytes(2, "big") + (5432).to_bytes(2, "big"))
LOCAL_2 = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"


@pytest.fixture
def socket_folder(tmp_path_factory):
    """Short enough for a Unix socket's 107 bytes."""
    return str(tmp_path_factory.mktemp("s"))


def connect(folder, database="postgres"):
    return psycopg2.connect(host=folder, port=6432, user="postgres", dbname=database,
                            connect_timeout=int(processes.DEADLINE))


def test_clients_of_all_shards_come_through_one_unix_socket(
        server, database, socket_folder, io, tmp_path):
    target = proxy.Proxy(tmp_path, server.url(), io, ["--listen", f"{socket_folder}:6432"]).start()
    path = os.path.join(socket_folder, ".s.PGSQL.6432")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o777
    clients = [connect(socket_folder, database) for _ in range(20)]
    for number, client in enumerate(clients):
        with client.cursor() as cursor:
            cursor.execute("SELECT %s + 1", (number,))
            assert cursor.fetchone() == (number + 1,)
    assert target.metric("pgbraid_session_clients") == 20
    for client in clients:
        client.close()
    assert target.value("SELECT 1", database) == 1  # the port beside it
    target.stop()
    assert not os.listdir(socket_folder)


def test_n7_what_a_killed_process_left_is_replaced_and_what_lives_is_not(
        new_target, server, database, socket_folder, io, tmp_path):
    flags = ["--listen", f"{socket_folder}:6432", "--unix-socket-mode", "0700"]
    killed = proxy.Proxy(tmp_path, server.url(), io, flags).start()
    killed.kill()
    assert sorted(os.listdir(socket_folder)) == [".s.PGSQL.6432", ".s.PGSQL.6432.lock"]
    new_target(server, flags)
    path = os.path.join(socket_folder, ".s.PGSQL.6432")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    connect(socket_folder, database).close()
    second = processes.run([proxy.BINARY, "-l", f"{socket_folder}:6432", "-p", server.url()],
                           check=False)
    assert second.returncode == 1
    assert "another process has it" in second.stderr
    connect(socket_folder, database).close()


@pytest.mark.parametrize("header, said", [
    (HEADER_1, "192.0.2.77:55555"), (HEADER_2, "[2001:db8::77]:55555"), (LOCAL_2, "127.0.0.1:")],
    ids=["v1", "v2", "local"])
def test_a_trusted_balancer_says_where_the_client_is(
        header, said, new_target, server, database):
    target = new_target(server, ["--proxy-protocol-from", "10.0.0.0/8,127.0.0.0/8"])
    # _ready() of the harness connects and goes without a word, which is no session.
    for at in range(1, len(header), 7):
        raw = target.wire().send(header[:at]).send(header[at:])
        raw.send(wire.startup(user="postgres", database=database)).finish_login()
        assert raw.rows("SELECT 1") == [["1"]]
        raw.shut()
    clients = re.findall(r"session\.opened .*?client=(\S+)", target.log_text())
    assert clients and all(client.strip('"').startswith(said) for client in clients), clients


def test_a16_a_trusted_balancer_must_send_the_header(new_target, server, database):
    target = new_target(server, ["--proxy-protocol-from", "127.0.0.1"])
    raw = target.wire().send(wire.startup(user="postgres", database=database))
    frames = wire.first_error(raw.read_until("E"))
    assert frames["C"] == "08P01"
    assert "PROXY protocol" in frames["M"]


def test_a16_a_header_from_anybody_else_is_refused(new_target, server, database):
    target = new_target(server, ["--proxy-protocol-from", "10.0.0.0/8"])
    for header in (HEADER_1, HEADER_2):
        raw = target.wire().send(header + wire.startup(user="postgres", database=database))
        assert raw.expect_end_of_stream() == b""
    target.log_contains("session.proxy_header_refused")
    assert target.value("SELECT 1", database) == 1
