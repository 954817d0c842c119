"""PROXY headers in front of connections: the client is who the load balancer says, and nobody else is believed."""

import struct

import pytest

from harness.dialogue import Dialogue, tls_context
from harness.messages import message

V1 = b"PROXY TCP4 192.0.2.7 198.51.100.2 40000 25\r\n"


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def v2(command=0x21, family=0x11, addresses=bytes((192, 0, 2, 7, 198, 51, 100, 2)) + struct.pack("!HH", 40000, 25), tlvs=b""):
    rest = addresses + tlvs
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes((command, family)) + struct.pack("!H", len(rest)) + rest


@pytest.fixture
def proxied(posternd, scripted):
    """A posternd that believes 127.0.0.1."""
    def make(**tables):
        server = posternd(scripted().target, ready=False, **tables)
        server.settings["listen"][0].update({"proxy_protocol": True, "trusted_proxies": ["127.0.0.1"]})
        return server.start()
    return make


@pytest.mark.parametrize("header", [V1, v2(), v2(tlvs=tlv(2, b"mx.front.test") + tlv(5, b"id-1"))])
def test_the_client_is_who_the_header_says(proxied, header):
    server = proxied()
    with server.dialogue() as client:
        client.send(header)
        client.greet()
        client.starttls(tls_context(), "mx.example.test")
        client.hello()
        client.envelope("a@elsewhere.test", "alice@example.test")
        assert client.message(message("x")).code == 250
        client.command("QUIT")
    record = server.wait_for_record("session")
    assert record["peer"] == "192.0.2.7:40000" and record["local"] == "198.51.100.2:25", record
    assert record["proxy"].startswith("127.0.0.1:")
    if b"front" in header:
        assert "authority=mx.front.test id=id-1" in record["proxy"]


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", v2(command=0x20), v2(family=0, addresses=b""),
                                    v2(family=0x31, addresses=b"p" * 216)])
def test_a_header_that_says_nothing_is_legal(proxied, header):
    server = proxied()
    with server.dialogue() as client:
        for octet in header:
            client.send(bytes([octet]))
        client.greet()
        client.command("QUIT")
    assert server.wait_for_record("session")["peer"].startswith("127.0.0.1:")


@pytest.mark.parametrize("header", [b"EHLO x\r\n", b"PROXY TCP4 1.2.3.4\r\n", v2(tlvs=b"\x02\x00\x09short"),
                                    v2(addresses=b"123"), b"\x16\x03\x01\x00\x05hello"])
def test_what_is_no_header_is_refused_without_a_word(proxied, header):
    server = proxied()
    with server.dialogue() as client:
        client.send(header)
        assert client.rest() == b""
    server.wait_for_record("session")


def test_who_is_not_trusted_is_refused(proxied):
    server = proxied()
    with Dialogue(server.address(), source="127.0.0.9") as client:
        assert client.rest() == b""
    assert server.wait_for_record("session")["outcome"] == "not one of trusted_proxies"


def test_who_says_nothing_is_not_waited_for_for_ever(proxied):
    server = proxied(timeouts={"handshake": "1s"})
    with server.dialogue() as client:
        client.send(V1[:9])
        assert client.rest() == b""
    assert server.wait_for_record("session")["outcome"] == "no PROXY header in time"


def test_limits_count_the_true_client(proxied):
    server = proxied(limits={"connections_per_address": 1})
    with server.dialogue() as first, server.dialogue() as second, server.dialogue() as third:
        first.send(V1)
        first.greet()
        second.send(V1)
        assert second.reply().code == 421
        third.send(V1.replace(b"192.0.2.7", b"192.0.2.8"))
        third.greet()


def test_both_at_once(proxied):
    server = proxied()
    with server.dialogue() as client:
        client.send(V1 + b"EHLO early.test\r\n")
        assert client.reply().code == 220
        assert client.reply().code == 250
