"""An LMTP or SMTP backend that misbehaves where a test says so, and remembers what it took.

A script decides at each step of each connection what happens instead of the usual; see `at()`.
"""

import dataclasses
import enum
import os
import socket
import struct
import threading
import time

from .wait import LIMIT


class Step(enum.Enum):
    """Where a backend can be in a transaction. The step begins when the line that names it has arrived."""

    GREETING = "greeting"
    LHLO = "LHLO"            # or EHLO
    STARTTLS = "STARTTLS"
    XCLIENT = "XCLIENT"      # or XFORWARD
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BDAT = "BDAT"            # a chunk is there
    BODY = "body"            # the first octets of the message are there
    AFTER_DOT = "after dot"  # the message is there, no reply was given
    NEXT_REPLY = "between replies"  # at least one of several final replies was given
    RSET = "RSET"
    QUIT = "QUIT"
    NOOP = "NOOP"


class _End(Exception):
    """The connection is over."""


def close(connection):
    """Ends the connection in order."""
    raise _End


def reset(connection):
    """Ends the connection as a killed host does it: RST over TCP."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise _End


def garble(connection):
    """Says what is no reply, and goes on listening."""
    connection.say(b"\x00\xff!? what\r\n")
    connection.drain()
    raise _End


def endless(connection):
    """Sends a reply without an end."""
    try:
        while True:
            connection.say(b"250-" + b"x" * 1000 + b"\r\n")
    except OSError:
        raise _End from None


def silent(connection):
    """Says nothing any more, and keeps the connection open until the other side gives up."""
    connection.drain()
    raise _End


def say(line):
    """An action that answers with `line` in place of the usual reply."""
    def action(connection):
        connection.say(line.encode() + b"\r\n")
        return True
    return action


def shut(line):
    """An action that says `line` and closes."""
    def action(connection):
        connection.say(line.encode() + b"\r\n")
        raise _End
    return action


def at(step, action, *, times=None):
    """A script: at `step` do `action`, the first `times` times (None: always)."""
    left = [times]

    def script(_connection, here):
        if here is not step or left[0] == 0:
            return None
        if left[0] is not None:
            left[0] -= 1
        return action
    return script


@dataclasses.dataclass
class Delivery:
    """One message that came whole. `replies` says for each accepted recipient what was sent back, if anything."""

    sender: str
    recipients: list
    wire: bytes
    replies: dict = dataclasses.field(default_factory=dict)
    at: float = dataclasses.field(default_factory=time.time)
    mail: str = ""             # the MAIL command
    rcpt: list = dataclasses.field(default_factory=list)  # the RCPT commands that were accepted
    client: str = ""           # what the last XCLIENT or XFORWARD said
    chunked: bool = False      # it came by BDAT, and `wire` is not stuffed

    @property
    def message(self):
        from .dialogue import unstuffed
        return self.wire if self.chunked else unstuffed(self.wire)

    @property
    def taken(self):
        return [recipient for recipient, reply in self.replies.items() if reply.startswith("2")]


def _path(line):
    return line[line.index("<") + 1:line.rindex(">")]


class _Connection:
    """One client, served in a thread of its own."""

    def __init__(self, server, accepted):
        self.server = server
        self.socket = accepted
        self.socket.settimeout(LIMIT)
        self._buffer = b""
        self._secured = False
        self._client = ""

    def say(self, octets):
        self.socket.sendall(octets)

    def drain(self):
        """Reads and forgets until the client is gone."""
        try:
            while self.socket.recv(65536):
                pass
        except OSError:
            pass

    def _more(self):
        got = self.socket.recv(65536)
        if not got:
            raise _End
        self._buffer += got

    def _line(self):
        while b"\r\n" not in self._buffer:
            self._more()
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line.decode("utf-8", "surrogateescape")

    def _octets(self, count):
        while len(self._buffer) < count:
            self._more()
        octets, self._buffer = self._buffer[:count], self._buffer[count:]
        return octets

    def start_tls(self):
        """The server's side of a handshake; what the client showed is in `client_certificates`."""
        self.socket = self.server.tls.wrap_socket(self.socket, server_side=True)
        self._secured = True
        self.server.client_certificates.append(self.socket.getpeercert())

    def _body(self):
        """The octets of a DATA until its end, dot line included."""
        while not self._buffer:
            self._more()
        self._do(Step.BODY)
        wire = bytearray(self._buffer)
        searched = 0
        while True:
            end = 3 if wire.startswith(b".\r\n") else wire.find(b"\r\n.\r\n", searched) + 5
            if end > 4 or end == 3:
                # Some clients send QUIT without waiting for the answer to the dot.
                self._buffer = bytes(wire[end:])
                return bytes(wire[:end])
            searched = max(0, len(wire) - 4)
            got = self.socket.recv(65536)
            if not got:
                raise _End
            wire += got

    def _do(self, step):
        """Lets the script act; true when it has answered in our place."""
        action = self.server.script(self, step)
        return bool(action and action(self))

    def serve(self):
        try:
            if self.server.implicit_tls:
                self.start_tls()
            if not self._do(Step.GREETING):
                self.say(b"220 scripted.example.test ready\r\n")
            self._commands()
        except (_End, OSError):
            pass
        finally:
            self.socket.close()

    def _commands(self):
        sender, recipients = None, []
        mail, rcpt, chunks = "", [], b""
        while True:
            line = self._line()
            self.server.commands.append(line)
            verb = line.split(" ", 1)[0].upper()
            if verb == ("LHLO" if self.server.dialect == "lmtp" else "EHLO"):
                sender, recipients = None, []
                if not self._do(Step.LHLO):
                    keywords = ["scripted.example.test", *self.server.extensions]
                    if self._secured:
                        keywords = [word for word in keywords if word != "STARTTLS"]
                    self.say("".join(f"250-{word}\r\n" for word in keywords[:-1]).encode() +
                             f"250 {keywords[-1]}\r\n".encode())
            elif verb == "STARTTLS":
                if not self._do(Step.STARTTLS):
                    self.say(b"220 2.0.0 go on\r\n")
                    self.start_tls()
            elif verb in ("XCLIENT", "XFORWARD"):
                self._client = line
                if not self._do(Step.XCLIENT):
                    self.say(b"220 scripted.example.test ready\r\n" if verb == "XCLIENT" else b"250 2.0.0 ok\r\n")
            elif verb == "MAIL":
                sender, recipients, mail, rcpt, chunks = _path(line), [], line, [], b""
                if not self._do(Step.MAIL):
                    self.say(b"250 2.1.0 sender ok\r\n")
            elif verb == "RCPT":
                if not self._do(Step.RCPT):
                    reply = self.server.rcpt_replies.get(_path(line), "250 2.1.5 recipient ok")
                    if reply.startswith("2"):
                        recipients.append(_path(line))
                        rcpt.append(line)
                    self.say(reply.encode() + b"\r\n")
            elif verb == "DATA":
                if not self._do(Step.DATA):
                    if not recipients:
                        self.say(b"503 5.5.1 no recipients\r\n")
                        continue
                    self.say(b"354 go on\r\n")
                    self._take(Delivery(sender, recipients, self._body(), mail=mail, rcpt=rcpt, client=self._client))
                    sender, recipients = None, []
            elif verb == "BDAT":
                words = line.split()
                chunks += self._octets(int(words[1]))
                if not self._do(Step.BDAT):
                    if words[-1].upper() == "LAST":
                        self._take(Delivery(sender, recipients, chunks, mail=mail, rcpt=rcpt, client=self._client,
                                            chunked=True))
                        sender, recipients = None, []
                    else:
                        self.say(b"250 2.0.0 chunk\r\n")
            elif verb == "RSET":
                sender, recipients = None, []
                if not self._do(Step.RSET):
                    self.say(b"250 2.0.0 ok\r\n")
            elif verb == "QUIT":
                if not self._do(Step.QUIT):
                    self.say(b"221 2.0.0 bye\r\n")
                raise _End
            elif verb == "NOOP":
                if not self._do(Step.NOOP):
                    self.say(b"250 2.0.0 ok\r\n")
            else:
                self.say(b"502 5.5.1 not known\r\n")

    def _take(self, delivery):
        self.server.deliveries.append(delivery)
        if self.server.dialect == "smtp":
            return self._answer_once(delivery)
        step = Step.AFTER_DOT
        for recipient in delivery.recipients:
            if not self._do(step):
                reply = self.server.final_replies.get(recipient, f"250 2.0.0 <{recipient}> kept")
                # Noted before it is sent: the client may act on it before this thread runs again.
                delivery.replies[recipient] = reply
                self.say(reply.encode() + b"\r\n")
            step = Step.NEXT_REPLY

    def _answer_once(self, delivery):
        if not self._do(Step.AFTER_DOT):
            reply = self.server.final_replies.get(delivery.recipients[0], "250 2.0.0 kept")
            delivery.replies.update({recipient: reply for recipient in delivery.recipients})
            self.say(reply.encode() + b"\r\n")


class ScriptedLmtp:
    """Listens from the moment it is made. `address` is a unix socket's path or ("127.0.0.1", port).

    `tls` is an ssl.SSLContext for STARTTLS (offer it in `extensions`), or from the start with `implicit_tls`.
    """

    def __init__(self, address, *, script=None, extensions=("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"),
                 dialect="lmtp", tls=None, implicit_tls=False):
        self.dialect, self.tls, self.implicit_tls = dialect, tls, implicit_tls
        self.client_certificates = []  # of each handshake: what getpeercert() says
        self.script = script or (lambda _connection, _step: None)
        self.extensions = list(extensions)
        self.rcpt_replies = {}   # recipient → reply to RCPT
        self.final_replies = {}  # recipient → reply after the dot
        self.deliveries = []
        self.commands = []       # every command line of every connection
        self.connections = 0
        self._open = []
        if isinstance(address, tuple):
            self._listener = socket.create_server(address, reuse_port=False)
            self.target = f"{address[0]}:{self._listener.getsockname()[1]}"
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(address))
            os.chmod(address, 0o666)
            self._listener.listen(128)
            self.target = f"unix:{address}"
        self._address = address
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(accepted)
            threading.Thread(target=_Connection(self, accepted).serve, daemon=True).start()

    def taken(self, recipient):
        """The messages for which this recipient was answered 2xx."""
        return [delivery for delivery in self.deliveries if recipient in delivery.taken]

    def stop(self):
        """Closes the listener and every connection."""
        # A close() alone would leave accept() in the other thread waiting.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        if not isinstance(self._address, tuple):
            os.unlink(self._address)
