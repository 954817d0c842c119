"""kill -9 at any instant loses nothing that was acknowledged."""

import itertools
import re
import threading

import pytest

from harness.dialogue import Closed, Dialogue, tls_context
from harness.messages import message
from harness.scripted_lmtp import Step
from harness.wait import LIMIT, eventually

SENDER = "sender@elsewhere.test"


class Senders:
    """Clients that deliver one message after the other, whatever happens, and note which were acknowledged."""

    def __init__(self, server, count, recipients):
        self._server, self._recipients = server, recipients
        self.acknowledged = []
        self.tries = itertools.count()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def _send(self, number):
        context = tls_context()
        while not self._over.is_set():
            try:
                with Dialogue(self._server.address(), limit=10) as client:
                    client.greet()
                    if number % 2:
                        client.starttls(context)
                        client.hello()
                    while not self._over.is_set():
                        subject = f"message {next(self.tries)}"
                        client.envelope(SENDER, *self._recipients)
                        body = b"x" * 70 + b"\r\n"
                        if client.message(message(subject, body * (1 + 40 * number))).code == 250:
                            self.acknowledged.append(subject)
            except (OSError, Closed, AssertionError):
                # The server is gone in the middle of whatever it was: so be it.
                pass

    def stop(self):
        self._over.set()
        for thread in self._threads:
            thread.join()


def subjects(messages):
    return {re.search(rb"^Subject: (message \d+)\r?$", octets, re.MULTILINE).group(1).decode() for octets in messages}


@pytest.mark.parametrize("backend", ["dovecot", "our store"])
def test_what_was_acknowledged_is_there_after_kill_9(posternd, dovecot, store, backend):
    users = [dovecot.new_user(), dovecot.new_user()]
    server = posternd(dovecot.target if backend == "dovecot" else store.target, smtp={"spill_at": "4KiB"},
                      limits={"connections_per_address": 100})
    senders = Senders(server, 4, users)
    try:
        for _ in range(4):
            before = len(senders.acknowledged)
            eventually(lambda: len(senders.acknowledged) >= before + 12, "messages are acknowledged")  # noqa: B023
            server.kill()
            server.start()
    finally:
        senders.stop()
    acknowledged = set(senders.acknowledged)
    assert len(acknowledged) >= 48
    for user in users:
        has = set(dovecot.subjects(user)) if backend == "dovecot" else subjects(store.messages(user))
        missing = acknowledged - has
        assert not missing, f"{user} was told 250 for {sorted(missing)[:5]}"


def test_kill_9_between_the_dot_and_the_answer_leaves_the_message_with_the_sender(posternd, scripted):
    reached, release = threading.Event(), threading.Event()

    def hold(_connection, step):
        if step is Step.AFTER_DOT:
            reached.set()
            release.wait(LIMIT)
    backend = scripted(script=hold)
    server = posternd(backend.target)
    with server.greeted() as client:
        client.envelope(SENDER, "a@example.test")
        client.expect(354, "DATA")
        client.send(message("in between") + b".\r\n")
        assert reached.wait(LIMIT)
        server.kill()
        with pytest.raises((Closed, OSError)):
            client.reply()
    release.set()
    server.start()
    with server.greeted() as client:
        client.envelope(SENDER, "a@example.test")
        assert client.message(message("in between")).code == 250
    assert backend.taken("a@example.test")


def test_our_store_has_nothing_half_written_after_kill_9(posternd, store, folder):
    server = posternd(store.target, limits={"connections_per_address": 100})
    senders = Senders(server, 3, ["alice@example.test"])
    try:
        for _ in range(3):
            before = len(senders.acknowledged)
            eventually(lambda: len(senders.acknowledged) >= before + 10, "messages are acknowledged")  # noqa: B023
            store.kill()
            store.start()
    finally:
        senders.stop()
    stored = store.messages("alice")
    assert all(octets.endswith(b"x\r\n") for octets in stored)
    assert set(senders.acknowledged) <= subjects(stored)
