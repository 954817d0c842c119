"""The tools of these tests, tried without postern: what they say of a server can be believed."""

import smtplib
import ssl

import pytest

from harness.ca import fingerprint
from harness.dialogue import Closed, Dialogue, stuffed, unstuffed
from harness.hello import client_hello, first_certificate, is_alert, server_name
from harness.messages import message, message_set, without_trace
from harness.processes import run, tool
from harness.scripted_lmtp import Step, at, close, garble, shut
from harness.tap import cut_at

PROGRAMS = ["openssl", "gnutls-cli", "posttls-finger", "smtp-source", "swaks", "dovecot", "doveadm", "ldd", "setpriv"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_is_installed(name):
    assert tool(name)


def lmtp(address):
    return Dialogue(address, limit=30)


def test_dovecot_gives_back_the_octets_that_it_got(dovecot):
    for name, octets in message_set().items():
        if name == "thirty-megabytes":
            continue
        user = dovecot.new_user()
        with lmtp(dovecot.socket_path) as client:
            client.greet(verb="LHLO")
            client.envelope("sender@elsewhere.test", user)
            trace = b"Received: from x\r\n\tby mx.example.test with ESMTP\r\n\tid 1; now\r\n"
            assert client.message(trace + octets).code == 250
        assert [without_trace(stored, "mx.example.test") for stored in dovecot.messages(user)] == [octets], name
        assert dovecot.count(user) == 1


def test_dovecot_knows_its_users_only(dovecot):
    with lmtp(dovecot.socket_path) as client:
        client.greet(verb="LHLO")
        client.expect(250, "MAIL FROM:<>")
        assert client.command("RCPT TO:<stranger@example.test>").enhanced == "5.1.1"


def test_a_killed_dovecot_keeps_what_it_took(own_dovecot):
    with smtplib.LMTP(str(own_dovecot.socket_path)) as client:
        client.sendmail("sender@elsewhere.test", ["alice@example.test"], message("kept"))
    own_dovecot.kill()
    own_dovecot.start()
    assert own_dovecot.count("alice@example.test") == 1
    assert own_dovecot.count("bob@example.test") == 0


def test_the_scripted_backend_says_what_it_took(scripted):
    backend = scripted()
    backend.rcpt_replies["bad@example.test"] = "550 5.1.1 no"
    backend.final_replies["full@example.test"] = "452 4.2.2 full"
    with lmtp(backend.target.removeprefix("unix:")) as client:
        client.greet(verb="LHLO")
        client.envelope("s@elsewhere.test", "good@example.test", "full@example.test")
        client.expect(550, "RCPT TO:<bad@example.test>")
        client.expect(354, "DATA")
        client.send(stuffed(b".x\r\n"))
        assert [reply.code for reply in client.replies(2)] == [250, 452]
    (delivery,) = backend.deliveries
    assert delivery.taken == ["good@example.test"] and delivery.message == b".x\r\n"
    assert backend.taken("full@example.test") == []


@pytest.mark.parametrize("step", [Step.GREETING, Step.LHLO, Step.MAIL, Step.RCPT], ids=lambda step: step.value)
def test_the_scripted_backend_misbehaves_once_where_it_is_told(scripted, step):
    backend = scripted(script=at(step, close, times=1))

    def talk():
        with lmtp(backend.target.removeprefix("unix:")) as client:
            client.greet(verb="LHLO")
            client.envelope("s@elsewhere.test", "good@example.test")
            return client.message(b"x\r\n")
    with pytest.raises(Closed):
        talk()
    assert talk().code == 250


def test_the_scripted_backend_can_garble_and_shut(scripted):
    backend = scripted(script=at(Step.MAIL, garble))
    with lmtp(backend.target.removeprefix("unix:")) as client:
        client.greet(verb="LHLO")
        with pytest.raises(AssertionError, match="no reply line"):
            client.command("MAIL FROM:<>")
    backend = scripted(script=at(Step.GREETING, shut("421 4.3.2 away")))
    with lmtp(backend.target.removeprefix("unix:")) as client:
        client.expect(421)
        assert client.at_end()


@pytest.mark.parametrize("step, taken", [("LHLO", 0), ("MAIL", 0), ("RCPT", 0), ("DATA", 0), ("354", 0), ("body", 0),
                                         ("dot", 0), ("reply", 1)])
def test_the_tap_cuts_a_real_server_off_where_it_is_told(dovecot, tap, step, taken):
    user = dovecot.new_user()
    hook = cut_at(step)
    relay = tap(dovecot.socket_path, hook)

    def talk():
        with lmtp(relay.target.removeprefix("unix:")) as client:
            client.greet(verb="LHLO")
            client.envelope("s@elsewhere.test", user)
            return client.message(b"Subject: x\r\n\r\n.\r\n")
    with pytest.raises(Closed):
        talk()
    assert hook.fired()
    assert dovecot.count(user) == taken
    assert talk().code == 250
    assert dovecot.count(user) == taken + 1
    assert relay.messages[-1] == b"Subject: x\r\n\r\n..\r\n.\r\n"


def test_stuffing_is_undone_by_unstuffing():
    for name, octets in message_set().items():
        assert unstuffed(stuffed(octets)) == octets, name


def test_the_client_hello_is_one_that_a_tls_library_answers(authority, folder):
    leaf = authority.issue("one.example.test")
    chain, key = leaf.write(folder, "one")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    seen = []
    context.sni_callback = lambda _socket, name, _context: seen.append(name)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(client_hello(server_name(b"one.example.test")))
    with pytest.raises(ssl.SSLWantReadError):
        server.do_handshake()
    assert seen == ["one.example.test"]
    assert fingerprint(ssl.DER_cert_to_PEM_cert(first_certificate(outgoing.read()))) == leaf.fingerprint
    assert is_alert(b"\x15\x03\x03\x00\x02\x02\x32") and not is_alert(b"\x16\x03\x03\x00\x02\x02\x32")


def test_an_expired_certificate_is_one(authority, folder):
    chain, _ = authority.issue("old.example.test", days=-1).write(folder, "old")
    result = run([tool("openssl"), "x509", "-in", chain, "-noout", "-checkend", "0"])
    assert result.returncode == 1, result.stdout
