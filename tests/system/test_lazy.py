"""certificates.load = "lazy": keys are read when a client asks for the name."""

import pytest

from harness import clients
from harness.wait import eventually

NAMES = ["one.example.test", "two.example.test", "three.example.test"]


@pytest.fixture
def lazy(posternd, authority, folder):
    """(a posternd, its leaves by name, the folder of their files): pairs NAME.crt and NAME.key."""
    leaves = {name: authority.issue(name, kind="rsa" if name.startswith("two") else "ecdsa") for name in NAMES}
    certs = folder / "certs"
    certs.mkdir()
    for name, leaf in leaves.items():
        (certs / f"{name}.crt").write_bytes(leaf.chain)
        (certs / f"{name}.key").write_bytes(leaf.key)
    (certs / "three.example.test.key").write_bytes(b"no key at all\n")
    return posternd(certificates={"directories": [certs], "load": "lazy", "cache": 1}), leaves, certs


def test_certificates_are_served_although_only_one_is_kept(lazy, authority):
    server, leaves, _ = lazy
    for name in (NAMES[0], NAMES[1], NAMES[0], NAMES[1]):
        seen = clients.openssl(*server.address(), name, root=authority.root)
        assert seen.fingerprint == leaves[name].fingerprint and seen.verified, seen.output
    seen = clients.gnutls(*server.address(), NAMES[0], root=authority.root)
    assert seen.verified, seen.output


def test_a_key_that_cannot_be_read_is_found_out_at_first_use_and_the_default_served(lazy, default_leaf):
    server, leaves, certs = lazy
    assert not server.status()["faults"]
    assert clients.openssl(*server.address(), NAMES[2]).fingerprint == default_leaf.fingerprint
    server.wait_for_message("three.example.test.key: holds no private key", "the default is served instead")
    assert any("three.example.test.key" in fault for fault in server.status()["faults"])
    assert server.wait_for_record("session", sni=NAMES[2])["match"] == "default"
    (certs / "three.example.test.key").write_bytes(leaves[NAMES[2]].key)
    eventually(lambda: clients.openssl(*server.address(), NAMES[2]).fingerprint == leaves[NAMES[2]].fingerprint,
               "the mended key is used")
    eventually(lambda: not server.status()["faults"], "the fault is over")


def test_a_renewal_is_served(lazy, authority):
    server, leaves, certs = lazy
    name = NAMES[0]
    assert clients.openssl(*server.address(), name).fingerprint == leaves[name].fingerprint
    new = authority.issue(name)
    (certs / f"{name}.key").write_bytes(new.key)
    (certs / f"{name}.crt").write_bytes(new.chain)
    eventually(lambda: clients.openssl(*server.address(), name).fingerprint == new.fingerprint, "the renewed one")


def test_a_check_reads_everything(lazy):
    server, _, _ = lazy
    checked = server.check()
    assert checked.returncode == 1
    assert "three.example.test.key: holds no private key" in checked.stdout + checked.stderr
