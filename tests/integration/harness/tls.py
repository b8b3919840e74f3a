"""What the tests of TLS share: certificates, URLs, and what a refusal looks like."""

import psycopg2
import pytest

from . import certificates, proxy, wire

MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
IN_USE = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


class Papers:
    """An authority and what it has issued, as the tests need it."""

    def __init__(self, folder):
        self.authority = certificates.Authority(folder / "ca")
        self.stranger = certificates.Authority(folder / "stranger", "stranger")
        self.proxy = self.authority.issue("proxy", "DNS:localhost", "IP:127.0.0.1")
        self.server = self.authority.issue("server", "DNS:db.example", "IP:127.0.0.1")
        self.alice = self.authority.issue("alice")
        self.mallory = self.stranger.issue("alice")

    @property
    def flags(self):
        return ["--enable-tls", "--tls-cert", self.proxy[0], "--tls-key", self.proxy[1]]


def url(server, mode, **options):
    text = f"{server.url()}?sslmode={mode}"
    return text + "".join(f"&{name}={value}" for name, value in options.items())


def verified(server, papers, mode, **options):
    return url(server, mode, sslrootcert=papers.authority.file, **options)


def refusal(target, **more):
    with pytest.raises(psycopg2.OperationalError) as error:
        target.connect(**more).close()
    return str(error.value)


def refused_at_start(folder, io, text, *flags):
    with pytest.raises(AssertionError) as error:
        proxy.Proxy(folder, text, io, flags).start()
    return str(error.value)


def no_connection(target):
    raw = target.wire().send(wire.startup(user="postgres", database="postgres"))
    error = raw.expect_closed()
    assert error["C"] == "08006", error
    assert error["M"] == "could not connect to the server behind pgbraid"
