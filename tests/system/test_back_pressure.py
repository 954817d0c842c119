"""A backend that is slow: its messages wait for the connections that it may have, and its neighbours notice nothing."""

import os
import queue
import signal
import threading

import pytest

from harness import clients
from harness.dialogue import Dialogue
from harness.messages import message
from harness.scripted_lmtp import Step, at
from harness.senders import Postfix
from harness.wait import LIMIT, eventually

SENDER = "sender@elsewhere.test"


def test_a_slow_backend_holds_up_nobody_else(posternd, scripted):
    goes_on = threading.Event()

    def wait(_connection):
        assert goes_on.wait(4 * LIMIT)

    slow, fast = scripted(script=at(Step.AFTER_DOT, wait)), scripted()
    common = {"deliver": "lmtp", "recipients": "trust"}
    server = posternd(workers=1, backend=[
        {"name": "slow", "to": slow.target, "max_connections": 1, "wait": "1h", **common},
        {"name": "fast", "to": fast.target, **common}],
        domain=[{"name": "slow.test", "backend": "slow"}, {"name": "fast.test", "backend": "fast"}])

    def deliver(recipient, subject):
        with server.greeted(limit=4 * LIMIT) as client:
            client.envelope(SENDER, recipient)
            return client.message(message(subject))

    answers = queue.Queue()
    clients = [threading.Thread(target=lambda number=number: answers.put(deliver("alice@slow.test", f"slow {number}")))
               for number in range(6)]
    for client in clients:
        client.start()
    for number in range(30):
        assert deliver("carol@fast.test", f"fast {number}").code == 250
    assert len(fast.deliveries) == 30
    # One is with the backend, the others wait; none has been answered, and none has a connection of its own.
    assert answers.empty()
    assert len(slow.deliveries) <= 1
    goes_on.set()
    for _ in clients:
        assert answers.get(timeout=LIMIT).code == 250
    for client in clients:
        client.join()
    assert len(slow.deliveries) == 6
    assert slow.connections <= 2  # a look at its health may have had one of its own


def test_who_would_have_to_wait_behind_too_many_is_sent_away_at_the_door(posternd, scripted):
    arrived, goes_on = threading.Event(), threading.Event()

    def wait(_connection):
        arrived.set()
        assert goes_on.wait(4 * LIMIT)

    slow, fast = scripted(script=at(Step.AFTER_DOT, wait)), scripted()
    common = {"deliver": "lmtp", "recipients": "trust"}
    server = posternd(backend=[
        {"name": "slow", "to": slow.target, "max_connections": 1, "max_waiting": 2, "wait": "1h", **common},
        {"name": "fast", "to": fast.target, **common}],
        domain=[{"name": "slow.test", "backend": "slow"}, {"name": "fast.test", "backend": "fast"}])
    answers = queue.Queue()

    def deliver(number):
        with server.greeted(limit=4 * LIMIT) as client:
            client.envelope(SENDER, "alice@slow.test")
            answers.put(client.message(message(f"slow {number}")))

    with server.greeted() as early:
        early.envelope(SENDER, "alice@slow.test")
        clients = [threading.Thread(target=deliver, args=(number,)) for number in range(3)]
        clients[0].start()
        assert arrived.wait(LIMIT)  # it has the only connection; until then a look at the new backend may have had it
        for client in clients[1:]:
            client.start()
        # The workers share one line.
        eventually(lambda: sum(target["waiting"] for target in server.status()["backends"]) == 2, "two wait")
        refused = early.command("DATA")
        assert (refused.code, refused.enhanced) == (451, "4.3.2"), refused
        with server.greeted() as late:
            late.expect(250, f"MAIL FROM:<{SENDER}>")
            refused = late.command("RCPT TO:<alice@slow.test>")
            assert (refused.code, refused.enhanced) == (451, "4.3.2"), refused
            late.expect(250, "RCPT TO:<carol@fast.test>")
            assert late.message(message("fast")).code == 250
        goes_on.set()
        for _ in clients:
            assert answers.get(timeout=LIMIT).code == 250
        assert early.message(message("at last")).code == 250
    for client in clients:
        client.join()
    assert len(slow.deliveries) == 4


@pytest.fixture
def sending_postfix(folder):
    """Makes a Postfix that sends what it is given to a posternd."""
    made = []

    def make(server):
        made.append(Postfix(folder / "sender", server.address(), folder / "authors"))
        return made[-1]
    yield make
    for mta in made:
        mta.stop()


def test_dovecot_does_not_read_and_nothing_is_lost(posternd, own_dovecot, sending_postfix, folder):
    """Real clients with 12 messages of 1 MiB, a Dovecot that is stopped, 2 MiB of memory and 2 MiB of disk."""
    mib = 1 << 20
    server = posternd(own_dovecot.target, workers=1, backend={"max_connections": 2, "wait": "1h", "timeout": "1h"},
                      limits={"message_memory": 2 * mib, "spill_space": 2 * mib, "message_size": 2 * mib})
    subjects = [f"large {number}" for number in range(6)]
    own_dovecot.freeze()
    try:
        mta = sending_postfix(server)
        for subject in subjects:
            mta.submit(SENDER, ["alice@example.test"], message(subject, (b"x" * 76 + b"\r\n") * (mib // 78)))
        # Those that have place wait; the others are told to come again.
        eventually(lambda: "452 4.3.1" in mta.log(), lambda: f"there is no place for all of them; log:\n{mta.log()}", 2 * LIMIT)
        impatient = clients.smtp_source(*server.address(), sender=SENDER, recipient="bob@example.test", messages=6, sessions=6,
                                        length=mib, folder=folder)
        assert impatient.returncode != 0 and "452 4.3.1" in impatient.stdout + impatient.stderr
        assert 0 < server.status()["message_memory_octets"] <= 2 * mib
        assert not server.records("recipient", status="taken")
    finally:
        own_dovecot.thaw()
    eventually(lambda: not mta.queued(), lambda: f"everything is sent; log:\n{mta.log()}", 4 * LIMIT)
    assert sorted(own_dovecot.subjects("alice@example.test")) == sorted(subjects)
    again = clients.smtp_source(*server.address(), sender=SENDER, recipient="bob@example.test", length=mib, folder=folder)
    assert again.returncode == 0, again.stdout + again.stderr


def test_postfix_does_not_read_and_the_client_waits(passing, passed_postfix):
    """In pass-through nothing is kept: what its smtpd does not read, posternd does not read either."""
    server = passing(passed_postfix.target_of("proxy"), "proxy-v2", tables={"workers": 1})
    user = passed_postfix.new_user()
    line = b"x" * 998 + b"\r\n"
    octets = message("huge", line * 48_000)  # more than the kernel takes for two connections
    with Dialogue(server.address(), source="127.0.0.19") as client:
        client.greet()
        client.envelope(SENDER, f"{user}@example.test")
        client.expect(354, "DATA")
        (pid,) = passed_postfix.smtpds("127.0.0.19")
        os.kill(pid, signal.SIGSTOP)
        try:
            sent = until_stuck(client.socket, octets)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert sent < len(octets)
        client.socket.settimeout(LIMIT)
        client.send(octets[sent:] + b".\r\n")
        assert client.reply().code == 250
    (kept,) = eventually(lambda: passed_postfix.messages(user), lambda: passed_postfix.log)
    assert kept.count(b"\n" + line[:-2]) == 48_000


def until_stuck(connection, octets):
    """Sends as much as the peer takes, until it has taken nothing for half a second; how much that was."""
    connection.settimeout(0.5)
    sent = 0
    while sent < len(octets):
        try:
            sent += connection.send(octets[sent:sent + 65536])
        except TimeoutError:
            break
    return sent
