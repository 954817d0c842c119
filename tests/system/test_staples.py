"""OCSP responses beside certificates: stapled while they are good, reported and left out when they are not."""

import pytest

from harness import clients
from harness.wait import eventually

NAME = "one.example.test"


@pytest.fixture
def server(posternd, authority, folder):
    """(a posternd, a leaf for NAME, the path of its staple)"""
    leaf = authority.issue(NAME)
    leaf.write_combined(folder / "certs" / "one.pem")
    return posternd(certificates={"directories": [folder / "certs"]}), leaf, folder / "certs" / "one.ocsp"


def stapled(server, version="-tls1_3"):
    seen = clients.openssl(*server.address(), NAME, arguments=["-status", version])
    assert seen.done, seen.output
    if "OCSP response: no response sent" in seen.output:
        return False
    assert "OCSP Response Status: successful" in seen.output and "Cert Status: good" in seen.output, seen.output
    return True


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_staple_that_appears_is_sent_and_one_that_goes_is_not(server, authority, version):
    posternd, leaf, path = server
    assert not stapled(posternd, version)
    path.write_bytes(authority.ocsp(leaf))
    eventually(lambda: stapled(posternd, version), "the staple is sent")
    # A client that looks at signature, issuer and time.
    seen = clients.gnutls(*posternd.address(), NAME, root=authority.root)
    assert seen.verified and "OCSP" in seen.output, seen.output
    assert not posternd.status()["faults"]
    path.unlink()
    eventually(lambda: not stapled(posternd, version), "the staple is gone")


@pytest.mark.parametrize("kind, complaint", [("garbage", "is no OCSP response"), ("foreign", "for another certificate"),
                                             ("revoked", "has been revoked")])
def test_a_bad_staple_is_reported_and_the_certificate_served_without(server, authority, kind, complaint):
    posternd, leaf, path = server
    path.write_bytes({
        "garbage": lambda: b"-----BEGIN OCSP RESPONSE-----\n",
        "foreign": lambda: authority.ocsp(authority.issue(NAME)),
        "revoked": lambda: authority.ocsp(leaf, status="R"),
    }[kind]())
    posternd.wait_for_message("one.ocsp", complaint, "served without it")
    assert any(complaint in fault for fault in posternd.status()["faults"])
    assert not stapled(posternd)
    path.write_bytes(authority.ocsp(leaf))
    eventually(lambda: stapled(posternd), "the good staple is sent")
    eventually(lambda: not posternd.status()["faults"], "the fault is over")
