"""`postern dns` and `postern check`: records that a real name server loads, and faults found before senders find them."""

import json

import pytest

from harness.name_server import NameServer, Resolver, check_zone, dig


@pytest.fixture
def leaves(authority):
    return {"mx": authority.issue("mx.one.test"), "rsa": authority.issue("mx.one.test", kind="rsa"),
            "host": authority.issue("mta-sts.one.test"), "shared": authority.issue("mx.shared.test")}


@pytest.fixture
def server(posternd, leaves):
    """Never started: the tool reads its configuration."""
    made = posternd(
        ready=False, leaves=list(leaves.values()), dns={"addresses": ["192.0.2.1", "2001:db8::1"]},
        listen=[{"address": ["127.0.0.1:<smtp>"], "default_certificate": "default"},
                {"address": ["127.0.0.1:<https>"], "protocol": "mta-sts", "default_certificate": "default"}],
        domain=[{"name": "one.test", "mx": ["mx.one.test", "mx.shared.test"], "backend": "store",
                 "mta_sts": {"mode": "enforce"}, "tlsrpt": ["tls@one.test", "https://reports.test/" + "x" * 300]},
                {"name": "bücher.test", "mx": ["mx.shared.test"], "backend": "store", "mta_sts": {}}])
    made.write()
    return made


def records(server, *arguments):
    result = server.tool("dns", "-c", server.path, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def check(server, authority, *arguments):
    result = server.tool("check", "-c", server.path, "--roots", authority.root, "--json", *arguments)
    found = {(one["severity"], one["code"], one["subject"]) for one in json.loads(result.stdout)["findings"]}
    return result.returncode, found


def test_the_records_are_loaded_and_told_by_a_real_name_server(server, leaves, authority, folder):
    following = authority.issue("mx.one.test")
    _, next_key = following.write(folder, "next")
    text = records(server, "one.test", "--next", next_key)
    own, other = text.split("; in the zone of the MX name\n")
    with NameServerOf(folder, {"one.test": own, "shared.test": other}) as names:
        assert sorted(dig(names.port, "one.test", "MX")) == ["10 mx.one.test.", "20 mx.shared.test."]
        wanted = {f"3 1 1 {leaf.key_digest.upper()}" for leaf in (leaves["mx"], leaves["rsa"], following)}
        got = dig(names.port, "_25._tcp.mx.one.test", "TLSA")
        assert {line[:6] + line[6:].replace(" ", "") for line in got} == wanted
        assert len(dig(names.port, "_25._tcp.mx.shared.test", "TLSA")) == 2
        policy = dig(names.port, "_mta-sts.one.test", "TXT")[0]
        assert policy.startswith('"v=STSv1; id=')
        assert dig(names.port, "mta-sts.one.test", "A") == ["192.0.2.1"]
        assert dig(names.port, "mta-sts.one.test", "AAAA") == ["2001:db8::1"]
        reports = dig(names.port, "_smtp._tls.one.test", "TXT")[0]
        assert reports.replace('" "', "") == f'"v=TLSRPTv1; rua=mailto:tls@one.test,https://reports.test/{"x" * 300}"'


class NameServerOf:
    """A name server for the length of a `with`; every zone passes named-checkzone before."""

    def __init__(self, folder, zones, signed=()):
        self._folder, self._zones, self._signed = folder / "names", zones, signed
        self._servers = []

    def __enter__(self):
        authoritative = NameServer(self._folder / "authoritative", self._zones, self._signed)
        self._servers.append(authoritative)
        for origin in self._zones:
            check_zone(origin, authoritative.folder / f"{origin}.zone")
        if not self._signed:
            return authoritative
        self._servers.append(Resolver(self._folder / "resolver", authoritative, list(self._zones)))
        return self._servers[-1]

    def __exit__(self, *_):
        for server in self._servers:
            server.stop()


def test_an_internationalised_domain_is_written_with_a_labels(server):
    text = records(server, "bücher.test")
    assert "xn--bcher-kva.test.          3600 IN MX    10 mx.shared.test." in text
    assert text.isascii()


def test_a_domain_that_is_not_configured_is_refused(server):
    result = server.tool("dns", "-c", server.path, "elsewhere.test")
    assert result.returncode == 1 and "elsewhere.test: no [[domain]]" in result.stderr
    assert server.tool("dns", "-c", server.path).returncode == 2


def test_what_was_printed_passes_the_comparison_and_what_differs_is_told(server, authority, folder):
    addresses = "mx.one.test. A 192.0.2.9\n"
    own, other = records(server, "one.test").split("; in the zone of the MX name\n")
    zones = {"one.test": own + addresses, "shared.test": other + "mx.shared.test. A 192.0.2.9\n"}
    with NameServerOf(folder, zones, signed=["one.test", "shared.test"]) as names:
        same = server.tool("dns", "-c", server.path, "--check", "--resolver", names.address, "one.test")
        assert same.returncode == 0, same.stdout + same.stderr
        assert same.stdout == "1 domain: 0 errors, 0 warnings, 0 notes\n"
        # A renewed certificate with a new key, and another policy, before DNS knows of them.
        leaf = authority.issue("mx.one.test")
        for name, octets in (("chain", leaf.chain), ("key", leaf.key)):
            server.settings["certificate"][1][name].write_bytes(octets)
        server.settings["domain"][0]["mta_sts"] = {"mode": "enforce", "max_age": "10d"}
        server.settings["domain"][0]["mx"] = ["mx.one.test", "mx.new.test"]
        server.write()
        code, found = check(server, authority, "--dns", "--resolver", names.address, "one.test")
    assert code == 1
    assert ("error", "tlsa-mismatch", "mx.one.test") in found
    assert ("warning", "sts-record-outdated", "_mta-sts.one.test") in found
    assert ("error", "mx-not-ours", "mx.shared.test") in found
    assert ("warning", "mx-missing-in-dns", "mx.new.test") in found
    assert ("error", "dns-failed", "mx.new.test") in found  # the resolver knows nobody to ask


def test_records_that_nobody_signed_protect_nobody(server, authority, folder):
    own = records(server, "one.test").split("; in the zone of the MX name\n")[0]
    with NameServerOf(folder, {"one.test": own + "mx.one.test. A 192.0.2.9\n"}) as names:
        code, found = check(server, authority, "--dns", "--resolver", names.address, "one.test")
    assert code == 1
    assert ("warning", "tlsa-not-signed", "mx.one.test") in found


def test_faults_are_found_without_asking_anybody(server, authority):
    code, found = check(server, authority)
    assert code == 1  # mta-sts.xn--bcher-kva.test has no certificate
    assert ("error", "policy-host-no-certificate", "mta-sts.xn--bcher-kva.test") in found
    assert {code for _, code, _ in found} == {"policy-host-no-certificate", "expires-soon"}
    code, found = check(server, authority, "one.test", "--expires-within", "5")
    assert (code, found) == (0, set())
    # The world does not know the anchors of the test.
    strict = server.tool("check", "-c", server.path, "--roots", "/etc/ssl/certs/ca-certificates.crt", "--json", "one.test")
    assert strict.returncode == 1 and "untrusted-chain" in strict.stdout


def test_the_table_says_what_to_do(server, authority):
    server.settings["domain"][0]["mx"] = ["mx.one.test", "mx.wrong.test"]
    server.write()
    result = server.tool("check", "-c", server.path, "--roots", authority.root)
    assert result.returncode == 1
    assert "error    mx.wrong.test: no certificate has this MX name" in result.stdout
    assert "         for 1 domain: one.test\n         fix: get a certificate" in result.stdout


def test_bad_arguments_are_told_in_words(server, folder):
    cases = {("--roots", folder / "missing.pem"): 1, ("--resolver", "nonsense"): 2, ("-c", folder / "missing.toml"): 1}
    for arguments, code in cases.items():
        result = server.tool("check", "-c", server.path, *arguments) if arguments[0] != "-c" else server.tool("check", *arguments)
        assert result.returncode == code and str(arguments[1]) in result.stderr, result.stderr
    not_a_key = folder / "not.pem"
    not_a_key.write_text("nothing")
    result = server.tool("dns", "-c", server.path, "--next", not_a_key, "one.test")
    assert result.returncode == 1 and "not.pem: holds no private key" in result.stderr
