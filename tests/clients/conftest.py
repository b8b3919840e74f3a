"""Fixtures of the client tests: those of tests/integration, and PgBouncer and pgbraid by cell."""

import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "integration")]

import drivers  # noqa: E402
import ways  # noqa: E402
from harness.fixtures import (  # noqa: E402,F401  pytest finds them by these names
    certificates, login_server, new_folder, new_server, server18, template)


@pytest.fixture(scope="session")
def new_driver():
    """new_driver(name) -> Driver, built when first asked for."""
    made = {}

    def make(name):
        if name not in made:
            made[name] = drivers.Driver(name)
        return made[name]

    return make


@pytest.fixture
def new_way(request, certificates, tmp_path_factory):
    """new_way(name, cell) -> a running ways.Way; the servers start when first asked for."""
    made = []

    def make(name, cell, **more):
        server = request.getfixturevalue("server18" if cell.tls == "direct" else "login_server")
        folder = new_folder(tmp_path_factory, "way")
        made.append(ways.WAYS[name](folder, server, certificates, cell, **more))
        return made[-1]

    yield make
    for way in made:
        way.close()
