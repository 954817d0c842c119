#!/usr/bin/env python3
"""posternd under 5,000 good and hostile connections a round, for as long as is asked (by hand; see CONTRIBUTING.md):

    python3 tests/soak/soak.py --build build --seconds 600

What must be true at the end, or it ends with 1:
- every message that was acknowledged is in the store exactly once, and none that was refused;
- a round does not leave more descriptors open, nor more memory in use, than the first round did;
- posternd has not ended, and ends in order on SIGTERM.
"""

import argparse
import asyncio
import collections
import os
import pathlib
import random
import re
import ssl
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))

from harness.ca import Authority  # noqa: E402
from harness.dialogue import stuffed, tls_context  # noqa: E402
from harness.hello import client_hello  # noqa: E402
from harness.messages import message  # noqa: E402
from harness.posternd import Posternd, basic_settings  # noqa: E402
from harness.processes import program  # noqa: E402
from harness.store import Store  # noqa: E402
from harness.wait import eventually  # noqa: E402

AT_A_TIME = 200
SENDER, RECIPIENT = "sender@elsewhere.test", "a@example.test"
TLS = tls_context()
MEMORY_MARGIN_KIB = 4096  # what a round may add to the peak of the first: malloc's arenas breathe


class Client:
    """One connection; ends with its `async with`."""

    def __init__(self, address):
        self._address = address

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection(*self._address, limit=1 << 20)
        return self

    async def __aexit__(self, *_):
        self.writer.transport.abort()

    async def reply(self):
        while True:
            line = await self.reader.readline()
            if not line:
                raise ConnectionError("closed")
            if line[3:4] != b"-":
                return int(line[:3])

    async def command(self, line):
        self.writer.write(line + b"\r\n")
        return await self.reply()

    async def greet(self, *, tls=False):
        await self.reply()
        await self.command(b"EHLO client.test")
        if tls:
            if await self.command(b"STARTTLS") != 220:
                raise ConnectionError("timed out, on a machine that is busy")
            await self.writer.start_tls(TLS, server_hostname="mx.example.test")
            await self.command(b"EHLO client.test")

    async def envelope(self):
        await self.command(f"MAIL FROM:<{SENDER}>".encode())
        return await self.command(f"RCPT TO:<{RECIPIENT}>".encode())


class Soak:
    def __init__(self, address):
        self.address = address
        self.number = 0
        self.taken, self.refused = set(), set()  # subjects; who was not answered is in neither
        self.counts = collections.Counter()
        self.chance = random.Random(5321)

    def new_message(self):
        self.number += 1
        size = self.chance.choice([10, 1000, 20_000, 200_000])
        subject = f"soak-{self.number}"
        return subject, message(subject, (b"x" * 76 + b"\r\n") * (size // 78 + 1))

    # Good ones: each notes what it was told.

    def note(self, subject, code):
        (self.taken if code == 250 else self.refused).add(subject)

    async def by_data(self, client, *, tls):
        await client.greet(tls=tls)
        for _ in range(self.chance.randint(1, 3)):
            subject, octets = self.new_message()
            if await client.envelope() != 250 or await client.command(b"DATA") != 354:
                continue
            client.writer.write(stuffed(octets))
            self.note(subject, await client.reply())
        await client.command(b"QUIT")

    async def good_clear(self, client):
        await self.by_data(client, tls=False)

    async def good_tls(self, client):
        await self.by_data(client, tls=True)

    async def good_chunks(self, client):
        await client.greet(tls=True)
        subject, octets = self.new_message()
        await client.envelope()
        half = len(octets) // 2
        client.writer.write(b"BDAT %d\r\n" % half + octets[:half] + b"BDAT %d LAST\r\n" % (len(octets) - half) + octets[half:])
        await client.reply()
        self.note(subject, await client.reply())

    # Hostile ones: nothing of theirs may be in the store.

    async def smuggler(self, client):
        await client.greet()
        subject, octets = self.new_message()
        await client.envelope()
        await client.command(b"DATA")
        client.writer.write(octets + self.chance.choice([b"\n.\n", b"\r.\r", b"\r\n.\n", b"\n.\r\n"]) +
                            b"MAIL FROM:<x@evil.test>\r\n.\r\n")
        self.note(subject, await client.reply())
        assert subject in self.refused

    async def cut_in_data(self, client):
        await client.greet(tls=self.chance.random() < 0.5)
        subject, octets = self.new_message()
        await client.envelope()
        await client.command(b"DATA")
        client.writer.write(octets + b".\r")
        await client.writer.drain()
        self.refused.add(subject)

    async def noise(self, client):
        client.writer.write(self.chance.randbytes(self.chance.randint(1, 100_000)))
        await client.reader.read(1000)

    async def http(self, client):
        client.writer.write(b"GET / HTTP/1.1\r\nHost: mx.example.test\r\n\r\n")
        await client.reader.read()

    async def injector(self, client):
        await client.reply()
        client.writer.write(b"EHLO a.test\r\nSTARTTLS\r\nMAIL FROM:<evil@evil.test>\r\n")
        await client.reader.read()

    async def half_handshake(self, client):
        await client.greet()
        await client.command(b"STARTTLS")
        hello = client_hello(b"")
        client.writer.write(hello[:self.chance.randint(1, len(hello))])
        await asyncio.sleep(self.chance.random())

    async def deaf(self, client):
        """Never reads a reply."""
        client.writer.transport.pause_reading()
        client.writer.write(b"EHLO a.test\r\n" * 20_000)
        await asyncio.sleep(self.chance.random())

    async def long_lines(self, client):
        await client.greet()
        client.writer.write(b"NOOP " + b"x" * 1_000_000 + b"\r\n")
        await client.reply()

    async def idler(self, client):
        await client.greet(tls=True)
        await asyncio.sleep(self.chance.random() * 3)

    KINDS = [
        (good_clear, 6), (good_tls, 8), (good_chunks, 4), (smuggler, 2), (cut_in_data, 3), (noise, 2), (http, 1),
        (injector, 1), (half_handshake, 2), (deaf, 1), (long_lines, 1), (idler, 2)]

    async def one(self, places):
        async with places:
            kinds, weights = zip(*self.KINDS)
            kind = self.chance.choices(kinds, weights)[0]
            try:
                async with Client(self.address) as client:
                    await asyncio.wait_for(kind(self, client), 120)
                self.counts[kind.__name__] += 1
            except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, ssl.SSLError, ValueError) as lost:
                self.counts[f"{kind.__name__}: {type(lost).__name__}"] += 1

    async def round(self, connections):
        places = asyncio.Semaphore(AT_A_TIME)
        await asyncio.gather(*(self.one(places) for _ in range(connections)))


def in_use(pid):
    """KiB of memory, and descriptors."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)), len(os.listdir(f"/proc/{pid}/fd"))


def judge_store(soak, store):
    counts = collections.Counter()
    for path in store.maildir.glob("**/new/*"):
        found = re.search(rb"^Subject: (\S+)\r?$", path.read_bytes()[:4000], re.MULTILINE)
        counts[found.group(1).decode()] += 1
    faults = [f"{subject}: acknowledged, and {counts[subject]} times in the store"
              for subject in soak.taken if counts[subject] != 1]
    faults += [f"{subject}: refused or cut, and in the store" for subject in soak.refused if counts[subject]]
    faults += [f"{subject}: {count} times in the store" for subject, count in counts.items() if count > 1]
    return faults


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--build", default="build", type=pathlib.Path)
    arguments.add_argument("--seconds", default=600, type=float)
    arguments.add_argument("--connections", default=5_000, type=int, help="of a round")
    options = arguments.parse_args()
    faults = []
    with tempfile.TemporaryDirectory(prefix="postern-soak-") as name:
        folder = pathlib.Path(name)
        build = options.build.resolve()
        store = Store(program(build, "postern"), folder)
        authority = Authority(folder / "authority")
        leaf = authority.issue("mx.example.test")
        server = Posternd(build, folder / "p", basic_settings(
            folder / "p", leaf, store.target, roots=authority.root,
            limits={"connections_per_address": 1000, "connections_per_network": 1000},
            timeouts={"handshake": "10s", "command": "20s", "data": "20s"}))
        server.start()
        soak = Soak(server.address())
        pid, rounds, end = server.process.pid, [], time.monotonic() + options.seconds
        while not rounds or time.monotonic() < end:
            asyncio.run(soak.round(options.connections))
            eventually(lambda: server.status()["sessions"] == 0, "every session has ended", 120)
            rounds.append(in_use(pid))
            print(f"round {len(rounds)}: {rounds[-1][0]} KiB, {rounds[-1][1]} descriptors, "
                  f"{len(soak.taken)} messages acknowledged", flush=True)
        if len(rounds) > 1 and rounds[-1][0] > rounds[0][0] + MEMORY_MARGIN_KIB:
            faults.append(f"memory grows: {[memory for memory, _ in rounds]} KiB")
        if rounds[-1][1] > rounds[0][1]:
            faults.append(f"descriptors leak: {[descriptors for _, descriptors in rounds]}")
        server.stop()
        store.stop()
        faults += judge_store(soak, store)
        for kind, count in sorted(soak.counts.items()):
            print(f"{count:6} {kind}")
    if not soak.taken:
        faults.append("no message was acknowledged at all")
    for fault in faults[:50]:
        print(f"FAULT {fault}")
    print("failed" if faults else "passed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
