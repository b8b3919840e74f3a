"""Fixtures that several test folders share: clusters made from one template, certificates.

A conftest.py imports them by name.
"""

import itertools
import os

import pytest

from . import bouncer, postgres18
from .certificates import Collection, switch_on
from .logins import Logins
from .postgres import Postgres

_numbers = itertools.count()


def new_folder(factory, name):
    """A folder that user postgres may enter."""
    # Unix sockets live in the cluster's folder, and their paths are limited to 107 bytes.
    folder = factory.getbasetemp() / f"{name}{next(_numbers)}"
    for parent in folder.parents:
        mode = os.stat(parent).st_mode
        if not mode & 0o001:
            os.chmod(parent, mode | 0o055)
    return folder


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """An initialised cluster that is never started, copied by every other."""
    return Postgres(new_folder(tmp_path_factory, "template"))


@pytest.fixture
def new_server(template, tmp_path_factory):
    """Makes clusters of the test's own: new_server(auth='trust', settings={}) -> started."""
    made = []

    def make(auth="trust", settings=None):
        cluster = Postgres(new_folder(tmp_path_factory, "own"), auth, settings, template)
        made.append(cluster)
        return cluster.start()

    yield make
    for cluster in made:
        cluster.remove()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return Collection(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def login_server(template, tmp_path_factory, certificates):
    """A cluster with TLS on, a role for each way to log in, and its pg_hba for that."""
    cluster = Postgres(new_folder(tmp_path_factory, "login"), template=template)
    shown = certificates.pair("server")
    switch_on(cluster.start(), shown.cert, shown.key, certificates.ca)
    cluster.logins = Logins(cluster)
    cluster.hba(Logins.hba())
    yield cluster
    cluster.remove()


@pytest.fixture(scope="session")
def server18(tmp_path_factory, certificates):
    """PostgreSQL 18 with TLS on and the same roles."""
    folder = new_folder(tmp_path_factory, "pg18")
    programs = postgres18.copied(new_folder(tmp_path_factory, "programs"))
    cluster = Postgres(folder, programs=programs)
    shown = certificates.pair("server")
    switch_on(cluster.start(), shown.cert, shown.key, certificates.ca)
    cluster.logins = Logins(cluster)
    cluster.hba(Logins.hba())
    yield cluster
    cluster.remove()


@pytest.fixture
def new_bouncer(tmp_path_factory):
    """Starts PgBouncers: new_bouncer(server, settings, users, server_options) -> Bouncer."""
    made = []

    def make(server, *settings, **more):
        folder = new_folder(tmp_path_factory, "bouncer")
        made.append(bouncer.Bouncer(folder, server, *settings, **more))
        return made[-1].start()

    yield make
    for one in made:
        one.check_alive()
        one.stop()
