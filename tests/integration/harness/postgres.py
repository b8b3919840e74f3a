"""A throwaway PostgreSQL cluster, as user postgres when the tests run as root."""

import contextlib
import glob
import os
import shutil
import signal
import subprocess

import psycopg2

from . import processes

_FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "listen_addresses": "'127.0.0.1'",
    "log_line_prefix": "'%m [%p] '",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
}


def bindir():
    """PG_BINDIR, or the newest version that Debian's packages installed."""
    if "PG_BINDIR" in os.environ:
        return os.environ["PG_BINDIR"]
    found = glob.glob("/usr/lib/postgresql/*/bin")
    if not found:
        raise RuntimeError("no PostgreSQL server found: install the package postgresql")
    return max(found, key=lambda path: int(path.split("/")[4]))


def program(name):
    return os.path.join(bindir(), name)


class Postgres:
    """One cluster in `folder`. `auth` is the pg_hba method of TCP connections.

    `programs` is the folder of the server's programs, default bindir().
    """

    def __init__(self, folder, auth="trust", settings=None, template=None, programs=None):
        self.folder = str(folder)
        self.programs = programs or bindir()
        self.data = os.path.join(self.folder, "data")
        self.log = os.path.join(self.folder, "log")
        self.port = processes.free_port()
        self.process = None
        os.makedirs(self.folder, exist_ok=True)
        processes.give_to_postgres(self.folder)
        if template is None:
            processes.run(processes.as_postgres(
                [self._program("initdb"), "-D", self.data, "-U", "postgres", "--auth=trust",
                 "--no-locale", "-E", "UTF8", "--no-sync"]), cwd="/")
        else:
            processes.run(["cp", "-a", template.data, self.data])
        every = dict(_FAST, port=str(self.port), unix_socket_directories=f"'{self.folder}'",
                     **(settings or {}))
        with open(os.path.join(self.data, "postgresql.auto.conf"), "w") as conf:
            conf.writelines(f"{key} = {value}\n" for key, value in every.items())
        self.require(auth)

    def require(self, auth, kind="host", options=""):
        """Writes pg_hba: one method, or {user: method}. The Unix socket stays trusted, for the
        test's own use. `kind`: host, hostssl or hostnossl."""
        methods = auth if isinstance(auth, dict) else {"all": auth}
        self.hba(f"{kind} {database} {user} 127.0.0.1/32 {method} {options}"
                 for database in ("all", "replication") for user, method in methods.items())

    def hba(self, lines):
        """Writes pg_hba: these lines, behind the ones for the test's own Unix socket."""
        with open(os.path.join(self.data, "pg_hba.conf"), "w") as hba:
            hba.write("local all all trust\nlocal replication all trust\n")
            hba.writelines(line + "\n" for line in lines)
        self._reload()

    def set(self, settings):
        """Adds settings that need no restart; the last value of a key counts."""
        with open(os.path.join(self.data, "postgresql.auto.conf"), "a") as conf:
            conf.writelines(f"{key} = {value}\n" for key, value in settings.items())
        self._reload()

    def _reload(self):
        """Returns when a new connection sees what the files say."""
        if self.process is None:
            return
        loaded = self.value("SELECT pg_conf_load_time()")
        self.process.send_signal(signal.SIGHUP)
        processes.wait_until(lambda: self.value("SELECT pg_conf_load_time()") > loaded,
                             "PostgreSQL to have read its files again")

    def _program(self, name):
        return os.path.join(self.programs, name)

    def start(self):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                processes.as_postgres([self._program("postgres"), "-D", self.data]),
                stdout=log, stderr=log, cwd="/", start_new_session=True)
        processes.wait_until(self._answers, f"PostgreSQL in {self.folder} to answer")
        return self

    def _answers(self):
        if self.process.poll() is not None:
            with open(self.log) as log:
                raise AssertionError(f"PostgreSQL ended at start:\n{log.read()[-3000:]}")
        try:
            self.sql("SELECT 1")
            return True
        except psycopg2.OperationalError:
            return False

    def stop(self, mode="fast"):
        if self.process is None:
            return
        self.resume()
        how = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode]
        processes.end(self.process, how, processes.DEADLINE)
        self.process = None

    def kill(self):
        """SIGKILL for the postmaster. Returns when its children have noticed and ended: until
        then they hold its shared memory, and a new postmaster refuses to start."""
        pids = self._pids()
        self.process.kill()
        self.process.wait()
        self.process = None
        processes.wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids),
                             "the children of a killed postmaster to end")
        segment = os.path.join(self.data, "postmaster.pid")
        if os.path.exists(segment):
            os.unlink(segment)

    def restart(self):
        self.stop()
        return self.start()

    def pause(self):
        """SIGSTOP for the postmaster and every child: a server that hangs."""
        self._signal(signal.SIGSTOP)

    def resume(self):
        self._signal(signal.SIGCONT)

    def _signal(self, number):
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):  # a child that has ended by now
                os.kill(pid, number)

    def _pids(self):
        if self.process is None or self.process.poll() is not None:
            return []
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(path) as children:
            return [self.process.pid] + [int(pid) for pid in children.read().split()]

    def remove(self):
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, database="postgres"):
        connection = psycopg2.connect(host=self.folder, port=self.port, user="postgres",
                                      dbname=database, connect_timeout=5)
        connection.autocommit = True
        return connection

    def sql(self, text, database="postgres", args=None):
        """Runs `text` past the proxy; the rows, or [] for a statement without any."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(text, args)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def value(self, text, database="postgres", args=None):
        return self.sql(text, database, args)[0][0]

    def databases(self):
        rows = self.sql("SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1")
        return [name for (name,) in rows]

    def backend_count(self, database):
        return self.value("SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND "
                          "pid <> pg_backend_pid() AND backend_type = 'client backend'",
                          args=(database,))

    def stalled(self, database):
        """How many backends wait for their client to take what they have sent."""
        return self.value("SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND "
                          "wait_event = 'ClientWrite'", args=(database,))

    def checksums(self, database="postgres", without=()):
        """One order-independent checksum per user table: {'public.t': (rows, digest)}. `without`
        names columns that rightly differ between two servers (clock readings)."""
        tables = self.sql("SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM "
                          "pg_tables WHERE schemaname NOT IN "
                          "('pg_catalog','information_schema','pgbraid') "
                          "AND schemaname NOT LIKE 'pg_temp%' ORDER BY 1", database)
        row = "to_jsonb(t) - %s::text[]" if without else "t"
        return {name: self.sql(
            f"SELECT count(*), coalesce(sum(hashtextextended(({row})::text, 0)::numeric), 0)::text "
            f"FROM {name} t", database, (list(without),) if without else None)[0]
            for (name,) in tables}

    def url(self, database=None, user=None, password=None):
        login = "" if user is None else (user if password is None else f"{user}:{password}") + "@"
        return f"postgres://{login}127.0.0.1:{self.port}" + (f"/{database}" if database else "")
