"""XCLIENT and XFORWARD from hosts that are trusted with them: swaks and a Postfix say who the client is, and nobody else
is believed."""

import pytest

from harness import clients
from harness.dialogue import tls_context
from harness.messages import message
from harness.passed_mtas import PassedPostfix
from harness.senders import Postfix
from harness.wait import eventually

SENDER, RECIPIENT = "a@elsewhere.test", "alice@example.test"


@pytest.fixture
def trusting(posternd, scripted):
    """A posternd that believes 127.0.0.1, with its backend."""
    def make(**tables):
        backend = scripted()
        server = posternd(backend.target, ready=False, **tables)
        for listener in server.settings["listen"]:
            listener["xclient_from"] = ["127.0.0.1"]
        return server.start(), backend
    return make


def by_swaks(server, *arguments, **options):
    return clients.swaks(*server.address(), sender=SENDER, recipients=[RECIPIENT], arguments=arguments, **options)


@pytest.mark.parametrize("tls", [True, False])
def test_swaks_says_who_the_client_is(trusting, tls):
    server, backend = trusting()
    # swaks says XCLIENT in clear, before STARTTLS.
    result = by_swaks(server, "--xclient-addr", "192.0.2.77", "--xclient-name", "client.elsewhere.test", tls=tls)
    assert result.returncode == 0, result.stdout
    record = server.wait_for_record("session")
    assert record["peer"] == "192.0.2.77:0" and record["name"] == "client.elsewhere.test", record
    assert record["proxy"].startswith("127.0.0.1:") and record["proxy"].endswith(" by XCLIENT")
    received = backend.deliveries[0].message.partition(b"by ")[0]
    assert b"(client.elsewhere.test" in received and b"[192.0.2.77])" in received


def test_a_stranger_is_not_believed(posternd, scripted):
    server = posternd(scripted().target)
    assert by_swaks(server, "--xclient-addr", "192.0.2.77").returncode != 0
    with server.greeted() as client:
        assert client.command("XCLIENT ADDR=192.0.2.77").code == 500
        assert client.command("XFORWARD ADDR=192.0.2.77").code == 500
        assert "XCLIENT" not in client.command("EHLO x").text


def test_the_right_is_the_peers(trusting):
    """Who is not trusted itself cannot say XCLIENT again, and limits count it."""
    server, _ = trusting(limits={"connections_per_address": 1})
    with server.greeted() as client:
        offered = client.command("EHLO proxy.example.test").text
        assert "XCLIENT NAME ADDR PORT" in offered and "XFORWARD NAME ADDR PORT" in offered
        assert client.command("XCLIENT ADDR=nonsense").code == 501
        assert client.command("XCLIENT LOGIN=root").code == 501
        assert client.command("MAIL FROM:<a@elsewhere.test>").code == 250
        assert client.command("XCLIENT ADDR=192.0.2.5").code == 503
        client.command("RSET")
        assert client.command("XCLIENT ADDR=192.0.2.5 PORT=4711 NAME=[UNAVAILABLE]").code == 220
        assert client.command("MAIL FROM:<a@elsewhere.test>").code == 503  # EHLO first
        assert "XCLIENT" not in client.command("EHLO x").text
        assert client.command("XCLIENT ADDR=192.0.2.6").code == 500
        with server.greeted() as second:
            assert second.command("XCLIENT ADDR=192.0.2.5").code == 421


def test_a_client_behind_xclient_in_the_same_bytes(trusting):
    server, backend = trusting()
    with server.greeted() as client:
        client.starttls(tls_context())
        client.send(b"EHLO proxy.example.test\r\nXCLIENT ADDR=IPV6:2001:db8::7\r\nEHLO client.elsewhere.test\r\n"
                    b"MAIL FROM:<a@elsewhere.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n")
        assert [client.reply().code for _ in range(6)] == [250, 220, 250, 250, 250, 354]
        client.send(message("x") + b".\r\n")
        assert client.reply().code == 250
    assert server.wait_for_record("session")["peer"] == "[2001:db8::7]:0"
    assert server.wait_for_record("recipient")["tls"] == "TLSv1.3"


def test_postfix_forwards_for_its_client(trusting, folder):
    server, backend = trusting()
    postfix = Postfix(folder / "postfix", server.address(), folder / "nobody", settings="smtp_send_xforward_command = yes")
    try:
        postfix.submit(SENDER, [RECIPIENT], message("x"))
        record = server.wait_for_record("recipient")
    finally:
        postfix.stop()
    assert record["peer"].startswith("127.0.0.1:")
    assert record["forwarded_for"].startswith("127.0.0.1:") and "helo=author.elsewhere.test" in record["forwarded_for"], record


@pytest.mark.parametrize("connect", ["late", "early"])
def test_an_mta_behind_hears_it_too(posternd, folder, default_leaf, connect):
    postfix = PassedPostfix(folder / "passed", ["user"], default_leaf)
    try:
        server = posternd(ready=False, backend=[{"name": "mta", "deliver": "smtp-proxy", "identity": "proxy-v2",
                                                 "connect": connect, "to": [postfix.target_of("proxy")]}])
        server.settings["listen"][0].update({"backend": "mta", "xclient_from": ["127.0.0.1"]})
        server.settings["domain"] = []
        server.start()
        result = clients.swaks(*server.address(), sender=SENDER, recipients=["user@example.test"],
                               arguments=["--xclient-addr", "192.0.2.77", "--xclient-port", "4711"])
        assert result.returncode == 0, result.stdout
        eventually(lambda: "[192.0.2.77]" in postfix.log, lambda: f"the client's address in\n{postfix.log}")
    finally:
        postfix.stop()
