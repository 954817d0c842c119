"""What an operator sees of the certificate map, and how a bad one is kept from going live: `postern certs`, dry runs,
versions, rollback, and the limit on losses."""

import base64
import dataclasses
import json
import os
import shutil

import pytest

from harness import clients
from harness.ca import Authority
from harness.dialogue import tls_context
from harness.processes import run, tool as program
from harness.wait import eventually

NAME = "one.example.test"


def served(server, name=NAME):
    with server.greeted() as client:
        client.starttls(tls_context(), name)
        return client.served()


def put(folder, name, leaf):
    own = folder / name
    own.mkdir(parents=True, exist_ok=True)
    for file, octets in (("privkey.pem", leaf.key), ("fullchain.pem", leaf.chain)):
        (own / (file + ".new")).write_bytes(octets)
        os.rename(own / (file + ".new"), own / file)


def tool(server, *arguments):
    return server.tool(*arguments, "--control", str(server.settings["control"]))


def rows(server, *arguments):
    shown = tool(server, "certs", "--json", *arguments)
    assert not shown.stderr, shown.stderr
    return [json.loads(line) for line in shown.stdout.splitlines()]


def test_certs_lists_states_with_their_reasons(posternd, authority, folder):
    live = folder / "live"
    put(live, NAME, authority.issue(NAME))
    put(live, "neighbour", authority.issue(NAME))
    put(live, "broken.example.test", authority.issue("broken.example.test"))
    (live / "broken.example.test" / "fullchain.pem").write_text("no certificate\n")
    server = posternd(certificates={"directories": [live]})
    by_file = {row["source"]: row for row in rows(server)}
    own = by_file[str(live / NAME / "fullchain.pem")]
    assert own["state"] == "served" and own["names"] == [NAME] and own["days_left"] > 0
    assert own["key"].startswith("ECDSA") and own["issuer"]
    assert by_file[str(live / "neighbour" / "fullchain.pem")]["state"] == "shadowed"
    failed = by_file[str(live / "broken.example.test" / "fullchain.pem")]
    assert failed["state"] == "failed" and "no certificate" in failed["reason"] and failed["since"]
    assert [row["state"] for row in rows(server, "--state", "failed")] == ["failed"]
    assert {row["source"] for row in rows(server, "--match", "neighbour")} == {str(live / "neighbour" / "fullchain.pem")}
    shown = tool(server, "certs")
    assert shown.returncode == 1 and "failed" in shown.stdout and str(live / NAME) in shown.stdout
    # The same from the configuration alone.
    alone = server.tool("certs", "-c", str(server.path), "--json")
    assert {json.loads(line)["source"] for line in alone.stdout.splitlines()} == set(by_file)
    why = tool(server, "certs", "--name", NAME)
    assert why.returncode == 0 and "held back" in why.stdout, why.stdout
    assert why.stdout.splitlines()[-1] == f"served: {live / NAME / 'fullchain.pem'}"
    nobody = tool(server, "certs", "--name", "nobody.example.test")
    assert nobody.returncode == 1 and f"served at 127.0.0.1:{server.ports['smtp']}" in nobody.stdout
    refused = tool(server, "certs", "--state", "nonsense")
    assert refused.returncode == 2 and "not-yet-valid" in refused.stderr


def pem_body(pem):
    return base64.b64decode(b"".join(line for line in pem.splitlines() if not line.startswith(b"-----")))


def test_a_key_whose_halves_do_not_fit_each_other_is_found_after_the_start(posternd, authority, folder):
    """A start believes what a key file says itself of its public key, so that it need not decode 10^5 of them."""
    live = folder / "live"
    put(live, NAME, authority.issue(NAME))
    bad, other = authority.issue("two.example.test"), authority.issue("three.example.test")
    point_octets = 65  # the public key of P-256 stands at the end of a PKCS#8 key
    mixed = pem_body(other.key)[:-point_octets] + pem_body(bad.key)[-point_octets:]
    text = b"-----BEGIN PRIVATE KEY-----\n" + base64.encodebytes(mixed) + b"-----END PRIVATE KEY-----\n"
    put(live, "two.example.test", dataclasses.replace(bad, key=text))
    server = posternd(certificates={"directories": [live]})
    said = f"{live}/two.example.test/privkey.pem:1: the private key cannot be used"
    server.wait_for_message(said)

    def is_failed():
        return [row["state"] for row in rows(server, "--match", "two.example.test")] == ["failed"]

    eventually(is_failed, "a failed row")
    assert served(server, "two.example.test") != bad.fingerprint
    assert said in server.check().stderr  # which has it decoded at once
    eventually((server.settings["state_dir"] / "certs" / "cache").exists, "a cache for the next start")
    server.stop()
    server.start()
    eventually(is_failed, "a failed row")
    put(live, "two.example.test", bad)
    eventually(lambda: served(server, "two.example.test") == bad.fingerprint, "the key that fits")


def test_the_chain_that_senders_trust_is_served_and_a_missing_intermediate_reported(posternd, authority, folder):
    stranger = Authority(folder / "stranger")
    # Of the two for one name, the one that the public does not trust is the later one.
    trusted, untrusted = authority.issue(NAME), stranger.issue(NAME)
    live = folder / "live"
    put(live, f"{NAME}-0001", trusted)
    put(live, NAME, untrusted)
    whole = authority.issue("two.example.test")
    end = whole.chain.index(b"-----END CERTIFICATE-----\n") + len(b"-----END CERTIFICATE-----\n")
    put(live, "two.example.test", dataclasses.replace(whole, chain=whole.chain[:end]))
    server = posternd(certificates={"directories": [live]})
    assert clients.openssl(*server.address(), NAME, root=authority.root).verified
    why = tool(server, "certs", "--name", NAME)
    assert "for its chain leads to a trust anchor" in why.stdout, why.stdout

    # Without its intermediate a certificate is served, but no sender that checks takes it.
    seen = clients.openssl(*server.address(), "two.example.test", root=authority.root)
    assert not seen.verified and "unable to get local issuer certificate" in seen.output, seen.output
    (incomplete,) = [row for row in rows(server, "--state", "incomplete") if "two.example.test" in row["names"]]
    assert "issued by Postern test intermediate, which is neither" in incomplete["reason"], incomplete
    assert any("two.example.test/fullchain.pem: its certificate was issued by Postern test intermediate" in fault
               for fault in server.status()["faults"])
    put(live, "two.example.test", whole)
    eventually(lambda: clients.openssl(*server.address(), "two.example.test", root=authority.root).verified,
               "the whole chain is served")
    eventually(lambda: not any("two.example.test" in fault for fault in server.status()["faults"]), "the fault is over")

    # Other anchors turn the tables.
    server.settings["certificates"]["roots"] = stranger.root
    server.write()
    assert server.reload()["configuration_taken"]
    assert served(server) == untrusted.fingerprint


def test_only_declared_names_are_taken_from_folders(posternd, authority, folder, default_leaf):
    live = folder / "live"
    tenant = authority.issue(NAME, "captured.example.test", "*.tenants.example.test")
    put(live, NAME, tenant)
    server = posternd(certificates={"directories": [live], "names": "declared"},
                      domain=[{"name": "example.test", "mx": [NAME, "mx.tenants.example.test"], "backend": "store"}])
    assert served(server, NAME) == tenant.fingerprint
    assert served(server, "mx.tenants.example.test") == tenant.fingerprint
    assert served(server, "captured.example.test") == default_leaf.fingerprint
    assert served(server, "other.tenants.example.test") == default_leaf.fingerprint
    server.settings["domain"][0]["mx"].append("captured.example.test")
    server.write()
    assert server.reload()["configuration_taken"]
    assert served(server, "captured.example.test") == tenant.fingerprint


def test_what_cannot_be_used_is_named_and_keeps_nothing_else_away(posternd, authority, folder, default_leaf):
    live, broken = folder / "live", 10_000
    leaf = authority.issue(NAME)
    put(live, NAME, leaf)
    encrypted = authority.issue("encrypted.example.test")
    put(live, "encrypted.example.test", encrypted)
    key = live / "encrypted.example.test" / "privkey.pem"
    locked = run([program("openssl"), "pkcs8", "-topk8", "-in", key, "-passout", "pass:secret", "-out", folder / "locked"])
    assert locked.returncode == 0, locked.stderr
    os.rename(folder / "locked", key)
    os.mkfifo(live / "pipe.pem")
    (live / "loop").symlink_to("..")
    (live / "self.pem").symlink_to("self.pem")
    many = live / "many"
    many.mkdir()
    for number in range(broken):
        (many / f"broken{number}.example.test.crt").write_text("no certificate\n")
        (many / f"broken{number}.example.test.key").write_text("no key\n")
    server = posternd(certificates={"directories": [live]})
    assert served(server) == leaf.fingerprint
    assert served(server, "encrypted.example.test") == default_leaf.fingerprint
    failed = {row["source"]: row["reason"] for row in rows(server, "--state", "failed")}
    assert len(failed) == broken + 3
    assert "the private key is encrypted: decrypt it with `openssl pkey" in failed[str(key.parent / "fullchain.pem")]
    assert "is a FIFO" in failed[str(live / "pipe.pem")]
    assert "its links lead in a circle" in failed[str(live / "self.pem")]
    assert f"{many / 'broken9999.example.test.crt'}: holds no certificate" in failed[str(many / "broken9999.example.test.crt")]
    # The log has some of them, and says where the rest is.
    server.wait_for_message("more faults of certificates", "postern certs --state failed")
    server.stop()
    told = [line for line in server.log() if "holds no certificate" in line.get("message", "")]
    assert 0 < len(told) <= 50
    assert len([line for line in server.log() if "more faults of certificates" in line.get("message", "")]) == 1


def test_a_dry_run_changes_nothing(posternd, authority, folder):
    server = posternd(sandbox=False)  # which would keep the new folder away
    put(folder / "live", NAME, authority.issue(NAME))
    server.settings["certificates"]["directories"] = [folder / "live"]
    server.write()
    before = served(server)
    shown = tool(server, "reload", "--dry-run")
    assert shown.returncode == 0 and NAME in shown.stdout and "would take" in shown.stdout, shown.stdout
    assert served(server) == before
    assert tool(server, "reload").returncode == 0
    assert served(server) != before


def test_many_names_at_once_are_not_lost_by_themselves(posternd, authority, folder, default_leaf):
    live = folder / "live"
    names = [f"mx{number}.example.test" for number in range(30)]
    leaf = authority.issue(names[0])
    for name in names:
        put(live, name, authority.issue(name) if name == names[0] else authority.issue(name))
    server = posternd(certificates={"directories": [live]})
    assert served(server, names[7]) != default_leaf.fingerprint
    put(live, names[0], leaf)
    eventually(lambda: served(server, names[0]) == leaf.fingerprint, "the renewal is served")
    for name in names[5:]:
        shutil.rmtree(live / name)
    eventually(lambda: server.status()["held_back"], "the map without 25 names is held back")
    assert served(server, names[7]) != default_leaf.fingerprint
    shown = tool(server, "reload")
    assert shown.returncode == 1 and "--accept-loss" in shown.stdout, shown.stdout
    server.hang_up()
    server.wait_for_message("--accept-loss")
    assert served(server, names[7]) != default_leaf.fingerprint
    assert tool(server, "reload", "--accept-loss").returncode == 0
    assert served(server, names[7]) == default_leaf.fingerprint
    assert served(server, names[0]) == leaf.fingerprint
    assert not server.status()["held_back"]


@pytest.mark.parametrize("restart", [False, True], ids=["running", "restarted"])
def test_a_version_comes_back_and_stays_until_the_next_reload(posternd, authority, folder, restart):
    live, archive = folder / "live" / NAME, folder / "archive" / NAME
    live.mkdir(parents=True)
    archive.mkdir(parents=True)
    leaves = [authority.issue(NAME) for _ in range(3)]

    def renew(number):
        for kind, octets in (("privkey", leaves[number].key), ("fullchain", leaves[number].chain)):
            (archive / f"{kind}{number}.pem").write_bytes(octets)
            (live / f"{kind}.new").symlink_to(archive / f"{kind}{number}.pem")
            os.rename(live / f"{kind}.new", live / f"{kind}.pem")

    renew(0)
    server = posternd(certificates={"directories": [folder / "live"]})
    eventually(lambda: len(json.loads(tool(server, "certs", "--versions", "--json").stdout)["versions"]) == 1,
               "the first version is written down")
    first = server.status()["map_version"]
    renew(1)
    eventually(lambda: served(server) == leaves[1].fingerprint, "the renewal is served")
    shown = tool(server, "certs", "--rollback", str(first))
    assert shown.returncode == 0 and NAME in shown.stdout, shown.stdout + shown.stderr
    assert served(server) == leaves[0].fingerprint
    assert server.status()["pinned_version"] == first == server.status()["map_version"]
    if restart:
        server.stop()
        server.start()
    renew(2)
    server.hang_up()
    server.wait_for_message("stays pinned")
    assert served(server) == leaves[0].fingerprint
    for path in (folder / "p1").rglob("*"):
        if path.is_file() and path.parent.name == "certs":
            assert b"PRIVATE KEY" not in path.read_bytes()
    assert tool(server, "reload").returncode == 0
    assert served(server) == leaves[2].fingerprint
    assert not server.status()["pinned_version"]
    unknown = tool(server, "certs", "--rollback", "4711")
    assert unknown.returncode == 1 and "4711" in unknown.stderr
