"""Every driver's scenarios, against the server itself and through pgbraid.

What a driver prints `ok` for against the server it must print through pgbraid too. Each setup names
the cell (ways.py) and how many of the driver run at once: more than the pool has connections where
they are shared, so that each transaction may come to another one.
"""

import contextlib
import dataclasses
import threading

import psycopg2
import pytest

import drivers
from harness import gate as gates
from ways import Cell


@dataclasses.dataclass(frozen=True)
class Setup:
    way: str
    cell: Cell
    copies: int = 1
    pool_size: int = 8

    def __str__(self):
        return f"{self.way}-{self.cell}"


SETUPS = [
    Setup("direct", Cell("scram")),
    Setup("direct", Cell("scram", tls="verify-full")),
    Setup("direct", Cell("cert", tls="require")),
    Setup("pgbraid", Cell(pass_through=True)),
    Setup("pgbraid", Cell("scram", "scram")),
    Setup("pgbraid", Cell("scram", "scram", "verify-full")),
    Setup("pgbraid", Cell("cert", "cert", "require")),
    Setup("pgbraid", Cell("scram", "scram", mode="transaction"), copies=3, pool_size=4),
    Setup("pgbraid", Cell("scram", "scram", "verify-full", "transaction"), copies=3, pool_size=4),
]
RUNS = [pytest.param(driver, setup, id=f"{driver}-{setup}") for setup in SETUPS
        for driver in drivers.SCENARIOS]
# Channel binding is between the client and whoever ends its TLS.
BINDING = [pytest.param(driver, way, id=f"{driver}-{way}") for driver in drivers.BINDING
           for way in ("direct", "pgbraid")]


def pooled(name, size):
    return {} if name == "direct" else {"pool_size": size}


@contextlib.contextmanager
def others_settings(way):
    """Somebody on the same pool who never stops to change the settings that the scenario sets."""
    over = threading.Event()
    connection = psycopg2.connect(way.dsn())
    connection.autocommit = True

    def disturb():
        with connection.cursor() as cursor:
            while not over.is_set():
                cursor.execute("SET work_mem = '1MB'; SET timezone = 'UTC'; SET rig.custom = ''")

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        yield
    finally:
        over.set()
        disturber.join()
        connection.close()


@pytest.mark.parametrize("name,setup", RUNS)
def test_scenarios(new_driver, new_way, name, setup):
    driver = new_driver(name)
    way = new_way(setup.way, setup.cell, **pooled(setup.way, setup.pool_size))
    scenarios = driver.scenarios(setup.cell.mode)
    shared = setup.cell.mode != "session"
    with others_settings(way) if shared else contextlib.nullcontext():
        running = [driver.start(way.dsn(), scenarios) for _ in range(setup.copies)]
        outcomes = [driver.finish(one) for one in running]
    assert outcomes == [dict.fromkeys(scenarios, "ok")] * setup.copies


@pytest.mark.parametrize("name,way_name", BINDING)
def test_channel_binding(new_driver, new_way, name, way_name):
    driver = new_driver(name)
    way = new_way(way_name, Cell("scram-plus", "scram", "verify-full"))
    scenarios = ["connect", "simple", "error"]
    assert driver.run(way.dsn(), scenarios) == dict.fromkeys(scenarios, "ok")


@pytest.mark.parametrize("name", drivers.SCENARIOS)
def test_a_driver_tells_a_wrong_password(new_driver, new_way, name):
    way = new_way("direct", Cell("scram"))
    outcome = new_driver(name).run(way.dsn(secret="wrong"), ["connect"])
    assert "password authentication failed" in outcome["connect"], outcome


@pytest.mark.parametrize("name", drivers.SCENARIOS)
def test_a_driver_tells_a_wrong_answer(new_driver, new_way, name):
    """Some bytes of what a server answers are changed: what reads them says so."""
    way = new_way("direct", Cell("trust"))
    liar = gates.Gate(way.server.port)
    liar.rewrite = lambda data: data.replace(b"three", b"threw").replace(b"\x00\xff", b"\x00\xfe")
    way.target.port = liar.port
    # asyncpg hands out no rows of a simple query.
    asked = "binary_parameters" if name == "asyncpg" else "simple"
    try:
        outcome = new_driver(name).run(way.dsn(), ["connect", asked])
    finally:
        liar.close()
    assert outcome["connect"] == "ok", outcome
    assert outcome[asked] != "ok", outcome


@pytest.mark.parametrize("name", drivers.SCENARIOS)
def test_settings_are_lost_where_nobody_follows_them(new_driver, new_way, name):
    """PgBouncer's transaction mode does not follow work_mem: the scenario must say so."""
    way = new_way("pgbouncer", Cell("scram", "scram", mode="transaction"), pool_size=1)
    with others_settings(way):
        outcome = new_driver(name).run(way.dsn(), ["settings"])
    assert outcome["settings"] != "ok", outcome
