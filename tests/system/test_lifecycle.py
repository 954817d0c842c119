"""Start, signals, end: what a service manager and an operator see of posternd."""

import os
import pathlib
import signal
import socket
import threading

import pytest

from harness.dialogue import Closed, tls_context
from harness.messages import message
from harness.posternd import StartFailed
from harness.processes import Process, environment, program, run, sanitizer_report, tool
from harness.scripted_lmtp import Step
from harness.wait import LIMIT, eventually

SENDER = "sender@elsewhere.test"


class Gate:
    """A script that holds the backend's answer after the dot until it is opened."""

    def __init__(self):
        self.reached, self._open = threading.Event(), threading.Event()

    def __call__(self, _connection, step):
        if step is Step.AFTER_DOT:
            self.reached.set()
            assert self._open.wait(LIMIT)

    def open(self):
        self._open.set()


def test_it_can_be_ended_as_soon_as_it_is_ready(posternd):
    # What it does beside, such as the first look at what has changed among the certificates, must not mind.
    server = posternd(ready=False)
    for _ in range(8):
        server.start()
        server.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_in_order(posternd, scripted, number):
    gate = Gate()
    backend = scripted(script=gate)
    server = posternd(backend.target)
    with server.greeted() as idle, server.greeted() as secure, server.greeted() as past_the_dot:
        secure.starttls(tls_context())
        secure.hello()
        past_the_dot.envelope(SENDER, "a@example.test")
        past_the_dot.expect(354, "DATA")
        past_the_dot.send(message("past the dot") + b".\r\n")
        assert gate.reached.wait(LIMIT)
        server._end_is_expected = True
        server.process.signal(number)
        for client in (idle, secure):
            assert client.reply().code == 421
            assert client.at_end()
        # Nobody new gets in, and the one whose message is being delivered has not been told anything yet.
        eventually(lambda: not server.accepts(), "no new connections are accepted")
        assert server.process.running()
        gate.open()
        assert past_the_dot.reply().code == 250
        past_the_dot.rest()
    assert server.process.wait() == 0
    assert len(backend.taken("a@example.test")) == 1


def test_a_session_in_the_middle_of_a_message_may_finish_it(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target)
    with server.greeted() as client:
        client.envelope(SENDER, "a@example.test")
        client.expect(354, "DATA")
        client.send(message("half", b"first\r\n"))
        server.terminate()
        eventually(lambda: not server.accepts(), "no new connections are accepted")
        client.send(b"second\r\n.\r\n")
        assert client.reply().code == 250
        client.rest()
    assert server.process.wait() == 0
    assert len(backend.deliveries) == 1


def test_who_does_not_finish_in_time_is_let_go(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target, timeouts={"drain": "1s"})
    with server.greeted() as client:
        client.envelope(SENDER, "a@example.test")
        client.expect(354, "DATA")
        client.send(message("never finished", b"first\r\n"))
        server.terminate()
        client.rest()
    assert server.process.wait() == 0
    assert not backend.deliveries


def test_it_starts_again_at_once_on_the_same_addresses(posternd):
    server = posternd()
    ports = dict(server.ports)
    with server.greeted():
        server.stop()
        server.start()
    assert server.ports == ports
    with server.greeted() as client:
        client.expect(221, "QUIT")


def test_a_second_one_on_the_same_state_dir_is_refused(posternd):
    first = posternd()
    second = posternd(ready=False, state_dir=str(first.settings["state_dir"]))
    with pytest.raises(StartFailed) as refused:
        second.start()
    assert refused.value.exit_code not in (0, None) and refused.value.exit_code > 0
    assert str(first.settings["state_dir"]) in refused.value.stderr
    with first.greeted() as client:
        client.expect(250, "NOOP")


def start_to_its_end(server):
    """Starts posternd, which must end by itself; the finished process."""
    server.write()
    process = Process([*server._prefix, server._daemon, "-c", server.path], name="posternd-refused",
                      folder=server.folder, env=environment())
    try:
        process.wait()
    finally:
        process.kill()
    assert not sanitizer_report(process.stderr)
    return process


@pytest.mark.parametrize("holder", ["another posternd", "another program"])
def test_a_port_in_use_is_said_plainly(posternd, holder):
    first = posternd()
    second = posternd(ready=False)
    second.write()
    if holder == "another posternd":
        second.ports["smtp"] = first.ports["smtp"]
        process = start_to_its_end(second)
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            second.ports["smtp"] = listener.getsockname()[1]
            process = start_to_its_end(second)
    assert process.exit_code > 0
    assert f"127.0.0.1:{second.ports['smtp']}" in process.stderr and "in use" in process.stderr, process.stderr


NOBODY = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"]


def as_nobody():
    """Words in front of a command line that take away root's rights; none when the tests have none."""
    return [tool("setpriv"), *NOBODY, "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []


def low_ports_need_privilege():
    probe = "import socket; socket.socket().bind(('127.0.0.1', 25))"
    return "Permission denied" in run([*as_nobody(), "/usr/bin/python3", "-c", probe]).stderr


def test_a_missing_privilege_for_port_25_is_said_plainly(posternd):
    prefix = as_nobody()
    if not low_ports_need_privilege():
        # Container runtimes open low ports to everybody; in a network namespace of its own the kernel's rule is back.
        prefix = [tool("unshare"), "--net", *(["--map-root-user"] if os.getuid() else []), *prefix]
    server = posternd(ready=False, prefix=prefix, listen=[
        {"address": ["127.0.0.1:25"], "default_certificate": "default"}])
    server.settings["state_dir"].chmod(0o777)
    server.folder.chmod(0o777)
    for path in pathlib.Path(server.folder / "certificates").iterdir():
        path.chmod(0o644)
    process = start_to_its_end(server)
    assert process.exit_code > 0
    assert "127.0.0.1:25" in process.stderr, process.stderr
    assert "CAP_NET_BIND_SERVICE" in process.stderr or "privilege" in process.stderr, process.stderr


def test_it_runs_without_any_privilege(posternd):
    server = posternd(ready=False, prefix=as_nobody())
    server.settings["state_dir"].chmod(0o777)
    server.folder.chmod(0o777)
    for path in pathlib.Path(server.folder / "certificates").iterdir():
        path.chmod(0o644)
    server.start()
    with server.greeted() as client:
        client.starttls(tls_context())
        client.hello()
        client.expect(221, "QUIT")


def test_more_connections_than_descriptors_are_said_at_the_start(posternd):
    limited = [tool("prlimit"), "--nofile=512:512"]
    server = posternd(prefix=limited, limits={"connections": 10_000})
    said = server.wait_for_message("10000", "512")
    assert said["level"] == "warning"
    assert "descriptor" in said["message"]
    quiet = posternd(limits={"connections": 100})
    quiet.stop()
    assert not [line for line in quiet.log() if "descriptor" in line.get("message", "")]


# UBSan looks at an object's type by way of a pipe: without descriptors it takes any object for a wrong one.
BLIND_UBSAN = r"[^\n]*runtime error: member call on address [^\n]*\n[^\n]*object has invalid vptr\n<memory cannot be printed>\n"


def test_it_lives_when_it_has_no_descriptors_left(posternd):
    server = posternd(prefix=[tool("prlimit"), "--nofile=128:128"], forgive=BLIND_UBSAN,
                      env=environment(UBSAN_OPTIONS="halt_on_error=0"),
                      limits={"connections": 1000, "connections_per_address": 1000})
    kept = []
    try:
        for _ in range(200):
            kept.append(server.dialogue())
        kept[0].expect(220)
        kept[0].hello()
        kept[0].expect(250, "NOOP")
    finally:
        for client in kept:
            client.close()

    def works_again():
        try:
            with server.dialogue(limit=5) as client:
                return client.reply().code == 220
        except (OSError, Closed):
            return False
    eventually(works_again, "connections are accepted again")


def test_version_and_help(build):
    for name in ("posternd", "postern"):
        version = run([program(build, name), "--version"])
        assert version.returncode == 0 and name in version.stdout and version.stdout.strip()[-1].isdigit()
        shown = run([program(build, name), "--help"])
        assert shown.returncode == 0 and "--version" in shown.stdout
    for name, arguments in (("posternd", []), ("postern", ["status"])):
        wrong = run([program(build, name), *arguments, "--no-such-option"])
        assert wrong.returncode == 2 and "no-such-option" in wrong.stderr


def test_the_control_socket_is_for_owner_and_group_only(posternd):
    server = posternd()
    mode = os.stat(server.settings["control"]).st_mode & 0o777
    assert mode == 0o660
    for nonsense in ({"request": "dance"}, {"what": 1}):
        assert server.control(nonsense)["reply"] == "error"
    server.stop()
    assert not pathlib.Path(server.settings["control"]).exists()


def test_the_control_socket_of_a_killed_posternd_does_not_hinder_the_next(posternd):
    server = posternd()
    server.kill()
    assert pathlib.Path(server.settings["control"]).exists()
    server.start()
    assert server.status()["pid"] == server.process.pid


def test_private_keys_do_not_leave_their_files(posternd, default_leaf):
    server = posternd()
    with server.greeted() as client:
        client.starttls(tls_context())
        client.hello()
    server.stop()
    secret = default_leaf.key.splitlines()[1]
    for path in pathlib.Path(server.settings["state_dir"]).rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes()
    assert secret.decode() not in server.process.stderr
