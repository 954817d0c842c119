"""Backends that die, hang or lie at each step: what the client was told is compared with what the store has.

The one rule: whatever was answered 250 is in the store. A message may arrive twice when a connection broke before its
answer could be read (nobody can know then); it may never be missing.
"""

import threading

import pytest

from harness.dialogue import Closed
from harness.messages import message
from harness.ports import free_port
from harness.scripted_lmtp import Step, at, close, endless, garble, reset, say, shut, silent
from harness.tap import cut_at
from harness.wait import LIMIT, eventually

SENDER = "sender@elsewhere.test"

# Short limits for the tests in which a backend hangs. The tests wait for the answer, not for these times.
SHORT = {"connect": "1s", "command": "1s", "after_dot": "1s"}


def limits_for(action):
    """Only where a backend hangs are the limits short: elsewhere a slow machine must not make them pass."""
    return {"timeout": SHORT} if action is silent else {}


def until_taken(server, recipients, subject):
    """Tries, as a sender does, until the message is taken."""
    def taken():
        with server.greeted() as client:
            client.expect(250, f"MAIL FROM:<{SENDER}>")
            for recipient in recipients:
                # A sender would split the message here; one that gives up keeps the count of copies plain.
                if client.command(f"RCPT TO:<{recipient}>").code != 250:
                    return False
            return client.message(message(subject)).code == 250
    eventually(taken, f"{subject} is taken; log:\n{server.process.stderr}")


def attempt(server, recipients, subject):
    """One try at a message. Returns (recipients accepted at RCPT, final reply or None, the refusals at RCPT)."""
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        accepted, refusals = [], []
        for recipient in recipients:
            reply = client.command(f"RCPT TO:<{recipient}>")
            if reply.code == 250:
                accepted.append(recipient)
            else:
                refusals.append(reply)
        if not accepted:
            return [], None, refusals
        final = client.message(message(subject))
        # The session has survived whatever happened behind it.
        client.expect(250, "NOOP")
        client.expect(221, "QUIT")
        return accepted, final, refusals


MISBEHAVIOURS = {
    "closes": close,
    "resets": reset,
    "garbles": garble,
    "is silent": silent,
    "says 421 and closes": shut("421 4.3.2 going away"),
    "replies without an end": endless,
}
STEPS = [Step.GREETING, Step.LHLO, Step.MAIL, Step.RCPT, Step.DATA, Step.BODY, Step.AFTER_DOT, Step.NEXT_REPLY]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.value)
@pytest.mark.parametrize("action", MISBEHAVIOURS.values(), ids=MISBEHAVIOURS)
def test_nothing_acknowledged_is_lost_when_the_backend_misbehaves(posternd, scripted, action, step):
    people = ["one@example.test", "two@example.test"]
    backend = scripted(tcp=True, script=at(step, action))
    server = posternd(backend.target, backend=limits_for(action), workers=1)
    accepted, final, _ = attempt(server, people, "while it misbehaves")
    assert accepted == people
    assert final.code == 451, final
    assert final.enhanced.startswith("4."), final
    # Once the backend behaves, all is well again.
    backend.script = lambda _connection, _step: None
    until_taken(server, people, "afterwards")
    for person in people:
        assert any(b"afterwards" in delivery.message for delivery in backend.taken(person))
    # What the first client was told of each recipient is what the backend said, if it said it whole.
    server.stop()
    first = [line for line in server.records("recipient") if line["message_id"] == "<while-it-misbehaves@elsewhere.test>"]
    for line in first:
        said = [delivery for delivery in backend.taken(line["to"].strip("<>"))
                if b"while it misbehaves" in delivery.message]
        assert line["status"] == ("taken" if said else "deferred"), line


@pytest.mark.parametrize("step", [Step.GREETING, Step.LHLO, Step.MAIL, Step.RCPT], ids=lambda step: step.value)
@pytest.mark.parametrize("action", MISBEHAVIOURS.values(), ids=MISBEHAVIOURS)
def test_a_recipient_that_cannot_be_verified_is_deferred(posternd, scripted, action, step):
    backend = scripted(tcp=True, script=at(step, action))
    server = posternd(backend.target, backend={**limits_for(action), "recipients": "verify"}, workers=1)
    accepted, _, refusals = attempt(server, ["one@example.test"], "unverified")
    assert not accepted and refusals[0].code == 451, refusals
    backend.script = lambda _connection, _step: None
    until_taken(server, ["one@example.test"], "verified")
    assert backend.taken("one@example.test")


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.value)
def test_a_backend_that_misbehaved_once_is_used_again(posternd, scripted, step):
    """Where that is safe postern may try again by itself; 250 it says only for what was taken."""
    backend = scripted(script=at(step, close, times=1))
    server = posternd(backend.target, workers=1)
    people = ["one@example.test", "two@example.test"]
    _, final, _ = attempt(server, people, "the first try")
    if final.code != 250:
        assert final.code == 451
        until_taken(server, people, "the second try")
    for person in people:
        assert backend.taken(person)


@pytest.mark.parametrize("line", ["999 what", "25", "", "2.0.0 OK", "-1", "250", "550-5.0.0 a\r\n250 b", "354 twice"])
def test_an_answer_after_the_dot_that_is_none_counts_as_a_failure(posternd, scripted, line):
    backend = scripted(script=at(Step.AFTER_DOT, say(line)))
    server = posternd(backend.target, workers=1)
    # Two recipients: the second is answered well, the first by `line`.
    _, final, _ = attempt(server, ["one@example.test", "two@example.test"], "strange")
    # A bare code is short but good (RFC 5321 section 4.2 tells receivers to take it).
    assert final.code == (250 if line == "250" else 451), final


REAL_STEPS = ["greeting", "LHLO", "MAIL", "RCPT", "DATA", "354", "body", "dot", "reply", "next reply"]


def stored(subject, messages):
    """How many of the stored messages have this subject."""
    return sum(b"Subject: " + subject.encode() in octets for octets in messages)


def judge(final, subject, people, messages_of):
    """`messages_of(person)` gives the octets of the messages that the store has now."""
    for person in people:
        has = stored(subject, messages_of(person))
        if final is not None and final.code == 250:
            assert has >= 1, f"{person} was told 250 and the message is missing"
        assert has <= 2


@pytest.mark.parametrize("recipients", ["trust", "verify"])
@pytest.mark.parametrize("step", REAL_STEPS)
def test_nothing_is_lost_when_dovecot_is_cut_off(posternd, dovecot, tap, step, recipients):
    people = [dovecot.new_user(), dovecot.new_user()]
    hook = cut_at(step)
    relay = tap(dovecot.socket_path, hook)
    server = posternd(relay.target, backend={"recipients": recipients}, workers=1)
    accepted, final, refusals = attempt(server, people, "cut off")
    assert hook.fired()
    assert all(reply.code == 451 for reply in refusals), refusals
    assert final is None or final.code in (250, 451), final
    judge(final, "cut off", accepted, dovecot.messages)
    if final is None or final.code != 250 or accepted != people:
        until_taken(server, people, "again")
        for person in people:
            assert stored("again", dovecot.messages(person)) == 1


@pytest.mark.parametrize("step", REAL_STEPS)
def test_nothing_is_lost_when_dovecot_is_killed(posternd, own_dovecot, tap, step):
    people = ["alice@example.test", "bob@example.test"]
    hook = cut_at(step, action=own_dovecot.kill)
    relay = tap(own_dovecot.socket_path, hook)
    server = posternd(relay.target, workers=1)
    accepted, final, _ = attempt(server, people, "killed")
    assert hook.fired() and accepted == people
    assert final.code == 451, final
    own_dovecot.start()
    judge(final, "killed", people, own_dovecot.messages)
    until_taken(server, people, "again")
    for person in people:
        assert stored("again", own_dovecot.messages(person)) == 1


@pytest.mark.parametrize("step", REAL_STEPS)
def test_nothing_is_lost_when_our_store_is_killed(posternd, store, tap, step):
    people = ["alice@example.test", "bob@example.test"]
    hook = cut_at(step, action=store.kill)
    relay = tap(store.socket_path, hook)
    server = posternd(relay.target, workers=1)
    _, final, _ = attempt(server, people, "killed")
    assert hook.fired()
    assert final.code == 451, final
    store.start()
    judge(final, "killed", people, store.messages)
    until_taken(server, people, "again")
    for person in people:
        assert stored("again", store.messages(person)) == 1


def test_a_backend_that_is_not_there_defers_at_rcpt_or_after_the_message(posternd, folder):
    dead = {"a unix socket that is not there": f"unix:{folder}/nobody", "a closed port": f"127.0.0.1:{free_port()}"}
    for what, target in dead.items():
        verifying = posternd(target, backend={"recipients": "verify", "timeout": SHORT})
        accepted, _, (refusal,) = attempt(verifying, ["one@example.test"], "to nobody")
        assert not accepted and refusal.code == 451 and refusal.enhanced == "4.4.1", (what, refusal)
        trusting = posternd(target, backend={"recipients": "trust", "timeout": SHORT})
        _, final, _ = attempt(trusting, ["one@example.test"], "to nobody")
        assert final.code == 451 and final.enhanced == "4.4.1", (what, final)
        record = trusting.wait_for_record("recipient", status="deferred")
        assert record["code"] == 451
        assert any(backend["failures"] and backend["last_failure"] for backend in trusting.status()["backends"])


def test_a_backend_that_accepts_and_says_nothing_defers_in_limited_time(posternd, scripted):
    backend = scripted(tcp=True, script=at(Step.GREETING, silent))
    server = posternd(backend.target, backend={"timeout": "1s"})
    _, final, _ = attempt(server, ["one@example.test"], "to the silent")
    assert final.code == 451 and final.enhanced.startswith("4.4."), final


def test_a_host_name_is_resolved_and_an_unknown_one_defers(posternd, scripted):
    backend = scripted(tcp=True)
    port = backend.target.rsplit(":", 1)[1]
    server = posternd(f"localhost:{port}")
    _, final, _ = attempt(server, ["one@example.test"], "by name")
    assert final.code == 250, final
    server = posternd("does-not-exist.invalid:24", backend={"timeout": SHORT, "tls": "off"})
    _, final, _ = attempt(server, ["one@example.test"], "by no name")
    assert final.code == 451 and final.enhanced.startswith("4.4."), final


def test_the_next_target_serves_when_the_first_is_dead(posternd, scripted, folder):
    backend = scripted()
    server = posternd(backend={"to": [f"unix:{folder}/nobody", backend.target]})
    _, final, _ = attempt(server, ["one@example.test"], "second target")
    assert final.code == 250 and backend.taken("one@example.test")


def test_a_kept_connection_that_the_backend_has_closed_is_replaced(posternd, scripted):
    backend = scripted()
    # One, or the look at a backend that is new would make another.
    server = posternd(backend.target, workers=1, backend={"max_connections": 1})
    people = ["one@example.test"]
    assert attempt(server, people, "first")[1].code == 250
    assert backend.connections == 1
    assert attempt(server, people, "kept")[1].code == 250
    assert backend.connections == 1
    # A kept connection dies exactly when the next transaction begins: nothing was answered, so a fresh one may try.
    backend.script = at(Step.MAIL, close, times=1)
    assert attempt(server, people, "after the loss")[1].code == 250
    assert backend.connections == 2
    assert len(backend.deliveries) == 3


def test_connections_to_a_backend_are_shared_and_limited(posternd, scripted):
    """Many clients at once need few backend connections: `max_connections` of them at most."""
    backend = scripted()
    server = posternd(backend.target, workers=1, backend={"max_connections": 3},
                      limits={"connections_per_address": 100})
    results, threads = [], []

    def one(number):
        results.append(attempt(server, [f"user{number}@example.test"], f"shared {number}")[1].code)
    for number in range(30):
        threads.append(threading.Thread(target=one, args=(number,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert results == [250] * 30 and len(backend.deliveries) == 30
    assert backend.connections <= 3


def test_a_client_that_vanishes_in_the_message_leaves_nothing_at_the_backend(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target)
    with server.greeted() as client:
        client.envelope(SENDER, "one@example.test")
        client.expect(354, "DATA")
        client.send(message("half of it", b"first line\r\n"))
    server.wait_for_record("session", messages=0)
    assert not backend.deliveries
    assert attempt(server, ["one@example.test"], "whole")[1].code == 250
    assert len(backend.deliveries) == 1


def test_a_client_that_vanishes_after_the_dot_does_not_stop_the_delivery(posternd, scripted):
    release = threading.Event()

    def hold(connection, step):
        if step is Step.AFTER_DOT:
            assert release.wait(LIMIT)
    backend = scripted(script=hold)
    server = posternd(backend.target)
    with server.greeted() as client:
        client.envelope(SENDER, "one@example.test")
        client.expect(354, "DATA")
        client.send(message("impatient") + b".\r\n")
        while not backend.deliveries:
            try:
                client.socket.settimeout(0.02)
                client.reply()
                raise AssertionError("answered before the backend had it")
            except (TimeoutError, Closed):
                pass
    release.set()
    record = server.wait_for_record("recipient", message_id="<impatient@elsewhere.test>")
    assert record["status"] == "taken"
