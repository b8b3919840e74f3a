"""Certificates for tests, made by the openssl program: an authority and what it issues."""

import os
import shutil
import signal

from . import processes


class Authority:
    """A self-signed CA in `folder`, or one below `above`."""

    def __init__(self, folder, name="authority", above=None):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.name = name
        self._above = above
        self.file = self._path(name, "crt")
        if above is None:
            self._openssl("req", "-x509", *self._new_key(name), "-out", self.file, "-subj",
                          f"/CN={name}", "-days", "10")
        else:
            above.sign(self, name, ["basicConstraints=critical,CA:TRUE"], f"/CN={name}")

    def issue(self, name, *alternatives, subject=None, days=10):
        """(certificate, key) files for the subjectAltNames `alternatives`: "DNS:x", "IP:y"."""
        extensions = ["basicConstraints=CA:FALSE"]
        if alternatives:
            extensions.append("subjectAltName=" + ",".join(alternatives))
        certificate, key = self.sign(self, name, extensions, subject or f"/CN={name}", days)
        if self._above is not None:
            with open(certificate, "a") as out, open(self.file) as chain:
                out.write(chain.read())
        return certificate, key

    def sign(self, owner, name, extensions, subject, days=10):
        request, extra = owner._path(name, "csr"), owner._path(name, "ext")
        certificate = owner._path(name, "crt")
        self._openssl("req", "-new", *owner._new_key(name), "-out", request, "-subj", subject)
        with open(extra, "w") as out:
            out.write("\n".join(extensions) + "\n")
        dates = ["-days", str(days)]
        self._openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey",
                      self._path(self.name, "key"), "-CAcreateserial", "-extfile", extra,
                      "-out", certificate, *dates)
        return certificate, owner._path(name, "key")

    def _new_key(self, name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                self._path(name, "key")]

    def _path(self, name, kind):
        return os.path.join(self.folder, f"{name}.{kind}")

    @staticmethod
    def _openssl(*arguments):
        processes.run([shutil.which("openssl"), *arguments])


def switch_on(cluster, certificate, key, client_ca=None):
    """Gives a running PostgreSQL the files and TLS with them."""
    settings = {"ssl": "on"}
    for name, source, setting in (("server.crt", certificate, "ssl_cert_file"),
                                  ("server.key", key, "ssl_key_file"),
                                  ("clients.crt", client_ca, "ssl_ca_file")):
        if source is None:
            continue
        target = os.path.join(cluster.data, name)
        shutil.copy(source, target)
        os.chmod(target, 0o600)
        processes.give_to_postgres(target)
        settings[setting] = f"'{target}'"
    with open(os.path.join(cluster.data, "postgresql.auto.conf"), "a") as conf:
        conf.writelines(f"{name} = {value}\n" for name, value in settings.items())
    cluster.process.send_signal(signal.SIGHUP)
    processes.wait_until(lambda: cluster.value("SHOW ssl") == "on", "PostgreSQL to serve TLS")
    return cluster
