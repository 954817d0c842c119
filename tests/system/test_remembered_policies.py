"""A policy that is changed or removed stays what it was to senders that may hold it."""

import json

import pytest

from harness.processes import run, tool
from harness.wait import LIMIT, eventually

URL = "https://mta-sts.one.test/.well-known/mta-sts.txt"


def policy(server, authority):
    host, port = server.address("https")
    return run([tool("curl"), "-sS", "--max-time", LIMIT, "--connect-to", f"::{host}:{port}", "--cacert", authority.root,
                "--fail", URL])


@pytest.fixture
def server(posternd, authority, folder):
    for name in ("mta-sts.one.test", "mx.one.test", "old.one.test"):
        authority.issue(name).write(folder / "certs", name)
    made = posternd(
        certificates={"directories": [folder / "certs"], "names": "declared"},
        listen=[{"address": ["127.0.0.1:<smtp>"], "default_certificate": "default"},
                {"address": ["127.0.0.1:<https>"], "protocol": "mta-sts", "default_certificate": "default"}],
        domain=[{"name": "one.test", "mx": ["old.one.test"], "backend": "store",
                 "mta_sts": {"mode": "enforce", "max_age": "10d"}}])
    eventually((made.settings["state_dir"] / "policies").exists, lambda: "posternd has written down its policies")
    return made


def notes(server, authority):
    result = server.tool("check", "-c", server.path, "--roots", authority.root, "--expires-within", "1", "--json")
    return {(one["code"], one["subject"]) for one in json.loads(result.stdout)["findings"]}


def test_a_removed_policy_says_none_over_restarts_and_its_names_are_kept(server, authority):
    del server.settings["domain"][0]["mta_sts"]
    server.settings["domain"][0]["mx"] = ["mx.one.test"]
    server.write()
    assert server.reload()["configuration_taken"]
    assert "mode: none\r\n" in policy(server, authority).stdout
    wanted = {("kept-for-old-policy", "mta-sts.one.test"), ("kept-for-old-policy", "old.one.test")}
    eventually(lambda: wanted <= notes(server, authority), "the old policy is written down")
    assert server.tool("certs", "--control", server.settings["control"], "--name", "old.one.test").returncode == 0
    server.stop()
    server.start()
    assert "mode: none\r\n" in policy(server, authority).stdout
    memory = (server.settings["state_dir"] / "policies").read_text()
    assert "one.test kept " in memory and memory.rstrip().endswith(" old.one.test")


def test_a_change_while_it_was_not_running_is_seen_at_the_start(server, authority, folder):
    server.stop()
    server.settings["domain"][0]["mx"] = ["mx.one.test"]
    server.write()
    server.start()
    assert "mode: enforce\r\nmx: mx.one.test\r\n" in policy(server, authority).stdout
    eventually(lambda: ("kept-for-old-policy", "old.one.test") in notes(server, authority), "the old policy is written down")
    # Its certificate goes: that is an error as long as somebody may hold the old policy.
    for suffix in (".pem", ".key"):
        (folder / "certs" / f"old.one.test{suffix}").unlink()
    assert ("old-policy-no-certificate", "old.one.test") in notes(server, authority)


def test_a_damaged_memory_is_told_and_left_alone(server):
    path = server.settings["state_dir"] / "policies"
    path.write_text("nonsense\n")
    reply = server.reload()
    assert reply["configuration_taken"]
    assert any("policies: line 1" in warning for warning in reply["warnings"])
    assert path.read_text() == "nonsense\n"


def test_a_dry_run_remembers_nothing(server):
    before = (server.settings["state_dir"] / "policies").read_text()
    del server.settings["domain"][0]["mta_sts"]
    server.write()
    server.control({"request": "reload", "dry_run": True})
    assert (server.settings["state_dir"] / "policies").read_text() == before
