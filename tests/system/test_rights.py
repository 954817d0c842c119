"""Started as root, posternd gives root's rights up; what only root may read is read by a process that can do no more.

These tests need root, as the check has it."""

import os
import pathlib
import pwd
import signal

import pytest

from harness.dialogue import tls_context
from harness.messages import message
from harness.posternd import StartFailed
from harness.wait import eventually

SENDER = "sender@elsewhere.test"
USER = "nobody"
READ_EVERYTHING = 1 << 2  # CAP_DAC_READ_SEARCH


def facts(path):
    """/proc/PID/status as a dictionary."""
    return dict(line.split(":\t", 1) for line in (pathlib.Path(path) / "status").read_text().splitlines() if ":\t" in line)


def children(pid):
    """Process ids by names."""
    pids = [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return {pathlib.Path(f"/proc/{child}/comm").read_text().strip(): child for child in pids}


@pytest.fixture
def secret_leaf(authority, folder):
    """(leaf, chain, key) of which the key is for root alone."""
    leaf = authority.issue("secret.example.test")
    chain, key = leaf.write(folder / "secret", "secret")
    os.chmod(folder / "secret", 0o700)
    os.chmod(key, 0o600)
    return leaf, chain, key


def with_secret(server, secret_leaf):
    _, chain, key = secret_leaf
    server.settings["certificate"].append({"chain": chain, "key": key})
    server.settings["user"] = USER


def served_for(server, name):
    with server.greeted() as client:
        client.starttls(tls_context(), server_name=name)
        return client.served()


def test_root_only_begins(posternd, scripted, secret_leaf, authority):
    assert os.geteuid() == 0, "this test needs root"
    server = posternd(scripted(tcp=True).target, ready=False)
    with_secret(server, secret_leaf)
    server.start()
    pid, uid = server.process.pid, pwd.getpwnam(USER).pw_uid
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        status = facts(thread)
        assert status["Uid"].split() == [str(uid)] * 4, thread
        assert int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0, thread
        assert status["NoNewPrivs"] == "1", thread
        assert "0" not in status["Groups"].split()
    own = children(pid)
    assert set(own) == {"postern-launch", "postern-loader"}
    loader = own["postern-loader"]
    status = facts(f"/proc/{loader}")
    assert status["Uid"].split() == [str(uid)] * 4
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == READ_EVERYTHING
    assert status["NoNewPrivs"] == "1"
    assert served_for(server, "secret.example.test") == secret_leaf[0].fingerprint

    # A renewal, which only root can read, and a source that was not there at the start.
    renewed = authority.issue("secret.example.test")
    renewed.write(secret_leaf[1].parent, "secret")
    os.chmod(secret_leaf[2], 0o600)
    added = authority.issue("added.example.test")
    chain, key = added.write(secret_leaf[1].parent / "later", "added")
    os.chmod(key, 0o600)
    server.settings["certificate"].append({"chain": chain, "key": key})
    server.write()
    reply = server.reload()
    assert reply["configuration_taken"] and not reply["faults"], reply
    assert served_for(server, "secret.example.test") == renewed.fingerprint
    assert served_for(server, "added.example.test") == added.fingerprint

    with server.greeted() as client:
        client.envelope(SENDER, "a@example.test")
        assert client.message(message("as nobody")).code == 250
    server.terminate()
    assert server.process.wait() == 0
    for name, child in own.items():
        eventually(lambda: not pathlib.Path(f"/proc/{child}").exists() or facts(f"/proc/{child}")["State"][0] == "Z",
                   f"{name} ends with posternd")  # noqa: B023
    assert (server.folder / "state").stat().st_uid == uid


@pytest.mark.parametrize("user", [USER, "root"])
def test_a_folder_that_certbot_makes_later(posternd, scripted, authority, folder, user):
    """live and archive come with the first certificate, when posternd may have run for long."""
    server = posternd(scripted(tcp=True).target, ready=False)
    server.settings["user"] = user
    live, archive = folder / "letsencrypt/live", folder / "letsencrypt/archive"
    server.settings["certificates"] = {"directories": [live]}
    server.start()
    later = authority.issue("later.example.test")
    chain, key = later.write(archive / "later.example.test", "later")
    os.chmod(key, 0o600)
    (live / "later.example.test").mkdir(parents=True)
    for path, link in ((chain, "fullchain.pem"), (key, "privkey.pem")):
        (live / "later.example.test" / link).symlink_to(f"../../archive/later.example.test/{path.name}")
    os.chmod(live, 0o700)
    os.chmod(archive, 0o700)
    eventually(lambda: served_for(server, "later.example.test") == later.fingerprint,
               lambda: f"it is served; faults: {server.status()['faults']}")


def test_a_loader_process_that_was_killed(posternd, scripted, secret_leaf, authority):
    """Say, for want of memory: what it has read is served on, and SIGUSR2 heals it without a break."""
    server = posternd(scripted(tcp=True).target, ready=False)
    with_secret(server, secret_leaf)
    server.start()
    os.kill(children(server.process.pid)["postern-loader"], signal.SIGKILL)
    renewed = authority.issue("secret.example.test")
    renewed.write(secret_leaf[1].parent, "secret")
    os.chmod(secret_leaf[2], 0o600)
    eventually(lambda: any("reads certificate files has ended" in fault for fault in server.status()["faults"]), "it is told")
    assert served_for(server, "secret.example.test") == secret_leaf[0].fingerprint
    assert server.upgrade().wait() == 0
    assert served_for(server, "secret.example.test") == renewed.fingerprint
    assert not server.status()["faults"]


def test_what_is_not_configured_is_not_read(posternd, scripted, secret_leaf, folder):
    server = posternd(scripted(tcp=True).target, ready=False)
    with_secret(server, secret_leaf)
    stray = folder / "stray.pem"
    stray.write_bytes(secret_leaf[2].read_bytes())
    stray.chmod(0o600)
    link = secret_leaf[1].parent / "link.pem"
    link.symlink_to(stray)
    server.settings["certificate"].append({"chain": secret_leaf[1], "key": link})
    server.start()
    [fault] = [fault for fault in server.status()["faults"] if "link.pem" in fault]
    assert f"a link leads to {stray}, which lies under none of the configured sources" in fault


def test_check_sees_what_the_user_can_read(posternd, scripted, secret_leaf):
    server = posternd(scripted(tcp=True).target, ready=False)
    with_secret(server, secret_leaf)
    checked = server.check()
    assert checked.returncode == 0, checked.stderr
    checked = server.check("--user", USER)  # without a loader process
    assert checked.returncode == 1 and "permission denied" in checked.stderr, checked.stderr


def test_an_unknown_user_is_told(posternd, scripted):
    server = posternd(scripted(tcp=True).target, ready=False, user="nobody-of-that-name")
    with pytest.raises(StartFailed) as failed:
        server.start()
    assert "there is no such user" in failed.value.stderr and failed.value.exit_code == 2
