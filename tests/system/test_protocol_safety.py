"""What a hostile client can try on the wire: STARTTLS injection, SMTP smuggling, noise, floods."""

import pytest

from harness.dialogue import Dialogue, tls_context
from harness.messages import message, without_trace
from harness.posternd import HOSTNAME
from harness.processes import program, run, tool

SENDER = "sender@elsewhere.test"


@pytest.mark.parametrize("behind", [b"RSET\r\n", b"EHLO evil.test\r\nMAIL FROM:<evil@evil.test>\r\n", b"\r\n", b"x", b"\x16\x03\x01"],
                         ids=["RSET", "a transaction", "an empty line", "one octet", "the beginning of a record"])
def test_octets_behind_starttls_are_refused_and_tls_never_starts(posternd, scripted, behind):
    server = posternd(scripted().target)
    with server.greeted() as client:
        client.send(b"STARTTLS\r\n" + behind)
        reply = client.reply()
        assert reply.code == 501 and reply.enhanced == "5.5.2", reply
        assert client.at_end()
    record = server.wait_for_record("session")
    assert record["outcome"] == "bytes behind STARTTLS" and record["tls"] == "none"


def test_octets_behind_a_pipelined_starttls_are_refused_too(posternd):
    server = posternd()
    with server.dialogue() as client:
        client.expect(220)
        client.send(b"EHLO a.test\r\nSTARTTLS\r\nNOOP\r\n")
        assert [reply.code for reply in client.replies(2)] == [250, 501]
        assert client.at_end()


def test_what_was_said_in_clear_is_forgotten_after_starttls(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target)
    with server.greeted() as client:
        client.hello("in-clear.test")
        client.envelope("in-clear@evil.test", "a@example.test")
        context = tls_context()
        reply = client.command("STARTTLS")
        # Inside a transaction it may be refused or take effect; the transaction never survives it.
        assert reply.code in (220, 503), reply
        if reply.code == 503:
            client.expect(250, "RSET")
            client.expect(220, "STARTTLS")
        client.wrap(context, "mx.example.test")
        client.expect(503, "RCPT TO:<b@example.test>")
        client.expect(503, "DATA")
        client.expect(503, f"MAIL FROM:<{SENDER}>")
        keywords = client.hello("in-tls.test")
        assert "STARTTLS" not in keywords
        client.expect(503, "STARTTLS")
        client.envelope(SENDER, "b@example.test")
        assert client.message(message("after TLS")).code == 250
    (delivery,) = backend.deliveries
    assert delivery.sender == SENDER and delivery.recipients == ["b@example.test"]
    assert b"in-clear.test" not in delivery.message


def test_nothing_is_said_in_clear_after_tls_has_ended(posternd):
    server = posternd()
    with server.greeted() as client:
        plain = client.socket.dup()
        client.starttls(tls_context())
        client.hello()
        client.socket.unwrap()  # close_notify, and the wait for the server's
        plain.settimeout(60)
        try:
            plain.sendall(b"NOOP\r\n")
            assert plain.recv(100) == b""
        except (ConnectionResetError, BrokenPipeError):
            pass
        finally:
            plain.close()
    assert server.wait_for_record("session")["tls"] != "none"


# What has been taken for the end of a message by one server or another, and so hid a second message from a third.
ENDINGS = {
    "LF . LF": b"\n.\n",
    "LF . CRLF": b"\n.\r\n",
    "CRLF . LF": b"\r\n.\n",
    "CR . CR": b"\r.\r",
    "CR . CRLF": b"\r.\r\n",
    "CRLF . CR": b"\r\n.\r",
    "CR . LF": b"\r.\n",
    "LF . CR": b"\n.\r",
    "CRLF NUL . CRLF": b"\r\n\0.\r\n",
    "CRLF . NUL CRLF": b"\r\n.\0\r\n",
    "CRLF . CR CRLF": b"\r\n.\r\r\n",
}
SMUGGLED = b"MAIL FROM:<smuggled@evil.test>\r\nRCPT TO:<victim@example.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"


def smuggle(server, ending):
    """A message with the ending in its middle and commands behind it; all that the server answers to it."""
    with server.greeted() as client:
        client.envelope(SENDER, "a@example.test")
        client.expect(354, "DATA")
        client.send(message("outer", b"text") + ending + SMUGGLED + b"QUIT\r\n")
        return client.rest()


def replies_in(octets):
    return [line[:3].decode() for line in octets.split(b"\r\n") if line]


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_an_end_of_data_that_is_none_is_refused(posternd, scripted, ending):
    backend = scripted()
    server = posternd(backend.target)
    answers = replies_in(smuggle(server, ending))
    assert answers == ["554", "221"], answers
    assert not backend.deliveries


def test_a_bare_cr_before_a_true_end_is_refused_and_the_end_is_one(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target)
    with server.greeted() as client:
        client.envelope(SENDER, "a@example.test")
        client.expect(354, "DATA")
        client.send(message("outer", b"text") + b"\r\r\n.\r\nNOOP\r\n")
        assert [reply.code for reply in client.replies(2)] == [554, 250]
    assert not backend.deliveries


def test_the_refusal_says_what_is_wrong(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target)
    with server.greeted() as client:
        client.envelope(SENDER, "a@example.test")
        client.expect(354, "DATA")
        client.send(b"Subject: x\r\n\r\nbare\nline feed\r\n.\r\n")
        reply = client.reply()
        assert reply.code == 554 and reply.enhanced == "5.6.0", reply
        # The session goes on; the next message is judged by itself.
        client.envelope(SENDER, "a@example.test")
        assert client.message(message("clean")).code == 250
    assert len(backend.deliveries) == 1
    record = server.wait_for_record("recipient", status="refused")
    assert record["code"] == 554


# What the client puts on the wire, and what that is as a message.
NORMALIZED = {
    "a lone LF": (b"one\ntwo\r\n", b"one\r\ntwo\r\n"),
    "a lone CR": (b"one\rtwo\r\n", b"one two\r\n"),
    "a stuffed dot behind a lone LF": (b"one\n..two\r\n", b"one\r\n.two\r\n"),
    "a dot behind a lone CR": (b"one\r.two\r\n", b"one .two\r\n"),
    "many": (b"a\nb\nc\rd\re\n\n\nf\r\n", b"a\r\nb\r\nc d e\r\n\r\n\r\nf\r\n"),
    "nothing wrong": (b"one\r\n..two\r\n", b"one\r\n.two\r\n"),
}


@pytest.mark.parametrize("mode", ["exempt network", "normalize"])
@pytest.mark.parametrize("sent, expected", NORMALIZED.values(), ids=NORMALIZED)
def test_bare_line_ends_are_made_good_where_that_is_allowed(posternd, scripted, mode, sent, expected):
    backend = scripted()
    smtp = {"smuggling_exempt": ["127.0.0.0/8"]} if mode == "exempt network" else {"smuggling": "normalize"}
    server = posternd(backend.target, smtp=smtp)
    with server.greeted() as client:
        client.envelope(SENDER, "a@example.test")
        client.expect(354, "DATA")
        client.send(message("bare", b"") + sent + b".\r\n")
        client.expect(250)
    (delivery,) = backend.deliveries
    assert without_trace(delivery.message, HOSTNAME) == message("bare", b"") + expected
    # On the wire to the backend there is exactly one end, and no CR or LF outside CRLF.
    wire = delivery.wire
    assert wire.count(b"\r\n.\r\n") == 1 and wire.endswith(b"\r\n.\r\n")
    rest = wire.replace(b"\r\n", b"")
    assert b"\r" not in rest and b"\n" not in rest


@pytest.mark.parametrize("mode", ["exempt network", "normalize"])
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_what_looks_like_an_end_of_data_is_refused_even_there(posternd, scripted, mode, ending):
    backend = scripted()
    smtp = {"smuggling_exempt": ["127.0.0.0/8"]} if mode == "exempt network" else {"smuggling": "normalize"}
    server = posternd(backend.target, smtp=smtp)
    assert replies_in(smuggle(server, ending)) == ["554", "221"]
    assert not backend.deliveries


def test_a_network_that_is_not_exempt_is_judged_as_ever(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target, smtp={"smuggling_exempt": ["192.0.2.0/24", "2001:db8::/32"]})
    assert replies_in(smuggle(server, b"\n.\n")) == ["554", "221"]
    assert not backend.deliveries


def test_nothing_is_read_behind_a_command_that_ends_in_a_bare_line_feed(posternd):
    server = posternd()
    with server.greeted() as client:
        client.send(b"NOOP\nMAIL FROM:<a@elsewhere.test>\r\nQUIT\r\n")
        reply = client.reply()
        assert reply.code == 500 and reply.enhanced == "5.5.2", reply
        assert client.at_end()
    assert server.wait_for_record("session")["outcome"] == "bare LF in a command"


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 600,
                                   b"\0" * 4096, b"SSH-2.0-OpenSSH_9.2\r\n"],
                         ids=["HTTP", "TLS", "NULs", "SSH"])
def test_another_protocol_is_shown_the_door(posternd, first):
    server = posternd(limits={"errors": 5})
    with server.dialogue() as client:
        client.expect(220)
        client.send(first)
        client.send(b"POST x\r\n" * 10)
        client.rest()
    assert server.wait_for_record("session")["outcome"] != "quit"
    with server.greeted() as client:
        client.expect(221, "QUIT")


def test_too_many_errors_end_the_session(posternd):
    server = posternd(limits={"errors": 3})
    with server.greeted() as client:
        codes = []
        while not codes or codes[-1] != 421:
            codes.append(client.command("WHATEVER").code)
            assert len(codes) < 10
        assert client.at_end()
    assert codes.count(500) + codes.count(502) == len(codes) - 1
    assert "errors" in server.wait_for_record("session")["outcome"]


def test_too_many_unknown_words_end_the_session(posternd):
    server = posternd(limits={"unknown_commands": 2})
    with server.greeted() as client:
        assert [client.command(word).code for word in ("FOO", "BAR", "NOOP", "BAZ")] == [500, 500, 250, 421]
        assert client.at_end()
    assert server.wait_for_record("session")["outcome"] == "too many unknown commands"


def test_a_session_has_as_many_transactions_as_it_was_told(posternd, scripted):
    server = posternd(scripted().target, limits={"transactions": 2, "recipients": 120})
    with server.greeted() as client:
        assert "MAILMAX=2 RCPTMAX=120" in client.command("EHLO client.example.test").text
        for _ in range(2):
            client.envelope(SENDER, "a@example.test")
            client.expect(250, "RSET")
        client.expect(421, f"MAIL FROM:<{SENDER}>")
        assert client.at_end()
    assert server.wait_for_record("session")["outcome"] == "too many transactions"


def test_a_message_that_trickles_in_is_given_up(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target, timeouts={"data": "1s"}, limits={"data_rate": "1MB"})
    with server.greeted() as client:
        client.envelope(SENDER, "a@example.test")
        client.expect(354, "DATA")
        client.send(message("slow"))
        reply = client.reply()
        assert reply.code == 421 and reply.enhanced == "4.4.2", reply
        assert client.at_end()
    assert server.wait_for_record("session")["outcome"] in ("too slow", "timed out")
    assert not backend.deliveries


def test_a_command_line_above_the_limit_is_refused_and_the_session_goes_on(posternd):
    server = posternd()
    with server.greeted() as client:
        assert client.command("NOOP " + "x" * 100_000).code == 500
        client.expect(250, "NOOP")


def test_commands_out_of_order_are_refused(posternd, scripted):
    server = posternd(scripted().target)
    with server.dialogue() as client:
        client.expect(220)
        client.expect(503, f"MAIL FROM:<{SENDER}>")
        client.hello()
        client.expect(503, "RCPT TO:<a@example.test>")
        client.expect(503, "DATA")
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        client.expect(503, f"MAIL FROM:<{SENDER}>")
        client.expect(503, "DATA")
        assert client.command("VRFY a@example.test").code in (252, 502)
        assert client.command("EXPN list").code in (502, 550)
        assert client.command("HELP").code in (214, 502)
        assert client.command("MAIL FROM:<a@b.test> NO-SUCH=1").code in (503, 555)
        client.expect(250, "RSET")
        assert client.command("MAIL FROM:<a@b.test> NO-SUCH=1").code == 555
        assert client.command("MAIL FROM:a b c").code == 501
        assert client.command("AUTH PLAIN AAAA").code in (500, 502)


def test_a_silent_client_is_told_goodbye(posternd):
    server = posternd(timeouts={"command": "1s"})
    with server.greeted() as client:
        reply = client.reply()
        assert reply.code == 421 and reply.enhanced == "4.4.2", reply
        assert client.at_end()


def test_a_client_that_never_begins_its_handshake_is_let_go(posternd):
    server = posternd(timeouts={"handshake": "1s"})
    with server.greeted() as client:
        client.expect(220, "STARTTLS")
        assert client.rest() == b""
    assert server.wait_for_record("session", tls="none")["tls_error"]


@pytest.mark.parametrize("name", ["posternd", "postern"])
def test_no_other_tls_library_is_in_the_process(build, name):
    result = run([tool("ldd"), program(build, name)])
    assert result.returncode == 0, result.stderr
    assert "libssl.so.3" not in result.stdout and "libcrypto.so.3" not in result.stdout, result.stdout
    assert "not found" not in result.stdout, result.stdout


def test_many_idle_sessions_are_held(posternd):
    """More than any process-per-connection server likes; the figures are the benchmarks' matter."""
    server = posternd(limits={"connections_per_address": 5000})
    sessions = [server.dialogue() for _ in range(900)]
    try:
        for session in sessions:
            session.expect(220)
        assert server.status()["sessions"] == 900
        assert Dialogue(server.address()).greet()
    finally:
        for session in sessions:
            session.close()
