"""What must not be told: rows S of the reliability catalogue, and rows O about unsafe settings."""

import base64
import contextlib
import glob
import json
import os
import re
import resource
import shutil
import signal
import socket
import tempfile

import psycopg2
import pytest

from conftest import FULL, ONE_IO
from harness import processes, proxy, scram, wire
from harness.processes import wait_until
from harness.tls import refused_at_start

pytestmark = [pytest.mark.proxy_only, ONE_IO]

LOOK = "SELECT rolpassword FROM pg_authid WHERE rolname = %s"


def private(path, text):
    path.write_text(text)
    os.chmod(path, 0o600)
    return str(path)


def spellings(secret):
    """A secret as it stands, and as a careless line could show it."""
    data = secret if isinstance(secret, bytes) else secret.encode()
    # base64 of a text that the secret is a part of depends on where it stands there.
    inner = [base64.b64encode(b"x" * at + data)[4:-4] for at in range(3)] if len(data) > 8 else []
    return [data, data.hex().encode(), base64.b64encode(data), *inner]


def told(target):
    """Everything that pgbraid says or shows, but to its clients."""
    process = f"/proc/{target.process.pid}"
    shown = [target.log_text().encode()]
    for name in ("cmdline", "environ", "comm", "status"):
        with open(f"{process}/{name}", "rb") as file:
            shown.append(file.read())
    for path in ("/metrics", "/livez", "/readyz", "/", "/nothing?token=x"):
        shown.append(target.http(path)[1].encode())
    return b"\n".join(shown)


# -- S --------------------------------------------------------------------------------------------

def test_s1_no_canary_is_in_what_pgbraid_tells(new_target, tls_server, papers, tmp_path):
    """Every kind of login, right and wrong, statements with values, errors, cancels, a mirror, at
    the highest verbosity that does not ask for protocol traces."""
    server, mirror = tls_server("scram-sha-256"), tls_server("scram-sha-256")
    canary = {name: f"canary-{name}-7f3a" for name in (
        "plain", "stored", "md5", "asker", "url", "mirror", "wrong", "value", "literal", "clear")}
    server.sql(f"CREATE ROLE plain LOGIN PASSWORD '{canary['plain']}';"
               f"CREATE ROLE stored LOGIN PASSWORD '{canary['stored']}';"
               f"CREATE ROLE asked LOGIN PASSWORD '{canary['clear']}';"
               f"CREATE ROLE asker SUPERUSER LOGIN PASSWORD '{canary['asker']}';"
               f"CREATE ROLE url LOGIN PASSWORD '{canary['url']}';"
               "GRANT CREATE ON SCHEMA public TO plain")
    mirror.sql(f"CREATE ROLE copy SUPERUSER LOGIN PASSWORD '{canary['mirror']}'")
    verifier = server.value(LOOK, args=("stored",))
    users = private(tmp_path / "users", f'"plain" "{canary["plain"]}"\n"stored" "{verifier}"\n')
    services = private(tmp_path / "services.toml", f'''
[[service]]
name = "own"
primary = "{server.url(user="url", password=canary["url"])}/postgres"
''')
    target = new_target(server, [
        "--users-file", users, "--auth-user", "asker", "--auth-password", canary["asker"],
        "--config", services, *papers.flags, "--log-level", "debug", "--log-format", "json",
        "--mirror", mirror.url(user="copy", password=canary["mirror"])])
    keys = []
    for user, word in (("plain", "plain"), ("stored", "stored"), ("asked", "clear")):
        for mode in ("disable", "require"):
            login = {"user": user, "password": canary[word], "sslmode": mode}
            connection = target.connect(**login)
            with connection.cursor() as cursor:
                cursor.execute("SELECT %s", (canary["literal"],))
                with pytest.raises(psycopg2.Error):
                    cursor.execute("SELECT %s::integer", (canary["literal"],))
            connection.close()
            with pytest.raises(psycopg2.OperationalError):
                target.connect(**{**login, "password": canary["wrong"]})
            with pytest.raises(psycopg2.OperationalError):
                target.connect(**{**login, "user": canary["wrong"][:6] + "-nobody"})
    assert target.value("SELECT 1", "own", user="plain", password=canary["plain"]) == 1
    keys.append(values_and_a_cancel(target, canary))
    wait_until(lambda: mirror.sql("SELECT 1 FROM pg_class WHERE relname = 'kept'") and
               mirror.sql("SELECT 1 FROM kept"), "the mirror to have the row")
    with target.wire() as raw:  # what is no message, with a canary in it
        raw.send(wire.startup(user="plain", database="postgres"))
        raw.read_frame()
        raw.send(wire.frame("Q", canary["wrong"].encode() + b"\0")).expect_closed()
    secrets = [*canary.values(), verifier, *verifier.split("$")[2].split(":"), *keys]
    with open(papers.proxy[1]) as file:
        secrets += [line.strip() for line in file if len(line) > 60]
    target.log_contains("expected password response")  # the last line, written by its own thread
    shown = told(target)
    for secret in secrets:
        for form in spellings(secret):
            assert form not in shown, (secret, form)
    assert b"login_refused" in shown and b"plain" in shown  # there was something to see


def values_and_a_cancel(target, canary):
    """Binds values, fails with one, cancels with the right and a wrong key; returns the key."""
    raw = target.wire().send(wire.startup(user="plain", database="postgres"))
    client = scram.Client(canary["plain"])
    assert scram.request(raw)[0] == scram.SASL
    raw.send(scram.initial(client.first()))
    raw.send(scram.response(client.challenged(scram.request(raw)[1]).final()))
    raw.finish_login()
    raw.ask("CREATE TABLE kept(v text)")
    for sql in ("SELECT $1::text", "SELECT $1::integer", "INSERT INTO kept VALUES ($1)"):
        raw.send(wire.one_shot(sql, (canary["value"],)), wire.SYNC).read_turn()
    for secret in (raw.secret, b"\0" * len(raw.secret)):
        with target.wire() as cancel:
            cancel.send(wire.cancel_request(raw.pid, secret)).expect_end_of_stream()
    key = raw.secret
    raw.shut()
    return key


def test_s2_malformed_settings_are_refused_without_their_passwords(tmp_path):
    """Whatever is wrong, and wherever the password stands."""
    canary = "c4nary-p4ssw0rd"
    for text in (f"postgres://u:{canary}@", f"postgres://u:{canary}@h:port",
                 f"postgres://u:{canary}", f"postgres://u:{canary}/x@h",
                 f"postgres://u:{canary}@h/d?no={canary}",
                 f"postgres://u:{canary}%zz@h", f"postgres:/u:{canary}@h", f"u:{canary}@h:5432",
                 f"host=h password={canary} port=x", f"host=h password='{canary}",
                 f"host=h passwd={canary}", f"host=h user=u password={canary} nonsense",
                 f"postgres://u@h?password={canary}&sslmode=no", f"http://u:{canary}@h"):
        for flag in ("--primary", "--mirror"):
            done = processes.run([proxy.BINARY, "-l", "127.0.0.1:1", "-p", "host=h", flag, text],
                                 check=False)
            assert done.returncode == 2 and done.stderr.startswith("pgbraid: "), text
            assert canary not in done.stderr + done.stdout, (text, done.stderr)
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        for line in (f'primary = "{quoted}"', f'primary = {quoted}', f'primary = ["{quoted}"]',
                     f'auth_password = {quoted}', f'[[service]]\nurl = "{quoted}"'):
            file = private(tmp_path / "p.toml", f'listen = "127.0.0.1:1"\n{line}\n')
            done = processes.run([proxy.BINARY, "-c", file], check=False)
            assert done.returncode == 2, line
            assert canary not in done.stderr + done.stdout, (line, done.stderr)


NAMES = {
    "newline": b"a\nlevel=error event=forged", "ansi": b"a\x1b[2J\x1b[31mred", "cr": b"a\rforged",
    "csi": b"a\xc2\x9b31m", "bell": b"\x07\x08\x0b", "quote": b'a" event=forged x="',
    "utf8": b"\xff",
    "separator": "a\u2028b\u202eforged".encode(), "long": b"x" * 9000, "backslash": b"a\\nb",
}


KEYS = {"time", "level", "event", "left_out", "session", "client", "user", "database", "sqlstate",
        "why", "what", "version", "listen", "shards", "io", "config", "address", "server"}


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_s3_names_cannot_forge_lines_nor_fill_the_log(new_target, scram_server, tmp_path, form):
    users = private(tmp_path / "users", '"app" "pencil"\n')
    target = new_target(scram_server, ["--users-file", users, "--log-level", "debug",
                                       "--log-format", form], shards=1)
    for name in NAMES.values():
        for where in ("user", "database", "application_name", "options", "x.y"):
            raw = target.wire().send(wire.startup(**{"user": "app", "database": "postgres",
                                                     where: name}))
            kind, _ = raw.read_frame()
            assert kind in "RE"
            if kind == "R":
                raw.send(scram.initial("n,,n=,r=x")).send(scram.response("c=biws,r=y,p=z"))
                raw.expect_closed()
            raw.shut()
    raw = target.wire().send(wire.startup(user=b"x" * 2**20, database="postgres"))
    raw.expect_end_of_stream()
    target.log_contains("session.login_refused")
    text = target.log_text()
    assert target.http("/metrics")[0] == 200
    for said in (text, target.http("/metrics")[1]):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", said)
    for line in text.splitlines():
        assert line.startswith("time=" if form == "logfmt" else '{"time":'), line
        assert len(line) < 5000, line
        if form == "json":
            assert set(json.loads(line)) <= KEYS, line
        else:  # a value with anything odd in it stands in quotes
            assert "forged" not in re.sub(r'"(?:[^"\\]|\\.)*"', "", line), line


@pytest.fixture
def scram_server(new_server):
    return new_server("scram-sha-256")


def test_s4_errors_before_login_tell_nothing_of_what_is_behind(new_target, scram_server, papers,
                                                               tmp_path):
    """All that somebody hears who has not logged in: no host, port, path, version or count."""
    users = private(tmp_path / "users", '"app" "pencil"\n"other" "pencil"\n')
    rules = tmp_path / "hba"
    rules.write_text("host all app 127.0.0.1/32 scram-sha-256\nhost all eve all reject\n"
                     "hostssl all cert all cert\n")
    away = processes.free_port()
    services = private(tmp_path / "services.toml", f'''
[[service]]
name = "away"
primary = "postgres://127.0.0.1:{away}?connect_timeout=1"
''')
    flags = ["--users-file", users, "--hba-file", str(rules), "--config", services,
             "--max-logins-per-address", "1", "--tls-ca", papers.authority.file, *papers.flags]
    target = new_target(scram_server, flags, shards=1)
    passing = new_target(f"postgres://127.0.0.1:{away}", shards=1)
    heard = {}

    def hear(name, where, *packets):
        with where.wire() as raw:
            raw.send(*packets)
            heard[name] = b"".join(kind.encode() + body for kind, body in raw.read_to_end()
                                   if kind != "R")

    def startup(**more):
        return wire.startup(**{"user": "app", "database": "postgres", **more})

    hear("away, passing through", passing, startup())
    hear("no rule", target, startup(user="nobody"))
    hear("rejected", target, startup(user="eve"))
    hear("no certificate", target, startup(user="cert"))
    hear("no password message", target, startup(), wire.query("SELECT 1"))
    hear("malformed", target, startup(), scram.initial("nonsense"))
    hear("wrong version", target, wire.startup(0x00040000, user="app"))
    hear("no user", target, wire.startup(database="postgres"))
    hear("no service", target, startup(user="nobody", database="nowhere"))
    with target.wire() as first:
        first.send(startup())
        first.read_frame()
        hear("many logins", target, startup())
    for user, database in (("app", "postgres"), ("other", "postgres"), ("app", "away")):
        with pytest.raises(psycopg2.OperationalError) as caught:
            target.connect(database, user=user, password="wrong")
        said = str(caught.value).split("failed: ")[1]  # libpq may try twice
        heard[f"wrong password of {user} for {database}"] = said.split("\n")[0].encode()
    secret = [str(scram_server.port), str(away), str(target.admin_port), "pgbraid.cc", "src/",
              str(tmp_path), "users", "0.1.0", "15.", "18.", "epoll", "io_uring", "OpenSSL",
              "Debian", "services.toml", socket.gethostname()]
    for name, text in heard.items():
        assert b"FATAL" in text, (name, text)
        for word in secret:
            assert word.encode() not in text, (name, word, text)
        digits = re.sub(rb"C[0-9A-Z]{5}\0|127\.0\.0\.1|message type \d+|"
                        rb"\d+\.\d+: server supports.*", b"", text)
        assert not re.search(rb"\d{2,}", digits), (name, digits)


def test_s6_no_core_dump_and_no_look_into_the_process(new_target, server, tmp_path):
    """Its limits, whatever it was started with; and what the operator asks for."""
    def unlimited():
        processes.die_with_the_tests()
        resource.setrlimit(resource.RLIMIT_CORE, (-1, -1))

    def core_limit(target):
        with open(f"/proc/{target.process.pid}/limits") as limits:
            line = next(line for line in limits if line.startswith("Max core file size"))
        return line.split()[4:6]

    target = new_target(server, before_exec=unlimited)
    assert core_limit(target) == ["0", "0"]
    kept = new_target(server, ["--core-dumps"], before_exec=unlimited)
    assert core_limit(kept) == ["unlimited", "unlimited"]
    victim = proxy.Proxy(tmp_path / "victim", server.url(), "epoll")
    victim.before_exec = lambda: (unlimited(), os.chdir(tmp_path))
    victim.start()
    victim.process.send_signal(signal.SIGABRT)
    assert victim.process.wait() == -signal.SIGABRT
    assert not glob.glob(str(tmp_path / "*core*"))


def test_s6_only_root_may_look_into_the_process(server, tmp_path):
    """Its files under /proc are root's, even if it runs as somebody else."""
    def as_somebody():
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        processes.die_with_the_tests()

    with tempfile.TemporaryDirectory() as folder:  # where anybody may come
        os.chmod(folder, 0o755)
        target = proxy.Proxy(tmp_path, server.url(), "epoll")
        target.argv[0] = shutil.copy(proxy.BINARY, folder)
        target.before_exec = as_somebody
        target.start()
        assert os.stat(f"/proc/{target.process.pid}/environ").st_uid == 0
        assert target.metric("process_open_fds") > 0  # it still sees itself
        target.stop()


def test_s7_the_same_error_many_times_fills_no_log(new_target, server):
    """20 lines of one event in a second; the rest is counted: in the next line, in the metric."""
    target = new_target(server, shards=1)
    count = 20_000 if FULL else 1500

    def violate():
        with target.wire() as raw:
            raw.send(wire.request_code(wire.GSSENC_REQUEST) + b"x").expect_end_of_stream()

    for _ in range(count):
        violate()
    target.wait_for("pgbraid_session_protocol_violations_total", count)
    wait_until(lambda: (violate(), "left_out=" in target.log_text())[1], "the rest to be counted")
    lines = [line for line in target.log_text().splitlines() if "protocol_violation" in line]
    seconds = {re.search(r"time=(\S+?)\.", line).group(1) for line in lines}
    assert 20 <= len(lines) <= 20 * (len(seconds) + 1) and len(lines) < count / 2
    left_out = sum(int(found.group(1)) for line in lines
                   if (found := re.search(r"left_out=(\d+)", line)))
    assert count / 4 < left_out <= target.metric("pgbraid_session_protocol_violations_total")


# -- O --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("line,said", [
    ("shrads = 2", ':3:1: unknown key "shrads"'), ("shards = 'two'", ":3:10: shards"),
    ("shards = 2.5", ":3:10:"), ("shards = 1\nshards = 2", ":4:1"),
    ("[service]\nname = 'x'", ":3:"), ("[[service]]\nname = 'x'", ":3:"),
    ("[tls]\nx = 1", ":3:"), ("listen = ':1'", ":3:1"), ("log_level = 'loud'", ":3:13: log_level"),
    ("max_conns = -1", ":3:13: max_conns"), ("reset_query = '\\x01'\nx", ":4:2")])
def test_o1_what_is_not_understood_stops_the_start_and_is_named(tmp_path, line, said):
    file = private(tmp_path / "p.toml",
                   f'listen = "127.0.0.1:1"\nprimary = "host=h"\n{line}\n')
    done = processes.run([proxy.BINARY, "-c", file], check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert f"p.toml{said}" in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_o4_unusable_and_unsafe_files_stop_the_start(io, server, papers, tmp_path):
    def said(*flags, options=""):
        return refused_at_start(tmp_path / "p", io, f"{server.url()}?{options}", *flags)

    def copy(name, mode, text=None):
        path = tmp_path / name
        path.write_bytes(open(papers.proxy[1], "rb").read() if text is None else text)
        os.chmod(path, mode)
        return str(path)

    certificate, key = papers.proxy
    tls = ["--enable-tls", "--tls-cert", certificate, "--tls-key"]
    for mode in (0o604, 0o644, 0o666, 0o660):
        assert "can be read by others" in said(*tls, copy("open.key", mode)), oct(mode)
    opened = copy("open.key", 0o644)
    assert "can be read by others" in said(
        options=f"sslmode=require&sslcert={certificate}&sslkey={opened}")
    assert "chmod 600" in said("--users-file", copy("users", 0o644, b'"a" "b"\n'))
    assert "does not belong to" in said(*tls, papers.server[1])
    assert "does not belong to" in said(
        options=f"sslmode=require&sslcert={certificate}&sslkey={papers.server[1]}")
    for text in (b"", b"no certificate\n", open(certificate, "rb").read()[:200]):
        ca = copy("ca", 0o644, text)
        assert f'CA file "{ca}"' in said(*tls, key, "--tls-ca", ca)
        assert f'CA file "{ca}"' in said(options=f"sslmode=verify-ca&sslrootcert={ca}")
    for flags in (["--users-file", str(tmp_path)], [*tls, str(tmp_path)],
                  [*tls, key, "--tls-ca", str(tmp_path)]):
        assert str(tmp_path) in said(*flags)


def own_name():
    """A name of this machine, and its port on which somebody will listen everywhere."""
    name = socket.gethostname()
    assert socket.gethostbyname(name), "this machine's name must stand in /etc/hosts"
    return name, processes.free_port()


@pytest.mark.parametrize("login", ["", "app:pencil@"], ids=["passed through", "own"])
def test_o5_a_route_to_itself_is_found(new_target, tmp_path, login):
    """By whatever name: it is noticed before anything is sent."""
    name, port = own_name()
    target = new_target(f"postgres://{login}{name}:{port}", ["--listen", f":{port}"], shards=1)
    before = target.metric("pgbraid_session_opened_total")
    for address in (("127.0.0.1", target.port), (name, port)):
        with pytest.raises(psycopg2.OperationalError) as caught:
            psycopg2.connect(host=address[0], port=address[1], user="app", password="pencil",
                             dbname="postgres")
        assert "the server behind pgbraid is pgbraid itself" in str(caught.value)
    target.log_contains(f"{name} leads to pgbraid itself")
    # No connection made another one; libpq may try twice.
    assert target.metric("pgbraid_session_opened_total") - before <= 4


def test_o5_a_route_to_its_own_address_is_refused_at_the_start(tmp_path):
    for listen, server in ((":5", "127.0.0.1:5"), ("127.0.0.1:5", "localhost:5"),
                           ("10.9.8.7:5", "10.9.8.7:5")):
        for flags in (["-p", f"postgres://{server}"],
                      ["-p", "host=h", "-m", f"postgres://u@{server}"]):
            done = processes.run([proxy.BINARY, "-l", listen, *flags], check=False)
            assert done.returncode == 2 and "is where pgbraid itself listens" in done.stderr


@pytest.mark.parametrize("login", ["", "app:pencil@"], ids=["passed through", "own"])
def test_o5_two_proxies_in_a_ring_end_at_their_bounds(tmp_path, io, login):
    """Each takes the other for its server. Nobody can see that from a connection; what is sure is
    that the one login ends, with an error, and leaves nothing behind."""
    port = processes.free_port()
    flags = ["--max-clients", "40", "--connect-timeout", "2s", "--login-timeout", "5s"]
    first = proxy.Proxy(tmp_path / "a", f"postgres://{login}127.0.0.1:{port}", io, flags, 1)
    second = proxy.Proxy(tmp_path / "b", f"postgres://{login}127.0.0.1:{first.port}", io, flags, 1)
    second.argv[2] = f"127.0.0.1:{port}"
    second.port = port
    first.start()
    second.start()
    before = [each.descriptors() for each in (first, second)]
    with pytest.raises(psycopg2.OperationalError):
        first.connect(user="app", password="pencil")
    for each, descriptors in zip((first, second), before):
        wait_until(lambda: each.metric("pgbraid_session_clients") == 0
                   and each.descriptors() <= descriptors + 2, "the ring to be gone")
        each.check_alive()
        each.stop()


def test_o7_the_shortest_configuration_is_safe_on_a_public_address(server, tmp_path):
    """Two flags, every address: who may in is the server's to say, TLS is taken where the server
    has it, and nothing is open but the one port."""
    port = processes.free_port()

    def said(*flags, primary="postgres://127.0.0.1:5432"):
        done = processes.run([proxy.BINARY, "-l", f"0.0.0.0:{port}", "-p", primary, *flags],
                             check=False)
        assert done.returncode == 2, flags
        return done.stderr

    assert "--insecure-trust" in said("--auth", "trust")
    rules = tmp_path / "hba"
    rules.write_text("host all all all trust\n")
    assert "--insecure-trust" in said("--hba-file", str(rules))
    assert "loopback" in said("--admin", f"0.0.0.0:{port}")
    assert "nothing to check a client's password against" in said(primary="postgres://app@h")
    assert "nothing to check a client's password against" in said("--auth", "md5")


def test_o7_what_is_not_said_is_asked_for(new_server, new_target):
    """A user in the server's URL, and nothing else: clients must know that user's password, by
    SCRAM; and where a login passes through, the server asks."""
    cluster = new_server("scram-sha-256")
    cluster.sql("CREATE ROLE app LOGIN PASSWORD 'pencil'")
    for url in (cluster.url(user="app", password="pencil"), cluster.url()):
        target = new_target(url, shards=1)
        raw = target.wire().send(wire.startup(user="app", database="postgres"))
        assert scram.request(raw) == (scram.SASL, b"SCRAM-SHA-256\0\0")
        raw.shut()
        assert target.value("SELECT current_user", user="app", password="pencil") == "app"
        with pytest.raises(psycopg2.OperationalError):
            target.connect(user="app", password="")
        listening = {line.split()[1].split(":")[1] for line in open("/proc/net/tcp")
                     if line.split()[3] == "0A" and int(line.split()[9]) in inodes(target)}
        assert listening == {f"{number:04X}" for number in (target.port, target.admin_port)}


def inodes(target):
    """Of its sockets; those that are being closed may be gone by now."""
    folder, found = f"/proc/{target.process.pid}/fd", set()
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            link = os.readlink(f"{folder}/{name}")
            if link.startswith("socket:"):
                found.add(int(link[8:-1]))
    return found
