"""SMTP smuggling seen from behind: what reaches the store, and the wire of a backend, for every false end of data, by
DATA and by BDAT (CVE-2023-51764, CVE-2023-51765, CVE-2023-51766 and their relatives)."""

import pytest

from harness.messages import message, without_trace
from harness.posternd import HOSTNAME
from test_protocol_safety import ENDINGS, NORMALIZED, SENDER, SMUGGLED

RECIPIENT = "a@example.test"


def by_chunks(octets, cuts):
    """BDAT commands with the octets, cut at these places."""
    borders = [0, *cuts, len(octets)]
    pieces = [octets[a:b] for a, b in zip(borders, borders[1:])]
    last = len(pieces) - 1
    return b"".join(b"BDAT %d%s\r\n" % (len(piece), b" LAST" if n == last else b"") + piece
                    for n, piece in enumerate(pieces))


@pytest.mark.parametrize("mode", ["reject", "normalize"])
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_nothing_smuggled_reaches_the_store(posternd, store, mode, ending):
    server = posternd(store.target, smtp={"smuggling": mode})
    with server.greeted() as client:
        client.envelope(SENDER, RECIPIENT)
        client.expect(354, "DATA")
        client.send(message("outer", b"text") + ending + SMUGGLED)
        assert client.reply().code == 554
        client.envelope(SENDER, RECIPIENT)
        assert client.message(message("clean")).code == 250
    (stored,) = store.messages()
    assert without_trace(stored, HOSTNAME) == message("clean")


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_false_end_in_chunks_is_refused_wherever_they_are_cut(posternd, store, ending):
    server = posternd(store.target)
    head = message("outer", b"text")
    octets = head + ending + SMUGGLED
    with server.greeted() as client:
        for cut in range(len(head), len(head) + len(ending) + 1):
            client.envelope(SENDER, RECIPIENT)
            client.send(by_chunks(octets, [cut]))
            codes = [client.reply().code, client.reply().code]
            assert 554 in codes and codes[0] in (250, 554), (cut, codes)
            client.expect(250, "RSET")
        client.envelope(SENDER, RECIPIENT)
        client.send(by_chunks(message("clean"), [10]))
        assert [reply.code for reply in client.replies(2)] == [250, 250]
    (stored,) = store.messages()
    assert without_trace(stored, HOSTNAME) == message("clean")


def test_an_end_of_data_in_a_chunk_is_text(posternd, scripted):
    """By BDAT a dot line is a line like others: it must be stuffed when it goes on by DATA."""
    backend = scripted()
    server = posternd(backend.target)
    octets = message("dots", b"text\r\n.\r\nMAIL FROM:<evil@evil.test>\r\n..\r\n.\r\n")
    with server.greeted() as client:
        client.envelope(SENDER, RECIPIENT)
        client.send(by_chunks(octets, [octets.index(b"\r\n.\r\n") + 1]))
        assert [reply.code for reply in client.replies(2)] == [250, 250]
    (delivery,) = backend.deliveries
    assert without_trace(delivery.message, HOSTNAME) == octets
    assert delivery.wire.count(b"\r\n.\r\n") == 1 and delivery.wire.endswith(b"\r\n.\r\n")


@pytest.mark.parametrize("sent, expected", NORMALIZED.values(), ids=NORMALIZED)
def test_what_is_made_good_is_stored_as_such(posternd, store, sent, expected):
    server = posternd(store.target, smtp={"smuggling": "normalize"})
    with server.greeted() as client:
        client.envelope(SENDER, RECIPIENT)
        client.expect(354, "DATA")
        client.send(message("bare", b"") + sent + b".\r\n")
        client.expect(250)
    (stored,) = store.messages()
    assert without_trace(stored, HOSTNAME) == message("bare", b"") + expected
