"""An MTA behind a postern that passes sessions through refuses, breaks off, or dies: what the client sees of it."""

import os
import signal

import pytest

from harness.dialogue import Closed, Dialogue
from harness.messages import message
from harness.name_server import NameServer
from harness.passed_mtas import DROPPED, ENEMY, REFUSED
from harness.wait import eventually

SENDER, STRANGER = "author@elsewhere.test", "127.0.0.9"
RESET_HERE, LOST = (250, "2.0.0"), (451, "4.4.2")


class Session:
    """A client's session with a posternd; what it is told are (code, enhanced status code)."""

    def __init__(self, server, user, name="client.example.test", source=STRANGER):
        self.to = f"RCPT TO:<{user}@example.test>"
        self.dialogue = Dialogue(server.address(), source=source)
        self.greeting = self.dialogue.reply().code
        self.hello = self.dialogue.command(f"EHLO {name}").code if self.greeting == 220 else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.dialogue.close()

    def say(self, line):
        reply = self.dialogue.command(line)
        return reply.code, reply.enhanced

    def batch(self, *lines):
        self.dialogue.send("".join(line + "\r\n" for line in lines).encode())
        return [reply.code for reply in self.dialogue.replies(len(lines))]

    def mail(self, sender=SENDER):
        return self.say(f"MAIL FROM:<{sender}>")

    def delivers(self, subject):
        """Whether a whole transaction is taken now, in the same session."""
        return self.mail()[0] == self.say(self.to)[0] == 250 and self.dialogue.message(message(subject)).code == 250

    def ended(self):
        try:
            return self.dialogue.at_end()
        except Closed:
            return True


@pytest.fixture(params=["late", "early"])
def connect(request):
    return request.param


def test_postfix_refuses(passed_postfix, passing, connect):
    """It says so at once (smtpd_delay_reject = no); late, where posternd has answered before, at MAIL."""
    user = passed_postfix.new_user()
    server = passing(passed_postfix.target_of("strict"), "proxy-v2", connect=connect)
    with Session(server, user, source=ENEMY) as client:
        assert client.greeting == (554 if connect == "early" else 220)
        if connect == "late":
            assert client.mail() == (554, "5.7.1") and client.say(client.to) == (554, "5.7.1")
        else:
            assert client.ended()
    with Session(server, user, name=REFUSED) as client:
        assert client.hello == (554 if connect == "early" else 250)
        if connect == "late":
            assert client.mail() == (554, "5.7.1") and client.say(client.to) == (554, "5.7.1")
        client.dialogue.hello("better.test")
        assert client.delivers("by a better name")
    with Session(server, user) as client:
        assert client.mail(f"author@{REFUSED}") == (554, "5.7.1")
        assert client.batch("RSET", f"MAIL FROM:<author@{REFUSED}>", client.to, "DATA") == [250, 554, 503, 503]
        assert client.delivers("by a better sender")
    eventually(lambda: len(passed_postfix.messages(user)) == 2, lambda: passed_postfix.log)


def test_postfix_ends_sessions(passed_postfix, passing, connect):
    """With a 421, which ends the client's session, too."""
    user = passed_postfix.new_user()
    server = passing(passed_postfix.target_of("strict"), "proxy-v2", connect=connect)
    with Session(server, user, name=DROPPED) as client:
        assert (client.hello if connect == "early" else client.mail()[0]) == 421
        assert client.ended()
    with Session(server, user) as client:
        assert client.batch(f"MAIL FROM:<author@{DROPPED}>", client.to, "DATA") == [421, 451, 451]
        assert client.ended()
    with Session(server, user) as client:
        assert client.mail()[0] == 250
        assert [client.say("RCPT TO:<nobody@example.test>")[0] for _ in range(6)] == [550] * 5 + [421]
        assert client.ended()
    assert not passed_postfix.messages(user)


def test_postfix_does_not_wait(passed_postfix, passing):
    user = passed_postfix.new_user()
    server = passing(passed_postfix.target_of("hasty"), "proxy-v2")
    with Session(server, user, source="127.0.0.17") as client:
        assert client.mail()[0] == client.say(client.to)[0] == 250
        eventually(lambda: "timeout after RCPT" in passed_postfix.log, lambda: passed_postfix.log)
        assert client.say(client.to) == (421, "4.4.2")
        assert client.ended()


def test_postfix_dies(passed_postfix, passing, connect):
    """Its smtpd is killed: nothing of the transaction is left, and the next one has another smtpd."""
    user = passed_postfix.new_user()
    address = {"late": "127.0.0.15", "early": "127.0.0.16"}[connect]
    server = passing(passed_postfix.target_of("proxy"), "proxy-v2", connect=connect)

    def kill(number):
        os.kill(passed_postfix.smtpds(address, number)[-1], signal.SIGKILL)

    with Session(server, user, source=address) as client:
        assert client.mail()[0] == client.say(client.to)[0] == 250
        kill(1)
        server.wait_for_message("backend mta: ")
        assert client.say("DATA") == LOST and client.say(client.to) == LOST
        assert client.say("RSET") == RESET_HERE
        assert client.delivers("after a loss")
        assert client.mail()[0] == client.say(client.to)[0] == 250
        assert client.say("DATA")[0] == 354
        client.dialogue.send(b"Subject: half\r\n\r\n" + b"half\r\n" * 1000)
        kill(2)
        client.dialogue.send(b"Subject: the other half\r\n.\r\n")
        reply = client.dialogue.reply()
        assert (reply.code, reply.enhanced) == LOST
        assert client.delivers("after another")
    eventually(lambda: len(passed_postfix.messages(user)) == 2, lambda: passed_postfix.log)


def test_exim_refuses_and_drops(passed_exim, passing, connect):
    """Its `drop` is a 550 and the end of the connection: the client's session goes on over another one."""
    user = passed_exim.new_user()
    server = passing(passed_exim.target, "proxy-v2", connect=connect, profile="exim")
    for name in (REFUSED, DROPPED):
        with Session(server, user, name=name) as client:
            assert client.hello == (550 if connect == "early" else 250)
            if connect == "late":
                assert client.mail()[0] == 550 and client.say(client.to)[0] == 550
            # What is said now may be quicker than the news that the connection is closed, and has a 451 then.
            eventually(lambda: client.say("EHLO better.test")[0] == 250, "the session goes on")  # pylint: disable=cell-var-from-loop
            assert client.delivers("by a better name")
    with Session(server, user) as client:
        assert client.batch(f"MAIL FROM:<author@{REFUSED}>", client.to, "DATA", "RSET") == [550, 503, 503, 250]
        assert client.mail(f"author@{DROPPED}")[0] == 550 and client.say(client.to) == LOST
        assert client.delivers("by a better sender")
        assert client.mail()[0] == client.say(client.to)[0] == 250
        assert client.dialogue.message(message("to be dropped")).code == 550
        eventually(lambda: client.delivers("a better text"), "the session goes on")
    eventually(lambda: len(passed_exim.messages(user)) == 4, lambda: passed_exim.log)
    assert not any(b"to be dropped" in kept for kept in passed_exim.messages(user))


def test_an_mta_that_has_a_name(passed_postfix, passing, folder):
    """Of two addresses one is dead; a name server that is mute leaves what was known."""
    port = passed_postfix.target_of("proxy").rsplit(":", 1)[1]
    names = NameServer(folder / "dns", {"mtas.test": "mta 1 IN A 127.0.0.91\nmta 1 IN A 127.0.0.1"})
    try:
        server = passing(f"mta.mtas.test:{port}", "proxy-v2", tls="off",
                         tables={"dns": {"servers": [names.address]}, "workers": 1})
        user = passed_postfix.new_user()
        with Session(server, user) as client:
            assert client.delivers("by name")
        names.freeze()
        with Session(server, user) as client:
            assert client.delivers("without DNS")
    finally:
        names.stop()
