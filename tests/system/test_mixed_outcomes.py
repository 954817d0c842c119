"""Real senders with a queue meet every mixed outcome: in the end each recipient has the message once, or its author has
exactly one bounce."""

import itertools
import re

import pytest

from harness.messages import message
from harness.senders import Exim, EximWithPrdr, Postfix
from harness.wait import eventually

AUTHOR = "author@elsewhere.test"
REFUSAL = "552 5.2.2 over quota"
DEFERRAL = "451 4.2.1 not now"


class Fates:
    """What the store answers after the dot, by the recipient's name: `take-...`, `refuse-...`, and for those who are
    deferred at first `late-take-...` and `late-refuse-...`, until `deferring` is over."""

    def __init__(self):
        self.deferring = True

    def get(self, recipient, usual):
        if recipient.startswith("late-") and self.deferring:
            return DEFERRAL
        return REFUSAL if "refuse-" in recipient else usual


def mixtures():
    """Every mixture of two and more fates, each as a message of its own; two recipients of a fate where it is mixed with
    one other, so that they have to stay together."""
    fates = ["take", "refuse", "late-take", "late-refuse"]
    for size in (2, 3, 4):
        for chosen in itertools.permutations(fates, size) if size == 2 else itertools.combinations(fates, size):
            yield [(fate, copy) for fate in chosen for copy in range(2 if size == 2 else 1)]


@pytest.fixture(params=[Postfix, Exim, EximWithPrdr], ids=lambda kind: kind.__name__)
def sender(request, folder, scripted):
    """Makes the sender: sender(server). `authors` is the author's mailbox."""
    made = []

    def make(server):
        authors = scripted()
        made.append(request.param(folder / "sender", server.address(), authors.target.removeprefix("unix:")))
        made[-1].authors = authors
        return made[-1]
    yield make
    for one in made:
        print(f"--- the sender's log\n{one.log()}")
        one.stop()


def bounced(authors):
    """Recipient → number of bounces about it."""
    about = {}
    for delivery in authors.deliveries:
        # The bounce holds the message, or its header: only the report counts, once for each recipient.
        report = delivery.message.decode("latin-1")
        names = re.findall(r"^Final-Recipient: rfc822;\s*<?([^\s>]+)", report, re.MULTILINE | re.IGNORECASE)
        for name in names:
            about[name] = about.get(name, 0) + 1
    return about


def test_every_mixed_outcome_converges(posternd, scripted, sender):
    backend = scripted()
    fates = backend.final_replies = Fates()
    server = posternd(backend.target, limits={"connections_per_address": 100})
    mta = sender(server)
    everybody = []
    for number, mixture in enumerate(mixtures()):
        people = [f"{fate}-{number}-{copy}@example.test" for fate, copy in mixture]
        everybody += people
        mta.submit(AUTHOR, people, message(f"mixture {number}"))
    # The deferred stay so until every message has been tried twice.
    deferred = {person for person in everybody if person.startswith("late-")}

    def all_tried_twice():
        tried = [record["to"].strip("<>") for record in server.records("recipient", status="deferred")]
        return all(tried.count(person) >= 2 for person in deferred)
    eventually(all_tried_twice, lambda: f"every deferred recipient was tried twice; the sender's log:\n{mta.log()}")
    fates.deferring = False
    eventually(lambda: not mta.queued(), lambda: f"the sender's queue is empty; its log:\n{mta.log()}")
    bounces = bounced(mta.authors)
    for person in everybody:
        has = len(backend.taken(person))
        expected = (0, 1) if "refuse-" in person else (1, 0)
        assert (has, bounces.get(person, 0)) == expected, (person, has, bounces, mta.log())
    assert len(bounces) == sum("refuse-" in person for person in everybody)
    counts = server.status()["ledger"]
    if isinstance(mta, EximWithPrdr):
        # On a connection that it goes on with for another message, Exim 4.96 may forget that PRDR was offered.
        assert re.search(r"\*\* refuse-\S+ .*PRDR error after [^:]+: 552 5\.2\.2 over quota", mta.log())
    else:
        assert counts["deduplicated"] and counts["refused"] and counts["separated"]
    eventually(lambda: not server.status()["ledger"]["entries"], lambda: f"nothing is left: {server.status()['ledger']}")
