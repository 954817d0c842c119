"""The message set for byte equality, and a way to find a message again in what a store has."""

import random
import re

_HEAD = b"From: Sender <sender@elsewhere.test>\r\nTo: <alice@example.test>\r\nSubject: %s\r\n" \
        b"Message-ID: <%s@elsewhere.test>\r\n\r\n"


def message(subject, body=b"Hello.\r\n"):
    """A message with a usual header; `subject` (ASCII) also makes its Message-ID."""
    return _HEAD % (subject.encode(), subject.replace(" ", "-").encode()) + body


def _large(octets, seed):
    """Lines of random 7-bit and 8-bit octets, many of which begin with dots."""
    chance = random.Random(seed)
    line_octets = bytes(octet for octet in range(1, 256) if octet not in b"\r\n")
    block = b"".join(
        b"." * chance.randint(0, 2) + bytes(chance.choices(line_octets, k=chance.randint(0, 200))) + b"\r\n"
        for _ in range(3000))
    repeats = octets // len(block) + 1
    return message("thirty megabytes") + b"".join(b"%d\r\n" % number + block for number in range(repeats))


def message_set():
    """name → message: what stores and relays are known to damage."""
    return {
        "plain": message("plain"),
        "8-bit": message("eight-bit", bytes(range(128, 256)) + b"\r\n\xc3\xa4\xe2\x82\xac\r\n"),
        "control-octets": message("controls", bytes(c for c in range(1, 32) if c not in b"\r\n") + b"\x7f\r\n"),
        "dots": message("dots", b".\r\n..\r\n...\r\n.a\r\n. \r\na.\r\n.\r\n"),
        "only-a-dot-line": b".\r\n",
        "dots-at-the-very-beginning": b"..leading: yes\r\n\r\n.\r\n",
        "long-lines": message("long-lines", b"x" * 998 + b"\r\n" + b"y" * 5000 + b"\r\n" + b"." * 200_000 + b"\r\n"),
        "empty": b"",
        "empty-body": message("empty-body", b""),
        "only-a-blank-line": b"\r\n",
        "no-header": b"\r\nno header at all\r\n",
        "blank-lines-at-the-end": message("blank-lines", b"text\r\n\r\n\r\n\r\n"),
        "looks-like-the-end": message("looks", b"QUIT\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n"),
        "from-line": message("from-line", b"From here on\r\n>From there\r\n"),
        "thirty-megabytes": _large(30_000_000, seed=1),
    }




def received_fields(stored):
    """The Received fields of a stored message in order, each unfolded, as text."""
    header = stored.split(b"\r\n\r\n", 1)[0] + b"\r\n"
    unfolded = re.sub(rb"\r\n[ \t]+", b" ", header)
    return [line.decode("utf-8", "surrogateescape") for line in unfolded.split(b"\r\n") if line.startswith(b"Received:")]


def without_trace(stored, hostname):
    """What stands behind the Received field that the host `hostname` (ours) added: the message as the client sent it."""
    for field in re.finditer(rb"^Received:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*", stored, re.MULTILINE):
        if b"by " + hostname.encode() in re.sub(rb"\s+", b" ", field.group()):
            return stored[field.end():]
    raise AssertionError(f"no Received field of {hostname} in {stored[:600]!r}")
