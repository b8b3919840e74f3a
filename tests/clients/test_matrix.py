"""Client method x server method x TLS x pool mode: who is right gets in, who is wrong does not.

The client is libpq 15 in this process, or psql with libpq 18 where TLS is direct. One login, two
transactions and one refusal per cell; the drivers' whole scenarios are in test_clients.py.
"""

import os

import psycopg2
import pytest

import ways
from harness import postgres, postgres18, processes
from harness.certificates import switch_on

# All of PgBouncer's cells take long and say nothing of pgbraid: one row and one column suffice.
FULL = os.environ.get("PGBRAID_FULL") == "1"
ASK = "SELECT current_user"


def shown(way):
    return [pytest.param(way, cell, id=f"{way}-{cell}") for cell in ways.served(way)
            if way != "pgbouncer" or FULL or "scram" in (cell.client, cell.server)]


def ask(way, dsn):
    """Two transactions' answers; raises PermissionError with the words of a refusal."""
    if way.cell.tls != "direct":
        try:
            connection = psycopg2.connect(dsn, connect_timeout=30)
        except psycopg2.OperationalError as refusal:
            raise PermissionError(str(refusal)) from refusal
        connection.autocommit = True
        with connection.cursor() as cursor:
            answers = []
            for _ in range(2):
                cursor.execute(ASK)
                answers.append(cursor.fetchone()[0])
        connection.close()
        return answers
    done = processes.run([postgres.program("psql"), "-XAt", "-c", ASK, "-c", ASK, dsn], check=False,
                         env={**os.environ, **postgres18.libpq_environment()})
    if done.returncode != 0:
        raise PermissionError(done.stderr)
    return done.stdout.split()


@pytest.mark.parametrize("name,cell", [*shown("direct"), *shown("pgbouncer"), *shown("pgbraid")])
def test_who_is_let_in(new_way, name, cell):
    way = new_way(name, cell)
    assert ask(way, way.dsn()) == [way.server_user()] * 2
    wrong = way.wrong_dsn()
    if wrong is not None:
        with pytest.raises(PermissionError, match="(?i)authentication failed|certificate"):
            ask(way, wrong)
        assert ask(way, way.dsn()) == [way.server_user()] * 2


@pytest.mark.parametrize("kind", ["other name", "wrong ca", "self-signed", "expired"])
def test_a_client_refuses_a_wrong_certificate(new_server, certificates, kind):
    """Why verify-full in the cells above means something."""
    server = new_server()
    pair = certificates.pair(kind)
    switch_on(server, pair.cert, pair.key)
    with pytest.raises(psycopg2.OperationalError, match="certificate"):
        psycopg2.connect(server.url("postgres", "postgres") + "?sslmode=verify-full&sslrootcert="
                         + certificates.ca)
