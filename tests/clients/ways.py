"""The ways from a client to a server, and the cells of the matrix that each way can serve.

A Cell says how the client logs in, how the server lets in whoever comes to it, what TLS both legs
use, and the pool mode. A Way is what listens for that cell: the server itself, PgBouncer (which
shows that the test is fair), or pgbraid.
"""

import dataclasses
import os
import shutil
import urllib.parse

from harness import logins, processes, proxy
from harness.bouncer import Bouncer

CLIENT_METHODS = ("trust", "password", "md5", "scram", "scram-plus", "cert")
SERVER_METHODS = ("trust", "password", "md5", "scram", "cert")
TLS_MODES = ("off", "require", "verify-full", "direct")
POOL_MODES = ("session", "transaction")
_HBA_METHOD = {"scram": "scram-sha-256", "scram-plus": "scram-sha-256"}
_NEED_TLS = ("scram-plus", "cert")


@dataclasses.dataclass(frozen=True)
class Cell:
    client: str = "scram"
    server: str = "scram"
    tls: str = "off"
    mode: str = "session"
    pass_through: bool = False  # the client's login is the server's; client == server

    def __str__(self):
        login = f"{self.server}-through" if self.pass_through else f"{self.client}-{self.server}"
        return f"{login}-{self.tls}-{self.mode}"

    def possible(self):
        return self.tls != "off" or not {self.client, self.server} & set(_NEED_TLS)


class Way:
    """One cell, served. Subclasses set `target`, with which the client speaks."""

    direct_tls = True  # whether its address takes TLS without an SSLRequest

    def __init__(self, folder, server, certificates, cell):
        self.folder, self.server, self.certificates, self.cell = (
            str(folder), server, certificates, cell)
        self.target = None

    def close(self):
        if self.target is not None:
            self.target.check_alive()
            self.target.stop()

    def server_user(self):
        """Whom the server takes the client for."""
        return logins.user(self.cell.server)

    def dsn(self, secret=None, pair=None, database="postgres"):
        """libpq's URL for the cell's client; `secret` and `pair` are wrong ones, for refusals."""
        cell = self.cell
        options = {"sslmode": {"off": "disable", "direct": "verify-full"}.get(cell.tls, cell.tls)}
        if cell.tls in ("verify-full", "direct"):
            options["sslrootcert"] = self.certificates.ca
        if cell.tls == "direct":
            options["sslnegotiation"] = "direct"
        if cell.client == "scram-plus":
            options["channel_binding"] = "require"
        if cell.client == "cert":
            own = pair or self.certificates.client(logins.user("cert"))
            self.certificates.pkcs8(own)
            options.update(sslcert=own.cert, sslkey=own.key)
        login = f"{logins.user(cell.client)}:{secret or logins.password(cell.client)}"
        return (f"postgres://{login}@127.0.0.1:{self.target.port}/{database}?"
                + urllib.parse.urlencode(options))

    def wrong_dsn(self):
        """One whose client must not be let in, and why; None where everybody is."""
        if self.cell.client == "trust":
            return None
        if self.cell.client == "cert":
            return self.dsn(pair=self.certificates.client("somebody"))
        return self.dsn(secret="wrong")


class DirectWay(Way):
    """The server itself: client and server are one leg."""

    def __init__(self, folder, server, certificates, cell):
        super().__init__(folder, server, certificates, cell)
        self.target = proxy.Direct(server)

    def server_user(self):
        return logins.user(self.cell.client)


class _Pooler(Way):
    """What PgBouncer and pgbraid are given for a cell."""

    def users_file(self):
        path = self.server.logins.users_file(os.path.join(self.folder, "users.txt"))
        return self._readable(path)

    def hba_file(self):
        path = os.path.join(self.folder, "hba.conf")
        kind = "host" if self.cell.tls == "off" else "hostssl"
        method = _HBA_METHOD.get(self.cell.client, self.cell.client)
        with open(path, "w") as hba:
            hba.write(f"{kind} all {logins.user(self.cell.client)} 127.0.0.1/32 {method}\n")
        return self._readable(path)

    def tls_files(self, pair):
        """Copies that whoever runs the pooler may read."""
        return [self.copied(pair.cert), self.copied(pair.key)]

    def copied(self, path):
        copy = os.path.join(self.folder, os.path.basename(path))
        shutil.copyfile(path, copy)
        os.chmod(copy, 0o600)
        return self._readable(copy)

    def _readable(self, path):
        return path


class BouncerWay(_Pooler):
    direct_tls = False  # not before 1.25, and Debian's is 1.18

    def __init__(self, folder, server, certificates, cell, pool_size=8):
        super().__init__(folder, server, certificates, cell)
        os.makedirs(self.folder, exist_ok=True)
        processes.give_to_postgres(self.folder)
        settings = {"pool_mode": cell.mode, "auth_type": "hba", "auth_hba_file": self.hba_file(),
                    "default_pool_size": pool_size}
        if cell.tls != "off":
            cert, key = self.tls_files(certificates.pair("server"))
            settings.update(client_tls_sslmode="require", client_tls_cert_file=cert,
                            client_tls_key_file=key, server_tls_sslmode=cell.tls,
                            server_tls_ca_file=self.copied(certificates.ca))
            if cell.client == "cert":
                settings.update(client_tls_sslmode="verify-full",
                                client_tls_ca_file=settings["server_tls_ca_file"])
            if cell.server == "cert":
                cert, key = self.tls_files(certificates.client(logins.user("cert")))
                settings.update(server_tls_cert_file=cert, server_tls_key_file=key)
        login = f"user={logins.user(cell.server)} password={logins.password(cell.server)}"
        self.target = Bouncer(self.folder, server, settings, self.users_file(), login).start()

    def _readable(self, path):
        processes.give_to_postgres(path)
        return path


class PgbraidWay(_Pooler):
    def __init__(self, folder, server, certificates, cell, pool_size=8, io="io_uring"):
        super().__init__(folder, server, certificates, cell)
        os.makedirs(self.folder, exist_ok=True)
        flags = []
        options = {}
        if cell.tls != "off":
            own = certificates.pair("server")
            flags += ["--enable-tls", "--tls-cert", own.cert, "--tls-key", own.key,
                      "--tls-ca", certificates.ca, "--tls-required"]
            options = {"sslmode": "verify-full" if cell.tls == "direct" else cell.tls,
                       "sslrootcert": certificates.ca}
            if cell.tls == "direct":
                options["sslnegotiation"] = "direct"
        if cell.server == "cert":
            own = certificates.client(logins.user("cert"))
            options.update(sslcert=own.cert, sslkey=own.key)
        login = ""
        if not cell.pass_through:
            login = f"{logins.user(cell.server)}:{logins.password(cell.server)}@"
            flags += ["--users-file", self.users_file(), "--hba-file", self.hba_file()]
        if cell.mode != "session":
            flags += ["--pool-mode", cell.mode, "--max-conns", str(pool_size)]
        url = f"postgres://{login}127.0.0.1:{server.port}/postgres"
        if options:
            url += "?" + urllib.parse.urlencode(options)
        self.target = proxy.Proxy(self.folder, url, io, flags)
        self.target.start()


WAYS = {"direct": DirectWay, "pgbouncer": BouncerWay, "pgbraid": PgbraidWay}


def cells():
    """Every possible cell in which client and server are two legs."""
    return [cell for client in CLIENT_METHODS for server in SERVER_METHODS for tls in TLS_MODES
            for mode in POOL_MODES if (cell := Cell(client, server, tls, mode)).possible()]


def served(way):
    """The cells that a way takes part in."""
    if way == "direct":
        return [cell for client in CLIENT_METHODS for tls in TLS_MODES
                if (cell := Cell(client, "scram", tls)).possible()]
    if way == "pgbouncer":
        return [cell for cell in cells() if cell.tls != "direct" and cell.client != "scram-plus"]
    through = [Cell(method, method, pass_through=True)
               for method in ("trust", "password", "md5", "scram")]
    # A password in the clear is asked for over TLS only.
    return [cell for cell in through + cells()
            if not (cell.client == "password" and cell.tls == "off" and not cell.pass_through)]
