"""Processes, ports and waiting: what every other harness module stands on.

Nothing here sleeps for a fixed time to "let things happen": `wait_until` polls a condition and
fails at a deadline, and names what it waited for.
"""

import ctypes
import fcntl
import functools
import os
import pwd
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time

DEADLINE = float(os.environ.get("PGBRAID_TEST_DEADLINE", "30"))
_POLL = 0.01
_held_ports = set()


def is_root():
    return os.geteuid() == 0


def as_postgres(argv):
    """PostgreSQL refuses root; setpriv execs, so the pid stays the program's own.

    The program gets SIGQUIT when the tests die, so that a killed run leaves no cluster behind.
    """
    user = ["--reuid=postgres", "--regid=postgres", "--init-groups"] if is_root() else []
    return ["setpriv", *user, "--pdeathsig", "QUIT", "--"] + list(argv)


def die_with_the_tests():
    """For preexec_fn: the child gets SIGTERM when its parent ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def give_to_postgres(path):
    if is_root():
        entry = pwd.getpwnam("postgres")
        os.chown(path, entry.pw_uid, entry.pw_gid)


def free_port():
    """A port below the ephemeral range that no other test process will pick while we live.

    Binding alone does not reserve it: pgbraid listens with SO_REUSEPORT, so two proxies could
    silently share one port. A lock on one byte of a file, held until this process ends, prevents
    that; one descriptor serves all ports, so that select() is still possible after 1,000 tests.
    """
    while True:
        port = random.randrange(15000, 32000)
        if port in _held_ports:
            continue
        try:
            fcntl.lockf(_port_locks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            _held_ports.add(port)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return port


@functools.cache
def _port_locks():
    """POSIX locks: they go with the process, and with any descriptor of the file it closes."""
    return open(os.path.join(tempfile.gettempdir(), "pgbraid-test-port-locks"), "a")


def wait_until(condition, what, deadline=None):
    """Polls `condition` until it returns something true, which is handed back."""
    end = time.monotonic() + (deadline or DEADLINE)
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"gave up waiting for: {what}")
        pause.wait(_POLL)


def accepts(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), timeout=2).close()
        return True
    except OSError:
        return False


def rss_bytes(pid):
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def peak_rss_bytes(pid):
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def run(argv, check=True, text=True, timeout=None, **more):
    """subprocess.run that shows the program's own words when it fails."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=text,
                          timeout=timeout or 4 * DEADLINE, **more)
    if check and done.returncode != 0:
        raise AssertionError(
            f"{argv[0]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def end(process, sig=signal.SIGTERM, deadline=10):
    """Asks a child to end, then insists; always reaps it."""
    if process.poll() is None:
        process.send_signal(sig)
        try:
            process.wait(deadline)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait(10)
