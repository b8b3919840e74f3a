"""Fixtures: one shared PostgreSQL, clusters of one's own, the proxy on each of its io backends.

A fixture that hands out a process also checks at the end of the test that it neither died nor
reported a broken invariant or a sanitizer's finding.
"""

import itertools
import os
import resource
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from harness import gate as gates  # noqa: E402
from harness import processes  # noqa: E402
from harness import proxy as proxies  # noqa: E402
from harness.fixtures import (  # noqa: E402,F401  pytest finds them by these names
    certificates, login_server, new_bouncer, new_folder, new_server, server18, template)
from harness import server as servers  # noqa: E402
from harness import tls  # noqa: E402
from harness.certificates import switch_on  # noqa: E402
from harness.pair import Pair  # noqa: E402
from harness.postgres import Postgres  # noqa: E402

FULL = os.environ.get("PGBRAID_FULL") == "1"
IO_BACKENDS = os.environ.get("PGBRAID_TEST_IO", "io_uring,epoll").split(",")
# For tests whose subject stands above the engines.
ONE_IO = pytest.mark.one_io
_numbers = itertools.count()


def pytest_configure(config):
    # Thousands of sockets, here and in the proxy, which inherits the limit.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 1 << 16), most))
    config.addinivalue_line("markers", "proxy_only: needs pgbraid itself (mirror, admin port, "
                            "scripted server); left out when PGBRAID_TEST_TARGET=direct")
    config.addinivalue_line("markers", "one_io: stands above the engines: one of them will do")


def pytest_collection_modifyitems(config, items):
    if proxies.DIRECT:
        out = [item for item in items if item.get_closest_marker("proxy_only")]
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


@pytest.fixture(scope="session")
def server(template, tmp_path_factory):
    """The shared cluster. Tests use `database`; they never stop it nor change its settings."""
    cluster = Postgres(new_folder(tmp_path_factory, "pg"), template=template, settings={
        "wal_level": "logical", "max_prepared_transactions": "10",
        "max_wal_senders": "10", "autovacuum": "off", "max_wal_size": "8GB"}).start()
    yield cluster
    cluster.remove()


@pytest.fixture
def database(server):
    """An empty database of the test's own in the shared cluster."""
    name = f"t{os.getpid()}_{next(_numbers)}"
    server.sql(f"CREATE DATABASE {name}")
    yield name
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")


def pytest_generate_tests(metafunc):
    if "io" in metafunc.fixturenames:
        most = 1 if metafunc.definition.get_closest_marker("one_io") else None
        backends = ["direct"] if proxies.DIRECT else IO_BACKENDS[:most]
        metafunc.parametrize("io", backends, indirect=True)


@pytest.fixture
def io(request):
    """The io backend under test."""
    return request.param


@pytest.fixture
def new_target(io, tmp_path):
    """Starts what is under test before a server: new_target(server, flags=[...])."""
    made = []

    def make(upstream, flags=(), shards=2, before_exec=None, io=io):
        if proxies.DIRECT:
            made.append(proxies.Direct(upstream))
        else:
            folder = tmp_path / f"pgbraid{len(made)}"
            url = upstream if isinstance(upstream, str) else upstream.url()
            made.append(proxies.Proxy(folder, url, io, flags, shards))
            made[-1].before_exec = before_exec or made[-1].before_exec
            made[-1].start()
        return made[-1]

    yield make
    for target in made:
        target.check_alive()
        target.stop()


@pytest.fixture
def enter(new_target):
    """Puts pgbraid before a port: enter(way, port, size, *flags, ...). Ways: the login passes
    "through", or pgbraid lends one of `size` connections for a "session" or a "transaction"."""
    def make(way, port, size, *flags, options="", shards=2, user="postgres"):
        login = "" if way == "through" else f"{user}@"
        pool = [] if way == "through" else ["--auth", "trust", "--pool-mode", way,
                                            "--max-conns", str(size)]
        return new_target(f"postgres://{login}127.0.0.1:{port}{options}", [*pool, *flags], shards)

    return make


@pytest.fixture
def target(new_target, server):
    """The proxy before the shared cluster."""
    return new_target(server)


@pytest.fixture
def gate():
    """Makes fault gates: gate(server) -> Gate, which listens at port."""
    made = []

    def make(upstream):
        made.append(gates.Gate(upstream.port))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def papers(tmp_path_factory):
    return tls.Papers(tmp_path_factory.mktemp("papers"))


@pytest.fixture
def tls_server(new_server, papers):
    """Makes servers of the test's own: tls_server(auth, certificate) -> started, with TLS."""
    def make(auth="trust", certificate=None, **more):
        return switch_on(new_server(auth), *(certificate or papers.server), **more)

    return make


@pytest.fixture
def scripted():
    """Makes servers that answer the SSLRequest in their own way."""
    made = []

    def make(on_ssl, script=servers.answer_correctly):
        made.append(servers.ScriptedServer(script, on_ssl))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def bystander(target, server, database):
    """Proves that nobody else was disturbed and that memory came back."""
    raw = target.login(database)
    raw.ask("SELECT 1")
    before = target.rss()
    yield raw
    assert raw.rows("SELECT 'still here'") == [["still here"]]
    with target.login(database) as newcomer:
        assert newcomer.rows("SELECT 1") == [["1"]]
    if target.rss():
        processes.wait_until(lambda: target.rss() < before + proxies.MEMORY_MAX // 4,
                             "the proxy's memory to come back")
    raw.shut()
    processes.wait_until(lambda: server.backend_count(database) == 0, "every backend to be gone")


@pytest.fixture(scope="session")
def shared_mirror(template, tmp_path_factory):
    cluster = Postgres(new_folder(tmp_path_factory, "mir"), template=template, settings={
        "max_prepared_transactions": "10", "autovacuum": "off", "max_wal_size": "8GB"}).start()
    yield cluster
    cluster.remove()


@pytest.fixture
def pair(server, shared_mirror, database, new_target):
    both = Pair(server, shared_mirror, database)
    both.target = new_target(server, ["--mirror", shared_mirror.url(user="postgres")])
    yield both
    shared_mirror.sql(f"DROP DATABASE {database} WITH (FORCE)")


@pytest.fixture
def small_disk(tmp_path):
    """Makes folders on disks of so many MB: small_disk(12) -> path."""
    made = []

    def make(megabytes):
        folder = tmp_path / f"small{len(made)}"
        folder.mkdir()
        processes.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)])
        made.append(folder)
        return str(folder)

    yield make
    for folder in made:
        processes.run(["umount", "-l", str(folder)])


@pytest.fixture
def own_mirror(server, database, new_server, new_target):
    """Makes a pair whose mirror the test may stop: own_mirror(auth, login) -> Pair."""
    def make(auth="trust", user="postgres", password=None, prepare="SELECT 1", flags=()):
        # What it has confirmed survives its being killed.
        mirror = new_server(auth, {"synchronous_commit": "on", "max_prepared_transactions": "10"})
        mirror.sql(prepare)
        both = Pair(server, mirror, database)
        both.target = new_target(
            server, ["--mirror", mirror.url(user=user, password=password), *flags])
        return both

    return make


@pytest.fixture
def capturing(server, new_target, tmp_path):
    """capturing(flags...) -> (target, folder): pgbraid before a database of the test's own."""
    server.sql("CREATE DATABASE capturing")
    server.sql("CREATE TABLE t(id int, v text, b bytea)", "capturing")

    def make(*flags, shards=2, **more):
        folder = str(tmp_path / "capture")
        return new_target(server, ["--capture", folder, *flags], shards=shards, **more), folder

    yield make
    server.sql("DROP DATABASE capturing WITH (FORCE)")
    server.sql("DROP ROLE IF EXISTS capturing")


@pytest.fixture
def clone(server, shared_mirror, capturing):
    """An empty database with the tables of the captured one, on another cluster."""
    shared_mirror.sql("CREATE DATABASE replayed")
    shared_mirror.sql("CREATE TABLE t(id int, v text, b bytea)", "replayed")
    yield shared_mirror
    shared_mirror.sql("DROP DATABASE replayed WITH (FORCE)")
    shared_mirror.sql("DROP ROLE IF EXISTS capturing")
