"""The drivers as programs: how each is built and started, and which scenarios it has.

Each is a program `DRIVER DSN SCENARIO...` that prints `ok NAME` or `differs NAME: what`.
"""

import os
import shutil
import subprocess
import sys

from harness import postgres, processes

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
COMMON = ("connect", "simple", "prepared", "unnamed", "pipeline", "copy", "error", "settings",
          "large_result", "cancel", "listen")
BOTH = ("text_parameters", "binary_parameters")
# Every scenario that the driver has a way to do. psycopg2 has client-side parameters only.
SCENARIOS = {
    "psql": COMMON,
    "psycopg2": ("connect", "simple", "cursors", "copy", "error", "settings", "large_result",
                 "cancel", "listen"),
    "psycopg3": (*COMMON, *BOTH),
    "asyncpg": (*(name for name in COMMON if name != "unnamed"), "binary_parameters", "cursors"),
    "pgx": (*COMMON, *BOTH),
    "jdbc": (*COMMON, *BOTH, "cursors"),
    "node": (*(name for name in COMMON if name != "pipeline"), *BOTH),
}
# Those that can insist on, or at least ask for, SCRAM with channel binding.
BINDING = ("psql", "psycopg2", "psycopg3", "node")
# What needs one server connection for longer than a transaction.
SESSION_ONLY = ("listen",)
_PATIENCE = 120
# Each process of a parallel run builds its own: none may be replaced while another runs it.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")


def fetched(package):
    done = processes.run([os.path.join(REPOSITORY, "tools", "fetch_npm"), package], check=False,
                         timeout=600)
    assert done.returncode == 0, f"{package} is not to be had:\n{done.stderr[-2000:]}"
    return done.stdout.split()[-1]


def _built_pgx():
    """Compiled once into build-deps; the modules come through Go's proxy, pinned by go.sum."""
    go = shutil.which("go") or "/usr/lib/go/bin/go"
    target = os.path.join(REPOSITORY, "build-deps", f"pgx-client{_WORKER}")
    environment = dict(os.environ)
    if "HOME" not in environment:
        environment.setdefault("GOPATH", os.path.join(REPOSITORY, "build-deps", "go"))
        environment.setdefault("GOCACHE", os.path.join(REPOSITORY, "build-deps", "go-cache"))
    done = processes.run([go, "build", "-buildvcs=false", "-o", target, "."], check=False,
                         timeout=600, cwd=os.path.join(HERE, "pgx"), env=environment)
    assert done.returncode == 0, f"the pgx client could not be built:\n{done.stderr[-2000:]}"
    return [target]


def _compiled_jdbc():
    classes = os.path.join(REPOSITORY, "build-deps", f"jdbc-client{_WORKER}")
    jar = "/usr/share/java/postgresql.jar"
    processes.run(["javac", "-encoding", "UTF-8", "-cp", jar, "-d", classes,
                   os.path.join(HERE, "Jdbc.java")])
    # Short-lived: the C1 compiler and one collector thread serve it best.
    return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dfile.encoding=UTF-8",
            "-Dstdout.encoding=UTF-8", "-cp", f"{jar}:{classes}", "Jdbc"]


class Driver:
    """One driver, ready to run."""

    def __init__(self, name):
        self.name = name
        self._environment = {**os.environ, "PSQL_BINDIR": postgres.bindir(),
                             "PYTHONIOENCODING": "utf-8", "LC_ALL": "C.UTF-8"}
        if name == "pgx":
            self._command = _built_pgx()
        elif name == "jdbc":
            self._command = _compiled_jdbc()
        elif name == "node":
            modules = os.path.join(fetched("node-postgres"), "node_modules")
            self._environment["NODE_PATH"] = modules
            self._command = ["node", os.path.join(HERE, "node", "client.js")]
        else:
            self._command = [sys.executable, os.path.join(HERE, f"{name}_client.py")]

    def scenarios(self, pool_mode="session"):
        return [name for name in SCENARIOS[self.name]
                if pool_mode == "session" or name not in SESSION_ONLY]

    def start(self, dsn, scenarios):
        return subprocess.Popen([*self._command, dsn, *scenarios], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env=self._environment)

    def finish(self, running):
        """{scenario: "ok" or what differed}"""
        try:
            out, err = running.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            running.kill()
            out, err = running.communicate()
            err += f"\nno end after {_PATIENCE} s"
        outcomes = {}
        for line in out.splitlines():
            verdict, _, rest = line.partition(" ")
            name, _, what = rest.partition(": ")
            outcomes[name] = "ok" if verdict == "ok" else what
        if running.returncode != 0:
            outcomes["the program"] = f"status {running.returncode}: {err.strip()[-1000:]}"
        return outcomes

    def run(self, dsn, scenarios):
        return self.finish(self.start(dsn, scenarios))
