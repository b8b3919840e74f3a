"""psql and pgbench: what people and scripts use. PSQL_BINDIR names their folder."""

import os
import re
import signal
import subprocess
import tempfile
import uuid

from scenario import ASLEEP, ROWS, SETTINGS, SLEEP, TEXT, WIDE, check, main

BINDIR = os.environ["PSQL_BINDIR"]


def psql(dsn, *lines, stop=True):
    """Runs the lines as one script; standard output."""
    done = subprocess.run(
        [os.path.join(BINDIR, "psql"), "-XAtq", "-v", f"ON_ERROR_STOP={int(stop)}", dsn],
        input="\n".join(lines) + "\n", capture_output=True, text=True)
    if stop and done.returncode != 0:
        raise AssertionError(done.stderr.strip())
    return done.stdout if stop else done.stdout + done.stderr


def pgbench(dsn, mode, script):
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        done = subprocess.run(
            [os.path.join(BINDIR, "pgbench"), "-n", "-M", mode, "-c", "4", "-j", "2", "-t", "50",
             "-f", file.name, dsn], capture_output=True, text=True)
    if done.returncode != 0 or not re.search(r"processed: 200/200", done.stdout):
        raise AssertionError((done.stderr or done.stdout).strip()[-300:])


# Every answer is compared with what was asked; a wrong one ends the client with an error.
_ASK = """\\set n random(1, 1000000000)
SELECT :n + 1 AS m \\gset
\\if :m != :n + 1
SELECT 1/0;
\\endif
BEGIN;
SELECT :n + 2 AS m \\gset
COMMIT;
\\if :m != :n + 2
SELECT 1/0;
\\endif
"""


def connect(dsn):
    check(psql(dsn, "SELECT 1;"), "1\n")


def simple(dsn):
    check(psql(dsn, "SELECT 1\\; SELECT 2\\; SELECT 'three';", f"SELECT $_${TEXT}$_$;"),
          f"1\n2\nthree\n{TEXT}\n")


def unnamed(dsn):
    pgbench(dsn, "extended", _ASK)
    check(psql(dsn, "SELECT 1 AS a, 'x'::text AS b \\gdesc"), "a|integer\nb|text\n")


def prepared(dsn):
    pgbench(dsn, "prepared", _ASK)


def pipeline(dsn):
    asks = "".join(f"SELECT :n + {k} AS m{k} \\gset\n" for k in range(5))
    pgbench(dsn, "extended", "\\set n random(1, 1000)\n\\startpipeline\n" + asks.replace(
        "\\gset", ";") + "\\endpipeline\n" + asks)


def copy(dsn):
    rows = [f"{n}\tvalue {n}" for n in range(ROWS)]
    check(psql(dsn, "BEGIN;", "CREATE TEMP TABLE copied(n int, v text) ON COMMIT DROP;",
               "\\copy copied from stdin", *rows, "\\.",
               "\\copy (SELECT * FROM copied ORDER BY n) to stdout", "COMMIT;"),
          "\n".join(rows) + "\n")


def error(dsn):
    said = psql(dsn, "\\set VERBOSITY sqlstate", "BEGIN;", "SELECT 1/0;", "SELECT 1;", "ROLLBACK;",
                "SELECT 'after';", stop=False)
    check(re.findall(r"after|\b[0-9A-Z]{5}$", said, re.MULTILINE), ["after", "22012", "25P02"])


def settings(dsn):
    sets = [f"SET {key} = '{value}';" for key, value in SETTINGS.items()]
    shows = [f"SHOW {key};" for key in SETTINGS] * 10
    check(psql(dsn, *sets, *shows).split("\n"), [*list(SETTINGS.values()) * 10, ""])


def large_result(dsn):
    out = psql(dsn, f"SELECT n FROM generate_series(1, {ROWS}) n;")
    check(sum(map(int, out.split())), ROWS * (ROWS + 1) // 2)
    check(len(psql(dsn, f"SELECT repeat('y', {WIDE});")), WIDE + 1)


def cancel(dsn):
    name = uuid.uuid4().hex
    child = subprocess.Popen(
        [os.path.join(BINDIR, "psql"), "-XAtq", "-v", "VERBOSITY=sqlstate", "-c",
         SLEEP.format(name), dsn], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while child.poll() is None and psql(dsn, ASLEEP.format(name) + ";") == "0\n":
        pass
    child.send_signal(signal.SIGINT)
    check("57014" in child.communicate()[0], True)
    check(psql(dsn, ASLEEP.format(name) + ";"), "0\n")


def listen(dsn):
    said = psql(dsn, "LISTEN rig;", "SELECT pg_notify('rig', 'news');")
    check('Asynchronous notification "rig" with payload "news"' in said, True)


if __name__ == "__main__":
    main({"connect": connect, "simple": simple, "unnamed": unnamed, "prepared": prepared,
          "pipeline": pipeline, "copy": copy, "error": error, "settings": settings,
          "large_result": large_result, "cancel": cancel, "listen": listen})
