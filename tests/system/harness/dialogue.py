"""A raw SMTP or LMTP client: it sends exactly the octets that a test gives it."""

import dataclasses
import re
import socket
import ssl

from .ca import fingerprint_of_der
from .wait import LIMIT


@dataclasses.dataclass(frozen=True)
class Reply:
    """A server's reply; `lines` are its texts without codes."""

    code: int
    lines: tuple

    @property
    def text(self):
        return "\n".join(self.lines)

    @property
    def enhanced(self):
        """The enhanced status code of the last line, or an empty string."""
        found = re.match(r"[245]\.\d{1,3}\.\d{1,3}(?= |$)", self.lines[-1])
        return found.group() if found else ""

    def __str__(self):
        return f"{self.code} {self.text}"


class Closed(Exception):
    """The server closed the connection where a reply was expected."""


def connect(address, limit=LIMIT, source=None):
    """`address` is a unix socket's path, or (host, port); `source` is the IP address to come from."""
    if isinstance(address, tuple):
        return socket.create_connection(address, timeout=limit, source_address=(source, 0) if source else None)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(limit)
    connection.connect(str(address))
    return connection


class Dialogue:
    """One connection. As a context manager it closes without a QUIT."""

    def __init__(self, address, *, limit=LIMIT, source=None):
        self.socket = connect(address, limit, source)
        self._buffer = b""
        self.seen = b""  # everything that the server ever said

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, octets):
        self.socket.sendall(octets)

    def _read_more(self):
        try:
            got = self.socket.recv(65536)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError) as lost:
            raise Closed(f"{lost} after {self.seen[-200:]!r}") from lost
        if not got:
            raise Closed(f"closed after {self.seen[-200:]!r}")
        self._buffer += got
        self.seen += got

    def _line(self):
        while b"\r\n" not in self._buffer:
            self._read_more()
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line.decode("utf-8", "surrogateescape")

    def reply(self):
        """The next whole reply; raises Closed when there is none."""
        lines = []
        while True:
            line = self._line()
            assert re.match(r"[2-5]\d\d[ -]", line), f"no reply line: {line!r}"
            lines.append(line[4:])
            if line[3] == " ":
                return Reply(int(line[:3]), tuple(lines))

    def replies(self, count):
        return [self.reply() for _ in range(count)]

    def command(self, line):
        """Sends one command and returns its reply."""
        self.send((line if isinstance(line, bytes) else line.encode()) + b"\r\n")
        return self.reply()

    def expect(self, code, line=None):
        """The next reply (after a command, if given) must have this code."""
        got = self.reply() if line is None else self.command(line)
        assert got.code == code, f"{line!r}: {got} instead of {code}"
        return got

    def greet(self, name="client.example.test", verb="EHLO"):
        """Takes the greeting and says EHLO; returns the EHLO answer's keywords (upper case) with their parameters."""
        self.expect(220)
        return self.hello(name, verb)

    def hello(self, name="client.example.test", verb="EHLO"):
        answer = self.expect(250, f"{verb} {name}")
        return {line.split(" ", 1)[0].upper(): line.partition(" ")[2] for line in answer.lines[1:]}

    def starttls(self, context, server_name=None):
        """STARTTLS and the handshake."""
        self.expect(220, "STARTTLS")
        assert not self._buffer, "octets behind the 220"
        self.wrap(context, server_name)

    def wrap(self, context, server_name=None):
        self.socket = context.wrap_socket(self.socket, server_hostname=server_name)

    def served(self):
        """The fingerprint of the certificate that the server showed."""
        return fingerprint_of_der(self.socket.getpeercert(binary_form=True))

    def envelope(self, sender, *recipients, parameters=""):
        """MAIL and RCPTs, each of which must be accepted."""
        self.expect(250, f"MAIL FROM:<{sender}>{parameters}")
        for recipient in recipients:
            self.expect(250, f"RCPT TO:<{recipient}>")

    def message(self, octets):
        """DATA with a message (CRLF line ends; it is dot-stuffed here); returns the final reply."""
        self.expect(354, "DATA")
        self.send(stuffed(octets))
        return self.reply()

    def at_end(self):
        """True when the server has closed the connection and said nothing more."""
        assert not self._buffer, f"unread: {self._buffer!r}"
        try:
            return self.socket.recv(1) == b""
        except (ConnectionResetError, ssl.SSLError):
            return True

    def octets_until(self, enough):
        """Octets as they come, until `enough(octets)` or the server closes."""
        got, self._buffer = self._buffer, b""
        try:
            while not enough(got):
                self._read_more()
                got, self._buffer = got + self._buffer, b""
        except Closed:
            pass
        return got

    def rest(self):
        """Everything until the server closes."""
        return self.octets_until(lambda _: False)


def stuffed(octets):
    """A message as it crosses the wire in DATA: RFC 5321 section 4.5.2. It must be empty or end in CRLF."""
    assert not octets or octets.endswith(b"\r\n")
    body = octets.replace(b"\r\n.", b"\r\n..")
    if body.startswith(b"."):
        body = b"." + body
    return body + b".\r\n"


def unstuffed(wire):
    """The message of a DATA's octets, its final dot line taken off."""
    assert wire.endswith(b".\r\n")
    body = wire[:-3]
    if body.startswith(b"."):
        body = body[1:]
    return body.replace(b"\r\n.", b"\r\n")


def tls_context(root=None, *, check=False, versions=None):
    """A client context: with `check` the chain is verified up to `root` and the name compared."""
    context = ssl.create_default_context(cafile=str(root) if root else None)
    if not check:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if versions:
        context.minimum_version, context.maximum_version = versions
    return context
