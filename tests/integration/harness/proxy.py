"""The program under test, and its stand-in for debugging the tests: a direct connection.

PGBRAID names the binary (default build/src/pgbraid). PGBRAID_TEST_TARGET=direct runs every
test that needs no mirror, admin port or scripted server straight against PostgreSQL.
"""

import os
import re
import signal
import subprocess
import urllib.error
import urllib.request

import psycopg2

from . import postgres, processes, wire

REPOSITORY = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
BINARY = os.environ.get("PGBRAID", os.path.join(REPOSITORY, "build", "src", "pgbraid"))
# "Peak memory stays under 100 MiB"; a sanitizer build needs more for its shadow.
MEMORY_MAX = int(os.environ.get("PGBRAID_TEST_MEMORY_MIB", "100")) << 20
DIRECT = os.environ.get("PGBRAID_TEST_TARGET") == "direct"
_ALARM = re.compile(r"CHECK failed|AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|"
                    r"UndefinedBehaviorSanitizer|terminate called")
_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(\{[^}]*\})?\s+(\S+)")


def refused(raw):
    """The reaction to a broken frame after login: FATAL 08P01, then the end.

    PostgreSQL leaves out the message where the frame's length is wrong, so a direct run accepts
    its plain closing too.
    """
    error = raw.expect_closed()
    if not DIRECT or error:
        assert error.get("C") == "08P01" and error.get("S") == "FATAL", error
    raw.shut()


class Target:
    """What a client can do with an address, whoever listens there."""

    host = "127.0.0.1"
    port = 0

    def wire(self, deadline=None):
        """A raw socket; nothing has been said on it yet."""
        return wire.Wire(self.host, self.port, deadline)

    def login(self, database="postgres", user="postgres", **params):
        """A raw session that has reached its first ReadyForQuery."""
        raw = self.wire()
        raw.login(user=user, database=database, **params)
        return raw

    def received(self):
        """Bytes that what is under test has received; 0 if nobody counts them."""
        return 0

    def wait_until_stalled(self, server, database, count=1):
        """Waits until `count` backends, which are all that is busy, stay blocked on their clients.

        For a moment they are also while bytes still flow: so for several looks in a row, between
        which nothing but the looking itself was received.
        """
        seen = []

        def still():
            received = self.received()
            if server.stalled(database) != count or (seen and received - seen[-1] > 4096):
                seen.clear()
            seen.append(received)
            return len(seen) > 10

        processes.wait_until(still, f"{count} backends to stand still")

    def connect(self, database="postgres", user="postgres", **more):
        connection = psycopg2.connect(host=self.host, port=self.port, user=user, dbname=database,
                                      connect_timeout=int(processes.DEADLINE), **more)
        connection.autocommit = True
        return connection

    def value(self, text, database="postgres", **more):
        connection = self.connect(database, **more)
        try:
            with connection.cursor() as cursor:
                cursor.execute(text)
                return cursor.fetchone()[0]
        finally:
            connection.close()

    def psql(self, *arguments, database="postgres", user="postgres", check=True, **more):
        environment = {**os.environ, "PGSSLMODE": "prefer", **more.pop("env", {})}
        return processes.run([postgres.program("psql"), "-X", "-h", self.host, "-p",
                              str(self.port), "-U", user, "-d", database, *arguments],
                             check=check, env=environment, **more)

    def address(self, database="postgres", user="postgres"):
        """The options by which PostgreSQL's own programs are pointed here."""
        return ["-h", self.host, "-p", str(self.port), "-U", user, "-d", database]


class Direct(Target):
    """PostgreSQL itself. There is no proxy to measure, so the measurements hold trivially."""

    def __init__(self, server):
        self.host = "127.0.0.1"
        self.port = server.port

    def rss(self):
        return 0

    def peak_rss(self):
        return 0

    def descriptors(self):
        return 0

    def check_alive(self):
        pass

    def stop(self):
        pass


class Proxy(Target):
    """One pgbraid process. `flags` are added to the listener, primary and admin ones."""

    def __init__(self, folder, primary_url, io, flags=(), shards=2):
        os.makedirs(folder, exist_ok=True)
        self.log = os.path.join(str(folder), "pgbraid.log")
        self.port = processes.free_port()
        self.admin_port = processes.free_port()
        self.argv = [BINARY, "--listen", f"127.0.0.1:{self.port}", "--primary", primary_url,
                     "--admin", f"127.0.0.1:{self.admin_port}", "--io", io,
                     "--shards", str(shards), *flags]
        self.process = None
        self.before_exec = processes.die_with_the_tests  # runs in the child

    def start(self):
        if not os.access(BINARY, os.X_OK):
            raise AssertionError(f"{BINARY} is not there: build it, or set PGBRAID")
        # A sanitizer build keeps freed memory in quarantine, which says nothing about ours.
        environment = dict(os.environ)
        environment.setdefault("ASAN_OPTIONS", "quarantine_size_mb=4:malloc_context_size=5")
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(self.argv, stdout=log, stderr=log, env=environment,
                                            preexec_fn=self.before_exec)
        processes.wait_until(self._ready, f"pgbraid to listen on {self.port}")
        return self

    def _ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"pgbraid ended at start:\n{self.log_text()[-4000:]}")
        listening = processes.accepts(self.admin_port) and processes.accepts(self.port)
        return listening and self.http("/readyz")[0] == 200

    def log_text(self):
        with open(self.log, errors="replace") as log:
            return log.read()

    def log_contains(self, text, deadline=None):
        processes.wait_until(lambda: text in self.log_text(), f"'{text}' in the log", deadline)

    def http(self, path):
        """(status, body) of a GET on the admin port."""
        url = f"http://127.0.0.1:{self.admin_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=processes.DEADLINE) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def metrics(self):
        """{'name{labels}': value} as /metrics prints them."""
        status, text = self.http("/metrics")
        assert status == 200, f"/metrics answered {status}"
        lines = (_SAMPLE.match(line) for line in text.splitlines() if not line.startswith("#"))
        return {m.group(1) + (m.group(2) or ""): float(m.group(3)) for m in lines if m}

    def metric(self, name, **labels):
        """Sum of the samples of `name` that carry all `labels`; 0 when there is none yet."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(value for key, value in self.metrics().items()
                   if key.split("{")[0] == name and all(part in key for part in wanted))

    def received(self):
        return self.metric("pgbraid_io_received_bytes_total")

    def wait_for(self, name, value, deadline=None, **labels):
        """Waits until the counter has reached `value`."""
        return processes.wait_until(lambda: self.metric(name, **labels) >= value,
                                    f"{name}{labels} >= {value}", deadline)

    def rss(self):
        return processes.rss_bytes(self.process.pid)

    def peak_rss(self):
        return processes.peak_rss_bytes(self.process.pid)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def check_alive(self):
        """Fails if the proxy died, unless the test has seen to its end, or complained."""
        alarm = _ALARM.search(self.log_text())
        assert alarm is None, f"pgbraid reported:\n{self.log_text()[alarm.start():][:6000]}"
        assert self.process is None or self.process.poll() is None, (
            f"pgbraid ended with {self.process.returncode}:\n{self.log_text()[-4000:]}")

    def stop(self):
        """SIGTERM; a leak report or a crash while draining fails the test as well."""
        if self.process is None:
            return
        code = processes.end(self.process, signal.SIGTERM, 2 * processes.DEADLINE)
        alarm = _ALARM.search(self.log_text())
        assert alarm is None, (
            f"pgbraid reported at its end:\n{self.log_text()[alarm.start():][:6000]}")
        self.process = None
        assert code == 0, f"pgbraid answered SIGTERM with {code}:\n{self.log_text()[-4000:]}"

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None
