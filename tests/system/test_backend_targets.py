"""Three Dovecots behind one backend: which of them takes what, while one of them is stopped and started, and while the
name of a backend moves from one to the other."""

import collections
import contextlib
import itertools
import queue
import threading

import pytest

from harness.dovecot import Dovecot
from harness.messages import message
from harness.name_server import NameServer
from harness.ports import free_port
from harness.wait import LIMIT, eventually

SENDER = "sender@elsewhere.test"
# So many that each of three targets has some of them, whatever the targets are called: all but once in 60,000 times.
MANY = [f"many{number}@example.test" for number in range(30)]
ORDERED, LEAST, NAMED = "ordered@example.test", "least@example.test", "named@example.test"
ADDRESSES = ["127.0.0.81", "127.0.0.82", "127.0.0.83"]


@pytest.fixture(scope="module")
def port():
    """Theirs, the same at each address."""
    return free_port()


@pytest.fixture(scope="module")
def stores(session_folder, default_leaf, port):
    with contextlib.ExitStack() as ends:
        made = []
        for address in ADDRESSES:
            made.append(Dovecot(session_folder / f"target-{address}", [*MANY, ORDERED, LEAST, NAMED], default_leaf,
                                host=address, port=port))
            ends.callback(made[-1].stop)
        yield made


@pytest.fixture
def names(folder):
    server = NameServer(folder / "dns", {"stores.test": has_addresses(ADDRESSES[0])})
    yield server
    server.stop()


def has_addresses(*addresses):
    """Records whose answers are old after a second, the least that posternd looks at."""
    return "\n".join(f"mail 1 IN A {address}" for address in addresses)


@pytest.fixture
def balanced(posternd, stores):
    """A posternd in front of the three."""
    def make(balance):
        return posternd(workers=1, backend={"to": [store.target for store in stores], "balance": balance, "timeout": "1h"})
    return make


def attempt(server, subject, *recipients):
    with server.greeted(limit=4 * LIMIT) as client:
        client.envelope(SENDER, *recipients)
        return client.message(message(subject))


def send(server, subject, *recipients):
    reply = attempt(server, subject, *recipients)
    assert reply.code == 250, reply


def holders(stores, subject):
    """{user: the number of the one Dovecot that has a message of this subject for them}."""
    found = collections.defaultdict(list)
    for number, store in enumerate(stores):
        for user, subjects in store.subjects_of_all().items():
            found[user] += [number] * subjects.count(subject)
    assert all(len(numbers) == 1 for numbers in found.values() if numbers), found
    return {user: numbers[0] for user, numbers in found.items() if numbers}


@contextlib.contextmanager
def without(server, stores, number):
    """While one of them is dead; afterwards it is up again, and posternd knows it."""
    stores[number].kill()
    try:
        yield
    finally:
        stores[number].start()
    eventually(lambda: server.status()["backends"][number]["up"], "the target is up again")
    assert server.status()["backends"][number]["down_seconds"] == 0


def test_recipients_stay_on_their_target(balanced, stores):
    server = balanced("hash")
    send(server, "to all", *MANY)
    home = holders(stores, "to all")
    assert set(home) == set(MANY) and set(home.values()) == {0, 1, 2}, home
    # The same people by other spellings, each in a message of its own.
    for user in MANY[:9]:
        send(server, "to one", user.replace("many", "Many").replace("@", "+News@"))
    assert holders(stores, "to one") == {user: home[user] for user in MANY[:9]}
    # Who lived on a target that has died moves; nobody else does.
    with without(server, stores, 1):
        send(server, "one is dead", *MANY)
        moved = {user: number for user, number in home.items() if number != 1}
    elsewhere = holders(stores, "one is dead")
    assert set(elsewhere) == set(MANY) and set(elsewhere.values()) == {0, 2}
    assert {user: elsewhere[user] for user in moved} == moved
    send(server, "all are back", *MANY)
    assert holders(stores, "all are back") == home


def test_the_first_target_takes_all_as_long_as_it_lives(balanced, stores):
    server = balanced("order")
    for number in range(3):
        send(server, f"first {number}", ORDERED)
    with without(server, stores, 0):
        send(server, "second", ORDERED)
        with without(server, stores, 1):
            send(server, "third", ORDERED)
    send(server, "first again", ORDERED)
    assert [sorted(store.subjects(ORDERED)) for store in stores] == [
        ["first 0", "first 1", "first 2", "first again"], ["second"], ["third"]]


def test_who_is_busy_gets_nothing_more(balanced, stores):
    server = balanced("least")
    for number in range(6):
        send(server, f"in turn {number}", LEAST)
    assert [len(store.subjects(LEAST)) for store in stores] == [2, 2, 2]
    done = queue.Queue()

    def deliver(subject):
        send(server, subject, LEAST)
        done.put(subject)

    stores[2].freeze()
    try:
        clients = [threading.Thread(target=deliver, args=(f"at once {number}",)) for number in range(3)]
        for client in clients:
            client.start()
        first = {done.get(timeout=LIMIT) for _ in range(2)}
        # One of the three has gone to the frozen one and waits there; all the others are taken by its neighbours.
        for number in range(4):
            send(server, f"meanwhile {number}", LEAST)
        assert done.empty()
    finally:
        stores[2].thaw()
    (last,) = {f"at once {number}" for number in range(3)} - first
    assert done.get(timeout=LIMIT) == last
    for client in clients:
        client.join()
    assert stores[2].subjects(LEAST)[2:] == [last]
    assert all(len(store.subjects(LEAST)) >= 4 for store in stores[:2])
    assert sum(len(store.subjects(LEAST)) for store in stores) == 13


def test_a_name_is_followed_to_other_addresses(posternd, stores, names, port):
    server = posternd(f"mail.stores.test:{port}", workers=1, backend={"tls": "off"}, dns={"servers": [names.address]})
    subjects = (f"named {number}" for number in itertools.count())

    def taken_by(*numbers):
        """Sends one message, which must be taken: whether it lies in one of these Dovecots."""
        subject = next(subjects)
        send(server, subject, NAMED)
        return any(subject in stores[number].subjects(NAMED) for number in numbers)

    assert taken_by(0)
    # The old address still answers, and there is a connection to it, which is never idle for long.
    names.update("stores.test", has_addresses(ADDRESSES[1]))
    eventually(lambda: taken_by(1), "mail goes to the new address")
    assert all(taken_by(1) for _ in range(5))
    eventually(lambda: server.status()["backends"][0]["connections"] == 1, "nothing is kept at the old address")
    # Of two addresses one is dead. As long as only that one is known, senders have to come again.
    stores[1].kill()
    names.update("stores.test", has_addresses(*ADDRESSES[1:]))
    eventually(lambda: attempt(server, "come again", NAMED).code == 250, "the other address is known")
    assert all(taken_by(2) for _ in range(3))
    stores[1].start()
    # A name that is taken away, and a name server that is mute, leave what was known last.
    names.update("stores.test", "")
    stores[2].kill()
    stores[2].start()
    assert taken_by(1, 2)
    names.freeze()
    for store in stores[1:]:
        store.kill()
        store.start()
    assert taken_by(1, 2)
