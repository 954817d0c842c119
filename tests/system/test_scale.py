"""A thousand certificates and a hundred thousand names: loaded, served, renewed, and found again by the next start."""

import pytest

from harness import clients
from harness.ca import fingerprint
from harness.processes import run
from harness.wait import eventually

CERTIFICATES = 1_000
NAMES_EACH = 90  # and one wildcard
MAPS = 10
NAMES_A_MAP = 1_000


@pytest.fixture
def many(build, folder, authority):
    """The folder of the certificates, and a file with the trust anchors of all that this test serves."""
    made = run([build / "tests" / "issue-many", folder / "many", CERTIFICATES, NAMES_EACH])
    assert made.returncode == 0, made.stderr
    roots = folder / "roots.pem"
    roots.write_bytes((folder / "many" / "root.pem").read_bytes() + authority.root.read_bytes())
    return folder / "many" / "live", roots


def sni_map(folder, live):
    """A map of names that certificates cover by their wildcards; its files are copies, as Postfix wants them."""
    lines = []
    for number in range(MAPS):
        place = live / f"c{number}.example.test"
        combined = folder / f"combined-{number}.pem"
        combined.write_bytes((place / "privkey.pem").read_bytes() + (place / "fullchain.pem").read_bytes())
        lines += [f"h{host}.m{number}.example.test  {combined}\n" for host in range(NAMES_A_MAP)]
    path = folder / "sni.map"
    path.write_text("".join(lines))
    return path


def test_many_names_are_served_and_found_again_by_the_next_start(posternd, folder, many, default_leaf):
    live, roots = many
    server = posternd(certificates={"directories": [live], "maps": [sni_map(folder, live)], "roots": roots})
    cache = server.settings["state_dir"] / "certs" / "cache"

    def served(name):
        return clients.openssl(*server.address(), name).fingerprint

    def file_of(number):
        return fingerprint((live / f"c{number}.example.test" / "fullchain.pem").read_bytes())

    def all_is_served():
        assert server.status()["names"] == CERTIFICATES * (NAMES_EACH + 1) + MAPS * NAMES_A_MAP + 1
        assert not server.status()["faults"]
        assert served("n0.c0.example.test") == file_of(0)
        assert served("n89.c999.example.test") == file_of(999)
        assert served("n7.c500.example.test") == file_of(500)
        assert served("any.m500.example.test") == file_of(500)
        assert served("h999.m9.example.test") == file_of(9)
        assert served("n90.c0.example.test") == default_leaf.fingerprint

    server.wait_for_message("1011 read and checked, 0 known from the last run")
    all_is_served()

    before = file_of(500)
    for name in ("privkey.pem", "fullchain.pem"):
        (folder / "many" / "renewed" / "c500.example.test" / name).rename(live / "c500.example.test" / name)
    assert file_of(500) != before
    eventually(lambda: served("n7.c500.example.test") == file_of(500), "the renewed certificate")
    eventually(cache.exists, "the cache is written")
    assert cache.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE KEY" not in cache.read_bytes()

    server.stop()
    server.start()
    server.wait_for_message("1 read and checked, 1010 known from the last run")
    all_is_served()
    eventually(lambda: not list(cache.parent.glob("*.new")), "the cache is written")
    server.stop()

    octets = bytearray(cache.read_bytes())
    octets[len(octets) // 2] ^= 1
    cache.write_bytes(octets)
    server.start()
    server.wait_for_message(str(cache), "is damaged", "all certificates and keys are read and checked anew")
    server.wait_for_message("1011 read and checked, 0 known from the last run")
    all_is_served()


def test_files_in_one_large_folder_are_renewed_added_and_removed(posternd, build, folder, authority, default_leaf):
    """As HAProxy has them: where one file has taken the place of another, the others are not looked at."""
    made = run([build / "tests" / "issue-many", folder / "many", 100, 1])
    assert made.returncode == 0, made.stderr
    flat = folder / "flat"
    flat.mkdir()
    for place in (folder / "many" / "live").iterdir():
        (flat / f"{place.name}.pem").write_bytes((place / "privkey.pem").read_bytes() + (place / "fullchain.pem").read_bytes())
    roots = folder / "roots.pem"
    roots.write_bytes((folder / "many" / "root.pem").read_bytes() + authority.root.read_bytes())
    server = posternd(certificates={"directories": [flat], "roots": roots})

    def put(leaf, name):
        leaf.write_combined(flat / f"{name}.pem.new").rename(flat / f"{name}.pem")

    def is_served(leaf, name):
        eventually(lambda: clients.openssl(*server.address(), name).fingerprint == leaf.fingerprint, f"{name} served")

    renewed = authority.issue("n0.c5.example.test")
    put(renewed, "c5.example.test")
    is_served(renewed, "n0.c5.example.test")
    added = authority.issue("added.example.test")
    put(added, "added.example.test")
    is_served(added, "added.example.test")
    (flat / "added.example.test.pem").unlink()
    is_served(default_leaf, "added.example.test")
    assert not server.status()["faults"]
