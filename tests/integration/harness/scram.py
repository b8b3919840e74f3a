"""SCRAM-SHA-256 by hand, both sides, so that a test can say any of its messages wrongly.

    client = scram.Client("pencil")
    raw.send(scram.initial(client.first()))          # a SASLInitialResponse
    client.challenged(scram.sasl_data(raw))          # AuthenticationSASLContinue
    raw.send(scram.response(client.final()))         # a SASLResponse
"""

import base64
import hashlib
import hmac
import struct

from . import wire

MECHANISM = "SCRAM-SHA-256"
PLUS = "SCRAM-SHA-256-PLUS"
OK, CLEARTEXT, SASL, CONTINUE, FINAL = 0, 3, 10, 11, 12


def authentication(code, data=b""):
    """The server's 'R'."""
    return wire.frame("R", struct.pack("!I", code) + data)


def offer(*mechanisms):
    return authentication(SASL, b"".join(map(wire.cstr, mechanisms)) + b"\0")


def initial(first, mechanism=MECHANISM):
    data = first if isinstance(first, bytes) else first.encode()
    return wire.frame("p", wire.cstr(mechanism) + struct.pack("!i", len(data)) + data)


def response(final):
    return wire.frame("p", final if isinstance(final, bytes) else final.encode())


def request(raw):
    """(code, data) of the next 'R'; what else comes is a failed test."""
    kind, body = raw.read_frame()
    assert kind == "R", (kind, wire.fields_of(body) if kind == "E" else body)
    return struct.unpack_from("!I", body)[0], body[4:]


def b64(data):
    return base64.b64encode(data).decode()


def _hmac(key, text):
    return hmac.digest(key, text.encode(), "sha256")


class Client:
    def __init__(self, password, nonce="clientnonce", gs2="n,,", binding=b""):
        self.password = password if isinstance(password, bytes) else password.encode()
        self.nonce = nonce
        self.gs2 = gs2
        self.binding = binding
        self.server_first = ""

    def first(self):
        return f"{self.gs2}n=,r={self.nonce}"

    def challenged(self, data):
        self.server_first = data.decode()
        return self

    def parts(self):
        """Nonce, channel binding, proof and the server's signature, for a final message."""
        given = dict(part.split("=", 1) for part in self.server_first.split(","))
        channel = b64(self.gs2.encode() + self.binding)
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(given["s"]),
                                     int(given["i"]))
        key = _hmac(salted, "Client Key")
        text = f"n=,r={self.nonce},{self.server_first},c={channel},r={given['r']}"
        signature = _hmac(hashlib.sha256(key).digest(), text)
        proof = bytes(a ^ b for a, b in zip(key, signature))
        return given["r"], channel, b64(proof), b64(_hmac(_hmac(salted, "Server Key"), text))

    def final(self):
        nonce, channel, proof, _ = self.parts()
        return f"c={channel},r={nonce},p={proof}"


class Server:
    """The server's side for `password`: what it says is what a right server would, until a test
    puts something else in its place."""

    def __init__(self, password, iterations=4096):
        self.password = password
        self.iterations = iterations
        self.gs2 = self.first = ""
        self.client = None

    def begin(self, raw, *mechanisms):
        """The offer, and the client's first message to it: (mechanism, text)."""
        raw.send(offer(*(mechanisms or (MECHANISM,))))
        kind, body = raw.read_frame()
        assert kind == "p", kind
        mechanism, rest = body.split(b"\0", 1)
        text = rest[4:].decode()
        self.gs2, bare = ",".join(text.split(",")[:2]) + ",", text.split(",", 2)[2]
        nonce = bare.split("r=")[1]
        self.client = Client(self.password, nonce, self.gs2)
        self.first = f"r={nonce}servernonce,s={b64(b'saltsaltsaltsalt')},i={self.iterations}"
        self.client.challenged(self.first.encode())
        return mechanism.decode(), text

    def finish(self, raw):
        """Sends its first message; the final one's text if the client's proof is right."""
        raw.send(authentication(CONTINUE, self.first.encode()))
        kind, body = raw.read_frame()
        assert kind == "p", kind
        _, _, proof, signature = self.client.parts()
        assert body.decode().endswith(",p=" + proof), body
        return "v=" + signature
