"""Thousands of transactions, and everything that can break does, at random: backends that refuse, defer, close and fall
silent at every step, clients that vanish, `kill -9` of the store and of posternd. Then the senders' log is compared with
what the stores have.

Nothing that was acknowledged may be missing. Nothing may be delivered twice to one recipient, but where somebody died
between the backend's answer and the sender's receipt of ours: nobody can know then. Those are counted and reported.

A short run with a fixed seed is part of the tests. By hand, longer:

    POSTERN_FAULT_MESSAGES=5000 POSTERN_FAULT_SEED=7 python3 -m pytest tests/system/test_faults.py -s
"""

import dataclasses
import os
import random
import re
import socket
import struct
import threading
import time

import pytest

from harness.dialogue import Closed, Dialogue, tls_context
from harness.messages import message
from harness.processes import program
from harness.scripted_lmtp import Step, close, say, shut, silent
from harness.store import Store
from harness.wait import eventually

MESSAGES = int(os.environ.get("POSTERN_FAULT_MESSAGES", "60"))
SEED = int(os.environ.get("POSTERN_FAULT_SEED", "20261126"))
SENDERS = 6
SENDER = "author@elsewhere.test"
# How long the death of one process may have been in the making, seen from another one's clock.
SLACK_SECONDS = 5


@dataclasses.dataclass
class Event:
    """Somebody died. `what` is the message that was under way, or a domain, or "" for all."""

    at: float
    what: str


class Misfortune:
    """What goes wrong, by chance, until it is over."""

    def __init__(self, seed):
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self.over = False
        self.events = []

    def happens(self, probability):
        with self._lock:
            return not self.over and self._chance.random() < probability

    def choose(self, options):
        with self._lock:
            return self._chance.choice(options)

    def between(self, low, high):
        with self._lock:
            return self._chance.uniform(low, high)

    def note(self, what):
        self.events.append(Event(time.time(), what))


class Backend:
    """The script of a scripted LMTP server: mostly it takes what comes."""

    def __init__(self, misfortune):
        self._misfortune = misfortune

    def __call__(self, _connection, step):
        misfortune = self._misfortune
        if step is Step.QUIT or not misfortune.happens(0.015):
            return None
        after_dot = step in (Step.AFTER_DOT, Step.NEXT_REPLY)
        # In the middle of the message a 451 would be the answer to it, which the server then takes all the same.
        says = [say("451 4.3.0 not now")] if after_dot or step in (Step.MAIL, Step.RCPT, Step.DATA) else []
        return misfortune.choose([close, close, shut("421 4.3.2 going away"), *says, *([silent] if after_dot else [])])

    def get(self, _recipient, usual):
        """In the place of `final_replies`."""
        if self._misfortune.happens(0.12):
            return "451 4.2.1 not now"
        return "552 5.2.2 over quota" if self._misfortune.happens(0.1) else usual


class Message:
    def __init__(self, number, chance):
        self.name = f"fault-{number}"
        self.octets = message(self.name, b"x" * 70 + b"\r\n" + b"y" * chance.choice([10, 900, 5000]) + b"\r\n")
        domains = ["a.test", "b.test"]
        self.pending = [f"u{number}-{n}@{chance.choice(domains)}" for n in range(chance.choice([1, 2, 3, 5]))]
        self.acknowledged, self.refused = [], []
        self.answered_at = {}  # recipient → when it had its final answer
        self.tries = 0


class Senders:
    """As MTAs do: each message is tried until every recipient has its final answer."""

    def __init__(self, server, messages, misfortune):
        self._server, self._misfortune = server, misfortune
        self._waiting = list(messages)
        self._lock = threading.Lock()
        self.failures = []
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def left(self):
        return any(thread.is_alive() for thread in self._threads)

    def _work(self, number):
        context = tls_context() if number % 3 == 0 else None
        while True:
            with self._lock:
                if not self._waiting:
                    return
                mail = self._waiting.pop(0)
            try:
                self._try(mail, context)
            except (OSError, Closed):
                self._misfortune.note(mail.name)
            except AssertionError as failure:
                self.failures.append(f"{mail.name}: {failure}")
                return
            if mail.pending:
                with self._lock:
                    # Never at once, and not always behind all others.
                    self._waiting.insert(self._misfortune.choose([len(self._waiting), len(self._waiting) // 2]), mail)
                time.sleep(self._misfortune.between(0.001, 0.03))

    def _try(self, mail, context):
        mail.tries += 1
        with Dialogue(self._server.address(), limit=30) as client:
            client.greet()
            if context:
                client.starttls(context)
                client.hello()
            client.expect(250, f"MAIL FROM:<{SENDER}>")
            accepted = []
            for recipient in list(mail.pending):
                reply = client.command(f"RCPT TO:<{recipient}>")
                assert reply.code in (250, 450, 451, 452), reply
                if reply.code == 250:
                    accepted.append(recipient)
            if not accepted:
                return
            client.expect(354, "DATA")
            # A retry by another way: other trace fields.
            client.send(b"Received: from hop-%d by hop\r\n" % mail.tries + mail.octets + b".\r\n")
            if self._misfortune.happens(0.03):
                time.sleep(self._misfortune.between(0, 0.02))
                if self._misfortune.happens(0.5):
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raise Closed("we have died")
            final = client.reply()
            assert final.code in (250, 451, 452, 552), final
            done = mail.acknowledged if final.code == 250 else mail.refused if final.code == 552 else None
            if done is not None:
                done += accepted
                mail.answered_at.update(dict.fromkeys(accepted, time.time()))
                mail.pending = [recipient for recipient in mail.pending if recipient not in accepted]
            client.expect(221, "QUIT")


def deliveries(backend, store):
    """(message, recipient) → the times at which a store took it."""
    got = {}
    subject = re.compile(rb"^Subject: (fault-\d+)\r$", re.MULTILINE)
    for delivery in backend.deliveries:
        name = subject.search(delivery.wire)
        for recipient in delivery.taken:
            got.setdefault((name.group(1).decode(), recipient), []).append(delivery.at)
    for path in store.files():
        name = subject.search(path.read_bytes()).group(1).decode()
        recipient = re.search(r"u\d+-\d+@b\.test", str(path)).group()
        got.setdefault((name, recipient), []).append(path.stat().st_mtime)
    return got


def excused(events, mail, recipient, times):
    """Whether somebody died between (and a little before) the first of these deliveries and the last, or the refusal."""
    whats = {"", mail.name, recipient.rpartition("@")[2]}
    last = max(*times, mail.answered_at[recipient]) if recipient in mail.refused else max(times)
    return any(event.what in whats and min(times) - SLACK_SECONDS <= event.at <= last for event in events)


@pytest.mark.parametrize("kills", [False, True], ids=["backends and clients fail", "kill -9"])
def test_the_senders_log_agrees_with_the_stores(posternd, scripted, build, folder, kills, record_property):
    misfortune = Misfortune(SEED)
    backend = scripted(script=Backend(misfortune))
    backend.final_replies = backend.script
    store = Store(program(build, "postern"), folder, name="faults")
    limits = {"connect": "5s", "command": "5s", "after_dot": "1s"}
    server = posternd(backend=[
        {"name": "a", "deliver": "lmtp", "to": [backend.target], "recipients": "trust", "timeout": limits},
        {"name": "b", "deliver": "lmtp", "to": [store.target], "recipients": "trust",
         "timeout": {**limits, "after_dot": "30s"}}],
        domain=[{"name": "a.test", "backend": "a"}, {"name": "b.test", "backend": "b"}],
        smtp={"spill_at": "4KiB"}, limits={"connections_per_address": 1000})
    chance = random.Random(SEED)
    messages = [Message(number, chance) for number in range(MESSAGES)]
    senders = Senders(server, messages, misfortune)
    try:
        settled_at_first = -1
        while kills and senders.left():
            settled = sum(len(mail.acknowledged) for mail in messages)
            if settled >= 0.7 * sum(len(m.acknowledged) + len(m.pending) + len(m.refused) for m in messages):
                break
            if settled == settled_at_first:
                time.sleep(0.01)  # not before something went well since the last time
                continue
            settled_at_first = settled
            time.sleep(misfortune.between(0.1, 0.6))
            if misfortune.choose(["store", "posternd"]) == "store":
                misfortune.note("b.test")
                store.kill()
                store.start()
            else:
                misfortune.note("")
                server.kill()
                server.start()
        if kills:
            misfortune.over = True
        eventually(lambda: not senders.left() or sum(bool(m.pending) for m in messages) < MESSAGES // 20,
                   lambda: "most messages are settled", limit=60 + MESSAGES)
    finally:
        misfortune.over = True
        eventually(lambda: not senders.left(), lambda: f"every message is settled; {server.process.stderr[-3000:]}",
                   limit=60 + MESSAGES)
    assert not senders.failures, senders.failures
    try:
        judge(messages, backend, store, misfortune.events, kills, record_property)
    finally:
        print({name: value for name, value in server.status()["ledger"].items() if value})
        store.stop()


def judge(messages, backend, store, events, kills, record_property):
    missing, twice, unexcused, tries = [], 0, [], 0
    recipients = 0
    got = deliveries(backend, store)
    for mail in messages:
        tries += mail.tries
        recipients += len(mail.acknowledged) + len(mail.refused)
        missing += [f"{mail.name} {recipient}" for recipient in mail.acknowledged if (mail.name, recipient) not in got]
        for recipient in mail.acknowledged + mail.refused:
            times = got.get((mail.name, recipient), [])
            if len(times) > (recipient in mail.acknowledged):
                twice += 1
                if not excused(events, mail, recipient, times):
                    unexcused.append(f"{mail.name} {recipient}: {len(times)} times, "
                                     f"{'refused' if recipient in mail.refused else 'acknowledged'}")
    for name, value in (("transactions", tries), ("recipients", recipients), ("deaths", len(events)), ("twice", twice)):
        record_property(name, value)
    print(f"seed {SEED}, {'with kill -9' if kills else 'no kills'}: {len(messages)} messages, {recipients} recipients, "
          f"{tries} transactions, {len(events)} deaths; {twice} recipients got a message once too often where nobody "
          f"could know, {len(unexcused)} otherwise, {len(missing)} missing")
    assert not missing, missing
    assert not unexcused, unexcused
