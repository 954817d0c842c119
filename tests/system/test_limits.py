"""What a server has only so much of: connections, memory for messages, room on the disk."""

import contextlib

import pytest

from harness.dialogue import Dialogue, stuffed
from harness.messages import message
from harness.processes import tool
from harness.wait import eventually

SENDER, RECIPIENT = "sender@elsewhere.test", "a@example.test"


def turned_away(server, source, code, enhanced):
    """One more connection is told so, and closed."""
    with Dialogue(server.address(), source=source) as client:
        reply = client.reply()
        assert (reply.code, reply.enhanced) == (code, enhanced), reply
        assert client.at_end()


@pytest.mark.parametrize("limits, sources, next_source, key, reply", [
    ({"connections_per_address": 3}, ["127.0.0.1"] * 3, "127.0.0.1", "limits.connections_per_address", (421, "4.7.0")),
    ({"connections_per_address": 2, "connections_per_network": 3}, ["127.0.0.1", "127.0.0.1", "127.0.0.2"], "127.0.0.3",
     "limits.connections_per_network", (421, "4.7.0")),
    ({"connections": 3}, ["127.0.0.1", "127.0.1.1", "127.0.2.1"], "127.0.3.1", "limits.connections", (421, "4.3.2")),
], ids=["address", "network", "all"])
def test_connections_are_limited_in_all_workers_together(posternd, limits, sources, next_source, key, reply):
    server = posternd(limits=limits, workers=2)
    with contextlib.ExitStack() as kept:
        sessions = [kept.enter_context(Dialogue(server.address(), source=source)) for source in sources]
        for session in sessions:
            session.greet()
        turned_away(server, next_source, *reply)
        line = server.wait_for_message("turned away", key)["message"]
        assert next_source in line, line
        sessions[0].close()
        # A place is free again as soon as the server has seen the end of that session.
        server.wait_for_record("session", outcome="peer closed")
        with Dialogue(server.address(), source=next_source) as client:
            client.greet()
            client.expect(221, "QUIT")


def test_another_network_is_not_concerned(posternd):
    server = posternd(limits={"connections_per_address": 1, "connections_per_network": 1})
    with Dialogue(server.address(), source="127.0.0.1") as first, Dialogue(server.address(), source="127.0.1.1") as other:
        first.greet()
        other.greet()


def test_memory_for_messages_is_limited_and_given_back(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target, limits={"message_memory": "1MiB", "connections_per_address": 5000})
    with contextlib.ExitStack() as kept:
        def refused():
            """Who comes when what the others have sent has been read."""
            client = kept.enter_context(server.greeted())
            client.envelope(SENDER, RECIPIENT)
            reply = client.command("DATA")
            if reply.code != 354:
                return client, reply
            client.send(message("never ends") + (b"y" * 98 + b"\r\n") * 800)
            return None
        client, reply = eventually(refused, "no more memory is given")
        assert (reply.code, reply.enhanced) == (452, "4.3.1"), reply
        client.expect(250, "RSET")  # the session lives on
    record = server.wait_for_record("recipient", code=452)
    assert record["status"] == "deferred" and record["to"] == f"<{RECIPIENT}>"
    server.wait_for_message("limits.message_memory")

    def sends():
        with server.greeted() as client:
            client.envelope(SENDER, RECIPIENT)
            reply = client.command("DATA")
            if reply.code != 354:
                return False
            client.send(stuffed(message("afterwards")))
            return client.reply().code == 250
    eventually(sends, lambda: "a message is taken when the others are gone")


def test_room_for_spilled_messages_is_limited(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target, limits={"spill_space": "1MiB"}, smtp={"spill_at": "64KiB"})
    large = message("large", (b"y" * 98 + b"\r\n") * 20_000)
    with server.greeted() as client:
        reply = client.command(f"MAIL FROM:<{SENDER}> SIZE={len(large)}")
        assert (reply.code, reply.enhanced) == (452, "4.3.1"), reply
        client.envelope(SENDER, RECIPIENT)
        reply = client.message(large)
        assert (reply.code, reply.enhanced) == (452, "4.3.1"), reply
        client.envelope(SENDER, RECIPIENT)
        assert client.message(message("fits", (b"y" * 98 + b"\r\n") * 5_000)).code == 250
    assert len(backend.deliveries) == 1
    server.wait_for_message("limits.spill_space")


def test_a_full_disk_is_a_temporary_failure_of_one_message(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target, smtp={"spill_at": "64KiB"}, prefix=[tool("prlimit"), "--fsize=500000"])
    large = message("large", (b"y" * 98 + b"\r\n") * 20_000)
    with server.greeted() as client:
        for _ in range(3):
            client.envelope(SENDER, RECIPIENT)
            reply = client.message(large)
            assert (reply.code, reply.enhanced) == (452, "4.3.1"), reply
        client.envelope(SENDER, RECIPIENT)
        assert client.message(message("fits", (b"y" * 98 + b"\r\n") * 3_000)).code == 250
    assert len(backend.deliveries) == 1
    records = server.wait_for_records(3, "recipient", code=452)
    assert len(records) == 3 and all(record["status"] == "deferred" for record in records)
    # Nothing is left of the others: no file, no descriptor of one.
    spilled = [path for path in server.settings["state_dir"].iterdir() if "spill" in path.name]
    assert not spilled


def test_the_recipients_of_messages_are_counted_as_memory(posternd, scripted):
    server = posternd(scripted().target, limits={"message_memory": "1MiB", "recipients": 10_000}, workers=1)
    commands = b"".join(b"RCPT TO:<%060d@example.test>\r\n" % number for number in range(500))
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        replies = []
        while not any(reply.code == 452 for reply in replies):
            assert len(replies) < 10_000
            client.send(commands)
            replies = client.replies(500)
        assert {(reply.code, reply.enhanced) for reply in replies} <= {(250, "2.1.5"), (452, "4.3.1")}, replies
        client.expect(250, "RSET")
    # What one has given back is there for others.
    with server.greeted() as client:
        client.envelope(SENDER, "alice@example.test")
        assert client.message(message("room again")).code == 250
