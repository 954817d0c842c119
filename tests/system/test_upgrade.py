"""SIGUSR2: a new posternd takes over, and nobody who sends mail notices."""

import fcntl
import itertools
import os
import pathlib
import pwd
import re
import signal
import ssl
import threading

import pytest

from harness.admin import get
from harness.dialogue import Closed, tls_context
from harness.messages import message
from harness.processes import environment
from harness.scripted_lmtp import Step
from harness.wait import LIMIT, eventually
from test_ledger import ONE, OVER_QUOTA, SENDER, TWO, attempt
from test_sandbox import modes
from test_service import Manager


OTHER = "other@elsewhere.test"


class Crowd:
    """Clients that connect all the while, a message a connection."""

    def __init__(self, server, count, recipient):
        self._server, self._recipient = server, recipient
        self.acknowledged, self.sent_away, self.broken = [], [0], []
        self._numbers, self._over = itertools.count(), threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def _send(self, number):
        context = tls_context()
        while not self._over.is_set():
            subject = f"message {next(self._numbers)}"
            try:
                with self._server.dialogue() as client:
                    if not self._steps(client, context if number % 2 else None, subject):
                        self.sent_away[0] += 1
            except (OSError, Closed) as error:  # refused, reset, or closed without a word
                self.broken.append((subject, repr(error)))

    def _steps(self, client, context, subject):
        """False when the server sent it away, which it may before there is a message, while it ends."""
        first = client.reply()
        if first.code == 421:
            return False
        assert first.code == 220, str(first)
        lines = ["EHLO client.example.test", f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{self._recipient}>", "DATA"]
        if context:
            for line in ("EHLO client.example.test", "STARTTLS"):
                if client.command(line).code == 421:
                    return False
            client.wrap(context)
        for line in lines:
            try:
                reply = client.command(line)
            except ssl.SSLError:  # the 421 and its close_notify are there already, when this is written
                return False
            if reply.code == 421:
                return False
            assert reply.code in (250, 354), str(reply)
        client.send(message(subject) + b".\r\n")
        assert client.reply().code == 250
        self.acknowledged.append(subject)
        client.command("QUIT")
        return True

    def stop(self):
        self._over.set()
        for thread in self._threads:
            thread.join()


def test_nobody_notices(posternd, dovecot):
    user = dovecot.new_user()
    server = posternd(dovecot.target, limits={"connections_per_address": 1000, "connections_per_network": 1000})
    crowd = Crowd(server, 6, user)
    try:
        for upgrade in range(2):
            half = server.greeted()
            half.envelope(SENDER, user)
            half.expect(354, "DATA")
            octets = message(f"message half {upgrade}", b"x" * 70 + b"\r\n" * 200)
            half.send(octets[:500])
            idle = server.greeted()
            before = len(crowd.acknowledged)
            eventually(lambda: len(crowd.acknowledged) >= before + 20, "mail flows")  # noqa: B023
            old = server.upgrade()
            assert idle.reply().code == 421
            idle.close()
            half.send(octets[500:] + b".\r\n")
            assert half.reply().code == 250
            crowd.acknowledged.append(f"message half {upgrade}")
            half.close()
            assert old.wait() == 0
            before = len(crowd.acknowledged)
            eventually(lambda: len(crowd.acknowledged) >= before + 20, "mail flows on")  # noqa: B023
    finally:
        crowd.stop()
    assert not crowd.broken, crowd.broken
    there = sorted(subject for subject in dovecot.subjects(user))
    assert sorted(crowd.acknowledged) == there
    for part in ("SIGUSR2: a new posternd is started", f"process {server.process.pid}, is ready"):
        server.wait_for_message(part)
    assert modes(server.process.pid) == {"2"}


def test_the_served_are_not_served_twice(posternd, scripted):
    """Entries of before, and those of a session that ends its message when the new one serves already."""
    reached, release = threading.Event(), threading.Event()

    def hold(connection, step):
        if step is Step.AFTER_DOT and held[0]:
            held[0] = False
            reached.set()
            release.wait(LIMIT)
    held = [False]
    backend = scripted(script=hold)
    backend.final_replies[TWO] = OVER_QUOTA
    server = posternd(backend.target)
    before, meanwhile = message("before"), message("meanwhile")
    assert attempt(server, [ONE, TWO], before)[2].code == 451
    held[0] = True
    late = server.greeted()
    late.envelope(OTHER, ONE, TWO)
    late.expect(354, "DATA")
    late.send(meanwhile + b".\r\n")
    assert reached.wait(LIMIT)
    old = server.upgrade()
    assert server.status()["ledger"]["entries"] == 2
    release.set()
    assert late.reply().code == 451
    assert server.status()["ledger"]["entries"] == 4
    late.close()
    assert old.wait() == 0
    for octets, sender in ((before, SENDER), (meanwhile, OTHER)):
        # The refused one is separated, and then refused as it was.
        assert attempt(server, [ONE, TWO], octets, sender)[2].code == 250
        assert attempt(server, [TWO], octets, sender)[2].code == 552
    assert [delivery.taken for delivery in backend.taken(ONE)] == [[ONE], [ONE]]
    eventually(lambda: server.status()["ledger"]["entries"] == 0, "all is consumed")


def wait_for_failure(server, count):
    text = "has ended before it was ready"
    eventually(lambda: server.process.stderr.count(text) == count, lambda: f"{count} failures in {server.process.stderr}")


def test_a_failed_start_leaves_the_old_one_serving(posternd, scripted):
    backend = scripted()
    backend.final_replies[TWO] = OVER_QUOTA
    server = posternd(backend.target)
    pid, sound = server.process.pid, server.path.read_text()
    server.path.write_text(sound + "\nnonsense = 1\n")
    server.process.signal(signal.SIGUSR2)
    wait_for_failure(server, 1)
    eventually(lambda: "nonsense: there is no such key" in server.process.stderr, "it says why")
    server.path.write_text(sound)

    # And one that fails when everything had been handed over to it.
    key = server.settings["state_dir"] / "ledger.key"
    secret = key.read_bytes()
    key.write_bytes(b"short")
    server.process.signal(signal.SIGUSR2)
    wait_for_failure(server, 2)
    key.write_bytes(secret)
    assert server.status()["pid"] == pid
    with open(server.settings["state_dir"] / "lock", "rb") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    octets = message("after the failures")
    assert attempt(server, [ONE, TWO], octets)[2].code == 451
    assert server.status()["ledger"]["failures"] == 0

    old = server.upgrade()
    assert old.wait() == 0
    assert attempt(server, [ONE, TWO], octets)[2].code == 250
    assert len(backend.taken(ONE)) == 1
    server.stop()
    assert not pathlib.Path(server.settings["control"]).exists()


def test_started_as_root_it_has_roots_rights_to_give_up_again(posternd, scripted, authority, folder):
    assert os.geteuid() == 0, "this test needs root"
    manager = Manager(folder / "notify")
    folder.chmod(0o711)
    manager.path.chmod(0o777)  # as systemd's
    leaf = authority.issue("secret.example.test")
    chain, key = leaf.write(folder / "secret", "secret")
    os.chmod(folder / "secret", 0o700)
    server = posternd(scripted(tcp=True).target, ready=False, user="nobody",
                      env=environment(NOTIFY_SOCKET=str(manager.path)))
    server.settings["certificate"].append({"chain": chain, "key": key})
    server.settings["listen"].append({"protocol": "admin", "address": [f"unix:{folder}/admin"]})
    server.start()
    manager.wait_for("READY=1")
    renewed = authority.issue("secret.example.test")
    old = server.upgrade()
    pid = server.process.pid
    heard = manager.wait_for(f"MAINPID={pid}")
    assert not [line for lines in heard for line in lines if line == "STOPPING=1"]
    manager.wait_for("READY=1")
    assert old.wait() == 0
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    uid = pwd.getpwnam("nobody").pw_uid
    assert re.search(rf"^Uid:\t{uid}\t{uid}\t{uid}\t{uid}$", status, re.M), status
    renewed.write(folder / "secret", "secret")
    assert server.reload()["configuration_taken"]
    with server.greeted() as client:
        client.starttls(tls_context(), server_name="secret.example.test")
        assert client.served() == renewed.fingerprint
    assert get(folder / "admin", "/healthz") == (200, "alive\n")


def test_an_upgrade_waits_for_no_one_who_drains(posternd, scripted):
    server = posternd(scripted().target)
    assert server.control({"request": "drain"})["reply"] != "error"
    server.process.signal(signal.SIGUSR2)
    server.wait_for_message("SIGUSR2: no new posternd is started", "draining")
