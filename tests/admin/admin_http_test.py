#!/usr/bin/env python3
"""The running program, asked with curl: what /metrics, /livez and /readyz answer and when.

Needs no PostgreSQL: the primary is a socket of this test that never answers. Usage:
admin_http_test.py PGBRAID
"""

import re
import signal
import socket
import struct
import subprocess
import sys
import unittest

PGBRAID = sys.argv.pop(1)
WAIT = 30  # seconds that any step may take before the test fails
SAMPLE = re.compile(r'[a-zA-Z_:][\w:]*(\{(\w+="(\\.|[^"\\\n])*",?)+\})? -?[0-9.e+-]+')


def curl(address, path, *options):
    """Status, header text and body."""
    command = ["curl", "-sS", "-i", "--max-time", str(WAIT), *options, f"http://{address}{path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    head, _, body = done.stdout.partition("\n\n")
    return int(head.split()[1]), head, body


class Program:
    """A pgbraid whose log is read line by line."""

    def __init__(self, *flags):
        command = [PGBRAID, "--listen", "127.0.0.1:0", *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.addresses = {}

    def until_log(self, event):
        for line in self.process.stderr:
            if f"event={event}" in line:
                return dict(re.findall(r"(\w+)=(\S+)", line))
        raise AssertionError(f"ended without {event}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.stderr.read()
        code = self.process.wait(WAIT)
        self.process.stderr.close()
        return code


class AdminHttp(unittest.TestCase):
    engine = "auto"

    def setUp(self):
        self.primary = socket.create_server(("127.0.0.1", 0))
        self.primary.settimeout(WAIT)
        self.url = f"postgresql://127.0.0.1:{self.primary.getsockname()[1]}/db"
        self.program = Program("--primary", self.url, "--admin", "127.0.0.1:0", "--shards", "2",
                               "--io", self.engine)
        self.admin = self.program.until_log("admin.listening")["address"]
        self.listen = self.program.until_log("server.started")["listen"]

    def tearDown(self):
        if self.program.process.poll() is None:
            self.program.process.kill()
        self.program.process.wait()
        self.program.process.stderr.close()
        self.primary.close()

    def metrics(self):
        _, _, body = curl(self.admin, "/metrics")
        pairs = (line.rsplit(" ", 1) for line in body.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def client_at_login(self):
        """A client whose login waits for the primary; both its ends."""
        host, port = self.listen.rsplit(":", 1)
        client = socket.create_connection((host, int(port)), WAIT)
        body = struct.pack("!I", 196608) + b"user\0u\0database\0db\0\0"
        client.sendall(struct.pack("!I", len(body) + 4) + body)
        server, _ = self.primary.accept()
        self.addCleanup(client.close)
        self.addCleanup(server.close)
        return client, server

    def test_metrics_are_open_metrics_text(self):
        status, head, body = curl(self.admin, "/metrics")
        self.assertEqual(status, 200)
        self.assertIn("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8",
                      head.lower())
        lines = body.splitlines()
        self.assertEqual(lines[-1], "# EOF")
        families = [line.split()[2] for line in lines if line.startswith("# TYPE ")]
        self.assertEqual(len(families), len(set(families)))
        self.assertGreater(len(families), 40)
        for line in lines:
            if not line.startswith("# "):
                self.assertRegex(line, SAMPLE)
                self.assertTrue(any(line.startswith(family) for family in families), line)
        self.assertEqual(self.metrics()["pgbraid_server_shards"], 2)

    def test_metrics_count_clients(self):
        self.assertEqual(self.metrics()["pgbraid_session_clients"], 0)
        self.client_at_login()
        self.assertEqual(self.metrics()["pgbraid_session_clients"], 1)
        self.assertEqual(self.metrics()["pgbraid_session_opened_total"], 1)

    def test_answers_by_path_and_method(self):
        self.assertEqual(curl(self.admin, "/livez")[0], 200)
        self.assertEqual(curl(self.admin, "/readyz")[0], 200)
        self.assertEqual(curl(self.admin, "/nowhere")[0], 404)
        self.assertEqual(curl(self.admin, "/livez", "-X", "DELETE")[0], 405)
        self.assertEqual(curl(self.admin, "/livez", "-d", "body")[0], 413)
        self.assertEqual(curl(self.admin, "/metrics", "-I")[0], 200)

    def test_answers_while_draining(self):
        client, server = self.client_at_login()
        self.program.process.send_signal(signal.SIGTERM)
        self.program.until_log("server.draining")
        status, _, body = curl(self.admin, "/readyz")
        self.assertEqual((status, body), (503, "draining\n"))
        self.assertEqual(curl(self.admin, "/livez")[0], 200)
        server.close()
        client.close()
        self.program.until_log("server.stopped")
        self.assertEqual(self.program.process.wait(WAIT), 0)

    def test_a_kept_connection_does_not_hold_up_the_end(self):
        host, port = self.admin.rsplit(":", 1)
        with socket.create_connection((host, int(port)), WAIT) as kept:
            kept.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertTrue(kept.recv(15).startswith(b"HTTP/1.1 200"))
            self.assertEqual(self.program.stop(), 0)

    def test_a_taken_address_is_an_error(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            command = [PGBRAID, "--listen", "127.0.0.1:0", "--primary", self.url, "--admin",
                       address, "--shards", "2", "--io", self.engine]
            done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT,
                                  check=False)
        self.assertEqual(done.returncode, 1)
        last = done.stderr.splitlines()[-1]
        self.assertRegex(last, "^pgbraid: --admin: .*" + re.escape(address))
        self.assertIn("in use", last)


class AdminHttpOnEpoll(AdminHttp):
    engine = "epoll"


if __name__ == "__main__":
    unittest.main()
