"""Logins that go wrong on purpose: rows C of the reliability catalogue.

Where pgbraid logs in itself: clients that lie to it, and servers that lie to it (scripted ones). A
server's misbehaviour is told to the client in words of pgbraid's own; the cause is in the log.
"""

import os
import struct
import threading

import pytest

from conftest import ONE_IO
from harness import scram, wire
from harness.processes import wait_until
from harness.server import answer_selects, greeting, secured_by

pytestmark = [pytest.mark.proxy_only, ONE_IO]

PASSWORD = "pencil"
REFUSED = "the server behind pgbraid refused pgbraid's login"
UNREACHABLE = "could not connect to the server behind pgbraid"


def users_file(folder, *lines):
    path = folder / "users.txt"
    path.write_bytes(b"".join(b'"%s" "%s"\n' % (user.encode(), secret) for user, secret in lines))
    os.chmod(path, 0o600)
    return str(path)


def served(connection):
    """What a server does for a session once it is logged in."""
    connection.send(greeting()[9:])  # without its AuthenticationOk
    answer_selects(connection)


@pytest.fixture
def front(scripted, new_target, tmp_path):
    """Makes a proxy before a scripted server: front(script, options) -> (proxy, server). Clients
    are `app` with PASSWORD; pgbraid logs in as `app` too, to the client's database."""
    def make(script, options="connect_timeout=1&sslmode=disable", on_ssl=None):
        server = scripted(on_ssl, script)
        url = f"postgres://app:{PASSWORD}@127.0.0.1:{server.port}?{options}"
        users = users_file(tmp_path, ("app", PASSWORD.encode()))
        return new_target(url, ["--users-file", users], shards=1), server

    return make


class Client:
    """A raw client that has shown who it is, and waits for what comes of it."""

    def __init__(self, proxy, database="shop", password=PASSWORD):
        self.raw, client = proxy.wire(), scram.Client(password)
        self.raw.send(wire.startup(user="app", database=database))
        assert scram.request(self.raw)[0] == scram.SASL
        self.raw.send(scram.initial(client.first()))
        self.raw.send(scram.response(client.challenged(scram.request(self.raw)[1]).final()))

    def enter(self):
        self.raw.finish_login()
        return self.raw

    def refusal(self):
        error = self.raw.expect_closed()
        self.raw.shut()
        return error.get("S"), error.get("C"), error.get("M")


def why(proxy, database):
    """The line of the log about the login to this database."""
    proxy.log_contains(f"database={database} ")
    return next(line for line in proxy.log_text().splitlines()
                if "backend.open_failed" in line and f"database={database} " in line)


# -- hostile clients ------------------------------------------------------------------------------

def without(part):
    return lambda nonce, channel, proof: ",".join(
        text for name, text in (("c", f"c={channel}"), ("r", f"r={nonce}"), ("p", f"p={proof}"))
        if name != part)


FINALS = {
    "nothing": lambda nonce, channel, proof: "",
    "only commas": lambda nonce, channel, proof: ",,,",
    "no c=": without("c"),
    "no r=": without("r"),
    "no p=": without("p"),
    "proof first": lambda nonce, channel, proof: f"p={proof},c={channel},r={nonce}",
    "proof twice": lambda nonce, channel, proof: f"c={channel},r={nonce},p={proof},p={proof}",
    "extra attribute": lambda nonce, channel, proof: f"c={channel},r={nonce},x=1,p={proof}",
    "more behind": lambda nonce, channel, proof: f"c={channel},r={nonce},p={proof},x=1",
    "NUL behind": lambda nonce, channel, proof: f"c={channel},r={nonce},p={proof}\0",
    "proof empty": lambda nonce, channel, proof: f"c={channel},r={nonce},p=",
    "proof no base64": lambda nonce, channel, proof: f"c={channel},r={nonce},p=!{proof[1:]}",
    "proof unpadded": lambda nonce, channel, proof: f"c={channel},r={nonce},p={proof.rstrip('=')}",
    "proof too short": lambda nonce, channel, proof: f"c={channel},r={nonce},p={proof[:40]}",
    "proof too long": lambda nonce, channel, proof: f"c={channel},r={nonce},p={proof[:-1]}AAAA",
    "huge proof": lambda nonce, channel, proof: f"c={channel},r={nonce},p={'A' * 60_000}",
    "other nonce": lambda nonce, channel, proof: f"c={channel},r=x{nonce[1:]},p={proof}",
    "nonce too long": lambda nonce, channel, proof: f"c={channel},r={nonce}x,p={proof}",
    "nonce too short": lambda nonce, channel, proof: f"c={channel},r={nonce[:-1]},p={proof}",
    "only our nonce": lambda nonce, channel, proof: f"c={channel},r=clientnonce,p={proof}",
    "other GS2 header": lambda nonce, channel, proof: f"c=eSws,r={nonce},p={proof}",
    "binding no base64": lambda nonce, channel, proof: f"c=%%%%,r={nonce},p={proof}",
    "binding of somebody": lambda nonce, channel, proof:
        f"c={scram.b64(b'p=tls-server-end-point,,x')},r={nonce},p={proof}",
    "no text": lambda nonce, channel, proof: "\xff\xfe\0\x80",
}
FIRSTS = {
    "nothing": b"",
    "no GS2 header": b"n=,r=clientnonce",
    "another user": b"n,a=admin,n=,r=clientnonce",
    "half a header": b"n,",
    "unknown flag": b"x,,n=,r=clientnonce",
    "binds without TLS": b"p=tls-server-end-point,,n=,r=clientnonce",
    "unknown binding": b"p=tls-unique,,n=,r=clientnonce",
    "no name": b"n,,r=clientnonce",
    "no nonce": b"n,,n=",
    "empty nonce": b"n,,n=,r=",
    "nonce not printable": b"n,,n=,r=a\x07b",
    "extension": b"n,,m=ext,n=,r=clientnonce",
    "nonce of 64 kB": b"n,,n=,r=" + b"a" * 65_000,
    "NUL within": b"n,,n=\0,r=clientnonce",
}
MALFORMED_INITIAL = {
    "no NUL": b"SCRAM-SHA-256",
    "no length": b"SCRAM-SHA-256\0",
    "length beyond": b"SCRAM-SHA-256\0" + struct.pack("!i", 2**31 - 1) + b"n,,n=,r=x",
    "negative length": b"SCRAM-SHA-256\0" + struct.pack("!i", -2) + b"n,,n=,r=x",
    "length too short": b"SCRAM-SHA-256\0" + struct.pack("!i", 3) + b"n,,n=,r=x",
    "another mechanism": b"SCRAM-SHA-1\0" + struct.pack("!i", 9) + b"n,,n=,r=x",
    "not offered": b"SCRAM-SHA-256-PLUS\0" + struct.pack("!i", 9) + b"n,,n=,r=x",
    "nothing": b"",
}


def ends(raw, *sqlstates):
    error = raw.expect_closed()
    assert error.get("S") == "FATAL" and error.get("C") in sqlstates, error


@pytest.fixture
def shop(front):
    """A proxy before a server that lets everybody in."""
    proxy, server = front(lambda raw: (raw.send(scram.authentication(scram.OK)), served(raw)))
    return proxy, server


def test_c4_every_malformed_final_message_is_refused(shop):
    proxy, server = shop
    for name, final in FINALS.items():
        raw = proxy.wire().send(wire.startup(user="app", database="shop"))
        assert scram.request(raw)[0] == scram.SASL
        client = scram.Client(PASSWORD)
        raw.send(scram.initial(client.first()))
        nonce, channel, proof, _ = client.challenged(scram.request(raw)[1]).parts()
        raw.send(scram.response(final(nonce, channel, proof).encode("latin-1")))
        error = raw.expect_closed()
        assert (error.get("S"), error.get("C")) == ("FATAL", "08P01"), (name, error)
    assert server.logins == 0  # nobody of them cost the server anything
    assert Client(proxy).enter().rows("SELECT 1") == [["1"]]


def test_c4_every_malformed_first_message_is_refused(shop):
    proxy, server = shop
    bodies = {name: scram.initial(first)[5:] for name, first in FIRSTS.items()}
    for name, body in {**bodies, **MALFORMED_INITIAL}.items():
        raw = proxy.wire().send(wire.startup(user="app", database="shop"))
        assert scram.request(raw)[0] == scram.SASL
        raw.send(wire.frame("p", body))
        error = raw.expect_closed()
        assert error.get("S") == "FATAL", (name, error)
        assert error.get("C") in ("08P01", "28000", "0A000"), (name, error)
    assert server.logins == 0
    assert Client(proxy).enter().rows("SELECT 1") == [["1"]]


@pytest.mark.parametrize("form", ["y", "y-plus", "n-plus"])
def test_c9_a_client_that_did_not_see_the_offer_to_bind_is_refused(new_target, papers, tmp_path,
                                                                   scripted, form):
    """Over TLS pgbraid offers PLUS; a client that says it was not offered saw a changed list."""
    server = scripted(None)
    proxy = new_target(server.url(), [
        "--users-file", users_file(tmp_path, ("app", PASSWORD.encode())), *papers.flags], shards=1)
    raw = proxy.wire().start_tls()
    raw.send(wire.startup(user="app", database="shop"))
    code, offered = scram.request(raw)
    assert (code, offered.split(b"\0")[:2]) == (scram.SASL,
                                                [scram.PLUS.encode(), scram.MECHANISM.encode()])
    mechanism = scram.PLUS if form.endswith("plus") else scram.MECHANISM
    raw.send(scram.initial(scram.Client(PASSWORD, gs2=f"{form[0]},,").first(), mechanism))
    ends(raw, "28000" if form == "y" else "08P01")
    assert server.logins == 0


# -- hostile servers ------------------------------------------------------------------------------

def each(front, cases, options="connect_timeout=1&sslmode=disable", on_ssl=None):
    """Every case is what the server does with the login to a database of its own. Returns the
    proxy, the server and what each client was told."""
    scripts = list(cases.values())
    proxy, server = front(lambda raw: scripts[int(raw.startup[b"database"][1:])](raw), options,
                          on_ssl)
    clients = [Client(proxy, f"d{number}") for number in range(len(scripts))]
    told = {name: client.refusal() for name, client in zip(cases, clients)}
    return proxy, server, told


def refused_as(front, cases, options="connect_timeout=1&sslmode=disable", on_ssl=None):
    """`cases`: {name: (script, what the log says)}; each is refused after one attempt."""
    proxy, server, told = each(front, {name: script for name, (script, _) in cases.items()},
                               options, on_ssl)
    assert told == {name: ("FATAL", "08006", REFUSED) for name in cases}
    for number, (name, (_, text)) in enumerate(cases.items()):
        assert text in why(proxy, f"d{number}"), name
    assert server.logins == len(cases)


def challenge(**wrong):
    """A server whose server-first-message has these parts in place of the right ones."""
    def script(raw):
        server = scram.Server(PASSWORD)
        server.begin(raw)
        nonce, salt, iterations = server.first.split(",")
        parts = {"r": nonce[2:], "s": salt[2:], "i": iterations[2:], **wrong}
        raw.send(scram.authentication(scram.CONTINUE, ",".join(
            f"{name}={value}" for name, value in parts.items()).encode()))
        assert raw.read_to_end() == []

    return script


def says(*frames):
    """A server that says this, and hears nothing."""
    def script(raw):
        raw.send(*frames)
        assert raw.read_to_end() == []

    return script


def test_c5_a_nonce_has_a_bound(front):
    refused_as(front, {
        "3 kB": (challenge(r="n" * 3000), "nonce is longer than"),
        "60 kB": (challenge(r="n" * 60_000), "first message is too long"),
        "not ours": (challenge(r="stranger"), "does not extend ours")})


def test_c5_a_nonce_of_64_kb_ends_the_login(front):
    """More than a message of a login may have: the server is taken for broken, not for a no."""
    proxy, _, told = each(front, {"64 kB": challenge(r="n" * 65_536)})
    assert told["64 kB"] == ("FATAL", "08006", UNREACHABLE)
    assert "invalid message length" in why(proxy, "d0")


def test_c6_iterations_have_a_bound(front):
    refused_as(front, {str(count): (challenge(i=count), "iteration")
                       for count in (2**31, 2**31 - 1, 100_001, 2**32, 0, -1)})


ODD_ERRORS = {
    "no SQLSTATE": wire.frame("E", b"SFATAL\0Mno\0\0"),
    "no message": wire.frame("E", b"SFATAL\0C28000\0\0"),
    "nothing": wire.frame("E", b"\0"),
    "no last NUL": wire.frame("E", b"SFATAL\0C28000\0Mno"),
    "empty": wire.frame("E"),
    "1 MB": wire.frame("E", b"SFATAL\0C28000\0M" + b"x" * 2**20 + b"\0\0"),
    "unknown fields": wire.frame("E", b"Zfoo\0YY\0SFATAL\0C28000\0Mno\0\0"),
    "control characters": wire.frame("E", b"SFATAL\0C\x1b[2J\0M\x1b[31m\nforged line\0\0"),
}


def test_c7_odd_errors_during_a_login_are_tolerated(front):
    def within_scram(frame):
        def script(raw):
            scram.Server(PASSWORD).begin(raw)
            raw.send(frame)

        return script

    cases = {f"{name}, at once": says(frame) for name, frame in ODD_ERRORS.items()}
    cases.update((f"{name}, within", within_scram(frame)) for name, frame in ODD_ERRORS.items())
    proxy, _, told = each(front, cases)
    for name, (severity, sqlstate, message) in told.items():
        assert (severity, sqlstate) == ("FATAL", "08006"), name
        assert message in (REFUSED, UNREACHABLE), name
    proxy.log_contains("backend.open_failed")
    assert "\x1b" not in proxy.log_text() and "\nforged" not in proxy.log_text()


def test_c7_odd_errors_pass_through_to_the_client(scripted, new_target):
    errors = list(ODD_ERRORS.values())
    server = scripted(None, lambda raw: raw.send(errors[int(raw.startup[b"database"])]))
    proxy = new_target(server.url(), shards=1)
    for number, frame in enumerate(errors):
        raw = proxy.wire().send(wire.startup(user="app", database=str(number)))
        frames = raw.read_to_end()
        if frame == wire.frame("E"):  # not even the protocol's
            assert wire.first_error(frames)["C"] == "08P01"
        else:
            assert [wire.frame(*one) for one in frames] == [frame]


def test_c8_ours_is_found_anywhere_in_the_offer(front):
    offers = [(scram.MECHANISM, "X-OTHER"), ("X-OTHER", scram.MECHANISM),
              (*(f"X-{number}" for number in range(10)), scram.MECHANISM)]

    def script(raw):
        server = scram.Server(PASSWORD)
        assert server.begin(raw, *offers[int(raw.startup[b"database"])])[0] == scram.MECHANISM
        raw.send(scram.authentication(scram.FINAL, server.finish(raw).encode()),
                 scram.authentication(scram.OK))
        served(raw)

    proxy, _ = front(script)
    for number in range(len(offers)):
        assert Client(proxy, str(number)).enter().rows("SELECT 1") == [["1"]]


def test_c8_an_offer_that_cannot_be_answered_is_refused(front):
    refused_as(front, {
        "empty": (says(scram.offer()), "offers no SASL mechanism"),
        "unknown": (says(scram.offer("X-OTHER")), "X-OTHER"),
        "PLUS without TLS": (says(scram.offer(scram.PLUS, scram.MECHANISM)), "without TLS")})


def test_c8_a_malformed_offer_ends_the_login(front):
    proxy, _, told = each(front, {
        "no list": says(scram.authentication(scram.SASL)),
        "no NUL": says(scram.authentication(scram.SASL, b"SCRAM-SHA-256")),
        "1,000": says(scram.offer(*(f"X-{number}" for number in range(1000)), scram.MECHANISM))})
    assert set(told.values()) == {("FATAL", "08006", UNREACHABLE)}
    for database in ("d0", "d1", "d2"):
        assert "malformed list of SASL mechanisms" in why(proxy, database)


def test_c9_an_offer_stripped_on_the_way_is_told_to_the_server(front, papers):
    """The server binds; somebody in between took PLUS out of its offer. What pgbraid says lets the
    server find that."""
    said = []

    def script(raw):
        said.append(scram.Server(PASSWORD).begin(raw, scram.MECHANISM))
        raw.send(wire.frame("E", b"SFATAL\0C28000\0Mchannel binding was offered\0\0"))

    refused_as(front, {"stripped": (script, "channel binding was offered")}, "sslmode=require",
               secured_by(*papers.server))
    assert said[0][0] == scram.MECHANISM and said[0][1].startswith("y,,")


def test_c9_without_the_offer_nothing_is_said_where_binding_is_required(front, papers):
    refused_as(front, {"stripped": (says(scram.offer(scram.MECHANISM)), "channel_binding=require")},
               "sslmode=require&channel_binding=require", secured_by(*papers.server))


def test_c10_a_server_must_show_that_it_knows_the_password(front):
    def after_the_proof(*frames):
        def script(raw):
            server = scram.Server(PASSWORD)
            server.begin(raw)
            server.finish(raw)
            raw.send(*frames)
            assert raw.read_to_end() == []

        return script

    ok = scram.authentication(scram.OK) + greeting()[9:]
    wrong = scram.authentication(scram.FINAL, b"v=" + scram.b64(b"\0" * 32).encode())
    refused_as(front, {
        "no signature": (after_the_proof(ok), "without having shown that it knows the password"),
        "a wrong one": (after_the_proof(wrong, ok), "signature is wrong"),
        "an empty one": (after_the_proof(scram.authentication(scram.FINAL, b"v="), ok),
                         "signature"),
        "the password in clear": (after_the_proof(scram.authentication(scram.CLEARTEXT)),
                                  "changed the authentication method")})


def test_c10_what_require_auth_forbids_gets_no_answer(front):
    forbidden = "require_auth does not allow"
    refused_as(front, {
        "ok at once": (says(scram.authentication(scram.OK), greeting()[9:]), forbidden),
        "cleartext": (says(scram.authentication(scram.CLEARTEXT)), forbidden),
        "md5": (says(scram.authentication(5, b"salt")), forbidden),
    }, "connect_timeout=1&sslmode=disable&require_auth=scram-sha-256")


def test_c18_a_method_that_pgbraid_lacks_is_named(front):
    certificate = wire.frame(
        "E", b"SFATAL\0C28000\0Mconnection requires a valid client certificate\0\0")
    refused_as(front, {
        "OAUTHBEARER": (says(scram.offer("OAUTHBEARER")), "OAUTHBEARER"),
        "GSS": (says(scram.authentication(7)), "GSS"),
        "SSPI": (says(scram.authentication(9)), "SSPI"),
        "Kerberos": (says(scram.authentication(2)), "Kerberos"),
        "SCM": (says(scram.authentication(6)), "method 6"),
        "unknown": (says(scram.authentication(99)), "method 99"),
        "certificate": (says(certificate), "valid client certificate")})


# -- many clients, one wrong password -------------------------------------------------------------

def test_c14_a_wrong_server_password_is_tried_once_for_a_thousand_clients(front):
    """All of them wait for the one attempt, and hear what came of it: nobody's lock-out."""
    asked, answer = threading.Event(), threading.Event()

    def script(raw):
        raw.send(scram.authentication(scram.CLEARTEXT))
        assert raw.read_frame() == ("p", PASSWORD.encode() + b"\0")
        asked.set()
        answer.wait()
        raw.send(wire.frame("E", b"SFATAL\0C28P01\0Mpassword authentication failed\0\0"))

    proxy, server = front(script, "connect_timeout=60&sslmode=disable")
    clients = [Client(proxy) for _ in range(1000)]
    asked.wait()
    wait_until(lambda: proxy.metric("pgbraid_backend_pool_waiting") == len(clients),
               "all of them to wait")
    answer.set()
    assert {client.refusal() for client in clients} == {("FATAL", "08006", REFUSED)}
    assert server.logins == 1
