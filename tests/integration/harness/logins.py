"""One role per way to log in, with its secret stored the way that method needs.

    logins = Logins(server)      makes the roles on a running server
    server.hba(Logins.hba())     each role may log in by its method only, from 127.0.0.1

A role is named as its method; `scram` serves SCRAM with and without channel binding. `cert` has a
password too, so that a test can show that it is of no use. Passwords are words of a URL.
"""

import os

METHODS = ("trust", "password", "md5", "scram", "cert")
_HBA_METHOD = {"scram": "scram-sha-256"}
_STORED_AS = {"md5": "md5"}


def user(method):
    """`method`, or scram-plus for SCRAM with channel binding."""
    return "u_" + ("scram" if method == "scram-plus" else method)


def password(method):
    return "secret-of-" + user(method)


class Logins:
    def __init__(self, server):
        self._server = server
        for method in METHODS:
            stored = _STORED_AS.get(method, "scram-sha-256")
            server.sql(f"SET password_encryption = '{stored}'; CREATE ROLE {user(method)} LOGIN "
                       f"PASSWORD '{password(method)}'")

    @staticmethod
    def hba(connection="host"):
        """pg_hba lines; `connection` is host, hostssl or hostnossl. `cert` is always hostssl."""
        for method in METHODS:
            kind = "hostssl" if method == "cert" else connection
            yield (f"{kind} all {user(method)} 127.0.0.1/32 "
                   f"{_HBA_METHOD.get(method, method)}")

    def stored(self, method):
        """The secret as the server keeps it: a SCRAM verifier, or md5 and a hash."""
        return self._server.value("SELECT rolpassword FROM pg_authid WHERE rolname = %s",
                                  args=(user(method),))

    def users_file(self, path, as_stored=False):
        """A users file in PgBouncer's format: plain passwords, or what the server keeps."""
        # Whoever reads it could log in as anybody: pgbraid wants it private.
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as users:
            for method in METHODS:
                secret = self.stored(method) if as_stored else password(method)
                users.write(f'"{user(method)}" "{secret}"\n')
        return str(path)
