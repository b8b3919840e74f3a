"""SIGHUP: all or nothing, on all shards. Rows B14, O1, O3, O6, N6; X29.

Clients are let in by trust unless a test is about logins; the configuration is a file. What has
taken effect is known by `pgbraid_server_config_epoch`, the number that every shard has reached.
"""

import os
import shutil
import ssl
import threading

import psycopg2
import pytest

from harness import processes, wire
from harness import server as servers
from harness.reload import PID, Configured, Load, ended, pids_of, pooled, private, service

pytestmark = pytest.mark.proxy_only

RELOADS = 1000 if os.environ.get("PGBRAID_FULL") == "1" else 100


@pytest.fixture
def configured(tmp_path):
    made = []

    def make(*lines, before=None):
        made.append(Configured(tmp_path / f"pgbraid{len(made)}"))
        if before:
            before(made[-1])
        return made[-1].configure(*lines).start()

    yield make
    for one in made:
        one.check_alive()
        one.stop()


# --- X29: it happens ------------------------------------------------------------------------------


def test_x29_new_clients_at_once_and_old_ones_between_transactions(configured, server, database):
    url = server.url(user="postgres")
    before = [*pooled("idle_transaction_timeout = 0"), f'primary = "{url}"']
    target = configured(*before, *service("shop", url + "/postgres"))
    clients = [target.login("shop") for _ in range(4)]  # on both shards
    busy = target.login("shop")
    busy.ask("BEGIN")
    assert target.epoch() == 1
    target.reload(*pooled("log_level = 'debug'"), f'primary = "{url}"',
                  *service("shop", url + "/" + database), *service("more", url + "/postgres"))
    for client in clients:
        assert client.rows("SELECT current_database()") == [[database]]
        client.shut()
    # In its transaction it has the connection that it had, and the new service after that.
    assert busy.rows("SELECT current_database()") == [["postgres"]]
    busy.ask("COMMIT")
    assert busy.rows("SELECT current_database()") == [[database]]
    busy.shut()
    assert target.value("SELECT current_database()", "more") == "postgres"
    target.log_contains("server.reloaded")
    assert target.metric("pgbraid_server_reloads_total") == 1


def test_x29_pool_mode_and_timeouts_follow(configured, server):
    url = server.url(user="postgres")
    primary = f'primary = "{url}"'
    target = configured(*pooled(primary))
    client, other = target.login(), target.login()
    target.reload(*pooled(primary, 'idle_transaction_timeout = "100ms"'))
    client.ask("BEGIN")
    assert ended(client)["C"] == "25P03"
    # From transaction to session mode: what a session keeps is kept from then on.
    target.reload('auth = "trust"', 'pool_mode = "session"', primary)
    other.ask("SELECT set_config('my.own', 'kept', false)")
    pid = other.rows(PID)
    with target.login() as newcomer:
        assert newcomer.rows(PID) != pid
    assert other.rows(PID) == pid
    # Whoever has a connection for life keeps what holds for it.
    target.reload(*pooled(primary, 'client_idle_timeout = "1ms"'))
    assert other.rows(PID) == pid
    other.shut()


def test_x29_settings_and_statements_go_along(configured, server, new_server):
    second = new_server()
    target = configured(*pooled(f'primary = "{server.url(user="postgres")}"'))
    client = target.connect()
    with client.cursor() as cursor:
        cursor.execute("SET work_mem = '12345kB'")
    raw = target.login()
    raw.send(wire.parse("SELECT current_setting('port')", "mine"), wire.SYNC).read_turn()
    target.reload(*pooled(f'primary = "{second.url(user="postgres")}"'))
    with client.cursor() as cursor:
        cursor.execute("SELECT current_setting('work_mem'), current_setting('port')")
        assert cursor.fetchone() == ("12345kB", str(second.port))
    client.close()
    turn = raw.send(wire.bind(name="mine"), wire.execute(), wire.SYNC).read_turn()
    assert wire.columns_of(next(body for kind, body in turn if kind == "D")) == [
        str(second.port).encode()]
    raw.shut()


def test_x29_whoever_waits_for_a_connection_goes_along(configured, server, new_server):
    """A server that accepts and says nothing: the dial is given up, and the new one answers."""
    silent = servers.ScriptedServer(lambda connection: connection.read_until("X"))
    try:
        target = configured(*pooled(f'primary = "postgres://postgres@127.0.0.1:{silent.port}"'))
        clients = [target.wire().send(wire.startup(user="postgres", database="postgres"))
                   for _ in range(4)]
        target.wait_for("pgbraid_backend_pool_waiting", 4)
        target.reload(*pooled(f'primary = "{server.url(user="postgres")}"'))
        for client in clients:
            client.finish_login()
            assert client.rows("SELECT current_setting('port')") == [[str(server.port)]]
            client.shut()
    finally:
        silent.close()


def test_x29_who_may_in_changes_for_newcomers(configured, server, tmp_path):
    """Rules and limits; who is in stays in."""
    hba = private(str(tmp_path / "hba"), "host all all 127.0.0.1/32 trust\n")
    file = [f'hba_file = "{hba}"', 'pool_mode = "transaction"',
            f'primary = "{server.url(user="postgres", password="not-asked-for")}"']
    target = configured(*file)
    inside = target.login()
    private(hba, "host all all 127.0.0.1/32 reject\n")
    target.reload()
    with pytest.raises(psycopg2.OperationalError, match="pg_hba.conf rejects connection"):
        target.connect()
    private(hba, "host all all 127.0.0.1/32 trust\n")
    target.reload("max_clients = 1", *file)
    with pytest.raises(psycopg2.OperationalError, match="too many clients"):
        target.connect(sslmode="disable")
    target.reload(*file)
    target.connect().close()
    assert inside.rows("SELECT 1") == [["1"]]
    inside.shut()


def test_x29_who_would_have_to_log_in_anew_is_told_so(configured, server):
    """The server's URL named a user and does no more: pgbraid would need the client's own login."""
    target = configured(*pooled(f'primary = "{server.url(user="postgres")}"'))
    client = target.login()
    target.reload(*pooled(f'primary = "{server.url()}"'))
    error = ended(client)
    assert (error["C"], error["S"]) == ("57P01", "FATAL") and "connect again" in error["M"], error
    assert target.value("SELECT current_user") == "postgres"


@pytest.mark.parametrize("kind", ["session", "passed through"])
def test_x29_session_mode_and_passed_logins_keep_what_they_have(configured, server, new_server,
                                                                kind):
    second = new_server()

    def file(of):
        if kind == "session":
            return ['auth = "trust"', f'primary = "{of.url(user="postgres")}"']
        return [f'primary = "{of.url()}"']

    target = configured(*file(server))
    client = target.login()
    pid = client.rows(PID)
    target.reload(*file(second))
    assert client.rows(PID) == pid
    assert target.value("SHOW port") == str(second.port)
    # A cancel goes where the session was dialled by the old configuration.
    client.send(wire.query("SELECT pg_sleep(600)"))
    processes.wait_until(lambda: server.sql(
        "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'",
        args=(pid[0][0],)), "it to sleep")
    with target.wire() as cancel:
        cancel.send(wire.cancel_request(client.pid, client.secret)).expect_end_of_stream()
    assert wire.first_error(client.read_turn())["C"] == "57014"
    assert target.metric("pgbraid_server_config_epochs") == 2
    client.shut()
    processes.wait_until(lambda: target.metric("pgbraid_server_config_epochs") == 1,
                         "the first configuration to be freed with its last session")


# --- B14: certificates ------------------------------------------------------------------------


def shown(target):
    """The certificate that a newcomer is shown, in DER."""
    with target.wire().start_tls() as raw:
        return raw.socket.getpeercert(binary_form=True)


def der(path):
    with open(path) as file:
        text = file.read()
    end = "-----END CERTIFICATE-----"
    return ssl.PEM_cert_to_DER_cert(text[:text.index(end) + len(end)])


def test_b14_certificates_are_rotated_under_load(configured, server, papers, tmp_path):
    certificate, key = str(tmp_path / "live.crt"), str(tmp_path / "live.key")

    def install(pair):
        for source, to in zip(pair, (certificate, key)):
            shutil.copy(source, to)
            os.chmod(to, 0o600)

    install(papers.proxy)
    target = configured(*pooled(f'primary = "{server.url(user="postgres")}"', "enable_tls = true",
                                f'tls_cert = "{certificate}"', f'tls_key = "{key}"'))
    resident = target.login()
    kept = target.wire().start_tls()
    kept.login(user="postgres", database="postgres")
    assert shown(target) == der(papers.proxy[0])
    with Load(target, sslmode="require") as load:
        install(papers.server)
        target.reload()
        assert shown(target) == der(papers.server[0])
        load.wait_for_turns()
        with open(certificate, "w") as broken:
            broken.write("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
        assert certificate in target.refuse()
        install((papers.proxy[0], papers.server[1]))  # a key that is not its own
        said = target.refuse()
        assert key in said or certificate in said, said
        os.unlink(key)
        assert key in target.refuse()
        assert shown(target) == der(papers.server[0])
        load.wait_for_turns()
        assert target.closed() == 0
    for client in (resident, kept):
        assert client.rows("SELECT 1") == [["1"]]
        client.shut()


def test_b14_servers_are_verified_by_the_new_authority(configured, tls_server, papers, tmp_path):
    """What is connected stays; what is dialled from then on sees the new file."""
    server = tls_server()
    authority = str(tmp_path / "ca.crt")
    shutil.copy(papers.authority.file, authority)
    url = server.url(user="postgres") + f"?sslmode=verify-ca&sslrootcert={authority}"
    target = configured(*pooled(f'primary = "{url}"', "min_conns = 0", "connect_timeout = '1s'"),
                        *service("other", url.replace("?", "/postgres?"), "min_conns = 0"))
    clients = [target.login() for _ in range(2)]
    pids = pids_of(clients)
    shutil.copy(papers.stranger.file, authority)
    target.reload()
    assert pids_of(clients) == pids
    with pytest.raises(psycopg2.OperationalError, match="could not connect to the server"):
        target.connect("other")
    shutil.copy(papers.authority.file, authority)
    target.reload()
    target.connect("other").close()
    assert pids_of(clients) == pids
    for client in clients:
        client.shut()


# --- O1: a fault changes nothing ------------------------------------------------------------------


def test_o1_a_fault_anywhere_keeps_the_old_configuration_whole(configured, server, tmp_path):
    url = server.url(user="postgres")
    users = private(str(tmp_path / "users"), '"postgres" "s3kr3t"\n')
    hba = private(str(tmp_path / "hba"), "host all all 127.0.0.1/32 trust\n")
    ident = private(str(tmp_path / "ident"), "m cn postgres\n")
    good = ['pool_mode = "transaction"', "max_conns = 3", f'primary = "{url}"',
            f'users_file = "{users}"', f'hba_file = "{hba}"', f'ident_file = "{ident}"']
    target = configured(*good)
    clients = [target.login() for _ in range(2)]
    target.wait_for("pgbraid_backend_pool_connections", 3)  # min_conns: no further one comes later
    pids = pids_of(clients)

    def refused(words, *lines):
        said = target.refuse(*lines)
        for word in words:
            assert word in said, said
        assert "s3kr3t" not in said
        assert target.value("SHOW port") == str(server.port)

    refused(["pgbraid.toml:7:1", "max_con"], *good, "max_con = 5")
    refused(["pgbraid.toml:2:13: max_conns"], good[0], 'max_conns = "many"', *good[2:])
    refused(["pgbraid.toml:7", "primary"], *good, f'primary = "{url}"')
    refused(["pgbraid.toml:7"], *good, "[[service]")
    refused(["min_conns"], *good, "min_conns = 4")
    private(hba, "host all all 127.0.0.1/32 trust\nhost all all nowhere trust\n")
    refused([f"{hba}:2"], *good)
    private(hba, "host all all 127.0.0.1/32 trust\n")
    private(users, '"postgres" "s3kr3t"\n"postgres "s3kr3t"\n')
    refused([f"{users}:2"], *good)
    private(users, '"postgres" "s3kr3t"\n')
    os.chmod(users, 0o644)
    refused([users], *good)
    os.chmod(users, 0o600)
    private(ident, "only two\n")
    refused([f"{ident}:1"], *good)
    os.unlink(ident)
    refused([ident], *good)
    private(ident, "m cn postgres\n")
    os.unlink(target.file)
    refused(["--config: cannot open", "No such file"])
    # What holds from start to end: all of it is named, and the rest of the file is not taken.
    refused(["ring_size, buffer_size: cannot change without a restart"], "ring_size = 512",
            'buffer_size = "64k"', good[0], "max_conns = 1", *good[2:])
    assert target.metric("pgbraid_server_reloads_total") == 0
    target.reload(*good)
    assert pids_of(clients) == pids
    for client in clients:
        client.shut()


def test_o1_flags_are_read_again_as_they_were_given(configured, new_server):
    """Also the password that main has overwritten in its own command line."""
    server = new_server("scram-sha-256")
    server.sql("CREATE ROLE flagged LOGIN PASSWORD 'from-a-flag'")
    more = {"user": "flagged", "password": "from-a-flag"}
    target = configured("max_conns = 4", "min_conns = 1", before=lambda one: one.argv.extend(
        ["--primary", server.url("postgres", **more), "--max-conns", "2",
         "--pool-mode", "transaction"]))
    with open(f"/proc/{target.process.pid}/cmdline") as line:
        assert "from-a-flag" not in line.read()
    target.connect(**more).close()
    target.reload("max_conns = 5", "min_conns = 1")
    target.connect(**more).close()
    target.log_contains("server.reloaded")
    assert "max_conns=2" in [line for line in target.log_text().splitlines()
                             if "server.reloaded" in line][-1]
    assert "from-a-flag" not in target.log_text()
    assert "min_conns" in target.refuse("min_conns = 3")


# --- O3: services and pools -------------------------------------------------------------------


def test_o3_a_database_in_use_is_removed(configured, server):
    url = server.url(user="postgres")
    target = configured(*pooled(), *service("shop", url + "/postgres"),
                        *service("rest", url + "/postgres"))
    idle, busy, other = target.login("shop"), target.login("shop"), target.login("rest")
    session = target.login("shop")
    session.ask("LISTEN something")  # pinned
    busy.ask("BEGIN")
    pid = busy.rows(PID)
    target.reload(*pooled(), *service("rest", url + "/postgres"))
    error = ended(idle)
    assert error["C"] == "57P01" and '"shop" was removed' in error["M"], error
    assert busy.rows(PID) == pid
    assert wire.status(busy.ask("COMMIT")) == "I"
    assert ended(busy)["C"] == "57P01"
    with pytest.raises(psycopg2.OperationalError, match='database "shop" does not exist'):
        target.connect("shop")
    assert session.rows("SELECT 1") == other.rows("SELECT 1") == [["1"]]
    pinned = session.rows(PID)[0][0]
    session.shut()
    other.shut()
    # Its pool goes with its last session.
    processes.wait_until(lambda: not server.sql(
        "SELECT 1 FROM pg_stat_activity WHERE pid = ANY(%s::int[])", args=([pid[0][0], pinned],)),
        "the service's connections to be closed")
    target.reload(*pooled(), *service("rest", url + "/postgres"),
                  *service("shop", url + "/postgres"))
    assert target.value("SELECT 1", "shop") == 1


def of_size(server, most):
    return pooled(f"max_conns = {most}", "min_conns = 0",
                  f'primary = "{server.url(user="postgres")}"')


def test_o3_a_pool_shrinks_below_what_is_in_use_and_grows(configured, server):
    target = configured(*of_size(server, 6))
    busy = [target.login() for _ in range(6)]
    for client in busy:
        client.ask("BEGIN")
    pids = [client.rows(PID)[0][0] for client in busy]

    def connected():
        return target.metric("pgbraid_backend_pool_connections")

    assert connected() == 6
    target.reload(*of_size(server, 2))
    waiting = target.login()
    waiting.send(wire.query(PID))
    target.wait_for("pgbraid_backend_pool_waiting", 1)
    assert [client.rows(PID)[0][0] for client in busy] == pids  # no transaction was ended
    for i, client in enumerate(busy[:4]):
        client.ask("COMMIT")
        processes.wait_until(lambda i=i: connected() == 5 - i, "a connection too many to go")
    busy[4].ask("COMMIT")
    turn = waiting.read_turn()
    assert wire.columns_of(next(body for kind, body in turn if kind == "D"))
    assert connected() <= 2
    busy[5].ask("COMMIT")
    target.reload(*of_size(server, 5))
    assert len(pids_of(busy[:5])) == 5
    for client in (*busy, waiting):
        assert client.rows("SELECT 1") == [["1"]]
        client.shut()
    assert target.metric("pgbraid_session_server_lost_total") == 0


def test_o3_a_pool_that_shrinks_keeps_as_many_as_it_may(configured, server):
    target = configured(*of_size(server, 6))
    clients = [target.login() for _ in range(6)]
    pids = pids_of(clients)
    target.reload(*of_size(server, 3))
    processes.wait_until(lambda: target.metric("pgbraid_backend_pool_connections") == 3,
                         "three to go")
    assert target.metric("pgbraid_backend_pool_opened_total") == len(pids)
    for client in clients:
        assert client.rows("SELECT 1") == [["1"]]
        client.shut()
    assert target.metric("pgbraid_backend_pool_connections") == 3


def test_o3_two_routes_are_swapped_and_nobody_gets_the_others(configured, server, new_server):
    """A client of `a` sees one server's port in a transaction, and after all reloads the last."""
    second = new_server()
    urls = [one.url(user="postgres") + "/postgres" for one in (server, second)]
    ports = [str(server.port), str(second.port)]

    def file(a, b):
        return pooled("max_conns = 6", "min_conns = 0") + service("a", urls[a]) + service(
            "b", urls[b])

    target = configured(*file(0, 1))
    over = threading.Event()
    seen = {"a": [], "b": []}
    faults = []

    def ask(name):
        try:
            with target.login(name) as client:
                while not over.is_set():
                    before = settled[0]
                    client.ask("BEGIN")
                    first = client.rows("SHOW port")[0][0]
                    second_look = client.rows("SHOW port")[0][0]
                    client.ask("COMMIT")
                    assert first == second_look
                    # Begun when a reload was in force everywhere and no other had begun.
                    if before is not None and before == settled[0]:
                        assert first == ports[(before + (name == "b")) % 2], name
                    seen[name].append(first)
        except Exception as fault:
            faults.append(fault)

    settled = [0]  # how many reloads are in force; None while one is under way
    threads = [threading.Thread(target=ask, args=(name,)) for name in "ab" for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(1, 21):
            settled[0] = None
            target.reload(*file(turn % 2, 1 - turn % 2))
            settled[0] = turn
            counts = {name: len(seen[name]) for name in seen}
            processes.wait_until(lambda counts=counts: faults or all(
                len(seen[name]) > counts[name] + 4 for name in seen), "both to be served")
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not faults, faults
    assert set(seen["a"]) == set(seen["b"]) == set(ports)


# --- O6: passwords ----------------------------------------------------------------------------


def test_o6_a_password_rotated_in_the_file_counts_at_once(configured, new_server, tmp_path):
    server = new_server("scram-sha-256")
    server.sql("CREATE ROLE alice LOGIN PASSWORD 'old'")
    users = private(str(tmp_path / "users"), '"alice" "old"\n')
    target = configured('pool_mode = "transaction"', "min_conns = 0", f'users_file = "{users}"',
                        f'primary = "{server.url()}/postgres"')
    resident = target.connect(user="alice", password="old")

    def pid():
        with resident.cursor() as cursor:
            cursor.execute(PID)
            return cursor.fetchone()[0]

    first = pid()
    private(users, '"alice" "new"\n')
    target.reload()
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        target.connect(user="alice", password="old")
    assert pid() == first
    # The server learns of it a moment later, and whoever is in needs another connection then.
    server.sql("ALTER ROLE alice PASSWORD 'new'")
    target.connect(user="alice", password="new").close()
    assert pid() == first
    closed = target.closed()
    server.sql("SELECT pg_terminate_backend(%s)", args=(first,))
    processes.wait_until(lambda: target.closed() > closed, "the pool to notice")
    assert pid() != first
    resident.close()


def test_o6_a_password_rotated_in_the_file_serves_who_is_in(configured, new_server, tmp_path):
    """Without any new login that would have shown it."""
    server = new_server("scram-sha-256")
    server.sql("CREATE ROLE alice LOGIN PASSWORD 'old'")
    users = private(str(tmp_path / "users"), '"alice" "old"\n')
    target = configured('pool_mode = "transaction"', "min_conns = 0", f'users_file = "{users}"',
                        f'primary = "{server.url()}/postgres"')
    resident = target.connect(user="alice", password="old")
    with resident.cursor() as cursor:
        cursor.execute(PID)
        first = cursor.fetchone()[0]
        server.sql("ALTER ROLE alice PASSWORD 'new'")
        private(users, '"alice" "new"\n')
        target.reload()
        server.sql("SELECT pg_terminate_backend(%s)", args=(first,))
        processes.wait_until(lambda: target.closed() == 1, "the pool to notice")
        cursor.execute(PID)
        assert cursor.fetchone()[0] != first
    resident.close()


def test_o6_a_password_in_the_servers_url_is_rotated(configured, new_server):
    """Another login to the server: connections end as they come free."""
    server = new_server("scram-sha-256")
    server.sql("CREATE ROLE app LOGIN PASSWORD 'old'")

    def file(password):
        return pooled("min_conns = 0",
                      f'primary = "{server.url("postgres", "app", password)}"')

    target = configured(*file("old"))
    idle, busy = target.login(), target.login()
    busy.ask("BEGIN")
    pid = busy.rows(PID)
    server.sql("ALTER ROLE app PASSWORD 'new'")
    target.reload(*file("new"))
    assert idle.rows(PID) != pid  # logged in anew
    assert busy.rows(PID) == pid
    busy.ask("COMMIT")
    assert busy.rows(PID) != pid
    for client in (idle, busy):
        client.shut()


# --- N6: many reloads -------------------------------------------------------------------------


def test_n6_reloads_under_load_disturb_nobody(configured, server, papers, tmp_path):
    users = private(str(tmp_path / "users"), "".join(
        f'"user{i}" "secret{i}"\n' for i in range(2000)) + '"postgres" "s3kr3t"\n')
    certificate, key = papers.proxy
    target = configured('pool_mode = "transaction"', f'users_file = "{users}"', 'auth = "md5"',
                        f'primary = "{server.url(user="postgres")}/postgres"', "max_conns = 8",
                        "min_conns = 0", "enable_tls = true", f'tls_cert = "{certificate}"',
                        f'tls_key = "{key}"')
    more = {"password": "s3kr3t", "sslmode": "require"}
    memory = []
    with Load(target, **more) as load:
        for i in range(RELOADS):
            target.reload()
            if i % 10 == 0:
                target.connect(**more).close()
            if i == RELOADS // 4:
                load.wait_for_turns()
                memory.append(target.rss())
        load.wait_for_turns()
        assert target.closed() == 0
        memory.append(target.rss())
    assert target.metric("pgbraid_server_reloads_total") == RELOADS
    assert target.epoch() == RELOADS + 1
    processes.wait_until(lambda: target.metric("pgbraid_server_config_epochs") == 1,
                         "every old configuration to be freed")
    # A configuration that leaked would be 500 KiB each, with its users and its certificates.
    assert memory[1] - memory[0] < 16 << 20, memory


def test_n6_refused_reloads_leave_nothing_behind(configured, server):
    target = configured(*pooled(f'primary = "{server.url(user="postgres")}"'))
    with Load(target, 4) as load:
        target.configure("what = 1")
        for _ in range(RELOADS // 5):
            target.refuse()
        load.wait_for_turns()
    assert target.metric("pgbraid_server_config_epochs") == 1
