"""Sessions passed through to a real Postfix and a real Exim: mail arrives, they know the client, and strangers stay so."""

import re

import pytest

from harness import clients
from harness.dialogue import Dialogue, tls_context
from harness.messages import message, message_set, without_trace
from harness.passed_mtas import ENEMY, FRIEND
from harness.wait import eventually

MESSAGES = message_set()
SENDER = "sender@elsewhere.test"


@pytest.fixture
def user(passed_postfix):
    return passed_postfix.new_user()


def from_address(server, address):
    """A dialogue whose client has this loopback address."""
    return Dialogue(server.address(), source=address)


def stored(mta, user):
    eventually(lambda: mta.messages(user), lambda: f"a message for {user}; the MTA says\n{mta.log}")
    (only,) = mta.messages(user)
    return only


def body_of(octets):
    return octets.partition(b"\n\n")[2]


IDENTITIES = [("proxy", "proxy-v1"), ("proxy", "proxy-v2"), ("xclient", "xclient"), ("postscreen", "proxy-v2")]


@pytest.mark.parametrize("connect", ["late", "early"])
@pytest.mark.parametrize("port,identity", IDENTITIES)
def test_postfix_gets_mail_and_the_clients_address(passed_postfix, passing, user, port, identity, connect):
    server = passing(passed_postfix.target_of(port), identity, connect=connect)
    octets = message(f"through {identity}")
    with from_address(server, "127.0.0.9") as client:
        client.greet()
        client.starttls(tls_context(), "mx.example.test")
        client.hello()
        client.envelope(SENDER, f"{user}@example.test")
        assert client.message(octets).code == 250
    assert body_of(stored(passed_postfix, user)) == body_of(octets.replace(b"\r\n", b"\n"))
    assert b"[127.0.0.9]" in stored(passed_postfix, user)
    eventually(lambda: "connect from unknown[127.0.0.9]" in passed_postfix.log, "the client's address in Postfix's log")
    server.wait_for_record("recipient", status="taken", to=f"<{user}@example.test>", backend="mta")


@pytest.mark.parametrize("connect", ["late", "early"])
@pytest.mark.parametrize("port,identity", IDENTITIES)
def test_decisions_by_address_hold(passed_postfix, passing, port, identity, connect):
    server = passing(passed_postfix.target_of(port), identity, connect=connect)
    for address, expected in ((ENEMY, 554), ("127.0.0.9", 554), (FRIEND, 250)):
        with from_address(server, address) as client:
            client.greet()
            client.command(f"MAIL FROM:<{SENDER}>")
            assert client.command("RCPT TO:<somebody@far-away.test>").code == expected, (address, passed_postfix.log)


CLAIMS = [f"XCLIENT ADDR={FRIEND} NAME=friend.test", f"XFORWARD ADDR={FRIEND} NAME=friend.test",
          f"PROXY TCP4 {FRIEND} 127.0.0.1 1 25", "ETRN example.test", "TURN", "ATRN", "BURL imap://x"]


@pytest.mark.parametrize("connect", ["late", "early"])
@pytest.mark.parametrize("port,identity", IDENTITIES[1:3])
def test_a_stranger_remains_one(passed_postfix, passing, port, identity, connect):
    server = passing(passed_postfix.target_of(port), identity, connect=connect,
                     tables={"limits": {"unknown_commands": 1000, "errors": 1000}})

    def claim(client, before):
        for line in CLAIMS:
            reply = client.command(line)
            assert reply.code in (502, 503), (before, line, reply)

    def is_a_stranger(client):
        client.command(f"MAIL FROM:<{SENDER}>")
        assert client.command("RCPT TO:<somebody@far-away.test>").code == 554
        claim(client, "RCPT")
        assert client.command("RCPT TO:<somebody@far-away.test>").code == 554
        client.command("RSET")
        batch = [CLAIMS[0], f"MAIL FROM:<{SENDER}>", CLAIMS[1], "RCPT TO:<somebody@far-away.test>", CLAIMS[0], "DATA", "RSET"]
        client.send("".join(line + "\r\n" for line in batch).encode())
        replies = [reply.code for reply in client.replies(len(batch))]
        assert replies == [502, 250, 502, 554, 502, 554, 250], replies

    with from_address(server, "127.0.0.9") as client:
        client.expect(220)
        claim(client, "EHLO")
        client.hello()
        claim(client, "MAIL")
        is_a_stranger(client)
        client.starttls(tls_context(), "mx.example.test")
        claim(client, "EHLO under TLS")
        client.hello()
        claim(client, "MAIL under TLS")
        is_a_stranger(client)
    assert FRIEND not in "".join(line for line in passed_postfix.log.splitlines() if "smtpd" in line and "connect from" not in line
                                 and "far-away" in line)


def test_bytes_are_the_same_by_data_and_bdat(passed_postfix, passing):
    server = passing(passed_postfix.target_of("proxy"), "proxy-v2")
    for name, octets in MESSAGES.items():
        if not re.match(rb"[\w-]+:", octets) or b"\r\n\r\n" not in octets:
            continue  # Postfix mends a message without a header
        for way in ("DATA", "BDAT"):
            user = passed_postfix.new_user()
            with server.greeted() as client:
                client.envelope(SENDER, f"{user}@example.test")
                if way == "DATA":
                    reply = client.message(octets)
                else:
                    client.send(f"BDAT {len(octets)} LAST\r\n".encode() + octets)
                    reply = client.reply()
                assert reply.code == 250, (name, way, reply)
            kept = without_trace(stored(passed_postfix, user).replace(b"\n", b"\r\n"), "mta.example.test")
            assert body_of(kept.replace(b"\r\n", b"\n")) == body_of(octets.replace(b"\r\n", b"\n")), (name, way)


def test_a_smuggled_message_never_ends_behind_us(passed_postfix, passing, user):
    server = passing(passed_postfix.target_of("proxy"), "proxy-v2")
    with server.greeted() as client:
        client.envelope(SENDER, f"{user}@example.test")
        client.expect(354, "DATA")
        client.send(b"Subject: one\r\n\r\ntext\n.\nMAIL FROM:<evil@x.test>\r\nmore\r\n.\r\n")
        assert client.reply().code == 554
        client.envelope(SENDER, f"{user}@example.test")  # over a new connection
        assert client.message(message("the next one")).code == 250
    assert b"the next one" in stored(passed_postfix, user)


@pytest.mark.parametrize("identity", ["proxy-v1", "proxy-v2"])
def test_exim_gets_mail_and_the_clients_address(passed_exim, passing, identity):
    user = passed_exim.new_user()
    server = passing(passed_exim.target, identity, profile="exim")
    octets = message("for exim")

    def knows_exim():  # since its first look
        with server.dialogue() as other:
            return "CHUNKING" in other.greet()
    eventually(knows_exim, "what Exim offers is known")
    with from_address(server, "127.0.0.9") as client:
        client.greet()
        client.starttls(tls_context(), "mx.example.test")
        assert "CHUNKING" in str(client.hello())
        client.envelope(SENDER, f"{user}@example.test")
        client.send(f"BDAT {len(octets)} LAST\r\n".encode() + octets)
        assert client.reply().code == 250
    assert b"[127.0.0.9]" in stored(passed_exim, user)
    with from_address(server, ENEMY) as client:
        client.greet()
        assert client.command(f"MAIL FROM:<{SENDER}>").code == 550


def test_a_backend_that_is_down_is_a_421(passing):
    server = passing("127.0.0.1:1", "proxy-v2")
    with server.greeted() as client:
        reply = client.command(f"MAIL FROM:<{SENDER}>")
        assert reply.code == 421 and "4.3.2" in str(reply)
        assert client.at_end()
    assert "127.0.0.1:1  down for " in server.tool("status", "--control", server.settings["control"]).stdout


def test_another_target_takes_over(passed_postfix, passing, user):
    server = passing("127.0.0.1:1", "proxy-v2", to=["127.0.0.1:1", passed_postfix.target_of("proxy")])
    with server.greeted() as client:
        client.envelope(SENDER, f"{user}@example.test")
        assert client.message(message("by the second")).code == 250


def test_xclient_that_is_not_offered_is_a_421(passed_postfix, passing):
    server = passing(passed_postfix.target_of("proxy"), "xclient", timeout="5s")
    with server.greeted() as client:
        assert client.command(f"MAIL FROM:<{SENDER}>").code == 421


def test_swaks_and_smtp_source(passed_postfix, passing, user, folder):
    server = passing(passed_postfix.target_of("proxy"), "proxy-v2")
    done = clients.swaks(*server.address(), sender=SENDER, recipients=[f"{user}@example.test"], name="mx.example.test")
    assert done.returncode == 0, done.stdout + done.stderr
    done = clients.smtp_source(*server.address(), sender=SENDER, recipient=f"{passed_postfix.new_user()}@example.test", messages=20,
                               sessions=4, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_routes_by_recipient_and_by_server_name(passed_postfix, posternd):
    def mta(name, identity, port):
        return {"name": name, "deliver": "smtp-proxy", "identity": identity, "to": [passed_postfix.target_of(port)]}
    server = posternd(backend=[mta("by-domain", "proxy-v2", "proxy"), mta("by-name", "xclient", "xclient")],
                      domain=[{"name": "example.test", "backend": "by-domain"}],
                      route=[{"sni": ["*.other.test"], "backend": "by-name"}])
    for name, backend in (("mx.example.test", "by-domain"), ("mx.other.test", "by-name")):
        user = passed_postfix.new_user()
        with server.greeted() as client:
            client.starttls(tls_context(), name)
            client.hello()
            client.envelope(SENDER, f"{user}@example.test")
            assert client.message(message(f"by {backend}")).code == 250
        server.wait_for_record("recipient", status="taken", to=f"<{user}@example.test>", backend=backend)
        assert f"by {backend}".encode() in stored(passed_postfix, user)


def test_recipients_of_another_backend_come_again(passed_postfix, passed_exim, posternd):
    """One message for users of two MTAs: the second has it in a transaction of its own."""
    ours, theirs = passed_postfix.new_user(), passed_exim.new_user()
    server = posternd(backend=[{"name": "one", "deliver": "smtp-proxy", "identity": "proxy-v2", "to": [passed_postfix.target_of("proxy")]},
                               {"name": "two", "deliver": "smtp-proxy", "identity": "proxy-v2", "profile": "exim",
                                "to": [passed_exim.target]}],
                      domain=[{"name": "example.test", "backend": "one"}, {"name": "other.test", "backend": "two"}])
    with server.greeted() as client:
        client.envelope(SENDER, f"{ours}@example.test")
        refused = client.command(f"RCPT TO:<{theirs}@other.test>")
        assert refused.code == 451 and "4.5.3" in str(refused)
        assert client.message(message("for two MTAs")).code == 250
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        client.expect(550, f"RCPT TO:<{theirs}@other.test>")  # which the Exim does not have
    assert b"for two MTAs" in stored(passed_postfix, ours)
    eventually(lambda: f"{theirs}@other.test" in passed_exim.log, lambda: f"the second MTA was asked:\n{passed_exim.log}")


def test_each_listener_has_its_backend(passed_postfix, passed_exim, posternd):
    """A session that comes in at the second port is the Exim's."""
    mtas = [{"name": "one", "deliver": "smtp-proxy", "identity": "proxy-v2", "to": [passed_postfix.target_of("proxy")]},
            {"name": "two", "deliver": "smtp-proxy", "identity": "proxy-v1", "profile": "exim", "to": [passed_exim.target]}]
    server = posternd(ready=False, backend=mtas)
    server.settings["domain"] = []
    (first,) = server.settings["listen"]
    server.settings["listen"] = [{**first, "backend": "one"}, {**first, "address": ["127.0.0.1:<second>"], "backend": "two"}]
    server.start()
    for port, mta in (("smtp", passed_postfix), ("second", passed_exim)):
        user = mta.new_user()
        with server.greeted(port) as client:
            client.envelope(SENDER, f"{user}@example.test")
            assert client.message(message(f"by {port}")).code == 250
        assert f"by {port}".encode() in stored(mta, user)


@pytest.mark.parametrize("text", [b"x" * 70_000 + b"\r\n.\r\n", b"a line\r\n"], ids=["too large", "client gone"])
def test_what_is_broken_off_has_no_end_behind_us(passed_postfix, passing, user, text):
    server = passing(passed_postfix.target_of("proxy"), "proxy-v2", tables={"limits": {"message_size": "64 KiB"}})
    before = passed_postfix.log.count("lost connection after DATA")
    with server.greeted() as client:
        client.envelope(SENDER, f"{user}@example.test")
        client.expect(354, "DATA")
        client.send(b"Subject: broken off\r\n\r\n" + text)
        if text.endswith(b".\r\n"):
            client.expect(552)
    eventually(lambda: passed_postfix.log.count("lost connection after DATA") > before, lambda: f"it was cut off:\n{passed_postfix.log}")
    with server.greeted() as client:
        client.envelope(SENDER, f"{user}@example.test")
        assert client.message(message("whole")).code == 250
    assert b"whole" in stored(passed_postfix, user)


def test_the_trace_field_tells_of_tls(passed_postfix, passing, user):
    server = passing(passed_postfix.target_of("proxy"), "proxy-v2", trace=True)
    with server.greeted() as client:
        client.starttls(tls_context(), "mx.example.test")
        client.hello()
        client.envelope(SENDER, f"{user}@example.test")
        assert client.message(message("traced")).code == 250
    assert re.search(rb"by mx\.example\.test\s+with\s+ESMTPS\s+id [\s\S]*SNI\s+mx\.example\.test", stored(passed_postfix, user))
