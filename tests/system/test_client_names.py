"""The names of clients: by forward-confirmed reverse DNS, in the log, in Received and at the MTA behind us."""

import smtplib

import pytest

from harness.messages import message, received_fields
from harness.names import Names
from harness.passed_mtas import PassedPostfix
from harness.wait import LIMIT, eventually

SENDER, RECIPIENT = "sender@elsewhere.test", "alice@example.test"


@pytest.fixture
def names():
    server = Names()
    yield server
    server.stop()


def asking(names, **more):
    return {"dns": {"reverse": True, "servers": [names.server], **more}, "timeouts": {"reverse_dns": "60s"}}


def send(server, address, text=b"text\r\n"):
    with smtplib.SMTP(*server.address(), local_hostname="claims.to.be.test", source_address=(address, 0),
                      timeout=LIMIT) as client:
        assert not client.sendmail(SENDER, [RECIPIENT], message(f"from {address}", text))


def first_received(octets):
    return " ".join(received_fields(octets)[0].split())


def test_a_confirmed_name_is_logged_and_stands_in_received(posternd, store, names):
    names.client("127.0.0.21", "out.sender.test")
    names.reverse("127.0.0.22", "liar.sender.test")
    names.add("liar.sender.test", "A", "192.0.2.1")
    names.reverse("127.0.0.23", b"\x0dx\x0d\x0aEvil: yes\0")
    server = posternd(store.target, **asking(names))
    for address, clause in (("127.0.0.21", "(out.sender.test [127.0.0.21])"), ("127.0.0.22", "([127.0.0.22])"),
                            ("127.0.0.23", "([127.0.0.23])"), ("127.0.0.24", "([127.0.0.24])"),
                            ("127.0.0.1", "(localhost [127.0.0.1])")):
        send(server, address)
        kept = eventually(lambda: [octets for octets in store.messages(RECIPIENT) if f"from {address}".encode() in octets],
                          f"the message from {address}")
        assert f"from claims.to.be.test {clause} by" in first_received(kept[0]), kept[0]
    record = server.wait_for_record("recipient", name="out.sender.test")
    assert record["peer"].startswith("127.0.0.21:")
    sessions = server.wait_for_records(5, "session")
    assert {line.get("name") for line in sessions} == {"out.sender.test", "localhost", None}
    # Remembered: one question for an address, however often it comes.
    asked = names.asked.count("21.0.0.127.in-addr.arpa")
    for _ in range(4):
        send(server, "127.0.0.21")
    assert names.asked.count("21.0.0.127.in-addr.arpa") <= asked + 1  # the other worker may ask once


def test_a_dns_server_that_is_silent_delays_no_greeting_and_loses_no_message(posternd, store, names):
    names.silent.add("31.0.0.127.in-addr.arpa")
    server = posternd(store.target, dns={"reverse": True, "servers": [names.server]}, timeouts={"reverse_dns": "1s"})
    send(server, "127.0.0.31")
    (kept,) = store.messages(RECIPIENT)
    assert "from claims.to.be.test ([127.0.0.31]) by" in first_received(kept)
    # The greeting and everything up to DATA come while DNS is still being waited for.
    patient = posternd(store.target, **asking(names))
    with smtplib.SMTP(*patient.address(), source_address=("127.0.0.31", 0), timeout=LIMIT) as client:
        client.ehlo()
        assert client.mail(SENDER)[0] == 250
        assert client.rcpt(RECIPIENT)[0] == 250


def test_off_means_off(posternd, store, names):
    names.client("127.0.0.21", "out.sender.test")
    server = posternd(store.target, **asking(names, reverse=False))
    send(server, "127.0.0.21")
    assert not names.asked
    assert "name" not in server.wait_for_record("session")


@pytest.fixture(scope="module")
def strict(session_folder, authority):
    """A Postfix that takes mail from nobody who has no name."""
    class Strict(PassedPostfix):
        @property
        def more_settings(self):
            return super().more_settings + (
                "smtpd_client_restrictions = reject_unknown_client_hostname\nunknown_client_reject_code = 550\n")

    mta = Strict(session_folder / "strict-postfix", ["alice"], authority.issue("mta.example.test"))
    yield mta
    mta.stop()


@pytest.fixture
def three_clients(names):
    """127.0.0.21 has a name, 127.0.0.22 none, and of 127.0.0.23 it cannot be said now."""
    names.client("127.0.0.21", "out.sender.test")
    names.broken.add("23.0.0.127.in-addr.arpa")
    return names


def test_an_mta_is_told_the_name_by_xclient(posternd, strict, three_clients):
    server = posternd(strict.target_of("xclient"), backend={"deliver": "smtp", "identity": "xclient"},
                      **asking(three_clients))
    send(server, "127.0.0.21")
    kept = eventually(lambda: strict.messages("alice"), lambda: f"alice has it:\n{strict.log}")[0].decode()
    assert "(out.sender.test [127.0.0.21])" in " ".join(kept.split()), kept


@pytest.mark.parametrize("connect", ["late", "early"])
def test_rules_of_an_mta_by_client_name_hold_in_pass_through(posternd, strict, three_clients, connect):
    """Who has a name is taken, who has none is refused for good, and whose name cannot be asked for now is told to come
    again."""
    backend = [{"name": "store", "deliver": "smtp-proxy", "to": [strict.target_of("xclient")], "identity": "xclient",
                "connect": connect}]
    server = posternd(backend=backend, **asking(three_clients))
    for address, code in (("127.0.0.21", 250), ("127.0.0.22", 550), ("127.0.0.23", 450)):
        with smtplib.SMTP(*server.address(), source_address=(address, 0), timeout=LIMIT) as client:
            client.ehlo()
            client.mail(SENDER)
            assert client.rcpt(RECIPIENT)[0] == code, (address, strict.log)
