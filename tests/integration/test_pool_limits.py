"""Limits on the clients of a service and of one user, all shards together."""

import psycopg2
import pytest

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
