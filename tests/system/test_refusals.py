"""What the session refuses by itself: one log line with peer and reason, and not more of them than anybody wants."""

import pytest

SENDER = "sender@elsewhere.test"


def test_every_refused_recipient_has_a_line(posternd, scripted):
    server = posternd(scripted().target, limits={"recipients": 1})
    with server.greeted() as client:
        client.expect(503, "RCPT TO:<early@example.test>")
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        client.expect(550, "RCPT TO:<bob@stranger.test>")
        client.expect(250, "RCPT TO:<alice@example.test>")
        client.expect(501, "RCPT TO:<no body@example.test>")
        client.expect(555, "RCPT TO:<bob@example.test> FANCY=yes")
        client.expect(452, "RCPT TO:<bob@example.test>")
        peer = "{}:{}".format(*client.socket.getsockname())
    (session,) = server.wait_for_records(1, "session")
    told = {(line["to"], line["code"], line["status"]): line for line in server.records("recipient")}
    assert set(told) == {
        ("<early@example.test>", 503, "refused"),
        ("<no body@example.test>", 501, "refused"),
        ("<bob@example.test> FANCY=yes", 555, "refused"),
        ("<bob@example.test>", 452, "deferred"),
        ("<bob@stranger.test>", 550, "refused")}, told
    for line in told.values():
        assert line["peer"] == peer and line["session"] == session["id"] and line["reply"], line
    # Those of a transaction have its id and its sender.
    inside = [line for line in told.values() if line["code"] != 503]
    assert len({line["id"] for line in inside}) == 1
    assert all(line["from"] == f"<{SENDER}>" for line in inside)


def test_other_refused_commands_are_told_without_secrets(posternd):
    server = posternd()
    with server.greeted() as client:
        client.expect(501, "MAIL FROM:<a b@example.test>")
        client.expect(500, "AUTH PLAIN AGFsaWNlAHNlY3JldA==")
        client.expect(500, "FR\u00d6ZN")
    line = server.wait_for_message("refused: MAIL FROM:<a b@example.test>: 501 5.1.7")["message"]
    assert "127.0.0.1:" in line
    assert "AGFsaWNl" not in server.process.stderr
    server.wait_for_message("refused: FR\\xc3\\x96ZN: 500")


@pytest.mark.parametrize("recipients", [90, 300])
def test_a_session_cannot_flood_the_log(posternd, scripted, recipients):
    server = posternd(scripted().target, limits={"recipients": 1})
    with server.greeted() as client:
        client.envelope(SENDER, "alice@example.test")
        client.send(b"RCPT TO:<bob@example.test>\r\n" * recipients + b"QUIT\r\n")
        assert client.rest().count(b"452 4.5.3") == recipients
    server.wait_for_record("session")
    assert len(server.records("recipient", code=452)) == min(recipients, 100)
    if recipients > 100:
        server.wait_for_message("200 more commands were refused")
