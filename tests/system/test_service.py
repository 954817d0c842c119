"""posternd under a service manager: what it is told, sockets that are there before it, and the unit itself."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest

from harness.dialogue import Dialogue, connect
from harness.messages import message
from harness.ports import free_port
from harness.posternd import StartFailed
from harness.processes import environment, tool
from harness.wait import LIMIT, eventually

UNITS = pathlib.Path(__file__).resolve().parents[2] / "packaging" / "systemd"
SENDER = "sender@elsewhere.test"

# Takes descriptors over a unix socket and becomes what follows, as systemd would start it.
ACTIVATE = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as giver:
    giver.connect(sys.argv[1])
    descriptors = socket.recv_fds(giver, 1, 16)[1]
high = [os.dup2(d, 200 + i) for i, d in enumerate(descriptors)]
for i, d in enumerate(high):
    os.dup2(d, 3 + i)
    os.close(d)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=":".join(["smtp"] * len(high)))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Manager:
    """NOTIFY_SOCKET's other end."""

    def __init__(self, path):
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(LIMIT)

    def wait_for(self, line):
        """Everything up to the first datagram that has this line."""
        heard = []
        while True:
            heard.append(self._socket.recv(4096).decode().splitlines())
            if line in heard[-1]:
                return heard


def test_a_service_manager_is_told(posternd, scripted, folder):
    manager = Manager(folder / "notify")
    server = posternd(scripted().target,
                      env=environment(NOTIFY_SOCKET=str(manager.path), WATCHDOG_USEC="60000000"))
    manager.wait_for("READY=1")
    manager.wait_for("WATCHDOG=1")  # all loops have turned
    server.hang_up()
    assert any(re.fullmatch(r"MONOTONIC_USEC=\d+", line) for line in manager.wait_for("RELOADING=1")[-1])
    manager.wait_for("READY=1")
    server.terminate()
    manager.wait_for("STOPPING=1")
    assert server.process.wait() == 0


class Giver:
    """Keeps listening sockets as systemd does, and gives them to every process that ACTIVATE starts."""

    def __init__(self, path, sockets):
        self.path, self.sockets = path, sockets
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._give, daemon=True).start()

    def _give(self):
        with contextlib.suppress(OSError):
            while True:
                taker, _ = self._listener.accept()
                with taker:
                    socket.send_fds(taker, [b"x"], [each.fileno() for each in self.sockets])

    @property
    def prefix(self):
        return [sys.executable, "-c", ACTIVATE, str(self.path)]

    def close(self):
        self._listener.close()
        for each in self.sockets:
            each.close()


def listening(count=1):
    """Sockets of one port of loopback."""
    sockets = []
    for _ in range(count):
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(("127.0.0.1", sockets[0].getsockname()[1] if sockets else 0))
        made.listen(512)
        sockets.append(made)
    return sockets


@pytest.mark.parametrize("count, workers", [(1, 3), (3, 2)], ids=["fewer than workers", "more than workers"])
def test_sockets_that_are_there_already_are_used(posternd, scripted, folder, count, workers):
    giver = Giver(folder / "give", listening(count))
    port = giver.sockets[0].getsockname()[1]
    backend = scripted()
    server = posternd(backend.target, prefix=giver.prefix, workers=workers,
                      listen=[{"address": [f"127.0.0.1:{port}"], "default_certificate": "default"}])
    # Of several sockets with one port the kernel chooses; none of them may be forgotten.
    for number in range(30):
        with Dialogue(("127.0.0.1", port)) as client:
            client.greet()
            if number == 0:
                client.envelope(SENDER, "a@example.test")
                assert client.message(message("activated")).code == 250
    server.terminate()
    assert server.process.wait() == 0
    giver.close()


def test_nobody_is_refused_while_it_is_restarted(posternd, scripted, folder):
    giver = Giver(folder / "give", listening())
    port = giver.sockets[0].getsockname()[1]
    server = posternd(scripted().target, prefix=giver.prefix,
                      listen=[{"address": [f"127.0.0.1:{port}"], "default_certificate": "default"}])
    refused, greeted, over = [], [0], threading.Event()

    def connect_all_the_while():
        while not over.is_set():
            try:
                with Dialogue(("127.0.0.1", port)) as client:
                    client.greet()
                    greeted[0] += 1
            except ConnectionRefusedError as error:
                refused.append(error)
            except Exception:  # pylint: disable=broad-except  # a 421, or the end of the old process: not refused
                pass

    thread = threading.Thread(target=connect_all_the_while)
    thread.start()
    try:
        for _ in range(2):
            before = greeted[0]
            eventually(lambda: greeted[0] > before + 5, "clients are served")
            server.terminate()
            assert server.process.wait() == 0
            server.start()
        before = greeted[0]
        eventually(lambda: greeted[0] > before + 5, "clients are served by the last one")
    finally:
        over.set()
        thread.join()
    assert not refused
    giver.close()


def test_systemds_own_activation(posternd, scripted):
    port = free_port()
    server = posternd(scripted().target, ready=False, listen=[{"address": [f"127.0.0.1:{port}"],
                                                               "default_certificate": "default"}],
                      prefix=[tool("systemd-socket-activate"), "-l", f"127.0.0.1:{port}"])
    knocking = threading.Thread(target=lambda: eventually(lambda: knock(port), "it is greeted"))
    knocking.start()  # systemd-socket-activate starts it when somebody connects
    server.start()
    knocking.join()


def knock(port):
    try:
        with connect(("127.0.0.1", port)) as client:
            client.settimeout(LIMIT)
            return client.recv(1000).startswith(b"220 ")
    except ConnectionRefusedError:
        return False


def test_a_socket_without_a_listener_is_told(posternd, scripted, folder):
    giver = Giver(folder / "give", listening())
    server = posternd(scripted().target, prefix=giver.prefix)
    server.wait_for_message("the service manager passes a socket for 127.0.0.1:", "no [[listen]] has this address")
    giver.close()


def test_a_socket_of_another_kind_is_an_error(posternd, scripted, folder):
    wrong = socket.socket(type=socket.SOCK_DGRAM)
    wrong.bind(("127.0.0.1", 0))
    giver = Giver(folder / "give", [wrong])
    server = posternd(scripted().target, prefix=giver.prefix, ready=False)
    with pytest.raises(StartFailed) as failed:
        server.start()
    assert "no listening stream socket" in failed.value.stderr
    giver.close()


def test_the_unit_is_well_hardened():
    report = subprocess.run([tool("systemd-analyze"), "security", "--offline=true", str(UNITS / "postern.service")],
                            capture_output=True, text=True, check=True, env={**os.environ, "SYSTEMD_COLORS": "0"})
    exposure = re.search(r"Overall exposure level for postern\.service: ([\d.]+)", report.stdout)
    assert exposure, report.stdout
    assert float(exposure.group(1)) < 2.0, report.stdout


def test_the_units_are_well_formed(folder):
    # The programs need not be installed where the unit says.
    for unit in UNITS.iterdir():
        text = re.sub(r"/usr/s?bin/posternd?\b", "/bin/true", unit.read_text())
        (folder / unit.name).write_text(text)
    for name in ("postern.service", "postern.socket"):
        verified = subprocess.run([tool("systemd-analyze"), "verify", "--man=no", str(folder / name)],
                                  capture_output=True, text=True, check=False)
        complaints = [line for line in verified.stderr.splitlines() if str(folder) in line or "postern" in line]
        assert not complaints, verified.stderr


def test_the_unit_leaves_a_message_its_time():
    text = (UNITS / "postern.service").read_text()
    assert re.search(r"^TimeoutStopSec=9min$", text, re.M)  # timeouts.final is 8 minutes, timeouts.drain less


def test_the_log_file_is_opened_anew(posternd, scripted, folder):
    log = folder / "posternd.log"
    server = posternd(scripted().target, log={"level": "info", "format": "json", "file": log})
    eventually(lambda: "is ready" in log.read_text(), "the log is in its file")
    assert "is ready" not in server.process.stderr
    log.rename(folder / "rotated.log")
    server.process.signal(signal.SIGUSR1)
    eventually(lambda: log.exists() and "opened anew" in log.read_text(), "there is a new file")
    with server.greeted() as client:
        assert client.command("QUIT").code == 221
    eventually(lambda: '"outcome":"quit"' in log.read_text(), "what follows is in the new file")
    assert '"outcome":"quit"' not in (folder / "rotated.log").read_text()
    log.unlink()
    log.mkdir()
    server.process.signal(signal.SIGUSR1)  # cannot be opened: the log goes on, where it went
    with server.greeted() as client:
        assert client.command("QUIT").code == 221


# In a mount namespace with a /run of its own: starts systemd's journal daemon, sends standard error there as systemd
# would, and becomes what follows.
JOURNALED = """
import ctypes, os, pathlib, socket, subprocess, sys, time
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
for made in ("/run/systemd/journal", "/run/log/journal"):
    os.makedirs(made)
def end_with_us():
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
subprocess.Popen(["/lib/systemd/systemd-journald"], preexec_fn=end_with_us)
for _ in range(600):
    try:
        stream = socket.socket(socket.AF_UNIX)
        stream.connect("/run/systemd/journal/stdout")
        break
    except OSError:
        time.sleep(0.1)
stream.sendall(b"posternd\\n\\n6\\n1\\n0\\n0\\n0\\n")
os.dup2(stream.fileno(), 2)
state = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{state.st_dev}:{state.st_ino}"
os.execv(sys.argv[1], sys.argv[1:])
"""


def _journal(server, *matches):
    """The entries of that daemon, as dictionaries."""
    inside = ["nsenter", "-t", str(server.status()["pid"]), "-m"]
    subprocess.run([*inside, "journalctl", "--sync"], check=True, timeout=LIMIT)
    found = subprocess.run([*inside, "journalctl", "-D", "/run/log/journal", "-o", "json", "--no-pager", *matches],
                           capture_output=True, check=True, timeout=LIMIT)
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_fields_in_systemds_journal(posternd, scripted):
    """With the real systemd-journald, and journalctl asking it."""
    server = posternd(scripted().target, log={"format": "text"},
                      prefix=["unshare", "--mount", sys.executable, "-c", JOURNALED])
    with server.greeted() as client:
        client.envelope(SENDER, "alice@example.test")
        assert client.message(message("journaled")).code == 250
        client.expect(503, "RCPT TO:<x\u00e9 POSTERN_STATUS=taken@stranger.test>")
    (entry,) = eventually(lambda: _journal(server, "POSTERN_TO=<alice@example.test>"), "the entry of the recipient")
    assert entry["POSTERN_EVENT"] == "recipient" and entry["POSTERN_STATUS"] == "taken", entry
    assert entry["POSTERN_FROM"] == f"<{SENDER}>" and entry["POSTERN_CODE"] == "250", entry
    assert entry["SYSLOG_IDENTIFIER"] == "posternd" and entry["PRIORITY"] == "6", entry
    assert entry["MESSAGE"].startswith("recipient id="), entry
    assert entry["_TRANSPORT"] == "journal" and int(entry["_PID"]) == server.status()["pid"], entry
    (forged,) = eventually(lambda: _journal(server, "POSTERN_CODE=503"), "the entry of what was refused")
    assert forged["POSTERN_TO"] == r"<x\xc3\xa9 POSTERN_STATUS=taken@stranger.test>", forged
    assert forged["POSTERN_STATUS"] == "refused", forged
    warnings = _journal(server, "PRIORITY=4", "SYSLOG_IDENTIFIER=posternd")
    assert all("warning" not in warning["MESSAGE"] and warning["_TRANSPORT"] == "journal" for warning in warnings)
    # Without its socket there is still the stream.
    subprocess.run(["nsenter", "-t", str(server.status()["pid"]), "-m", "rm", "/run/systemd/journal/socket"], check=True)
    server.process.signal(signal.SIGUSR1)
    taken = eventually(lambda: [line for line in _journal(server, "_TRANSPORT=stdout") if "SIGUSR1" in line["MESSAGE"]],
                       "the line that says that there is no log file")
    assert taken[0]["SYSLOG_IDENTIFIER"] == "posternd" and taken[0]["PRIORITY"] == "6", taken


def test_a_warning_that_repeats_is_counted(posternd):
    """Two workers find a dead backend, again and again: one line at once, and one that sums up."""
    server = posternd("unix:/nonexistent/lmtp")
    for _ in range(3):
        with server.greeted() as client:
            client.envelope(SENDER, "alice@example.test")
            assert client.message(message("nowhere")).code == 451
    server.stop()
    told = [line["message"] for line in server.log() if "not tried again for" in line.get("message", "")]
    assert len(told) == 2 and "repeated" not in told[0] and re.search(r"\(repeated (once|\d+ times) in", told[1]), told
    assert len(server.records("recipient", code=451)) == 3 and len(server.records("session")) == 3
