"""A scripted server: speaks PostgreSQL's backend protocol exactly as wrongly as a test wants.

`script(wire)` runs in a thread for each connection that finished its StartupMessage (whose
parameters are `wire.startup`); what it raises is kept and raised again by close(), except for the
peer's closing.
"""

import socket
import ssl
import struct
import threading

from . import processes, wire


def parameter(name, value):
    return wire.frame("S", wire.cstr(name) + wire.cstr(value))


def ready(status=b"I"):
    return wire.frame("Z", status)


def complete(tag):
    return wire.frame("C", wire.cstr(tag))


def row(*values):
    body = struct.pack("!H", len(values))
    for value in values:
        body += struct.pack("!i", len(value)) + value
    return wire.frame("D", body)


def row_description(*names, count=None):
    body = struct.pack("!H", len(names) if count is None else count)
    for name in names:
        body += wire.cstr(name) + struct.pack("!IHIhih", 0, 0, 25, -1, -1, 0)
    return wire.frame("T", body)


def select_one():
    """The whole, right answer to SELECT 1."""
    return row_description("one") + row(b"1") + complete("SELECT 1") + ready()


def greeting(pid=4242, secret=b"\x01\x02\x03\x04"):
    return (wire.frame("R", struct.pack("!I", 0)) + parameter("server_version", "15.0")
            + parameter("client_encoding", "UTF8") + parameter("server_encoding", "UTF8")
            + parameter("standard_conforming_strings", "on")
            + wire.frame("K", struct.pack("!I", pid) + secret) + ready())


def secured_by(certificate, key):
    """For ScriptedServer's `on_ssl`: says yes, and shakes hands."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def secure(connection):
        connection.send(b"S")
        connection.socket = context.wrap_socket(connection.socket, server_side=True,
                                                suppress_ragged_eofs=False)
        return True

    return secure


class ScriptedServer:
    """`on_ssl(wire)` answers an SSLRequest; False: the start-up does not go on. Without it: N.

    A cancel request is kept (pid and secret) in `cancel_keys`, and its connection is closed when
    `cancels_end` is set, which it is at first.
    """

    def __init__(self, script, on_ssl=None):
        self._on_ssl = on_ssl or (lambda connection: connection.send(b"N"))
        self.logins = 0
        self.cancels = 0
        self.cancel_keys = []
        self.cancels_end = threading.Event()
        self.cancels_end.set()
        self._script = script
        self._faults = []
        self._open = []
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.port = processes.free_port()
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self):
        return f"postgres://127.0.0.1:{self.port}"

    def close(self):
        self._listener.close()
        self.cancels_end.set()
        for connection in self._open:
            connection.shut()
        if self._faults:
            raise self._faults[0]

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            connection = wire.Wire("", 0, connected=client)
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            if self._read_startup(connection):
                self.logins += 1
                self._script(connection)
        except (wire.Closed, OSError):
            pass
        except Exception as fault:  # noqa: BLE001 - handed to the test by close()
            self._faults.append(fault)
        finally:
            connection.shut()

    def _read_startup(self, connection):
        while True:
            size, code = struct.unpack("!II", connection.read(8))
            if code == wire.GSSENC_REQUEST:
                connection.send(b"N")
                continue
            if code == wire.SSL_REQUEST:
                if not self._on_ssl(connection):
                    return False
                continue
            rest = connection.read(size - 8)
            if code == wire.CANCEL_REQUEST:
                self.cancels += 1
                self.cancel_keys.append((int.from_bytes(rest[:4], "big"), rest[4:]))
                self.cancels_end.wait()
            else:
                words = rest.split(b"\0")
                connection.startup = dict(zip(words[::2], words[1::2]))
            return code != wire.CANCEL_REQUEST


def answer_correctly(connection):
    """A well-behaved server without passwords."""
    connection.send(greeting())
    answer_selects(connection)


def answer_selects(connection):
    """To a client that is in: every Query is answered as SELECT 1."""
    while True:
        kind, _ = connection.read_frame()
        if kind == "X":
            return
        if kind == "Q":
            connection.send(select_one())
