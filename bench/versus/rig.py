"""Processes of a comparison: PostgreSQL, the null backend and every proxy in front of them.

A Rig owns all of them and a throwaway folder; leaving its `with` block stops each process it
started (by its own id) and removes the folder, whatever went wrong inside.
"""

import os
import pwd
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

START_SECONDS = 20
PASSWORD = "of-the-benchmark"  # in the users files of the login benchmark
HARNESS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests",
                       "integration")


class StartError(Exception):
    """A process could not be started; the text says which and why."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def stat_fields(pid):
    """The fields of /proc/PID/stat from the state on (man proc_pid_stat: the third), or None."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()
    except OSError:
        return None


def busy_seconds():
    """CPU seconds the whole machine has worked so far."""
    with open("/proc/stat") as f:
        user, nice, system, _, _, irq, softirq = map(int, f.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def find_program(name, *folders):
    """The path of a program, or None."""
    for folder in folders:
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return path
    return shutil.which(name)


def postgres_folder():
    """The folder of the newest installed server programs."""
    base = "/usr/lib/postgresql"
    versions = os.listdir(base) if os.path.isdir(base) else []
    for version in sorted(versions, key=lambda v: float(v) if v.isdigit() else 0, reverse=True):
        folder = os.path.join(base, version, "bin")
        if os.access(os.path.join(folder, "initdb"), os.X_OK):
            return folder
    path = shutil.which("initdb")
    return os.path.dirname(path) if path else None


def must(*command):
    """Runs a command to its end; a failure is a StartError with its message."""
    try:
        subprocess.run(command, check=True, text=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE)
    except OSError as e:
        raise StartError(f"{command[0]}: {e.strerror}") from None
    except subprocess.CalledProcessError as e:
        raise StartError(f"{' '.join(command)}: {e.stderr.strip()}") from None


class Process:
    """One running program, its port, and what /proc says about it."""

    def __init__(self, name, command, port, log):
        self.name = name
        self.port = port
        self.log = log
        with open(log, "ab") as out:
            try:
                self.child = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                    start_new_session=True)
            except OSError as e:
                raise StartError(f"{command[0]}: {e.strerror}") from None

    @property
    def pid(self):
        return self.child.pid

    def alive(self):
        return self.child.poll() is None

    def cpu_ns(self):
        """CPU time of all its threads so far, also of those that have ended, in ns."""
        return time.clock_gettime_ns((~self.pid << 3) | 2)

    def reset_peak(self):
        with open(f"/proc/{self.pid}/clear_refs", "w") as f:
            f.write("5")

    def peak_kib(self):
        with open(f"/proc/{self.pid}/status") as f:
            return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))

    def wait_listening(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if not self.alive():
                raise StartError(f"{self.name} ended at start: {self.last_words()}")
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.02)
        raise StartError(f"{self.name} does not listen after {START_SECONDS} s")

    def last_words(self):
        with open(self.log, errors="replace") as f:
            lines = [line.strip() for line in f if line.strip()]
        return " | ".join(lines[-3:]) or f"status {self.child.returncode}, nothing said"

    def stop(self, sig=signal.SIGTERM):
        for attempt, patience in ((sig, 10), (signal.SIGKILL, 10)):
            if not self.alive():
                break
            self.child.send_signal(attempt)
            try:
                self.child.wait(patience)
            except subprocess.TimeoutExpired:
                continue


class Rig:
    """Everything that runs, and the folder it runs in."""

    def __init__(self, options, scram=False):
        self.options = options
        self.scram = scram  # proxies ask for PASSWORD instead of trusting everybody
        self.folder = None
        self.processes = []
        # PostgreSQL and PgBouncer refuse to run as root.
        self.as_user = []
        self.owner = None
        if os.geteuid() == 0:
            self.owner = pwd.getpwnam("postgres")
            self.as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="versus.")
        os.chmod(self.folder, 0o755)
        return self

    def __exit__(self, *_):
        # A second Ctrl-C must not leave something running.
        previous = {sig: signal.signal(sig, signal.SIG_IGN)
                    for sig in (signal.SIGINT, signal.SIGTERM)}
        try:
            for process in reversed(self.processes):
                process.stop(signal.SIGINT if process.name == "postgres" else signal.SIGTERM)
            shutil.rmtree(self.folder, ignore_errors=True)
        finally:
            for sig, handler in previous.items():
                signal.signal(sig, handler)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        path = self.path(name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o644)
        return path

    def tls_files(self, ours=False):
        """(certificate, key) of a server, new ones each time. `ours`: for a program that runs as we
        do; PostgreSQL and PgBouncer have a user of their own."""
        sys.path.insert(0, HARNESS)
        from harness.certificates import Collection
        folder = tempfile.mkdtemp(prefix="tls.", dir=self.folder)
        os.chmod(folder, 0o755)
        pair = Collection(folder).pair("server")
        if self.owner and not ours:
            for path in (pair.cert, pair.key):
                os.chown(path, self.owner.pw_uid, self.owner.pw_gid)
        return pair.cert, pair.key

    def start(self, name, command, port):
        number = len(self.processes)
        process = Process(name, command, port, self.path(f"{number}-{name}.log"))
        self.processes.append(process)
        return process.wait_listening()

    def stop(self, process):
        process.stop()
        self.processes.remove(process)

    def tool(self, name):
        path = os.path.join(self.options.build, "bench", "tools", name)
        if not os.access(path, os.X_OK):
            raise StartError(
                f"{path} is missing: meson setup {self.options.build} --buildtype=release "
                f"-Dbenchmarks=true && ninja -C {self.options.build}")
        return path

    def own_cpu(self):
        """CPU seconds so far of everything this comparison runs, ended load programs included."""
        load_programs = resource.getrusage(resource.RUSAGE_CHILDREN)
        ticks = 0
        servers = {p.pid for p in self.processes if p.name == "postgres"}
        for pid in filter(str.isdigit, os.listdir("/proc") if servers else ()):
            fields = stat_fields(pid)
            if fields and int(fields[1]) in servers:  # a live server process of PostgreSQL
                ticks += int(fields[11]) + int(fields[12])
        for process in self.processes:
            fields = stat_fields(process.pid)
            if fields:  # its own time and that of the children it has waited for
                ticks += sum(int(field) for field in fields[11:15])
        return load_programs.ru_utime + load_programs.ru_stime + ticks / os.sysconf("SC_CLK_TCK")

    def start_null_backend(self):
        port = free_port()
        return self.start(
            "null-backend", [self.tool("null_backend"), "--listen", f"127.0.0.1:{port}"], port)

    def start_postgres(self, scale, connections, folder="data"):
        programs = postgres_folder()
        if programs is None:
            raise StartError("PostgreSQL's server programs (initdb, postgres) are not installed")
        data = self.path(folder)
        os.mkdir(data, 0o700)
        if self.owner:
            os.chown(data, self.owner.pw_uid, self.owner.pw_gid)
        must(*self.as_user, f"{programs}/initdb", "-D", data, "-U", "postgres", "-A", "trust",
             "-E", "UTF8", "--locale=C", "--no-sync")
        port = free_port()
        settings = {
            "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "",
            "max_connections": connections, "shared_buffers": "256MB", "fsync": "off",
            "autovacuum": "off", "max_wal_size": "2GB", "log_min_messages": "fatal",
        }
        if self.options.tls != "off":
            cert, key = self.tls_files()
            settings.update(ssl="on", ssl_cert_file=cert, ssl_key_file=key)
        flags = [f"--{key}={value}" for key, value in settings.items()]
        process = self.start(
            "postgres", [*self.as_user, f"{programs}/postgres", "-D", data, *flags], port)
        self.wait_for_queries(process)
        must("pgbench", *connection_flags(port), "-i", "-q", "-s", str(scale), "postgres")
        must("psql", *connection_flags(port), "-d", "postgres", "-qc",
             "create unlogged table copied (id int, pad text)")
        return process

    def wait_for_queries(self, process):
        deadline = time.monotonic() + START_SECONDS
        command = ["psql", *connection_flags(process.port), "-d", "postgres", "-Atc", "select 1"]
        while subprocess.run(command, capture_output=True).returncode != 0:
            if time.monotonic() > deadline:
                raise StartError(f"{process.name} answers no query: {process.last_words()}")
            time.sleep(0.05)


def connection_flags(port):
    return ["-h", "127.0.0.1", "-p", str(port), "-U", "postgres"]


# -- contenders ---------------------------------------------------------------------------------


def pgbouncer_version(path):
    text = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
    match = re.search(r"(\d+)\.(\d+)", text)
    return (int(match.group(1)), int(match.group(2))) if match else (0, 0)


def pgbouncer_path():
    return os.environ.get("PGBOUNCER") or find_program("pgbouncer", "/usr/sbin")


def start_pgbouncer(rig, target, name):
    path = pgbouncer_path()
    port = free_port()
    most = rig.options.most_clients
    users = rig.write("userlist.txt", f'"postgres" "{PASSWORD if rig.scram else ""}"\n')
    lines = [
        "[databases]", f"* = host=127.0.0.1 port={target}",
        "[pgbouncer]", "listen_addr = 127.0.0.1", f"listen_port = {port}",
        "unix_socket_dir =", f"auth_type = {'scram-sha-256' if rig.scram else 'trust'}",
        f"auth_file = {users}",
        f"pool_mode = {rig.options.pool_mode}", f"max_client_conn = {most + 100}",
        f"default_pool_size = {pool_size(rig.options)}", "log_connections = 0",
        "log_disconnections = 0", "log_stats = 0", "server_idle_timeout = 3600",
        "ignore_startup_parameters = extra_float_digits",
    ]
    if pgbouncer_version(path) >= (1, 21):
        lines.append("max_prepared_statements = 200")
    if rig.options.tls != "off":
        cert, key = rig.tls_files()
        lines += ["client_tls_sslmode = require", f"client_tls_cert_file = {cert}",
                  f"client_tls_key_file = {key}"]
    lines.append(f"server_tls_sslmode = {'require' if rig.options.tls == 'both' else 'disable'}")
    config = rig.write(f"pgbouncer-{port}.ini", "\n".join(lines) + "\n")
    return rig.start(name, [*rig.as_user, path, config], port)


def start_haproxy(rig, target, name):
    port = free_port()
    most = rig.options.most_clients
    config = rig.write(f"haproxy-{port}.cfg", f"""global
  nbthread 1
  maxconn {most + 100}
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
listen versus
  bind 127.0.0.1:{port}
  server target 127.0.0.1:{target}
""")
    return rig.start(
        name, [find_program("haproxy", "/usr/sbin"), "-db", "-q", "-f", config], port)


def start_relay(rig, target, name):
    port = free_port()
    return rig.start(name, [rig.tool("bare_relay"), "--listen", f"127.0.0.1:{port}",
                            "--target", f"127.0.0.1:{target}"], port)


def pool_size(options):
    """Server connections: in session mode one for every client."""
    if options.pool_size:
        return options.pool_size
    return 20 if options.pool_mode == "transaction" else options.most_clients + 50


def pgbraid_flags(rig, target):
    """What the options ask of pgbraid; nothing beyond the primary for a plain session proxy."""
    options, flags, login, query = rig.options, [], "", ""
    if options.pool_mode != "session" or rig.scram:
        login = "postgres@"  # it logs in by itself, so it must know how clients do
        flags += ["--auth", "scram-sha-256" if rig.scram else "trust"]
    if options.pool_mode != "session":
        flags += ["--pool-mode", options.pool_mode, "--max-conns", str(pool_size(options))]
    if rig.scram:
        users = rig.write("pgbraid-users.txt", f'"postgres" "{PASSWORD}"\n')
        os.chmod(users, 0o600)
        flags += ["--users-file", users]
    if options.tls != "off":
        cert, key = rig.tls_files(ours=True)
        flags += ["--enable-tls", "--tls-required", "--tls-cert", cert, "--tls-key", key]
        query = "?sslmode=require" if options.tls == "both" else "?sslmode=disable"
    return ["--primary", f"postgres://{login}127.0.0.1:{target}{query}", *flags]


def pgbraid_starter(*flags):
    def start(rig, target, name):
        port = free_port()
        return rig.start(name, [rig.options.pgbraid, "--listen", f"127.0.0.1:{port}",
                                *pgbraid_flags(rig, target), *flags], port)
    return start


# name: how it is started in front of a port (None: clients connect to the port itself)
CONTENDERS = {
    "direct": None,
    "pgbraid": pgbraid_starter("--shards", "1"),
    "pgbraid-epoll": pgbraid_starter("--shards", "1", "--io", "epoll"),
    "pgbraid-2": pgbraid_starter("--shards", "2"),
    "pgbouncer": start_pgbouncer,
    "haproxy": start_haproxy,
    "relay": start_relay,
}


def missing(name, options):
    """Why a contender cannot take part at all, or None."""
    if name.startswith("pgbraid") and not os.access(options.pgbraid, os.X_OK):
        return f"{options.pgbraid} is not there (build it, or name it by --pgbraid)"
    if name == "pgbouncer":
        path = pgbouncer_path()
        if not path:
            return "not installed (or name one by PGBOUNCER)"
        if not os.access(path, os.X_OK):
            return f"PGBOUNCER names {path}, which is no program"
    if name == "haproxy" and not find_program("haproxy", "/usr/sbin"):
        return "not installed"
    if name in ("haproxy", "relay") and options.tls != "off":
        return "it does not know how PostgreSQL begins TLS"
    return None


def describe(options):
    """One line per contender: versions and settings that the figures depend on."""
    lines = {}
    path = pgbouncer_path()
    if not missing("pgbouncer", options):
        version = ".".join(str(v) for v in pgbouncer_version(path))
        lines["pgbouncer"] = (f"PgBouncer {version}, pool_mode {options.pool_mode}, one process, "
                              f"pool of {pool_size(options)}")
    path = find_program("haproxy", "/usr/sbin")
    if path:
        text = subprocess.run([path, "-v"], capture_output=True, text=True).stdout
        lines["haproxy"] = " ".join(text.split()[:3]) + ", mode tcp, nbthread 1"
    lines["relay"] = "bare io_uring relay, one thread, no parsing"
    if os.access(options.pgbraid, os.X_OK):
        text = subprocess.run([options.pgbraid, "--version"], capture_output=True, text=True)
        version = (text.stdout or text.stderr).strip().splitlines()[:1]
        for name, what in (("pgbraid", "1 shard"), ("pgbraid-epoll", "1 shard, --io epoll"),
                           ("pgbraid-2", "2 shards")):
            lines[name] = (f"{version[0] if version else 'pgbraid'}, {what}, pool mode "
                           f"{options.pool_mode}")
    return lines
