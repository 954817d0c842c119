"""What posternd has no use for it gives up: other files (Landlock) and system calls (seccomp), and its work goes on.

That what is given up really fails is tried in tests/loop/sandbox_test.cpp, with the same functions. These tests need root.
"""

import os
import pathlib
import signal

import pytest

from harness.dialogue import tls_context
from harness.messages import message
from harness.wait import eventually
from test_rights import children

SENDER = "sender@elsewhere.test"
FILTERED, FREE = "2", "0"


def statuses(pid):
    """/proc/PID/task/*/status of all threads, as dictionaries."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        yield dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)


def modes(pid):
    return {status["Seccomp"] for status in statuses(pid)}


def loader_of(pid):
    return children(pid)["postern-loader"]


def deliver(server, subject, size=100):
    with server.greeted() as client:
        client.starttls(tls_context())
        client.hello()
        client.envelope(SENDER, "a@example.test")
        assert client.message(message(subject, b"x" * 70 + b"\r\n" * (size // 70))).code == 250


@pytest.mark.parametrize("user", ["nobody", None], ids=["with a loader process", "alone"])
def test_both_processes_are_in_it_and_work(posternd, scripted, folder, user):
    logs = folder / "logs"
    logs.mkdir()
    settings = {"user": user} if user else {}
    server = posternd(scripted(tcp=True).target, ready=False, smtp={"spill_at": "4KiB"},
                      log={"file": logs / "mail.log"}, **settings)
    server.start()
    pid = server.process.pid
    deliver(server, "small")
    deliver(server, "spilled", 100_000)
    if user:
        os.chown(logs, server.settings["state_dir"].stat().st_uid, -1)
        assert modes(loader_of(pid)) == {FILTERED}
    assert modes(pid) == {FILTERED}
    assert {status["NoNewPrivs"] for status in statuses(pid)} == {"1"}

    (logs / "mail.log").rename(logs / "mail.log.1")
    server.process.signal(signal.SIGUSR1)
    eventually(lambda: (logs / "mail.log").exists() and "opened anew" in (logs / "mail.log").read_text(), "a new log")
    assert server.reload()["configuration_taken"]
    deliver(server, "after that")
    assert modes(pid) == {FILTERED}
    assert "sandbox" not in (logs / "mail.log.1").read_text() + (logs / "mail.log").read_text()


def test_a_renewed_certificate_and_its_folder_are_read(posternd, scripted, authority, folder):
    """Links lead to another folder, and a version of it is put in its place, as Kubernetes does."""
    mount = folder / "mount"
    for number in (1, 2):
        leaf = authority.issue("mounted.example.test")
        chain, key = leaf.write(mount / f"..{number}", "tls")
        chain.rename(chain.parent / "tls.crt")
        key.rename(key.parent / "tls.key")
        link = mount / "..new"
        link.symlink_to(f"..{number}")
        link.rename(mount / "..data")
        if number == 1:
            for name in ("tls.crt", "tls.key"):
                (mount / name).symlink_to(f"..data/{name}")
            server = posternd(scripted().target, certificates={"directories": [mount]})

        def served(leaf=leaf):
            with server.greeted() as client:
                client.starttls(tls_context(), server_name="mounted.example.test")
                return client.served() == leaf.fingerprint
        eventually(served, "it is served")


@pytest.mark.parametrize("user", ["nobody", None], ids=["with a loader process", "alone"])
def test_a_reload_names_what_lies_beyond_it(posternd, scripted, authority, folder, user):
    server = posternd(scripted(tcp=True).target, ready=False, **({"user": user} if user else {}))
    server.start()
    chain, key = authority.issue("later.example.test").write(folder / "elsewhere", "later")
    server.settings["certificate"].append({"chain": chain, "key": key})
    server.settings["smtp"] = {"spill_dir": folder / "spill"}
    (folder / "spill").mkdir()
    server.write()
    reply = server.reload()
    assert reply["configuration_taken"], reply
    for place in ("elsewhere", "spill"):
        assert [warning for warning in reply["warnings"]
                if f"{folder / place}: was not named when posternd started" in warning], reply
    assert [fault for fault in reply["faults"] if str(chain) in fault], reply
    deliver(server, "all the same")


def test_it_can_be_switched_off(posternd, scripted):
    server = posternd(scripted().target, sandbox=False)
    assert modes(server.process.pid) == {FREE}
