"""pgbraid with a file that changes, and clients that must not notice."""

import contextlib
import os
import signal
import threading

from . import processes, proxy

# What is under test stands above the engines.
IO = os.environ.get("PGBRAID_TEST_IO", "io_uring,epoll").split(",")[0]
PID = "SELECT pg_backend_pid()"


class Configured(proxy.Proxy):
    """pgbraid with a file that can be changed."""

    def __init__(self, folder):
        super().__init__(folder, "", IO)
        self.file = os.path.join(str(folder), "pgbraid.toml")
        at = self.argv.index("--primary")
        self.argv[at:at + 2] = ["--config", self.file]

    def configure(self, *lines):
        with open(self.file, "w") as file:
            file.write("\n".join(lines) + "\n")
        return self

    def epoch(self):
        return self.metric("pgbraid_server_config_epoch")

    def hang_up(self):
        self.process.send_signal(signal.SIGHUP)

    def reload(self, *lines):
        """The new configuration is in force on every shard."""
        if lines:
            self.configure(*lines)
        before = self.epoch()
        self.hang_up()
        processes.wait_until(lambda: self.epoch() > before, "the reload on every shard")
        assert self.epoch() == before + 1

    def refuse(self, *lines):
        """The new configuration is refused; the line of the log that says so."""
        if lines:
            self.configure(*lines)
        before, failures = self.epoch(), self.metric("pgbraid_server_reload_failures_total")
        said = len(self._refusals())
        self.hang_up()
        self.wait_for("pgbraid_server_reload_failures_total", failures + 1)
        assert self.epoch() == before
        # The log has a thread of its own: a line can come after what it tells of is counted.
        processes.wait_until(lambda: len(self._refusals()) > said, "the log to say why")
        why = self._refusals()[-1]
        assert " level=error " in f" {why} ", why
        return why

    def _refusals(self):
        return [line for line in self.log_text().splitlines() if "server.reload_failed" in line]

    def closed(self):
        """How many connections of pools were opened and are not open any more."""
        metrics = self.metrics()
        return (metrics["pgbraid_backend_pool_opened_total"] -
                metrics["pgbraid_backend_pool_connections"])


def pids_of(clients):
    """The server processes of clients, each of which holds one. Where a client is, its connections
    are: clients that stay find the same ones again, newcomers on another shard may not."""
    for client in clients:
        client.ask("BEGIN")
    pids = {client.rows(PID)[0][0] for client in clients}
    for client in clients:
        client.ask("COMMIT")
    assert len(pids) == len(clients)
    return pids


def service(name, url, *more):
    return ["[[service]]", f'name = "{name}"', f'primary = "{url}"', *more]


def pooled(*more):
    return ['auth = "trust"', 'pool_mode = "transaction"', *more]


def private(path, text):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    return path


def ended(client):
    """What a client hears that is told to go."""
    return client.expect_closed()


class Load:
    """Clients that ask all the time; whatever goes wrong is kept."""

    def __init__(self, target, count=8, **more):
        self._over = threading.Event()
        self.faults = []
        self.turns = [0] * count
        self._threads = [threading.Thread(target=self._ask, args=(target, i, more))
                         for i in range(count)]

    def _ask(self, target, i, more):
        try:
            with contextlib.closing(target.connect(**more)) as connection:
                with connection.cursor() as cursor:
                    while not self._over.is_set():
                        cursor.execute("BEGIN; SELECT %s", (self.turns[i],))
                        assert cursor.fetchone()[0] == self.turns[i]
                        cursor.execute("COMMIT")
                        self.turns[i] += 1
        except Exception as fault:
            self.faults.append(fault)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.wait_for_turns()
        return self

    def wait_for_turns(self, more=2):
        """Each client has had so many more."""
        before = list(self.turns)
        processes.wait_until(lambda: self.faults or all(
            now >= then + more for now, then in zip(self.turns, before)), "the load to go on")

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()
        assert not self.faults, self.faults
