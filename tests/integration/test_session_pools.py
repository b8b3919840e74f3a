"""Session mode where pgbraid logs in itself: one connection for one client after the other, each as
if it had been opened for it."""

import psycopg2
import pytest

from harness import processes, wire

pytestmark = pytest.mark.proxy_only


@pytest.fixture
def pooled(new_target, server):
    def start(*flags):
        # One shard: who comes first is served first.
        return new_target(server.url(user="postgres"), ["--auth", "trust", *flags], shards=1)

    return start


def ask(connection, text):
    with connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchone()[0]


def test_f11_what_a_client_began_with_is_what_reset_brings_back(pooled):
    target = pooled()
    connection = target.connect(options="-c DateStyle=Postgres,DMY -c my.own=1")
    with connection.cursor() as cursor:
        cursor.execute("SET DateStyle = 'ISO'; SET my.own = '2'; RESET ALL")
    assert ask(connection, "SHOW datestyle") == "Postgres, DMY"
    assert ask(connection, "SHOW my.own") == "1"
    connection.close()


def test_f11_a_connection_goes_to_who_begins_alike(pooled, server, database):
    target = pooled("--max-conns", "1")

    def backend_of(**start):
        connection = target.connect(database=database, **start)
        try:
            return ask(connection, "SELECT pg_backend_pid()"), ask(connection, "SHOW work_mem")
        finally:
            connection.close()

    first, _ = backend_of(application_name="one")
    again, _ = backend_of(application_name="two")
    assert again == first
    other, memory = backend_of(options="-c work_mem=7MB")
    assert other != first and memory == "7MB"
    last, memory = backend_of()
    assert last not in (first, other) and memory != "7MB"
    assert server.backend_count(database) <= 1


def test_a_bad_setting_at_the_start_is_its_clients_fault_alone(pooled, database):
    target = pooled("--max-conns", "1")
    holder = target.connect(database=database)
    started = [target.wire() for _ in range(3)]
    for place, memory in enumerate(("3MB", "nonsense", "3MB")):  # in this order
        started[place].send(wire.startup(user="postgres", database=database, work_mem=memory))
        processes.wait_until(lambda: target.metric("pgbraid_backend_pool_waiting") > place,
                             "it to wait")
    holder.close()
    started[0].finish_login().shut()
    error = started[1].expect_closed()
    assert error["C"] == "22023" and "work_mem" in error["M"], error
    started[2].finish_login().shut()


def test_a_client_in_session_mode_knows_its_backend(pooled, database):
    raw = pooled().login(database=database)
    assert raw.rows("SELECT pg_backend_pid()") == [[str(raw.pid)]]
    raw.shut()


def test_a_client_that_is_refused_hears_it_from_the_server(pooled):
    with pytest.raises(psycopg2.OperationalError, match="no_such_setting"):
        pooled().connect(options="-c no_such_setting=1")
