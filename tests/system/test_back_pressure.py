"""A backend that is slow: its messages wait for the connections that it may have, and its neighbours notice nothing."""

import queue
import threading

from harness.messages import message
from harness.scripted_lmtp import Step, at
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
