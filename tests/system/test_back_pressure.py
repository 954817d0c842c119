"""A backend that is slow: its messages wait for the connections that it may have, and its neighbours notice nothing."""

import queue
import threading

from harness.messages import message
from harness.scripted_lmtp import Step, at
from harness.wait import LIMIT

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
