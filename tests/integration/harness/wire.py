"""A raw PostgreSQL client over a socket: frames in, frames out, every wait with a deadline.

Nothing is validated on the way out, so a test can send whatever it likes.
"""

import socket
import ssl
import struct
import time

from . import processes

SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104
CANCEL_REQUEST = 80877102
V3_0 = 0x00030000


class Closed(Exception):
    """The peer closed (or reset) where a frame was wanted."""


def frame(kind, body=b""):
    """One message: type byte, length, body."""
    return kind.encode("latin-1") + struct.pack("!I", len(body) + 4) + body


def cstr(text):
    return (text if isinstance(text, bytes) else text.encode()) + b"\0"


def startup(version=V3_0, **params):
    """A StartupMessage."""
    body = struct.pack("!I", version)
    for key, value in params.items():
        body += cstr(key) + cstr(value)
    return struct.pack("!I", len(body) + 5) + body + b"\0"


def request_code(code):
    return struct.pack("!II", 8, code)


def cancel_request(pid, secret):
    secret = secret if isinstance(secret, bytes) else struct.pack("!I", secret)
    return struct.pack("!III", 12 + len(secret), CANCEL_REQUEST, pid) + secret


def query(sql):
    return frame("Q", cstr(sql))


def parse(sql, name="", oids=()):
    return frame("P", cstr(name) + cstr(sql) + struct.pack(f"!H{len(oids)}I", len(oids), *oids))


def bind(values=(), portal="", name="", formats=(), results=()):
    """`values`: bytes, str or None (NULL)."""
    body = cstr(portal) + cstr(name) + struct.pack(f"!H{len(formats)}H", len(formats), *formats)
    body += struct.pack("!H", len(values))
    for value in values:
        if value is None:
            body += struct.pack("!i", -1)
        else:
            data = value.encode() if isinstance(value, str) else value
            body += struct.pack("!i", len(data)) + data
    return frame("B", body + struct.pack(f"!H{len(results)}H", len(results), *results))


def describe(what="P", name=""):
    return frame("D", what.encode() + cstr(name))


def execute(portal="", rows=0):
    return frame("E", cstr(portal) + struct.pack("!I", rows))


def close(what="S", name=""):
    return frame("C", what.encode() + cstr(name))


def function_call(oid, arguments=(), formats=(1,), result=1):
    body = struct.pack(f"!IH{len(formats)}H", oid, len(formats), *formats)
    body += struct.pack("!H", len(arguments))
    for data in arguments:
        body += struct.pack("!i", -1) if data is None else struct.pack("!i", len(data)) + data
    return frame("F", body + struct.pack("!H", result))


SYNC = frame("S")
FLUSH = frame("H")
COPY_DONE = frame("c")
TERMINATE = frame("X")


def copy_data(data):
    return frame("d", data)


def copy_fail(why="no"):
    return frame("f", cstr(why))


def one_shot(sql, values=(), **more):
    """Parse, Bind, Describe, Execute of the unnamed statement; no Sync."""
    return parse(sql) + bind(values, **more) + describe() + execute()


def fields_of(body):
    """ErrorResponse or NoticeResponse: {'S': 'ERROR', 'C': '42601', ...}."""
    parts = body.rstrip(b"\0").split(b"\0")
    return {part[:1].decode("latin-1"): part[1:].decode("utf-8", "replace")
            for part in parts if part}


def columns_of(body):
    """DataRow: a list of bytes and None."""
    count, at, values = struct.unpack_from("!H", body)[0], 2, []
    for _ in range(count):
        size = struct.unpack_from("!i", body, at)[0]
        at += 4
        values.append(None if size < 0 else body[at:at + size])
        at += max(size, 0)
    return values


def tls_context(ca=None, pair=None, direct=False):
    """A client's ssl context: checks chain and name if `ca` is given; `pair` is its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = ca is not None
    context.verify_mode = ssl.CERT_REQUIRED if ca else ssl.CERT_NONE
    if ca:
        context.load_verify_locations(ca)
    if pair:
        context.load_cert_chain(pair.cert, pair.key)
    if direct:
        context.set_alpn_protocols(["postgresql"])
    return context


class Wire:
    """One connection. Also serves as the server's side of one (harness.server)."""

    def __init__(self, host, port, deadline=None, connected=None):
        self.deadline = deadline or processes.DEADLINE
        self.socket = connected or socket.create_connection((host, port), timeout=self.deadline)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pid = 0
        self.secret = b""
        self.parameters = {}
        self._buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shut()

    def send(self, *pieces):
        self.socket.settimeout(self.deadline)
        self.socket.sendall(b"".join(pieces))
        return self

    def send_byte_by_byte(self, data):
        for at in range(len(data)):
            self.send(data[at:at + 1])
        return self

    def read(self, size):
        """Exactly `size` bytes, or Closed; a silent peer is a failed test, not a hang."""
        end = time.monotonic() + self.deadline
        while len(self._buffer) < size:
            left = end - time.monotonic()
            if left <= 0:
                raise AssertionError(f"no answer within {self.deadline} s; "
                                     f"{len(self._buffer)} of {size} bytes came")
            self.socket.settimeout(left)
            try:
                got = self.socket.recv(max(65536, min(size - len(self._buffer), 1 << 20)))
            except socket.timeout:
                continue
            except ConnectionError as reset:
                raise Closed(str(reset)) from reset
            if not got:
                raise Closed(f"closed after {bytes(self._buffer[:64])!r}")
            self._buffer += got
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def read_frame(self):
        """(type, body)"""
        head = self.read(5)
        return chr(head[0]), self.read(struct.unpack("!I", head[1:])[0] - 4)

    def read_until(self, *kinds):
        """Frames up to and with the first of one of `kinds`."""
        frames = []
        while True:
            frames.append(self.read_frame())
            if frames[-1][0] in kinds:
                return frames

    def read_turn(self):
        """Frames up to ReadyForQuery."""
        return self.read_until("Z")

    def read_to_end(self):
        """Frames until the peer closes."""
        frames = []
        try:
            while True:
                frames.append(self.read_frame())
        except Closed:
            return frames

    def expect_closed(self):
        """Reads to the end; the ErrorResponse fields that came before it, or {}."""
        errors = [fields_of(body) for kind, body in self.read_to_end() if kind == "E"]
        return errors[-1] if errors else {}

    def expect_end_of_stream(self):
        """For what precedes the protocol: whatever comes, it must end; the bytes are returned."""
        self.socket.settimeout(self.deadline)
        data = bytearray(self._buffer)
        try:
            while got := self.socket.recv(65536):
                data += got
        except ConnectionError:
            pass
        return bytes(data)

    def login(self, version=V3_0, **params):
        """Start-up with trust authentication, up to the first ReadyForQuery."""
        self.send(startup(version, **params))
        return self.finish_login()

    def finish_login(self):
        while True:
            kind, body = self.read_frame()
            if kind == "E":
                raise AssertionError(f"login refused: {fields_of(body)}")
            if kind == "S":
                key, value = body[:-1].split(b"\0", 1)
                self.parameters[key.decode()] = value.decode()
            if kind == "K":
                self.pid = struct.unpack_from("!I", body)[0]
                self.secret = body[4:]
            if kind == "Z":
                return self

    def ask(self, sql):
        """Simple Query: the frames of its turn."""
        return self.send(query(sql)).read_turn()

    def rows(self, sql):
        """Simple Query that must succeed: its DataRows as lists of text."""
        turn = self.ask(sql)
        errors = [fields_of(body) for kind, body in turn if kind == "E"]
        assert not errors, f"{sql}: {errors}"
        return [[None if v is None else v.decode() for v in columns_of(body)]
                for kind, body in turn if kind == "D"]

    def start_tls(self, context=None, name=None, ask=True):
        """SSLRequest (unless TLS comes directly) and the handshake."""
        if ask:
            self.send(request_code(SSL_REQUEST))
            answer = self.read(1)
            if answer != b"S":
                raise Closed(f"SSLRequest was answered with {answer!r}")
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self.socket.settimeout(self.deadline)
        self.socket = context.wrap_socket(self.socket, server_hostname=name,
                                          suppress_ragged_eofs=False)
        return self

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        """Closes with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def shut(self):
        self.socket.close()


def kinds(frames):
    """The types of a turn as one string: 'TDCZ'."""
    return "".join(kind for kind, _ in frames)


def first_error(frames):
    """Fields of the first ErrorResponse, or {}."""
    return next((fields_of(body) for kind, body in frames if kind == "E"), {})


def status(frames):
    """Transaction status of the turn's ReadyForQuery."""
    return frames[-1][1].decode()
