"""`postern probe` against posternd and others: what it says is what real senders do."""

import json
import socketserver
import threading

import pytest

from harness.name_server import NameServer, Resolver
from harness.ports import free_port
from harness.processes import program, run, tool


@pytest.fixture
def server(posternd, authority):
    """`mx.one.test` and its policy host; the default certificate is for another name."""
    return posternd(
        leaves=[authority.issue("mx.one.test"), authority.issue("mta-sts.one.test")],
        dns={"addresses": ["127.0.0.1"]},
        listen=[{"address": ["127.0.0.1:<smtp>"], "default_certificate": "default"},
                {"address": ["127.0.0.1:<https>"], "protocol": "mta-sts", "default_certificate": "default"}],
        domain=[{"name": "one.test", "mx": ["mx.one.test"], "backend": "store", "mta_sts": {"mode": "enforce"}}])


class World:
    """A name server with what `postern dns` prints, and a resolver that validates it."""

    def __init__(self, server, authority, folder, build):
        self._server, self._authority, self._program = server, authority, program(build, "postern")
        zone = server.tool("dns", "-c", server.path, "one.test").stdout + "mx.one.test. A 127.0.0.1\n"
        self.names = NameServer(folder / "names", {"one.test": zone}, signed=["one.test"])
        self.resolver = Resolver(folder / "resolver", self.names, ["one.test"])

    def probe(self, *arguments, target="one.test", roots=None):
        ports = self._server.ports
        result = run([self._program, "probe", "--resolver", self.resolver.address, "--roots", roots or self._authority.root, "--port",
                      ports["smtp"], "--https-port", ports["https"], "--json", *arguments, target])
        assert result.stdout, result.stderr
        told = json.loads(result.stdout)
        return result.returncode, {one["sender"]: one["outcome"] for one in told["verdicts"]}, told

    def stop(self):
        self.names.stop()
        self.resolver.stop()


@pytest.fixture
def world(server, authority, folder, build):
    made = World(server, authority, folder, build)
    yield made
    made.stop()


def test_who_sends_no_sni_gets_another_certificate(world):
    code, verdicts, told = world.probe()
    assert verdicts == {"follows MTA-STS": "delivers", "follows MTA-STS, sends no SNI": "does not deliver",
                        "follows DANE": "delivers", "any other": "delivers"}, told
    assert code == 1
    steps = {(step["step"], step["name"]): step["text"] for step in told["steps"]}
    assert steps["POLICY", "mta-sts.one.test"] == "enforce, max_age 7 d, mx mx.one.test"
    assert steps["MX", "one.test"] == "10 mx.one.test (signed)"
    assert "TLSv1.3" in steps["SNI", "mx.one.test"] and "trusted and for this name" in steps["SNI", "mx.one.test"]
    assert "not trusted" in steps["NO SNI", "mx.one.test"]
    assert steps["TLSA", "mx.one.test"].endswith("fits the certificate")


def test_real_tools_come_to_the_same_verdict(world, server, authority):
    """gnutls-cli validates as a strict sender does: with SNI it goes on, without it does not."""
    def gnutls(*options):
        return run([tool("gnutls-cli"), "--starttls-proto=smtp", f"--x509cafile={authority.root}", *options,
                    f"--port={server.ports['smtp']}", "127.0.0.1"], stdin=b"QUIT\r\n").returncode
    assert gnutls("--sni-hostname=mx.one.test", "--verify-hostname=mx.one.test") == 0
    assert gnutls("--disable-sni", "--verify-hostname=mx.one.test") != 0
    _, verdicts, _ = world.probe()
    assert verdicts["follows MTA-STS"] == "delivers"
    assert verdicts["follows MTA-STS, sends no SNI"] == "does not deliver"


def test_another_key_than_dns_knows_keeps_dane_senders_away(world, server, authority):
    leaf = authority.issue("mx.one.test")
    for part in ("chain", "key"):
        server.settings["certificate"][1][part].write_bytes(getattr(leaf, part))
    server.reload()
    _, verdicts, _ = world.probe()
    assert verdicts["follows DANE"] == "does not deliver"
    assert verdicts["follows MTA-STS"] == "delivers"


def test_anchors_that_nobody_trusts(world):
    code, verdicts, told = world.probe(roots="/etc/ssl/certs/ca-certificates.crt")
    assert code == 1
    policy = [step["text"] for step in told["steps"] if step["step"] == "POLICY"]
    assert "not trusted" in policy[0]
    assert verdicts["follows MTA-STS"] == "delivers"  # it never saw a policy


def test_one_host_by_its_port(world, server):
    _, verdicts, told = world.probe("--connect", "127.0.0.1", target=f"mx.one.test:{server.ports['smtp']}")
    assert verdicts["any other"] == "delivers"
    assert {step["step"] for step in told["steps"]} == {"SNI", "NO SNI", "TLSA"}


class _Scripted(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port, greeting):
        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                self.wfile.write(greeting)
                for line in self.rfile:
                    verb = line.split()[0].upper()
                    self.wfile.write(b"250 mx.one.test\r\n" if verb == b"EHLO" else b"221 bye\r\n")
        super().__init__(("127.0.0.1", port), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def test_a_host_without_starttls_and_one_that_speaks_no_smtp(world):
    cases = {b"220 mx.one.test\r\n": "delivers in clear", b"HTTP/1.1 400 Bad Request\r\n\r\n": "does not deliver"}
    for greeting, outcome in cases.items():
        port = free_port()
        with _Scripted(port, greeting) as scripted:
            code, verdicts, told = world.probe(target=f"mx.one.test:{port}")
            scripted.shutdown()
        assert (code, verdicts["any other"]) == (1, outcome), told
        assert verdicts["follows DANE"] == "does not deliver"


def test_nobody_there(world):
    code, verdicts, told = world.probe(target=f"mx.one.test:{free_port()}")
    assert code == 1 and set(verdicts.values()) == {"does not deliver"}, told


@pytest.mark.parametrize("arguments", [("no domain",), ("a.test:0",), ("--connect", "x", "a.test"), ("--timeout", "0", "a.test"), ()])
def test_wrong_arguments(build, arguments):
    assert run([program(build, "postern"), "probe", *arguments]).returncode == 2
