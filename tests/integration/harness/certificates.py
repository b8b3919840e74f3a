"""Certificates for tests, made by the openssl program: an authority and what it issues.

`Authority` issues what a test describes; `Collection` has a right one and one of each wrong kind by
name. All files stay in the folder given; keys belong to whoever runs the tests.
"""

import dataclasses
import os
import shutil

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

    def issue(self, name, *alternatives, subject=None, days=10, algorithm="ec"):
        """(certificate, key) files for the subjectAltNames `alternatives`: "DNS:x", "IP:y".

        A negative number of `days` makes one that has expired. `algorithm` is ec or ed25519.
        """
        extensions = ["basicConstraints=CA:FALSE"]
        if alternatives:
            extensions.append("subjectAltName=" + ",".join(alternatives))
        certificate, key = self.sign(self, name, extensions, subject or f"/CN={name}", days,
                                     algorithm)
        if self._above is not None:
            with open(certificate, "a") as out, open(self.file) as chain:
                out.write(chain.read())
        return certificate, key

    def sign(self, owner, name, extensions, subject, days=10, algorithm="ec"):
        request, extra = owner._path(name, "csr"), owner._path(name, "ext")
        certificate = owner._path(name, "crt")
        self._openssl("req", "-new", *owner._new_key(name, algorithm), "-out", request, "-subj",
                      subject)
        with open(extra, "w") as out:
            out.write("\n".join(extensions) + "\n")
        dates = ["-days", str(days)]
        self._openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey",
                      self._path(self.name, "key"), "-CAcreateserial", "-extfile", extra,
                      "-out", certificate, *dates)
        return certificate, owner._path(name, "key")

    def _new_key(self, name, algorithm="ec"):
        curve = ["-pkeyopt", "ec_paramgen_curve:P-256"] if algorithm == "ec" else []
        return ["-newkey", algorithm, *curve, "-nodes", "-keyout", self._path(name, "key")]

    def _path(self, name, kind):
        return os.path.join(self.folder, f"{name}.{kind}")

    @staticmethod
    def _openssl(*arguments):
        processes.run([shutil.which("openssl"), *arguments])


# kind: (subject's CN, subjectAltNames, who issues it, days)
_ADDRESS = "IP:127.0.0.1"
KINDS = {
    "server": ("localhost", ["DNS:localhost", "DNS:db.example.test", _ADDRESS], "ca", 10),
    "other name": ("localhost", ["DNS:elsewhere.example.test"], "ca", 10),
    "name only": ("localhost", ["DNS:localhost"], "ca", 10),
    "address only": ("elsewhere", [_ADDRESS], "ca", 10),
    "address as name": ("elsewhere", ["DNS:127.0.0.1"], "ca", 10),
    "common name only": ("localhost", [], "ca", 10),
    "wildcard": ("wildcard", ["DNS:*.example.test"], "ca", 10),
    "wrong ca": ("localhost", ["DNS:localhost", _ADDRESS], "other ca", 10),
    "self-signed": ("localhost", [], None, 10),
    "expired": ("localhost", ["DNS:localhost", _ADDRESS], "ca", -1),
    "below intermediate": ("localhost", ["DNS:localhost", _ADDRESS], "intermediate", 10),
    # Its signature names no hash, so that SCRAM's channel binding has none to take (RFC 5929, 4.1).
    "ed25519": ("localhost", ["DNS:localhost", _ADDRESS], "ca", 10),
}


@dataclasses.dataclass(frozen=True)
class Pair:
    """A certificate (with what stands between it and the CA behind it) and its key, in PEM."""
    cert: str
    key: str


class Collection:
    """Certificates by kind, made when first asked for. `ca` is whom to trust, `other_ca` whom not.

    Names below example.test never resolve: they are checked, not dialled.
    """

    def __init__(self, folder):
        self._folder = str(folder)
        root = Authority(os.path.join(self._folder, "ca"), "ca")
        self._authorities = {
            "ca": root, "other ca": Authority(os.path.join(self._folder, "other"), "other"),
            "intermediate": Authority(os.path.join(self._folder, "below"), "below", root)}
        self.ca = root.file
        self.other_ca = self._authorities["other ca"].file
        self._made = {}

    def pair(self, kind):
        """A server's: one of KINDS."""
        name, alternatives, issuer, days = KINDS[kind]
        return self._issue(kind, name, alternatives, issuer, days)

    def client(self, name, issuer="ca", days=10):
        """A client's, with CN `name`; issuer: ca, other ca, intermediate, or None: self-signed."""
        return self._issue(f"client {name} {issuer} {days}", name, [], issuer, days)

    def pkcs8(self, pair):
        """The key as JDBC wants it: PKCS#8 in DER."""
        path = pair.key + ".pk8"
        if not os.path.exists(path):
            processes.run(["openssl", "pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in",
                           pair.key, "-out", path])
            os.chmod(path, 0o600)
        return path

    def _issue(self, label, name, alternatives, issuer, days):
        if label in self._made:
            return self._made[label]
        file = "".join(c if c.isalnum() else "_" for c in label)
        if issuer is None:
            alone = Authority(os.path.join(self._folder, file), name)
            pair = Pair(alone.file, os.path.join(alone.folder, f"{name}.key"))
        else:
            pair = Pair(*self._authorities[issuer].issue(
                file, *alternatives, subject=f"/CN={name}", days=days,
                algorithm="ed25519" if label == "ed25519" else "ec"))
        self._made[label] = pair
        return pair


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
    cluster.set(settings)
    processes.wait_until(lambda: cluster.value("SHOW ssl") == "on", "PostgreSQL to serve TLS")
    return cluster
