"""Certificates that real ACME clients got signed, in the trees that they write, served and followed through renewals."""

import threading

import pytest

from harness import clients
from harness.acme import Acme
from harness.wait import eventually

LEGO = [[f"lego{number}.example.test"] for number in range(17)] + [["lego17.example.test", "second.example.test"]]
# A shell script, whose every step is a process or two: few of these.
DEHYDRATED = [["dehydrated0.example.test"], ["dehydrated1.example.test", "third.example.test"]]


@pytest.fixture
def acme(authority, folder):
    server = Acme(authority, folder / "acme")
    yield server
    server.stop()


def together(*jobs):
    """Runs functions at the same time; what one of them raises is raised here."""
    failures = []

    def guarded(job):
        try:
            job()
        except BaseException as failure:  # pylint: disable=broad-exception-caught
            failures.append(failure)
    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_twenty_certificates_of_lego_and_dehydrated_are_served_and_followed(acme, authority, posternd, folder):
    assert len(LEGO) + len(DEHYDRATED) == 20
    lego, dehydrated = folder / "lego", folder / "dehydrated"
    together(lambda: acme.lego(lego, *LEGO), lambda: acme.dehydrated(dehydrated, *DEHYDRATED))
    roots = folder / "roots.pem"
    roots.write_bytes(authority.root.read_bytes() + acme.root.read_bytes())
    server = posternd(certificates={"directories": [lego / "certificates", dehydrated / "certs"], "roots": roots})
    assert not server.status()["faults"]
    seen = {}
    for name in [name for names in LEGO + DEHYDRATED for name in names]:
        handshake = clients.openssl(*server.address(), name, root=acme.root)
        assert handshake.verified, handshake.output
        seen[name] = handshake.fingerprint
    assert len(set(seen.values())) == 20
    assert seen["lego17.example.test"] == seen["second.example.test"]

    together(lambda: acme.lego(lego, LEGO[0], command=["renew", "--days", "100000", "--no-random-sleep"]),
             lambda: acme.dehydrated(dehydrated, DEHYDRATED[0], arguments=["--force", "--domain", *DEHYDRATED[0]]))
    for name in (LEGO[0][0], DEHYDRATED[0][0]):
        def renewed(name=name):
            handshake = clients.openssl(*server.address(), name, root=acme.root)
            return handshake.verified and handshake.fingerprint != seen[name]
        eventually(renewed, f"the renewed certificate of {name} is served")
    assert clients.gnutls(*server.address(), LEGO[1][0], root=acme.root).fingerprint == seen[LEGO[1][0]]
    assert not server.status()["faults"]
