"""Mixed outcomes: one SMTP reply for recipients that fared differently at the store.

Whatever happens, in the end every recipient has the message once, or its author has exactly one refusal for it.
"""

import socket
import sqlite3
import stat
import struct
import threading

import pytest

from harness.dialogue import Closed, tls_context
from harness.messages import message
from harness.scripted_lmtp import Step, at, close
from harness.wait import LIMIT, eventually

SENDER = "sender@elsewhere.test"
ONE, TWO, THREE = "one@example.test", "two@example.test", "three@example.test"
OVER_QUOTA = "552 5.2.2 over quota"


def attempt(server, recipients, octets, sender=SENDER):
    """One transaction. Returns (recipients accepted, refusals at RCPT by recipient, final reply or None)."""
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{sender}>")
        replies = {recipient: client.command(f"RCPT TO:<{recipient}>") for recipient in recipients}
        accepted = [recipient for recipient, reply in replies.items() if reply.code == 250]
        final = client.message(octets) if accepted else None
        client.expect(221, "QUIT")
    return accepted, {recipient: reply for recipient, reply in replies.items() if reply.code != 250}, final


def settled(server):
    """Waits until what a client was told has reached the ledger's memory."""
    return eventually(lambda: not server.status()["ledger"]["entries"],
                      lambda: f"the ledger is empty: {server.status()['ledger']}")


def test_served_and_deferred_come_again_together_and_nobody_gets_it_twice(posternd, scripted):
    backend = scripted()
    backend.final_replies[TWO] = "451 4.2.1 not now"
    server = posternd(backend.target)
    octets = message("served and deferred")
    assert attempt(server, [ONE, TWO], octets)[2].code == 451
    assert attempt(server, [ONE, TWO], octets)[2].code == 451
    backend.final_replies.clear()
    accepted, _, final = attempt(server, [ONE, TWO], b"Received: by another hop\r\n" + octets)
    assert accepted == [ONE, TWO] and final.code == 250, final
    assert len(backend.taken(ONE)) == 1 and len(backend.taken(TWO)) == 1
    assert len(server.wait_for_records(2, "recipient", to=f"<{ONE}>", status="deduplicated")) == 2
    settled(server)
    # Now it is a new message.
    assert attempt(server, [ONE, TWO], octets)[2].code == 250
    assert len(backend.taken(ONE)) == 2


def test_served_and_refused_are_separated(posternd, scripted):
    backend = scripted()
    backend.final_replies[TWO] = OVER_QUOTA
    server = posternd(backend.target)
    octets = message("served and refused")
    final = attempt(server, [ONE, TWO, THREE], octets)[2]
    assert final.code == 451 and final.enhanced == "4.5.3"
    accepted, refusals, final = attempt(server, [ONE, TWO, THREE], octets)
    assert accepted == [ONE, THREE] and final.code == 250, final
    assert refusals[TWO].code == 450 and refusals[TWO].enhanced == "4.5.3"
    accepted, refusals, final = attempt(server, [TWO], octets)
    assert accepted == [TWO] and not refusals
    assert final.code == 552 and final.enhanced == "5.2.2" and final.text.startswith("5.2.2 over quota")
    assert len(backend.deliveries) == 1
    assert len(backend.taken(ONE)) == len(backend.taken(THREE)) == 1 and not backend.taken(TWO)
    server.wait_for_record("recipient", to=f"<{TWO}>", status="separated")
    server.wait_for_record("recipient", to=f"<{TWO}>", status="refused", backend="ledger", code=552)
    settled(server)
    counts = server.status()["ledger"]
    assert (counts["recorded"], counts["deduplicated"], counts["refused"], counts["separated"]) == (3, 2, 1, 1)
    assert "2 deduplicated, 1 refused, 1 separated" in server.tool("status", "--control",
                                                                   server.settings["control"]).stdout


def test_the_refused_may_come_first(posternd, scripted):
    backend = scripted()
    backend.final_replies[TWO] = OVER_QUOTA
    server = posternd(backend.target)
    octets = message("refused first")
    assert attempt(server, [TWO, ONE], octets)[2].code == 451
    accepted, refusals, final = attempt(server, [TWO, ONE], octets)
    assert accepted == [TWO] and list(refusals) == [ONE] and final.code == 552
    assert attempt(server, [ONE], octets)[2].code == 250
    assert len(backend.taken(ONE)) == 1
    settled(server)


def test_refused_and_deferred_converge(posternd, scripted):
    backend = scripted()
    backend.final_replies.update({ONE: OVER_QUOTA, TWO: "451 4.2.1 not now"})
    server = posternd(backend.target)
    octets = message("refused and deferred")
    assert attempt(server, [ONE, TWO], octets)[2].code == 451
    assert attempt(server, [ONE, TWO], octets)[2].code == 552
    backend.final_replies.clear()
    assert attempt(server, [TWO], octets)[2].code == 250
    assert len(backend.taken(TWO)) == 1 and not backend.taken(ONE)
    settled(server)


def test_another_message_to_the_same_recipients_is_delivered(posternd, scripted):
    backend = scripted()
    backend.final_replies[TWO] = OVER_QUOTA
    server = posternd(backend.target)
    assert attempt(server, [ONE, TWO], message("the first"))[2].code == 451
    backend.final_replies.clear()
    left, tries = [ONE, TWO], 0
    while left:
        accepted, refusals, final = attempt(server, left, message("the second"))
        assert final.code == 250 and all(reply.code == 450 for reply in refusals.values())
        left, tries = list(refusals), tries + 1
    assert tries == 2
    for person in (ONE, TWO):
        assert sum(b"Subject: the second" in delivery.message for delivery in backend.taken(person)) == 1
    # And the first is not forgotten over it.
    assert attempt(server, [ONE], message("the first"))[2].code == 250
    assert attempt(server, [TWO], message("the first"))[2].code == 552
    assert sum(b"Subject: the first" in delivery.message for delivery in backend.taken(ONE)) == 1


@pytest.mark.parametrize(("first", "second"), [
    ("prvs=1111aaaaaa=sender@elsewhere.test", "prvs=2222bbbbbb=sender@elsewhere.test"),
    ("SRS0=aaaa=AA=elsewhere.test=sender@forwarder.test", "SRS0=bbbb=BB=elsewhere.test=sender@forwarder.test"),
    (SENDER, SENDER.replace("elsewhere", "ELSEWHERE")),
    ("", ""),
])
def test_a_sender_is_known_again_although_its_address_is_made_anew(posternd, scripted, first, second):
    backend = scripted()
    backend.final_replies[TWO] = "451 4.2.1 not now"
    server = posternd(backend.target)
    octets = message("signed anew")
    assert attempt(server, [ONE, TWO], octets, first)[2].code == 451
    backend.final_replies.clear()
    assert attempt(server, [ONE, TWO], octets, second)[2].code == 250
    assert len(backend.taken(ONE)) == 1 and len(backend.taken(TWO)) == 1


def test_a_large_message_is_known_again_from_its_temporary_file(posternd, scripted):
    backend = scripted()
    backend.final_replies[TWO] = "451 4.2.1 not now"
    server = posternd(backend.target, smtp={"spill_at": "4KiB"})
    octets = message("large", b"0123456789abcdef" * 4 + b"\r\n") + (b"x" * 70 + b"\r\n") * 20_000
    assert attempt(server, [ONE, TWO], octets)[2].code == 451
    backend.final_replies.clear()
    # One octet at the end makes another message: this one is delivered to both.
    assert attempt(server, [ONE, TWO], octets[:-3] + b"y\r\n")[2].code == 250
    assert len(backend.taken(ONE)) == 2
    assert attempt(server, [ONE, TWO], octets)[2].code == 250
    assert len(backend.taken(ONE)) == 2 and len(backend.taken(TWO)) == 2


def test_what_was_recorded_survives_kill_9(posternd, scripted):
    backend = scripted()
    backend.final_replies[TWO] = OVER_QUOTA
    server = posternd(backend.target)
    octets = message("killed in between")
    assert attempt(server, [ONE, TWO], octets)[2].code == 451
    server.kill()
    server.start()
    assert server.status()["ledger"]["entries"] == 2
    assert attempt(server, [ONE, TWO], octets)[2].code == 250
    assert attempt(server, [TWO], octets)[2].code == 552
    assert len(backend.deliveries) == 1
    state = server.settings["state_dir"]
    for name in ("ledger.key", "ledger.sqlite", "ledger.sqlite-wal"):
        assert stat.S_IMODE((state / name).stat().st_mode) == 0o600, name
    assert len((state / "ledger.key").read_bytes()) == 32


def test_a_backend_that_dies_between_its_answers(posternd, scripted):
    backend = scripted(script=at(Step.NEXT_REPLY, close, times=1))
    server = posternd(backend.target, workers=1)
    octets = message("half answered")
    assert attempt(server, [ONE, TWO], octets)[2].code == 451
    assert attempt(server, [ONE, TWO], octets)[2].code == 250
    assert len(backend.taken(ONE)) == 1
    assert len(backend.taken(TWO)) == 1


def test_a_late_answer_reaches_the_ledger(posternd, scripted):
    release = threading.Event()

    def hold(_connection, step):
        if step is Step.AFTER_DOT:
            assert release.wait(LIMIT)
    backend = scripted(script=hold)
    server = posternd(backend.target, timeouts={"final": "1s"})
    octets = message("late")
    assert attempt(server, [ONE], octets)[2].code == 451
    release.set()
    server.wait_for_record("recipient", to=f"<{ONE}>", status="taken")
    eventually(lambda: server.status()["ledger"]["entries"] == 1, "the late answer is in the ledger")
    assert attempt(server, [ONE], octets)[2].code == 250
    assert len(backend.taken(ONE)) == 1
    settled(server)


def test_nobody_gets_it_twice_while_an_answer_is_awaited(posternd, scripted):
    release = threading.Event()

    def hold(_connection, step):
        if step is Step.NEXT_REPLY:
            assert release.wait(LIMIT)
    backend = scripted(script=hold)
    server = posternd(backend.target, timeouts={"final": "1s"})
    octets = message("still awaited")
    assert attempt(server, [ONE, TWO], octets)[2].code == 451
    accepted, _, final = attempt(server, [ONE, TWO, THREE], octets)
    assert accepted == [ONE, TWO, THREE] and final.code == 451
    assert len(backend.deliveries) == 2 and backend.deliveries[1].recipients == [THREE]
    server.wait_for_record("recipient", to=f"<{TWO}>", status="deferred", backend="ledger")
    release.set()
    server.wait_for_record("recipient", to=f"<{TWO}>", status="taken")
    eventually(lambda: attempt(server, [ONE, TWO, THREE], octets)[2].code == 250, "all are served")
    assert all(len(backend.taken(person)) == 1 for person in (ONE, TWO, THREE))
    settled(server)


def test_a_client_that_comes_again_while_its_first_try_is_under_way_waits(posternd, scripted):
    reached, release = threading.Event(), threading.Event()

    def hold(_connection, step):
        if step is Step.AFTER_DOT:
            reached.set()
            assert release.wait(LIMIT)
    backend = scripted(script=hold)
    server = posternd(backend.target)
    octets = message("impatient")
    with server.greeted() as client:
        client.envelope(SENDER, ONE)
        client.expect(354, "DATA")
        client.send(octets + b".\r\n")
        assert reached.wait(LIMIT)
        # Not in order: so that it is seen while the backend still thinks.
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.wait_for_record("session", messages=0)
    final = attempt(server, [ONE], octets)[2]
    assert final.code == 451 and final.enhanced == "4.4.5", final
    release.set()
    eventually(lambda: attempt(server, [ONE], octets)[2].code == 250, "it is served")
    assert len(backend.deliveries) == 1
    settled(server)


def test_a_sender_with_prdr_is_told_of_each_and_the_ledger_of_nothing(posternd, scripted):
    backend = scripted()
    backend.final_replies.update({TWO: OVER_QUOTA, THREE: "450 4.2.1 not now"})
    server = posternd(backend.target)
    with server.greeted() as client:
        client.envelope(SENDER, ONE, TWO, THREE, parameters=" PRDR")
        client.expect(354, "DATA")
        client.send(message("to each his own") + b".\r\n")
        replies = client.replies(5)
        assert [reply.code for reply in replies] == [353, 250, 552, 451, 250]
        assert replies[2].enhanced == "5.2.2"
        client.expect(221, "QUIT")
    assert server.status()["ledger"]["recorded"] == 0


def test_what_the_ledger_knows_is_told_to_a_sender_with_prdr_too(posternd, scripted):
    backend = scripted()
    backend.final_replies.update({TWO: OVER_QUOTA, THREE: "450 4.2.1 not now"})
    server = posternd(backend.target)
    octets = message("from one form to the other")
    assert attempt(server, [ONE, TWO, THREE], octets)[2].code == 451
    backend.final_replies.clear()
    with server.greeted() as client:
        client.envelope(SENDER, ONE, TWO, THREE, parameters=" PRDR")
        client.expect(354, "DATA")
        client.send(octets + b".\r\n")
        assert [reply.code for reply in client.replies(5)] == [353, 250, 552, 250, 250]
        client.expect(221, "QUIT")
    assert [len(backend.taken(person)) for person in (ONE, TWO, THREE)] == [1, 0, 1]
    settled(server)


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "TLS"])
def test_a_250_that_nobody_heard_is_remembered(posternd, scripted, tls):
    reached, release = threading.Event(), threading.Event()

    def hold(_connection, step):
        if step is Step.AFTER_DOT:
            reached.set()
            assert release.wait(LIMIT)
    backend = scripted(script=hold)
    server = posternd(backend.target)
    octets = message("unheard")
    with server.greeted() as client:
        if tls:
            client.starttls(tls_context())
            client.hello()
        client.envelope(SENDER, ONE)
        client.expect(354, "DATA")
        client.send(octets + b".\r\n")
        assert reached.wait(LIMIT)
    release.set()
    eventually(lambda: server.status()["ledger"]["entries"] == 1, "it is in the ledger")
    assert attempt(server, [ONE], octets)[2].code == 250
    assert len(backend.taken(ONE)) == 1
    settled(server)


def test_an_orderly_client_leaves_nothing_behind(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target)
    with server.greeted() as client:
        client.envelope(SENDER, ONE)
        client.expect(354, "DATA")
        client.send(message("does not wait") + b".\r\nQUIT\r\n")
        assert [client.reply().code for _ in range(2)] == [250, 221]
    for ending in ("QUIT", "another message", "FIN"):
        with server.greeted() as client:
            client.envelope(SENDER, ONE)
            assert client.message(message(ending)).code == 250
            if ending == "QUIT":
                client.expect(221, "QUIT")
            elif ending == "another message":
                client.envelope(SENDER, ONE)
                assert client.message(message("more")).code == 250
    eventually(lambda: server.status()["sessions"] == 0, "all sessions have ended")
    counts = server.status()["ledger"]
    assert counts["recorded"] == counts["entries"] == 0


def test_a_damaged_file_is_set_aside_and_said(posternd, scripted):
    backend = scripted()
    backend.final_replies[TWO] = OVER_QUOTA
    server = posternd(backend.target)
    octets = message("damaged")
    assert attempt(server, [ONE, TWO], octets)[2].code == 451
    server.kill()
    state = server.settings["state_dir"]
    (state / "ledger.sqlite").write_bytes(b"this is no database, and never was one" * 100)
    (state / "ledger.sqlite-wal").unlink(missing_ok=True)
    server.start()
    server.wait_for_message("the ledger was damaged", "set aside as")
    aside = list(state.glob("ledger.sqlite.broken-*"))
    assert aside and aside[0].read_bytes().startswith(b"this is no database")
    # What was in it is forgotten; from here on all is as before.
    assert attempt(server, [ONE, TWO], octets)[2].code == 451
    server.kill()
    server.start()
    assert attempt(server, [ONE, TWO], octets)[2].code == 250
    assert len(backend.taken(ONE)) == 2


def test_entries_expire(posternd, scripted):
    backend = scripted()
    backend.final_replies[TWO] = "451 4.2.1 not now"
    server = posternd(backend.target, ledger_ttl="1s")
    octets = message("expires")
    assert attempt(server, [ONE, TWO], octets)[2].code == 451
    settled(server)
    backend.final_replies.clear()
    assert attempt(server, [ONE, TWO], octets)[2].code == 250
    assert len(backend.taken(ONE)) == 2


def test_a_state_that_cannot_be_written_defers_all_the_same_and_is_said(posternd, scripted):
    backend = scripted()
    backend.final_replies[TWO] = OVER_QUOTA
    server = posternd(backend.target, ready=False)
    # A folder where the file should be: not even root can write to it.
    (server.settings["state_dir"] / "ledger.sqlite").mkdir()
    server.start()
    server.wait_for_message("the ledger cannot be read", "in memory")
    octets = message("not on disk")
    assert attempt(server, [ONE, TWO], octets)[2].code == 451
    server.wait_for_message("not safe on disk")
    assert server.status()["ledger"]["failures"] >= 1
    assert attempt(server, [ONE, TWO], octets)[2].code == 250
    assert attempt(server, [TWO], octets)[2].code == 552
    assert len(backend.deliveries) == 1
    # As soon as it can be written, what is in memory gets there.
    backend.final_replies[TWO] = OVER_QUOTA
    (server.settings["state_dir"] / "ledger.sqlite").rmdir()
    assert attempt(server, [ONE, TWO], message("on disk"))[2].code == 451
    server.kill()
    with sqlite3.connect(server.settings["state_dir"] / "ledger.sqlite") as database:
        assert database.execute("SELECT count(*) FROM entry").fetchone() == (2,)


def test_a_secret_of_another_size_ends_the_start(posternd):
    server = posternd(ready=False)
    (server.settings["state_dir"] / "ledger.key").write_bytes(b"short")
    with pytest.raises(AssertionError, match="ledger.key: expected 32 octets"):
        server.start()


def test_the_answers_cross_a_client_that_does_not_wait(posternd, scripted):
    """A client that sends its next MAIL before it has the answer to its dot."""
    backend = scripted()
    backend.final_replies[TWO] = OVER_QUOTA
    server = posternd(backend.target)
    octets = message("hasty")
    with server.greeted() as client:
        client.envelope(SENDER, ONE, TWO)
        client.expect(354, "DATA")
        client.send(octets + b".\r\n" + f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{ONE}>\r\nRCPT TO:<{TWO}>\r\nDATA\r\n".encode())
        assert [client.reply().code for _ in range(5)] == [451, 250, 250, 450, 354]
        client.send(octets + b".\r\n")
        assert client.reply().code == 250
    assert len(backend.taken(ONE)) == 1
    with pytest.raises(Closed), server.greeted() as client:
        client.envelope(SENDER, TWO)
        assert client.message(octets).code == 552
        client.expect(221, "QUIT")
        client.reply()
