"""Messages that come by BDAT (RFC 3030): the same as by DATA, whoever sends them and however they are cut."""

import random

from harness.messages import message, message_set, without_trace
from harness.posternd import HOSTNAME
from harness.senders import Exim
from harness.wait import eventually

SENDER = "sender@elsewhere.test"


def test_chunks_make_the_message_that_was_sent(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target)
    chance = random.Random(20)
    messages = message_set()
    with server.greeted() as client:
        assert {"CHUNKING", "LIMITS"} <= set(client.hello())
        for name, octets in messages.items():
            client.envelope(SENDER, "a@example.test")
            cuts = sorted(chance.sample(range(len(octets) + 1), min(3, len(octets))))
            chunks = [octets[begin:end] for begin, end in zip([0] + cuts, cuts + [len(octets)])]
            for chunk in chunks[:-1]:
                client.send(b"BDAT %d\r\n" % len(chunk) + chunk)
            client.send(b"BDAT %d LAST\r\n" % len(chunks[-1]) + chunks[-1])
            replies = client.replies(len(chunks))
            assert [reply.code for reply in replies] == [250] * len(chunks), f"{name}: {replies}"
    assert len(backend.deliveries) == len(messages)
    for (name, octets), delivery in zip(messages.items(), backend.deliveries):
        assert without_trace(delivery.message, HOSTNAME) == octets, name


def test_chunks_behind_a_refused_recipient_are_no_commands(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target)
    evil = b"MAIL FROM:<evil@elsewhere.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\nevil\r\n.\r\n"
    with server.greeted() as client:
        client.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<a@not-served.test>\r\n".encode() +
                    b"BDAT %d\r\n" % len(evil) + evil + b"BDAT %d LAST\r\n" % len(evil) + evil + b"NOOP\r\n")
        assert [reply.code for reply in client.replies(5)] == [250, 550, 554, 503, 250]
    assert not backend.deliveries


def test_a_real_exim_sends_by_bdat(posternd, scripted, folder):
    backend = scripted()
    server = posternd(backend.target)
    exim = Exim(folder / "exim", server.address(), scripted().target.removeprefix("unix:"))
    body = b"first\r\n.\r\n..two dots\r\n" + b"x" * 900 + b"\r\nlast\r\n"
    try:
        exim.submit(SENDER, ["a@example.test", "b@example.test"], message("from exim", body))
        eventually(lambda: backend.deliveries, lambda: f"the message arrives; exim says:\n{exim.log()}")
        eventually(lambda: not exim.queued(), lambda: f"exim knows it; it says:\n{exim.log()}")
    finally:
        exim.stop()
    (delivery,) = backend.deliveries
    assert delivery.recipients == ["a@example.test", "b@example.test"]
    assert delivery.message.endswith(b"\r\n\r\n" + body)
    delivered = [line for line in exim.log().splitlines() if " => a@example.test" in line]
    assert delivered and all(" K " in line for line in delivered), exim.log()  # K: by CHUNKING
