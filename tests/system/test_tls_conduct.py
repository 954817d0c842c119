"""TLS as peers use and misuse it: versions, slow and oversized handshakes, alerts, renegotiation, and how it ends."""

import contextlib
import socket
import ssl
import struct
import threading
import time

import pytest

from harness import clients
from harness.dialogue import tls_context
from harness.hello import client_hello, first_certificate, is_alert
from harness.messages import message, without_trace
from harness.posternd import HOSTNAME
from harness.processes import run, tool

SENDER, RECIPIENT = "sender@elsewhere.test", "a@example.test"
OLD = ["-cipher", "DEFAULT@SECLEVEL=0"]
FATAL = 2


def alert(description, level=FATAL):
    """A record with an alert in clear."""
    return struct.pack(">BHHBB", 21, 0x0301, 2, level, description)


def asked_for_tls(server):
    """A dialogue whose next octet is the first of the handshake."""
    client = server.greeted()
    client.expect(220, "STARTTLS")
    return client


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused_unless_they_are_allowed(posternd, version):
    server = posternd()
    refused = clients.openssl(*server.address(), "mx.example.test", arguments=[version, *OLD])
    assert not refused.done, refused.output
    record = server.wait_for_record("session", outcome="TLS handshake failed")
    assert record["tls_error"] and record["peer"].startswith("127.0.0.1:")
    server.settings["tls"] = {"min_version": "1.0"}
    server.write()
    assert server.reload()["configuration_taken"]
    allowed = clients.openssl(*server.address(), "mx.example.test", arguments=[version, *OLD])
    assert allowed.done, allowed.output
    assert clients.protocol_of(allowed.output) == {"-tls1": "TLSv1", "-tls1_1": "TLSv1.1"}[version]


def test_renegotiation_is_refused_and_ends_the_connection(posternd):
    server = posternd()
    host, port = server.address()
    # Without -quiet a line that is "R" is a command to s_client.
    seen = run([tool("openssl"), "s_client", "-connect", f"{host}:{port}", "-starttls", "smtp", "-tls1_2"],
               stdin=b"R\n")
    assert "no renegotiation" in seen.stderr, seen.stdout + seen.stderr  # the alert that it got
    record = server.wait_for_record("session", outcome="TLS failed")
    assert "RENEGOTIATION" in record["tls_error"].upper(), record


def test_a_handshake_in_single_octets_is_the_same_handshake(posternd, default_leaf):
    """A relay cuts everything that the client sends into single octets."""
    server = posternd()
    near, far = socket.socketpair()
    onward = socket.create_connection(server.address(), timeout=60)
    onward.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def pump(source, target, size):
        with contextlib.suppress(OSError):
            while got := source.recv(size):
                for at in range(len(got)) if size == 1 else [0]:
                    target.sendall(got[at:at + 1] if size == 1 else got)
            target.shutdown(socket.SHUT_WR)

    threads = [threading.Thread(target=pump, args=args, daemon=True)
               for args in [(far, onward, 1), (onward, far, 65536)]]
    for thread in threads:
        thread.start()
    with near:
        near.settimeout(60)
        stream = near.makefile("rwb", buffering=0)
        assert stream.readline().startswith(b"220 ")
        stream.write(b"EHLO a.test\r\n")
        while stream.readline()[3:4] == b"-":
            pass
        stream.write(b"STARTTLS\r\n")
        assert stream.readline().startswith(b"220 ")
        with tls_context().wrap_socket(near, server_hostname="mx.example.test") as tls:
            tls.sendall(b"QUIT\r\n")
            assert tls.recv(100)[:3] == b"221"
    onward.close()
    assert server.wait_for_record("session")["tls"] == "TLSv1.3"


def oversized_hello(octets):
    """A ClientHello whose length field promises `octets`; the beginning of it."""
    record = b"\x01" + octets.to_bytes(3, "big") + struct.pack(">H", 0x0303) + b"r" * 16000
    return struct.pack(">BHH", 22, 0x0301, len(record)) + record


@pytest.mark.parametrize("octets", [70_000, 0xFFFFFF], ids=["beyond 64 KiB", "the largest there is"])
def test_an_oversized_client_hello_is_refused_at_once(posternd, octets):
    server = posternd()
    with asked_for_tls(server) as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(8):
                client.send(oversized_hello(octets))
        client.rest()
    record = server.wait_for_record("session", outcome="TLS handshake failed")
    assert record["tls_error"]


GARBAGE = {
    "an alert in place of a ClientHello": alert(40),
    "close_notify in place of a ClientHello": alert(0, 1),
    "an alert behind the ClientHello": client_hello(None) + alert(80),
    "half a ClientHello and an alert": client_hello(None)[:30] + alert(10),
    "a record of an unknown type": b"\x63\x03\x03\x00\x01x",
    "application data before the handshake": b"\x17\x03\x03\x00\x05hello",
    "an empty handshake record": b"\x16\x03\x01\x00\x00" * 40,
    "commands in clear": b"EHLO a.test\r\nMAIL FROM:<a@b.test>\r\n",
}


@pytest.mark.parametrize("octets", GARBAGE.values(), ids=GARBAGE)
def test_what_is_no_handshake_ends_it_and_is_logged(posternd, octets):
    server = posternd(timeouts={"handshake": "5s"})
    with asked_for_tls(server) as client:
        client.send(octets)
        answer = client.rest()
    # Records, or nothing: never a reply in clear.
    assert not answer or answer[0] in (21, 22), answer[:40]
    record = server.wait_for_record("session", tls="none")
    assert record["tls_error"] and record["outcome"].startswith("TLS handshake"), record
    with server.greeted() as client:
        client.expect(221, "QUIT")


@pytest.mark.parametrize("octets", [alert(0, 1), alert(80), b"\x17\x03\x03\x00\x20" + b"x" * 32, b"NOOP\r\n"],
                         ids=["close_notify in clear", "an alert in clear", "a forged record", "a command in clear"])
def test_octets_that_are_not_the_peers_end_the_connection(posternd, scripted, octets):
    """In the middle of a message: it is not taken, and nothing more is said."""
    backend = scripted()
    server = posternd(backend.target)
    with server.greeted() as client:
        plain = client.socket.dup()
        client.starttls(tls_context())
        client.hello()
        client.envelope(SENDER, RECIPIENT)
        client.expect(354, "DATA")
        client.send(message("cut", b"text\r\n"))
        with plain:
            plain.sendall(octets)
        with contextlib.suppress(ssl.SSLError, OSError):
            client.rest()
    record = server.wait_for_record("session", outcome="TLS failed")
    assert record["tls_error"] and record["messages"] == 0
    assert not backend.deliveries


@pytest.mark.parametrize("tail", [b"", b".", b".\r", b"\r\n."], ids=["text", "a dot", "a dot and CR", "a dot line"])
@pytest.mark.parametrize("how", ["close_notify", "FIN", "reset"])
@pytest.mark.parametrize("verb", ["DATA", "BDAT"])
def test_a_cut_message_is_no_message(posternd, scripted, tail, how, verb):
    backend = scripted()
    server = posternd(backend.target)
    with server.greeted() as client:
        plain = client.socket.dup()
        client.starttls(tls_context())
        client.hello()
        client.envelope(SENDER, RECIPIENT)
        octets = message("cut", b"text\r\n") + tail
        if verb == "DATA":
            client.expect(354, "DATA")
        else:
            client.send(b"BDAT %d LAST\r\n" % (len(octets) + 1))
        client.send(octets)
        if how == "close_notify":
            with contextlib.suppress(ssl.SSLError, OSError):
                client.socket.unwrap()
        elif how == "FIN":
            plain.shutdown(socket.SHUT_WR)
        else:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        plain.close()
    record = server.wait_for_record("session")
    assert record["messages"] == 0 and record["outcome"] != "quit", record
    assert not backend.deliveries


def test_close_notify_is_sent_behind_the_last_reply(posternd):
    server = posternd()
    with server.greeted() as client:
        client.starttls(tls_context())
        client.expect(221, "QUIT")
        assert client.socket.recv(10) == b""  # a connection that is cut would raise SSLEOFError here


@pytest.mark.parametrize("over_tls", [False, True], ids=["in clear", "over TLS"])
def test_a_half_closed_client_gets_every_reply(posternd, scripted, over_tls):
    """Everything pipelined, QUIT too, and then a FIN at once: RFC 5321 knows no such thing, but clients do it."""
    backend = scripted()
    server = posternd(backend.target, backend={"recipients": "verify"})
    with server.greeted() as client:
        plain = client.socket.dup()
        if over_tls:
            client.starttls(tls_context())
            client.hello()
        octets = message("half-closed")
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        client.expect(250, f"RCPT TO:<{RECIPIENT}>")
        client.expect(354, "DATA")
        client.send(octets + b".\r\nMAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nRSET\r\nQUIT\r\n"
                    % (SENDER.encode(), RECIPIENT.encode()))
        plain.shutdown(socket.SHUT_WR)
        plain.close()
        assert [reply.code for reply in client.replies(5)] == [250, 250, 250, 250, 221]
    (delivery,) = backend.deliveries
    assert without_trace(delivery.message, HOSTNAME) == octets
    assert server.wait_for_record("session")["outcome"] == "quit"


def test_a_handshake_that_trickles_is_ended_by_its_time_limit(posternd):
    server = posternd(timeouts={"handshake": "1s"})
    with asked_for_tls(server) as client:
        began = time.monotonic()
        with contextlib.suppress(OSError):
            for octet in client_hello(None)[:-1]:
                client.send(bytes([octet]))
                time.sleep(0.1)
                if time.monotonic() - began > 60:
                    break
        client.rest()
    record = server.wait_for_record("session", outcome="TLS handshake timed out")
    assert record["tls_error"]


@pytest.mark.parametrize("first, outcome", [
    (client_hello(None), "TLS"), (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP"), (b"\0\1\2\3" * 100, "protocol"),
], ids=["a ClientHello", "HTTP", "noise"])
def test_another_protocol_on_the_clear_port_is_logged_as_such(posternd, first, outcome):
    server = posternd()
    with server.dialogue() as client:
        client.expect(220)
        client.send(first)
        client.rest()
    record = server.wait_for_record("session")
    assert outcome in record["outcome"], record
    assert record["peer"]


def test_the_first_flight_of_the_server_is_an_answer_to_a_good_hello(posternd):
    """Without this the tests above could pass because of a fault in the hello."""
    server = posternd()
    with asked_for_tls(server) as client:
        client.send(client_hello(None))
        answer = client.octets_until(lambda octets: first_certificate(octets) is not None or is_alert(octets))
    assert first_certificate(answer)
