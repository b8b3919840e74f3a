"""Captures: what is put into one, what its files hold, and what a replay says of it."""

import json
import os
import subprocess

from . import postgres, processes, proxy, wire

CANARY = "canary0x5ecret"


def files_of(folder):
    return [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]


def contains(folder, text):
    for name in files_of(folder):
        with open(name, "rb") as file:
            if text.encode() in file.read():
                return True
    return False


def run_all_kinds(target):
    """Six statements that are captured, with the canary in each; two that are not."""
    raw = target.login("capturing")
    for text in (f"INSERT INTO t VALUES (1, '{CANARY}')",
                 f"BEGIN; INSERT INTO t(id, v) VALUES (2, $${CANARY}$$); COMMIT",
                 f"SELECT count(*) FROM t WHERE v = '{CANARY}'"):
        assert wire.first_error(raw.ask(text)) == {}
    turn = raw.send(wire.parse("INSERT INTO t(id, v, b) VALUES ($1, $2, $3)", oids=(23, 25, 17)),
                    wire.bind((b"\0\0\0\3", CANARY.encode(), CANARY.encode()), formats=(1, 0, 1)),
                    wire.execute(), wire.SYNC).read_turn()
    assert wire.first_error(turn) == {}
    raw.send(wire.query("COPY t FROM STDIN")).read_until("G")
    turn = raw.send(wire.copy_data(f"4\t{CANARY}\t\\\\x00\n".encode()), wire.frame("c")).read_turn()
    assert wire.first_error(turn) == {}
    assert wire.first_error(raw.ask(f"CREATE ROLE capturing PASSWORD '{CANARY}'")) == {}
    assert wire.first_error(raw.ask("INSERT INTO nowhere VALUES (now())"))["C"] == "42P01"
    assert wire.first_error(raw.ask("BEGIN; INSERT INTO t VALUES (9); ROLLBACK")) == {}
    assert raw.rows("SELECT count(*) FROM t") == [["4"]]
    raw.shut()


def replay_command(folder, server, database):
    """A replay as fast as it goes."""
    url = f"postgres://postgres@127.0.0.1:{server.port}/{database}?sslmode=disable"
    return [proxy.BINARY, "replay", folder, "--to", url, "--speed", "0", "--json"]


def replay(folder, server, database, *flags, codes=(0, 1)):
    """(exit status, report, what it complains of) of a replay."""
    run = subprocess.run([*replay_command(folder, server, database), *flags], capture_output=True,
                         text=True, timeout=8 * processes.DEADLINE, check=False)
    assert run.returncode in codes, run.stderr
    return run.returncode, json.loads(run.stdout), run.stderr


def watched_replay(folder, server, database):
    """(report, the most memory it had at a time) of a replay that succeeds."""
    peaks = []
    with subprocess.Popen(replay_command(folder, server, database), stdout=subprocess.PIPE,
                          text=True) as run:
        def ended():
            peaks.append(processes.peak_rss_bytes(run.pid))  # 0 once it has ended
            return run.poll() is not None

        try:
            processes.wait_until(ended, "the replay", 8 * processes.DEADLINE)
        finally:
            run.kill()
        assert run.returncode == 0
        return json.load(run.stdout), max(peaks)


def copy_database(one, other, database):
    """Makes the database on the other server as it stands on the first one."""
    if database not in other.databases():
        other.sql(f"CREATE DATABASE {database}")
    dump = processes.run([postgres.program("pg_dump"), "-h", "127.0.0.1", "-p", str(one.port), "-U",
                          "postgres", "-d", database])
    processes.run([postgres.program("psql"), "-q", "-X", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1",
                   "-p", str(other.port), "-U", "postgres", "-d", database, "-f", "-"],
                  input=dump.stdout)
