"""A userspace TCP gate with faults, to stand between the proxy and a server (or a client).

Faults are switches that count for every connection of the gate, now and later:
  delay = seconds before each piece is passed on
  slice_bytes = size of the pieces (1: every byte in its own segment)
  rewrite = what a piece from the server becomes: bytes to bytes of the same length
  black_hole() / heal(): reads nothing and passes nothing on, both ways, without closing
  hold_cancels() / release_cancels(): cancel requests come no further than here, all else does
  cut() closes every connection; refuse() closes new ones at once, too; refuse_new() only those
  reset() closes with RST, reset(1) only the oldest one; all have been sent when it returns
"""

import socket
import struct
import threading

from . import processes, wire


class Gate:
    def __init__(self, port, host="127.0.0.1"):
        self.delay = 0.0
        self.slice_bytes = 0
        self.rewrite = None
        self.bytes_up = 0    # client to server
        self.bytes_down = 0  # server to client
        self.seen = None     # a bytearray: what the clients sent is kept
        self.cancels = 0     # cancel requests that came, held or not
        self._upstream = (host, port)
        self._open = threading.Event()
        self._open.set()
        self._cancels_pass = threading.Event()
        self._cancels_pass.set()
        self._refusing = False
        self._ending = threading.Event()
        self._pairs = []
        self._lock = threading.Lock()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.port = processes.free_port()
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def black_hole(self):
        self._open.clear()

    def heal(self):
        self._refusing = False
        self._open.set()

    def hold_cancels(self):
        self._cancels_pass.clear()

    def release_cancels(self):
        self._cancels_pass.set()

    def refuse(self):
        self.refuse_new()
        self.cut()

    def refuse_new(self):
        self._refusing = True

    def cut(self):
        for ends, _ in self._taken():
            for end in ends:
                _quiet(lambda end=end: end.shutdown(socket.SHUT_RDWR))

    def reset(self, count=None):
        pairs = self._taken(count)
        for ends, _ in pairs:
            for end in ends:
                _quiet(lambda end=end: end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                                      struct.pack("ii", 1, 0)))
                # A thread blocked in recv keeps the socket open until it has woken.
                _quiet(lambda end=end: end.shutdown(socket.SHUT_RD))
                _quiet(end.close)
        for _, pumps in pairs:
            for pump in pumps:
                pump.join(10)
                assert not pump.is_alive(), "a gate's thread does not end"

    def connections(self):
        with self._lock:
            return len(self._pairs)

    def close(self):
        self._ending.set()
        _quiet(lambda: self._listener.shutdown(socket.SHUT_RDWR))
        self._listener.close()
        self._open.set()
        self._cancels_pass.set()
        self.cut()

    def _taken(self, count=None):
        with self._lock:
            count = len(self._pairs) if count is None else count
            pairs, self._pairs = self._pairs[:count], self._pairs[count:]
        return pairs

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(self._upstream, timeout=10)
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.settimeout(None)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pumps = [threading.Thread(target=self._pump, args=way, daemon=True)
                     for way in ((client, server, True), (server, client, False))]
            with self._lock:
                self._pairs.append(((client, server), pumps))
                for pump in pumps:
                    pump.start()

    def _pump(self, source, sink, up):
        try:
            while data := source.recv(65536):
                if up and data[4:8] == wire.CANCEL_REQUEST.to_bytes(4, "big") and len(data) < 300:
                    self.cancels += 1
                    self._cancels_pass.wait()
                self._open.wait()
                if self._ending.is_set():
                    return
                self._pass_on(sink, data if up or not self.rewrite else self.rewrite(data))
                if up:
                    self.bytes_up += len(data)
                    if self.seen is not None:
                        self.seen += data
                else:
                    self.bytes_down += len(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            _quiet(lambda: sink.shutdown(socket.SHUT_RDWR))

    def _pass_on(self, sink, data):
        size = self.slice_bytes or len(data)
        for at in range(0, len(data), size):
            if self.delay:
                self._ending.wait(self.delay)
            sink.sendall(data[at:at + size])


def _quiet(action):
    try:
        action()
    except OSError:
        pass
