"""A relay between postern and a real LMTP server: it keeps what crosses it, and can act at each step of the protocol.

So a server that nobody here wrote can be cut off or killed at any point of a transaction.
"""

import os
import socket
import threading

from .dialogue import connect
from .wait import LIMIT

# The steps at which `hook` is called, before the octets concerned go on. From the client: LHLO, MAIL, RCPT, DATA, RSET,
# QUIT, "body" (the first octets after 354), "dot" (the end of the message). From the server: "greeting", "354",
# "reply" (the first final reply), "next reply" (each one after it).


class Cut(Exception):
    """Raised by a hook: both connections end here, nothing of this step goes on."""


class _Pair:
    """One relayed connection."""

    def __init__(self, tap, client, server):
        self.tap, self.client, self.server = tap, client, server
        self._in_body = threading.Event()
        self._finals = None  # final replies seen since the dot, or None

    def run(self):
        threads = [threading.Thread(target=self._guarded, args=(side,), daemon=True)
                   for side in (self._from_client, self._from_server)]
        for thread in threads:
            thread.start()

    def _guarded(self, side):
        try:
            side()
        except (Cut, OSError):
            pass
        self.close()

    def close(self):
        for end in (self.client, self.server):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _lines(self, source):
        """Chunks of octets, each one line with its end, or a part of a longer one."""
        buffer = b""
        while True:
            got = source.recv(65536)
            if not got:
                return
            buffer += got
            while b"\n" in buffer:
                line, buffer = buffer.split(b"\n", 1)
                yield line + b"\n"

    def _from_client(self):
        message = None
        for line in self._lines(self.client):
            if self._in_body.is_set():
                if message is None:
                    message = []
                    self.tap.hook("body", self)
                message.append(line)
                if line == b".\r\n":
                    self.tap.hook("dot", self)
                    self.tap.messages.append(b"".join(message))
                    message = None
                    self._in_body.clear()
                    self._finals = 0
            else:
                self._finals = None
                self.tap.commands.append(line.decode("utf-8", "surrogateescape").rstrip("\r\n"))
                self.tap.hook(line.split()[0].decode("utf-8", "replace").upper() if line.split() else "", self)
            self.server.sendall(line)

    def _from_server(self):
        first = True
        for line in self._lines(self.server):
            if first:
                self.tap.hook("greeting", self)
                first = False
            elif line.startswith(b"354"):
                self.tap.hook("354", self)
                self._in_body.set()
            elif self._finals is not None and line[3:4] == b" ":
                self._finals += 1
                self.tap.hook("reply" if self._finals == 1 else "next reply", self)
            self.client.sendall(line)


class Tap:
    """Listens on a unix socket and relays each connection to `server` (a unix socket's path or (host, port))."""

    def __init__(self, path, server, hook=None):
        self.target = f"unix:{path}"
        self.hook = hook or (lambda _step, _pair: None)
        self.commands = []  # command lines of the client
        self.messages = []  # what followed each 354, up to and with the dot line
        self._path, self._server = path, server
        self._pairs = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        os.chmod(path, 0o666)
        self._listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.settimeout(LIMIT)
            try:
                server = connect(self._server)
            except OSError:
                client.close()
                continue
            pair = _Pair(self, client, server)
            self._pairs.append(pair)
            pair.run()

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for pair in self._pairs:
            pair.close()
        os.unlink(self._path)


def cut_at(step, *, times=1, action=None):
    """A hook that ends the connection at `step` the first `times` times, after `action()` if there is one."""
    left = [times]
    lock = threading.Lock()

    def hook(here, _pair):
        with lock:
            if here != step or left[0] == 0:
                return
            left[0] -= 1
        if action:
            action()
        raise Cut
    hook.fired = lambda: left[0] < times
    return hook
