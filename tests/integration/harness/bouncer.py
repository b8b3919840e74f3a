"""PgBouncer before a server: a second opinion on tests of pooling, logging in and TLS.

What pgbraid must pass, PgBouncer passes or is known to fail: so a test shows on it that it asks
for something real, and that it can fail. PGBOUNCER names another binary than Debian's.
"""

import os
import re
import shutil
import subprocess

from . import processes, proxy


def binary():
    found = os.environ.get("PGBOUNCER") or shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    assert os.access(found, os.X_OK), f"{found} is not there: run tools/deps test"
    return found


def version():
    """(1, 18)"""
    text = processes.run([binary(), "--version"]).stdout
    return tuple(int(part) for part in re.search(r"(\d+)\.(\d+)", text).groups())


class Bouncer(proxy.Target):
    """One process. `settings` are lines of its [pgbouncer] section."""

    def __init__(self, folder, server, settings=None, users=None, server_options=""):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        processes.give_to_postgres(self.folder)
        os.chmod(self.folder, 0o755)
        self.port = processes.free_port()
        self.log = os.path.join(self.folder, "log")
        self.process = None
        every = {
            "listen_addr": "127.0.0.1", "listen_port": self.port, "unix_socket_dir": "",
            "auth_type": "trust", "auth_file": users or self._trusted_users(),
            "pool_mode": "transaction", "max_client_conn": 2000, "default_pool_size": 8,
            "ignore_startup_parameters": "extra_float_digits,options", **(settings or {})}
        if version() >= (1, 21):
            every.setdefault("max_prepared_statements", 200)
        self._config = os.path.join(self.folder, "pgbouncer.ini")
        with open(self._config, "w") as config:
            config.write(f"[databases]\n* = host=127.0.0.1 port={server.port} {server_options}\n"
                         "[pgbouncer]\n")
            config.writelines(f"{key} = {value}\n" for key, value in every.items())

    def _trusted_users(self):
        path = os.path.join(self.folder, "users")
        with open(path, "w") as users:
            users.write('"postgres" ""\n')
        return path

    def start(self):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                processes.as_postgres([binary(), self._config]), stdout=log, stderr=log, cwd="/")
        processes.wait_until(self._ready, f"PgBouncer to listen on {self.port}")
        return self

    def _ready(self):
        if self.process.poll() is not None:
            with open(self.log) as log:
                raise AssertionError(f"PgBouncer ended at start:\n{log.read()[-2000:]}")
        return processes.accepts(self.port)

    def check_alive(self):
        assert self.process.poll() is None, "PgBouncer has ended"

    def stop(self):
        processes.end(self.process)
