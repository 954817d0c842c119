#!/usr/bin/env python3
"""posternd measured from outside, beside the budgets of DESIGN section 8.

    tests/bench/daemon_bench.py [--build DIR] [--only sessions,storm,reload,messages,recipients,dovecot,targets,memory,
                                hostile,idle,start,proxy]
                                [--scale 0.2]

`proxy`, beside HAProxy and nginx, needs the packages haproxy, nginx and libnginx-mod-mail, and runs only when it is asked for.

Server CPU is utime + stime of the posternd process; the floors (BoringSSL's handshake in memory, and a null responder
that exchanges the same packets) are measured in the same run, because machines are noisy. Everything happens on
loopback, in a temporary folder. Figures mean something in an optimized build on a quiet machine.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

from fronts import FrontRows
from programs import Program, Table, free_port
from starts import StartRows

NAMES = 1000
STORM_NAME = "rsa4096.bench.test"

BACKEND = """
[[backend]]
name    = "{name}"
deliver = "lmtp"
to      = {to}
{more}

[[domain]]
name    = "{name}.test"
backend = "{name}"
"""


class Hostile:
    """A client that has said EHLO and goes on as no client should. Nothing waits for the server here."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self._lines = self.socket.makefile("rb")
        self._lines.readline()
        self.socket.sendall(b"EHLO load.bench.test\r\n")
        self._reply()

    def _reply(self):
        while self._lines.readline()[3:4] == b"-":
            pass

    def push(self, octets):
        """As much as the server and the buffers between take."""
        self.socket.setblocking(False)
        try:
            while octets:
                octets = octets[self.socket.send(octets):]
        except (BlockingIOError, ssl.SSLWantWriteError, ConnectionError):
            pass

    def starttls_with(self, octets):
        self.socket.sendall(b"STARTTLS\r\n")
        self._reply()
        self.push(octets)

    def tls(self, then):
        self.socket.sendall(b"STARTTLS\r\n")
        self._reply()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        secured = context.wrap_socket(self.socket)
        if then is not None:
            with socket.socket(fileno=os.dup(secured.fileno())) as raw:  # below TLS
                raw.sendall(then)
        self.socket = secured
        return self

    def close(self):
        self.socket.close()


def names():
    return [f"mx{number}.bench.test" for number in range(NAMES)]


P256 = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]


def certificate(folder, name, key=P256):
    """A self-signed one in a folder of its own, in certbot's layout."""
    folder.mkdir(parents=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", *key, "-nodes", "-subj", f"/CN={name}", "-addext",
         f"subjectAltName=DNS:{name}", "-days", "30", "-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def mint(live):
    """A P-256 certificate of each name, and one with an RSA key."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda name: certificate(live / name, name), names()))
    certificate(live / STORM_NAME, STORM_NAME, ["rsa:4096"])


class Bench(FrontRows, StartRows):
    def __init__(self, build, folder, scale):
        self.build, self.folder, self.scale = build, folder, scale
        self.load = build / "tests/bench/load/bench-load"
        self.port, self.sink_port = free_port(), free_port()
        self.store_path = folder / "store"
        self.starts = 0
        self.names_file = folder / "names"
        self.names_file.write_text("\n".join(names()) + "\n")

    def count(self, full):
        return max(10, int(full * self.scale))

    def configuration(self, more="", head=""):
        path = self.folder / "posternd.toml"
        path.write_text(f"""\
hostname  = "mx0.bench.test"
workers   = 1
state_dir = "{self.folder}/state"
control   = "{self.folder}/control"
{head}

[[listen]]
address = ["127.0.0.1:{self.port}"]
default_certificate = "mx0.bench.test"

[certificates]
directories = ["{self.folder}/live"]

[limits]
connections = 19000
connections_per_address = 19000

[[backend]]
name    = "sink"
deliver = "lmtp"
to      = ["127.0.0.1:{self.sink_port}"]

[[backend]]
name    = "store"
deliver = "lmtp"
to      = ["unix:{self.store_path}"]

[[domain]]
name    = "sink.test"
backend = "sink"
{more}

[[domain]]
name    = "store.test"
backend = "store"
""")
        return path

    def server(self, name, *command):
        self.starts += 1
        return Program([str(word) for word in command], self.folder / f"{name}-{self.starts}.log")

    def posternd(self, more="", head=""):
        (self.folder / "state").mkdir(exist_ok=True)
        program = self.server("posternd", self.build / "daemon/posternd", "-c", self.configuration(more, head))
        program.answers(self.port)
        return program

    def sink(self, port=None):
        program = self.server("sink", self.load, "sink", "--listen", f"127.0.0.1:{port or self.sink_port}")
        program.said("listening")
        return program

    def store(self):
        program = self.server("store", self.build / "daemon/postern", "store", "--listen", f"unix:{self.store_path}",
                              "--maildir", self.folder / "mail")
        program.said("listening")
        return program

    def drive(self, run, **options):
        """One run of bench-load, and what it reports."""
        command = [str(self.load), run]
        for key, value in {"to": f"127.0.0.1:{self.port}", "names": self.names_file, **options}.items():
            command += [f"--{key}", str(value)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} failed: {done.stdout}")
        return json.loads(done.stdout)

    def cost(self, server, run, **options):
        """(server CPU in microseconds each, operations a second)"""
        before = server.cpu_seconds()
        report = self.drive(run, **options)
        return (server.cpu_seconds() - before) / report["count"] * 1e6, report["count"] / report["seconds"]

    # What is measured.

    def handshake_floor(self):
        command = [self.build / "tests/bench/bench-handshake", str(self.count(1000)), "10"]
        text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        return float(re.search(r"BoringSSL alone in memory\s+([\d.]+) us", text).group(1))

    def packet_floor(self):
        port = free_port()
        with self.server("responder", self.load, "responder", "--listen", f"127.0.0.1:{port}") as responder:
            responder.said("listening")
            return self.cost(responder, "packets", to=f"127.0.0.1:{port}", count=self.count(5000))[0]

    def sessions(self, table):
        handshake, packets = self.handshake_floor(), self.packet_floor()
        floor = handshake + packets
        with self.posternd() as posternd:
            self.drive("sessions", count=2 * NAMES, tls="yes")  # every key is decoded
            plain, _ = self.cost(posternd, "sessions", count=self.count(5000))
            each, rate = self.cost(posternd, "sessions", count=self.count(5000), tls="yes")
        table.add("a STARTTLS session, server CPU", f"{each:.0f} us", f"{floor + 50:.0f} us",
                  f"floor {floor:.0f} = handshake {handshake:.0f} + packets {packets:.0f}; {each - floor:+.0f} over it; "
                  f"{rate:.0f}/s")
        table.add("a session in clear, server CPU", f"{plain:.0f} us")

    def status(self):
        done = subprocess.run([self.build / "daemon/postern", "status", "--json", "--control", self.folder / "control"],
                              stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout)

    def storm(self, table):
        """Sessions that are open already, while clients come whose handshakes take the server milliseconds each."""
        storm_names = self.folder / "storm-names"
        storm_names.write_text(STORM_NAME + "\n")
        # The clients of the storm make way: it is the server that is measured.
        command = ["nice", "-n", "10", self.load, "sessions", "--to", f"127.0.0.1:{self.port}", "--count", 10**9,
                   "--concurrency", 64, "--tls", "yes", "--names", storm_names]
        options = {"count": self.count(10000), "concurrency": 20, "tls": "yes"}
        with self.posternd() as posternd:
            quiet = self.drive("noops", **options)
            with self.server("storm", *command) as clients:
                time.sleep(1)
                before, begin, cpu = self.status()["sessions_total"], time.monotonic(), posternd.cpu_seconds()
                stormy = self.drive("noops", **options)
                clients.check()
                seconds = time.monotonic() - begin
                rate = (self.status()["sessions_total"] - before) / seconds
                busy = (posternd.cpu_seconds() - cpu) / seconds
            refused = self.status()["key_queue_full"]
        table.add("NOOP in a storm of RSA-4096 handshakes, p99", f"{stormy['p99'] * 1e3:.2f} ms", "5 ms",
                  f"p50 {stormy['p50'] * 1e3:.2f} ms; quiet p99 {quiet['p99'] * 1e3:.2f} ms; {rate:.0f} handshakes/s, "
                  f"{refused} refused, server CPU {busy:.2f} cores")

    def reload(self, table):
        """Whole sessions, while one certificate after the other is renewed."""
        spare = [self.folder / f"spare-{number}" for number in range(20)]
        for number, folder in enumerate(spare):
            certificate(folder, names()[number])
        over, renewals = threading.Event(), 0

        def renew():
            nonlocal renewals
            while not over.is_set():
                place = self.folder / "live" / names()[renewals % len(spare)]
                for file in ("privkey.pem", "fullchain.pem"):
                    new, other = place / file, spare[renewals % len(spare)] / file
                    old = new.read_bytes()
                    for path, octets in ((new, other.read_bytes()), (other, old)):
                        (path.parent / "new").write_bytes(octets)
                        (path.parent / "new").rename(path)
                renewals += 1
                over.wait(0.1)

        options = {"count": self.count(5000), "concurrency": 4, "tls": "yes"}
        with self.posternd():
            self.drive("sessions", count=2 * NAMES, tls="yes")
            quiet = self.drive("sessions", **options)
            first = self.status()["map_version"]
            thread = threading.Thread(target=renew)
            thread.start()
            try:
                loaded = self.drive("sessions", **options)
            finally:
                over.set()
                thread.join()
            versions = self.status()["map_version"] - first
        table.add("a STARTTLS session while certificates are renewed, p99", f"{loaded['p99'] * 1e3:.2f} ms",
                  f"{2 * quiet['p99'] * 1e3:.2f} ms",
                  f"quiet p99 {quiet['p99'] * 1e3:.2f} ms; {versions} maps in {loaded['seconds']:.1f} s, "
                  f"{loaded['failures']} of {loaded['count']} sessions failed")

    def messages(self, table):
        with self.sink() as sink, self.store() as store, self.posternd() as posternd:
            for octets, budget in ((4 * 1024, "80 us"), (100 * 1024, "250 us")):
                for where, backend, full in (("sink", sink, 20000), ("store", store, 2000)):
                    for tls in ("yes", "no"):
                        options = {"octets": octets, "recipient": f"user@{where}.test", "tls": tls}
                        self.drive("messages", count=20, **options)
                        backend_before = backend.cpu_seconds()
                        count = self.count(full if octets < 65536 else full // 4)
                        each, rate = self.cost(posternd, "messages", count=count, **options)
                        behind = (backend.cpu_seconds() - backend_before) / count * 1e6
                        table.add(f"{octets // 1024} KiB {'over TLS' if tls == 'yes' else 'in clear'} into the {where}",
                                  f"{each:.0f} us", budget if (tls, where) == ("yes", "sink") else "",
                                  f"{rate:.0f} messages/s; {where} {behind:.0f} us")

    def recipients(self, table):
        """Several recipients a message, each with a final reply of its own over LMTP."""
        with self.sink(), self.posternd() as posternd:
            for octets in (4 * 1024, 100 * 1024):
                for recipients in (1, 2, 20):
                    options = {"octets": octets, "recipient": "user@sink.test", "tls": "yes", "recipients": recipients}
                    self.drive("messages", count=20, **options)
                    count = self.count(20000 if octets < 65536 else 4000) // (4 if recipients == 20 else 1)
                    before = posternd.cpu_seconds()
                    report = self.drive("messages", count=count, concurrency=4, **options)
                    each = (posternd.cpu_seconds() - before) / report["count"] * 1e6
                    table.add(f"{octets // 1024} KiB over TLS, {recipients} recipients, into the sink", f"{each:.0f} us", "",
                              f"{report['count'] / report['seconds']:.0f} messages/s, p50 {report['p50'] * 1e3:.2f} ms, "
                              f"p99 {report['p99'] * 1e3:.2f} ms")

    def dovecot(self, table):
        """Into a real Dovecot, which writes to disk."""
        sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
        from harness.dovecot import Dovecot
        store = Dovecot(self.folder / "dovecot", ["user@dovecot.test", *(f"{n}user@dovecot.test" for n in range(1, 20))])
        try:
            with self.posternd(BACKEND.format(name="dovecot", to=f'"{store.target}"', more="")) as posternd:
                for octets in (4 * 1024, 100 * 1024):
                    for recipients in (1, 20):
                        options = {"octets": octets, "recipient": "user@dovecot.test", "tls": "yes",
                                   "recipients": recipients, "concurrency": 4}
                        self.drive("messages", count=8, **options)
                        before = posternd.cpu_seconds()
                        report = self.drive("messages", count=self.count(1000) // recipients, **options)
                        each = (posternd.cpu_seconds() - before) / report["count"] * 1e6
                        table.add(f"{octets // 1024} KiB over TLS, {recipients} recipients, into Dovecot", f"{each:.0f} us",
                                  "", f"{report['count'] / report['seconds']:.0f} messages/s, p50 "
                                  f"{report['p50'] * 1e3:.1f} ms, p99 {report['p99'] * 1e3:.1f} ms")
        finally:
            store.stop()

    def targets(self, table):
        """Three targets: all well, and then one dead and one that accepts and never greets."""
        well = [free_port() for _ in range(3)]
        with self.sink(well[0]), self.sink(well[1]), self.sink(well[2]), socket.create_server(("127.0.0.1", 0)) as mute:
            dead = free_port()
            for what, ports in (("three targets", well),
                                ("one of them dead and one mute", [dead, mute.getsockname()[1], well[2]])):
                for balance in ("order", "least", "hash"):
                    to = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
                    more = BACKEND.format(name="three", to=f"[{to}]", more=f'balance = "{balance}"\ntimeout = "1s"')
                    with self.posternd(more) as posternd:
                        options = {"octets": 4096, "recipient": "user@three.test", "tls": "yes", "concurrency": 4}
                        self.drive("messages", count=50, **options)
                        before = posternd.cpu_seconds()
                        report = self.drive("messages", count=self.count(10000), **options)
                        each = (posternd.cpu_seconds() - before) / report["count"] * 1e6
                    table.add(f"4 KiB, {what}, {balance}", f"{each:.0f} us", "",
                              f"{report['count'] / report['seconds']:.0f} messages/s, p50 {report['p50'] * 1e3:.2f} ms, p99 "
                              f"{report['p99'] * 1e3:.2f} ms")

    def memory(self, table):
        """What a message in flight holds: hand-offs to a target that takes connections and never answers."""
        with socket.create_server(("127.0.0.1", 0), backlog=2000) as mute:
            for octets in (4 * 1024, 100 * 1024):
                more = BACKEND.format(name="mute", to=f'"127.0.0.1:{mute.getsockname()[1]}"',
                                      more='recipients = "trust"\nwait = "10m"\ntimeout = "10m"')
                with self.posternd(more) as posternd:
                    count = self.count(500)
                    before = posternd.resident_kib()
                    text = b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * (octets // 72) + b".\r\n"
                    clients = []
                    for _ in range(count):
                        client = socket.create_connection(("127.0.0.1", self.port))
                        lines = client.makefile("rb")
                        lines.readline()
                        client.sendall(b"HELO load.bench.test\r\nMAIL FROM:<>\r\nRCPT TO:<user@mute.test>\r\nDATA\r\n")
                        for _ in range(4):
                            lines.readline()
                        client.sendall(text)
                        clients.append((client, lines))
                    time.sleep(1)  # the last octets are read
                    each = (posternd.resident_kib() - before) / count
                    for client, _ in clients:
                        client.close()
                    posternd.process.kill()  # it would wait for its deadline
                table.add(f"a message of {octets // 1024} KiB in flight, RSS of {count}", f"{each:.1f} KiB")

    # States in which a client can leave a session outside a message: (what it is, what it sends behind its EHLO, budget).
    HOSTILE = [
        ("a line without an end", lambda client: client.push(b"NOOP " + b"x" * 1_000_000), "64 KiB"),
        ("replies that nobody reads", lambda client: client.push(b"EHLO load.bench.test\r\n" * 50_000), "64 KiB"),
        ("refused recipients", lambda client: client.push(
            b"MAIL FROM:<>\r\n" + b"RCPT TO:<user@nowhere.test>\r\n" * 190), "64 KiB"),
        ("1000 recipients, which limits.message_memory bounds", lambda client: client.push(
            b"MAIL FROM:<>\r\n" + b"".join(b"RCPT TO:<%060d@mute.test>\r\n" % n for n in range(1000))), ""),
        ("half a ClientHello", lambda client: client.starttls_with(b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc" + b"\x03" * 16_000), "64 KiB"),
        ("TLS, a record that is not whole", lambda client: client.tls(then=b"\x17\x03\x03\x40\x00" + b"x" * 16_000), "64 KiB"),
        ("TLS, a line without an end", lambda client: client.tls(then=None).push(b"NOOP " + b"x" * 1_000_000), "64 KiB"),
        ("TLS, replies that nobody reads", lambda client: client.tls(then=None).push(b"EHLO load.bench.test\r\n" * 50_000), "64 KiB"),
    ]

    def hostile(self, table):
        """What a session holds at most outside a message, whatever is sent: RSS of many sessions in one state each."""
        for what, enter, budget in self.HOSTILE:
            more = BACKEND.format(name="mute", to='"127.0.0.1:9"', more='recipients = "trust"')
            with self.posternd(more) as posternd:
                clients = [Hostile(self.port) for _ in range(20)]  # what the first ones cost is not theirs
                before = posternd.resident_kib()
                clients += [Hostile(self.port) for _ in range(self.count(400))]
                for client in clients[20:]:
                    enter(client)
                posternd.settles()
                each = (posternd.resident_kib() - before) / (len(clients) - 20)
                for client in clients:
                    client.close()
                posternd.process.kill()  # it would work off what it was sent
            table.add(f"{what}, RSS of {len(clients) - 20}", f"{each:.1f} KiB", budget)

    def idle(self, table):
        count = self.count(5000)
        for tls, budget in (("no", "3 KiB"), ("yes", "10 KiB")):
            with self.posternd() as posternd:  # a fresh one: what earlier sessions gave back would hide the cost
                self.drive("sessions", count=2 * NAMES, tls="yes")
                before = posternd.resident_kib()
                command = [self.load, "idle", "--to", f"127.0.0.1:{self.port}", "--count", str(count), "--tls", tls,
                           "--names", self.names_file]
                with subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True) as holder:
                    if holder.stdout.readline() != "ready\n":
                        sys.exit("the idle sessions could not be opened")
                    each = (posternd.resident_kib() - before) / count
                    holder.stdin.close()
                    holder.stdout.read()
            table.add(f"an idle session {'under TLS' if tls == 'yes' else 'in clear'}, RSS of {count}",
                      f"{each:.1f} KiB", budget)


def main():
    default_build = pathlib.Path(__file__).resolve().parents[2] / "build"
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--build", type=pathlib.Path, default=default_build)
    parser.add_argument("--only", default="sessions,storm,reload,messages,recipients,dovecot,targets,memory,hostile,idle,start",
                        help="which measurements, separated by commas")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of operations")
    arguments = parser.parse_args()

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="postern-bench-"))
    folder.chmod(0o755)  # a Dovecot that root started writes as nobody
    try:
        print(f"minting {NAMES} certificates", flush=True)
        mint(folder / "live")
        bench = Bench(arguments.build.resolve(), folder, arguments.scale)
        table = Table()
        for what in arguments.only.split(","):
            getattr(bench, what)(table)
        print(f"\n{table}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
