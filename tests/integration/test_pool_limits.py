"""Limits on the clients of a service and of one user, all shards together."""

import psycopg2
import pytest

from harness import processes

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
