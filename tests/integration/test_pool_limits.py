"""Limits on the clients of a service and of one user, and on the connections to one server and to
all, all shards together."""

import itertools
import threading

import psycopg2
import pytest

from conftest import ONE_IO
from harness import processes, wire

pytestmark = pytest.mark.proxy_only


@pytest.mark.parametrize("flag", ["--max-service-clients", "--max-user-clients"])
def test_one_client_too_many_is_told_so_and_a_place_becomes_free(new_target, server, flag):
    target = new_target(server.url(user="postgres"), ["--auth", "trust", flag, "2"])
    first, second = target.connect(), target.connect()
    with pytest.raises(psycopg2.OperationalError, match="too many clients of this service"):
        target.connect()
    first.close()
    processes.wait_until(lambda: target.metric("pgbraid_session_clients") == 1, "it to be gone")
    third = target.connect()
    for connection in (second, third):
        connection.close()


def test_a_query_that_changed_settings_is_over_with_its_answer(new_target, server):
    """Its settings are read back behind it; the clock of query_timeout stands still meanwhile."""
    target = new_target(server.url(user="postgres"), ["--auth", "trust", "--pool-mode",
                                                      "transaction", "--query-timeout", "300ms"])
    idle, stuck = target.login(), target.login()
    idle.ask("SET work_mem = '5MB'")
    # Begun later, so when it is over the other one's would have been.
    stuck.send(wire.query("SELECT pg_sleep(600)"))
    assert stuck.expect_closed()["C"] == "57014"
    assert idle.rows("SHOW work_mem") == [["5MB"]]
    idle.shut()


USERS = [f"u{number}" for number in range(5)]


@pytest.fixture
def small_server(new_server):
    """Eight connections for ordinary users, five of whom there are: the ninth is refused."""
    server = new_server(settings={"max_connections": "12", "superuser_reserved_connections": "4",
                                  "max_wal_senders": "0", "max_parallel_workers": "0"})
    for user in USERS:
        server.sql(f"CREATE ROLE {user} LOGIN")
    return server


def before(small_server, new_target, tmp_path, *more):
    """Two services of the one server, for everybody; each pool alone could take all."""
    config = tmp_path / "pgbraid.toml"
    config.write_text("".join(
        f"[[service]]\nname = '{name}'\nprimary = '{small_server.url('postgres')}'\n"
        for name in ("shop", "reports")))
    return new_target(small_server, ["--config", str(config), "--auth", "trust", "--pool-mode",
                                     "transaction", "--max-conns", "8", *more], shards=4)


def connections(server):
    """Of ordinary users, as the server's superuser sees them."""
    return int(server.value("SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'u_'"))


def work(target, user, service, rounds, done, failures):
    """A client that asks, in and out of transactions, until it has done its rounds."""
    try:
        connection = target.connect(service, user)
        with connection.cursor() as cursor:
            for number in range(rounds):
                cursor.execute("BEGIN; SELECT pg_sleep(0.002)" if number % 3 else "SELECT 1")
                cursor.execute(f"SELECT '{user}', {number}; COMMIT" if number % 3
                               else f"SELECT current_user, {number}")
        connection.close()
        done.append(user)
    except psycopg2.Error as error:
        failures.append(f"{user} {service}: {error}")


@pytest.mark.parametrize("flag", ["--max-server-conns", "--max-total-conns"])
@ONE_IO
def test_pools_of_one_server_share_its_connections(flag, new_target, small_server, tmp_path):
    target = before(small_server, new_target, tmp_path, flag, "6")
    done, failures, seen = [], [], []
    clients = [threading.Thread(target=work, args=(target, user, service, 30, done, failures))
               for user, service, _ in itertools.product(USERS, ("shop", "reports"), range(3))]
    for client in clients:
        client.start()
    while any(client.is_alive() for client in clients):
        seen.append(connections(small_server))
    for client in clients:
        client.join()
    assert not failures and len(done) == len(clients)
    assert max(seen) <= 6, "the bound"
    assert max(seen) > 3, "it was used"
    # The eleventh pool waits for none of the idle connections of ten others to grow old.
    assert target.value("SELECT current_user", "shop", user="u0") == "u0"
    assert connections(small_server) <= 6


@ONE_IO
def test_what_lies_idle_goes_to_a_pool_that_has_none(new_target, small_server, tmp_path):
    """min-conns, 8 of u0's pool, would take every place; it keeps none from who asks."""
    target = before(small_server, new_target, tmp_path, "--max-server-conns", "4",
                    "--min-conns", "8")
    first = target.connect("shop", "u0")
    processes.wait_until(lambda: connections(small_server) == 4, "min-conns to be filled")
    opened = [target.connect("reports", user) for user in USERS for _ in range(2)]
    for connection in opened:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
    assert connections(small_server) <= 4
    with first.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert target.metric("pgbraid_backend_pool_yielded_total") >= 5
    assert target.metric("pgbraid_session_timeouts_total") == 0
    for connection in (first, *opened):
        connection.close()


def test_who_waits_is_heard_meanwhile(new_target, server, database):
    """That one has gone, and what another says further, until it ends its side."""
    target = new_target(server.url(user="postgres"), [
        "--auth", "trust", "--pool-mode", "transaction", "--max-conns", "1"], shards=1)
    holder, leaver, talker = (target.login(database) for _ in range(3))
    holder.ask("BEGIN")
    leaver.send(wire.query("SELECT 1"))
    talker.send(wire.query("SELECT 2"))
    target.wait_for("pgbraid_backend_pool_waiting", 2)
    leaver.reset()
    processes.wait_until(lambda: target.metric("pgbraid_backend_pool_waiting") == 1,
                         "it to be gone")
    for number in range(3, 6):
        talker.send(wire.query(f"SELECT {number}"))
    talker.half_close()
    holder.ask("COMMIT")
    for number in range(2, 6):
        answer = talker.read_turn()
        assert wire.kinds(answer) == "TDCZ"
        assert wire.columns_of(answer[1][1]) == [b"%d" % number]
    talker.expect_end_of_stream()
    holder.shut()


@ONE_IO
def test_a_look_up_of_secrets_needs_no_place(new_target, new_server, tmp_path):
    """One place in all, and a client has it: another may log in all the same, and then waits."""
    server = new_server({"postgres": "trust", "all": "scram-sha-256"})
    server.sql("CREATE ROLE known LOGIN PASSWORD 'pencil'")
    target = new_target(server.url(user="known", password="pencil"), [
        "--auth-user", "postgres", "--auth-dbname", "postgres", "--auth-query-max-age", "0",
        "--pool-mode", "transaction", "--max-total-conns", "1"], shards=1)
    holder = target.connect(user="known", password="pencil")
    holder.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute("SELECT 1")
    other = target.connect(user="known", password="pencil")
    asking = threading.Thread(target=lambda: other.cursor().execute("SELECT 1"))
    asking.start()
    target.wait_for("pgbraid_backend_pool_waiting", 1)
    holder.commit()
    asking.join(processes.DEADLINE)
    assert not asking.is_alive()
    for connection in (holder, other):
        connection.close()
