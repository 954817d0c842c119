"""A real Cyrus behind posternd: what it stores, and what it refuses at RCPT and after the message."""

import pytest

from harness.cyrus import Cyrus
from harness.messages import message, without_trace
from harness.posternd import HOSTNAME

SENDER = "sender@elsewhere.test"
ALICE, BOB, STRANGER = "alice@example.test", "bob@example.test", "stranger@example.test"


@pytest.fixture
def cyrus(folder):
    server = Cyrus(folder / "cyrus", [ALICE, BOB], quota_kib=20)
    yield server
    server.stop()


def stored(cyrus, subject):
    return [octets for octets in cyrus.messages() if f"Subject: {subject}\r\n".encode() in octets]


def test_cyrus_stores_and_refuses(posternd, cyrus):
    server = posternd(cyrus.target, backend={"recipients": "verify"}, workers=1)
    octets = message("for two", b"8-bit: \xc3\xbc\r\n.one dot\r\n..two dots\r\n")
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        client.expect(250, f"RCPT TO:<{ALICE}>")
        client.expect(250, f"RCPT TO:<{BOB}>")
        # Three lines, the last of which has the enhanced status code.
        refused = client.command(f"RCPT TO:<{STRANGER}>")
        assert refused.code == 550 and "5.1.1" in refused.text and "Mailbox unknown" in refused.text, refused
        assert client.message(octets).code == 250
    copies = stored(cyrus, "for two")
    assert len(copies) == 2
    for copy in copies:
        # Cyrus gives the message a date, behind the header fields that it had.
        header, _, body = without_trace(copy, HOSTNAME).partition(b"\r\n\r\n")
        assert octets.startswith(header.partition(b"\r\nDate:")[0]) and octets.endswith(b"\r\n\r\n" + body)
        assert b"Return-Path: <sender@elsewhere.test>\r\n" in copy


def attempt(server, octets, *recipients):
    """The replies to RCPT, and the final one."""
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        return [client.command(f"RCPT TO:<{recipient}>") for recipient in recipients], client.message(octets)


def test_cyrus_is_over_quota_for_one_of_two(posternd, cyrus):
    """The mixed outcome: who has room gets the message once, and its author hears of the other one only."""
    server = posternd(cyrus.target, backend={"recipients": "verify"}, workers=1)
    filler, more = (message(subject, b"0123456789abcdef\r\n" * 800) for subject in ("filler", "more"))
    assert attempt(server, filler, ALICE)[1].code == 250
    assert attempt(server, more, ALICE, BOB)[1].code == 451
    (bob, alice), final = attempt(server, more, BOB, ALICE)
    assert (bob.code, alice.code, final.code) == (250, 450, 250)
    _, final = attempt(server, more, ALICE)
    assert final.code == 552 and "Over quota" in final.text, final
    assert len(stored(cyrus, "filler")) == len(stored(cyrus, "more")) == 1
