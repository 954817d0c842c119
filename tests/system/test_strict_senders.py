"""What postern is there for: senders that insist on the right certificate find it, and where they do not, postern says so.

Each test is a network of its own with the real ports, a real name server whose zones `postern dns` wrote, and real senders.
"""

import contextlib
import ipaddress
import json

import pytest

from harness import clients
from harness.acme import Acme, Elsewhere
from harness.admin import Metrics
from harness.ca import Authority
from harness.messages import message
from harness.name_server import NameServer, Resolver
from harness.network import Network
from harness.strict_senders import StrictPostfix
from harness.wait import eventually

SERVER = "192.0.2.25"
SENDERS = {way: f"198.51.100.{number}" for number, way in enumerate(StrictPostfix.ways, 1)}
NAME_SERVERS = ("192.0.2.53", "192.0.2.54")
REVERSE = "100.51.198.in-addr.arpa"
AUTHOR = "author@elsewhere.test"


@pytest.fixture(autouse=True)
def network(folder):
    made = Network(folder, [SERVER, *NAME_SERVERS, *SENDERS.values()])
    yield made
    made.leave()


@pytest.fixture
def served(posternd, store, authority):
    """Starts a posternd with these domains, each with one MX name and a policy in `enforce`."""
    def make(domains, *, mx=("mx",), webroot=None, **tables):
        leaf = {"default_certificate": "default"}
        challenges = [{"address": [f"{SERVER}:80"], "protocol": "acme", "webroot": webroot}] if webroot else []
        tables = {
            "dns": {"addresses": [SERVER], "reverse": True}, "timeouts": {"reverse_dns": "60s"},
            "certificates": {"roots": authority.root},
            "listen": [{"address": [f"{SERVER}:25"], **leaf}, {"address": [f"{SERVER}:443"], "protocol": "mta-sts", **leaf},
                       {"address": ["127.0.0.1:<admin>"], "protocol": "admin"}, *challenges],
            "domain": [{"name": domain, "mx": [f"{host}.{domain}" for host in mx], "backend": "store",
                        "mta_sts": {"mode": "enforce"}} for domain in domains],
            **tables}
        return posternd(store.target, **tables)
    return make


@pytest.fixture
def told_by_dns(folder):
    """Publishes, signed, what `postern dns` says of the domains, the keys too if there are any yet; the senders' addresses
    have names."""
    made = []

    def make(server, domains, *, keys=True):
        zones = {}
        for domain in domains:
            records = server.tool("dns", "-c", server.path, domain)
            assert records.returncode == 0, records.stderr
            hosts = next(one["mx"] for one in server.settings["domain"] if one["name"] == domain)
            zones[domain] = "".join(line for line in records.stdout.splitlines(keepends=True) if keys or " TLSA " not in line)
            zones[domain] += "".join(f"{host}. A {SERVER}\n" for host in hosts)
        signed = list(zones)
        zones[REVERSE] = "".join(f"{ipaddress.ip_address(address).reverse_pointer}. PTR out.{way}.test.\n"
                                 for way, address in SENDERS.items())
        zones.update((f"{way}.test", f"out A {address}\n") for way, address in SENDERS.items())
        made.append(NameServer(folder / "names", zones, signed=signed))
        made.append(Resolver(folder / "resolver", made[-1], list(zones), port=53))
    yield make
    for running in reversed(made):
        running.stop()


@pytest.fixture
def postfix(folder):
    made = []

    def make(root, domains):
        made.append(StrictPostfix(folder / "senders", root, SENDERS, domains))
        return made[-1]
    yield make
    for sender in made:
        sender.stop()


def probe(server, root, domain):
    """What `postern probe` says that senders do, {kind of sender: outcome}, asking whom and where everybody asks."""
    result = server.tool("probe", "--roots", root, "--json", domain)
    assert result.stdout, result.stderr
    return {one["sender"]: one["outcome"] for one in json.loads(result.stdout)["verdicts"]}


def check(server, root, *arguments):
    result = server.tool("check", "-c", server.path, "--roots", root, "--json", *arguments)
    assert result.stdout, result.stderr
    return result.returncode, json.loads(result.stdout)["findings"]


def asked(server, *arguments):
    done = server.tool("sni", "--control", str(server.settings["control"]), "--json", *arguments)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def counts(server, way):
    for row in asked(server)["senders"]:
        if row["sender"] == f"{way}.test":
            return {name: value for name, value in row["counts"].items() if value}
    return {}


def arrives(store, sender, *recipients, messages=1):
    for recipient in recipients:
        eventually(lambda: len(store.messages(recipient)) == messages, lambda: f"mail for {recipient}:\n{sender.log()}")


def refusals(server, way, domain):
    """How often senders of this way have refused what they got under the domain's MX name."""
    return sum(one["refused"] for one in asked(server, "--domain", domain)["refusals"] if one["sender"] == f"{way}.test")


def tls_report(sender, domain, taken, refused):
    """As RFC 8460 section 4.4 has it; Postfix 3.7 makes none."""
    return {"organization-name": "A Sender", "contact-info": f"tls@mail.{sender}", "report-id": "1",
            "date-range": {"start-datetime": "2026-11-25T00:00:00Z", "end-datetime": "2026-11-25T23:59:59Z"},
            "policies": [{"policy": {"policy-type": "sts", "policy-domain": domain},
                          "summary": {"total-successful-session-count": taken, "total-failure-session-count": refused},
                          "failure-details": [{"result-type": "certificate-not-trusted", "failed-session-count": refused,
                                               "receiving-mx-hostname": f"mx.{domain}"}]}]}


STRICT = {"follows MTA-STS": "delivers", "follows MTA-STS, sends no SNI": "does not deliver", "follows DANE": "delivers",
          "any other": "delivers"}
REFUSED = {**STRICT, "follows MTA-STS": "does not deliver", "follows DANE": "does not deliver"}


def test_five_domains_on_one_address_and_what_strict_senders_make_of_a_wrong_certificate(
        served, told_by_dns, postfix, store, authority, folder):
    domains = [f"{number}.test" for number in ("one", "two", "three", "four", "five")]
    leaves = {host: authority.issue(host) for domain in domains for host in (f"mx.{domain}", f"mta-sts.{domain}")}
    server = served(domains, leaves=leaves.values())
    told_by_dns(server, domains)
    sender = postfix(authority.root, domains)

    def submit(way, domain):
        sender.submit(AUTHOR, [f"{way}@{domain}"], message(f"{way} to {domain}"))
        return f"{way}@{domain}"

    # Five MX names on one address: everybody delivers who asks for a name or does not look.
    everywhere = [submit(way, domain) for way in ("sts", "dane", "any") for domain in domains]
    arrives(store, sender, *everywhere)
    for domain in domains:
        assert probe(server, authority.root, domain) == STRICT
        seen = asked(server, "--domain", domain)
        assert (seen["ok"], seen["at_risk"], seen["without_sni"], seen["enforce"]) == (2, 0, 1, "safe"), seen
    five = {"handshakes": 5, "tls13": 5, "accepted": 5, "messages": 5}
    for way, sni in (("sts", "exact"), ("dane", "exact"), ("any", "without_sni")):
        eventually(lambda: counts(server, way) == {**five, sni: 5}, lambda: f"{way}: {asked(server)}")

    # Who follows the policy, but does not say which name it wants, gets another one's certificate.
    submit("nameless", "one.test")
    (nameless,) = eventually(lambda: asked(server)["nameless_refusals"], lambda: f"a refusal: {sender.log()}")
    assert (nameless["sender"], nameless["local"]) == ("nameless.test", SERVER)
    assert set(nameless["help"]) == {f"mx.{domain}" for domain in domains}

    # A certificate of a CA that nobody knows, and none at all.
    good = {}
    for one, bad in (("mx.three.test", Authority(folder / "stranger").issue("mx.three.test")),
                     ("mx.four.test", authority.issue("mx.other.test"))):
        files = server.settings["certificate"][1 + list(leaves).index(one)]
        good.update({path: path.read_bytes() for path in (files["chain"], files["key"])})
        files["chain"].write_bytes(bad.chain)
        files["key"].write_bytes(bad.key)
    server.reload()
    held = [submit(way, domain) for way in ("sts", "dane") for domain in ("three.test", "four.test")]
    for way, domain in (one.split("@") for one in held):
        eventually(lambda: refusals(server, way, domain), lambda: f"{way} refuses {domain}: {sender.log()}")
    for domain in ("three.test", "four.test"):
        assert probe(server, authority.root, domain) == REFUSED
        assert asked(server, "--domain", domain)["enforce"] == "unsafe"
    assert probe(server, authority.root, "two.test") == STRICT
    assert {len(store.messages(one)) for one in held} == {1}

    # With the right ones again all arrives that was held, and each deferral is one refusal that was counted.
    for path, octets in good.items():
        path.write_bytes(octets)
    server.reload()
    arrives(store, sender, *held, messages=2)
    assert probe(server, authority.root, "three.test") == STRICT
    for one in held:
        deferred = [line for line in sender.log().splitlines() if f"to=<{one}>" in line and "status=deferred" in line]
        assert refusals(server, *one.split("@")) == len(deferred) >= 1, sender.log()

    metrics = Metrics(server.address("admin"))
    assert metrics.value("postern_score_messages_total", sts="pass") == 14
    assert metrics.value("postern_score_messages_total", sts="no-sni") == 5
    quits, = (one["count"] for one in asked(server)["totals"]["refusals"] if one["kind"] == "QUIT after the handshake")
    assert metrics.value("postern_score_handshakes_total", reception="QUIT after the handshake") == quits

    # What such a sender would mail the next day stands beside what was seen of it today.
    path = folder / "report.json"
    path.write_text(json.dumps(tls_report("sts.test", "three.test", taken=2, refused=refusals(server, "sts", "three.test"))))
    told = json.loads(server.tool("tlsrpt", "--score", "--control", server.settings["control"], "--json", path).stdout)
    rows = {(row["sender"], row["result"]): (row["reported"], row["seen"]) for row in told["rows"]}
    refused = refusals(server, "sts", "three.test")
    assert rows[("sts.test", "ok")] == (2, 2)
    assert rows[("sts.test", "certificate-not-trusted")] == (refused, 0)
    assert rows[("sts.test", "QUIT after the handshake")] == (0, refused)  # Postfix does not tell us why it left
    assert rows[("dane.test", "ok")] == (0, 2) and rows[("any.test", "no SNI")] == (0, 1)


def test_from_no_certificate_to_a_first_message_in_enforce_without_a_restart(
        served, told_by_dns, postfix, store, authority, folder):
    """Every certificate is signed by an ACME server, whose challenges posternd answers itself."""
    domain, lego, webroot, roots = "new.test", folder / "lego", folder / "webroot", folder / "roots.pem"
    names = {f"{host}.{domain}" for host in ("mx", "mx2", "mta-sts")}
    for path in (lego / "certificates", webroot):
        path.mkdir(parents=True)
    acme = Acme(authority, folder / "acme", Elsewhere(webroot))
    roots.write_bytes(authority.root.read_bytes() + acme.root.read_bytes())
    try:
        server = served([domain], mx=["mx", "mx2"], webroot=webroot, certificates={
            "directories": [lego / "certificates"], "roots": roots})
        pid = server.status()["pid"]
        told_by_dns(server, [domain], keys=False)
        code, found = check(server, roots)
        assert code == 1 and {one["subject"] for one in found} >= names, found
        acme.lego(lego, *([name] for name in sorted(names)))
    finally:
        acme.stop()
    # Nobody told posternd.
    eventually(lambda: probe(server, roots, domain) == STRICT, lambda: f"{probe(server, roots, domain)}")
    code, found = check(server, roots, "--dns")
    assert code == 0 and {one["code"] for one in found} == {"tlsa-missing"}, found
    sender = postfix(roots, [domain])
    sender.submit(AUTHOR, [f"sts@{domain}"], message("the first one"))
    arrives(store, sender, f"sts@{domain}")
    server.wait_for_record("recipient", to=f"<sts@{domain}>", sts="pass")
    assert "Verified TLS connection" in sender.log()
    assert server.status()["pid"] == pid


def test_a_renewed_certificate_waits_until_all_name_servers_have_its_key(served, authority, folder):
    """Two authoritative servers on their real port, of which one is slower to have the new zone."""
    domain, live = "one.test", folder / "live"

    def install(name, **options):
        leaf = authority.issue(name, **options)
        leaf.write_combined(live / f"{name}.pem")
        return leaf

    def zone(*records):
        """{MX name: certificates}"""
        text = "".join(f"ns{number} A {address}\n" for number, address in enumerate(NAME_SERVERS)) + "$TTL 2\n"
        return text + "".join(f"_25._tcp.{name}. TLSA 3 1 1 {leaf.key_digest}\n" for name, leaf in records)

    def shown(name="mx.one.test"):
        return clients.openssl(SERVER, 25, name).fingerprint

    old, expired = install("mx.one.test"), install("mx2.one.test", days=-1)
    before = [("mx.one.test", old), ("mx2.one.test", expired)]
    server = served([domain], mx=["mx", "mx2"],
                    certificates={"directories": [live], "roots": authority.root, "require_tlsa": True})
    with contextlib.ExitStack() as running:
        def start(kind, *arguments, **options):
            made = kind(*arguments, **options)
            running.callback(made.stop)
            return made
        first, second = (
            start(NameServer, folder / f"names-{address}", {domain: zone(*before)}, host=address, port=53,
                  servers=[f"ns{number}.{domain}." for number in range(len(NAME_SERVERS))]) for address in NAME_SERVERS)
        start(Resolver, folder / "resolver", first, [domain], port=53)

        new = install("mx.one.test")
        after = [*before, ("mx.one.test", new)]
        server.wait_for_message(f"(_25._tcp.mx.one.test TLSA 3 1 1 {new.key_digest})", "has no TLSA record for its key",
                                "stays for mx.one.test")
        first.update(domain, zone(*after))
        server.wait_for_message("ns1.one.test (192.0.2.54) has no TLSA record for its key")
        assert shown() == old.fingerprint
        assert any("waits for its TLSA records" in fault for fault in server.status()["faults"])
        told = server.tool("certs", "--control", server.settings["control"], "--state", "failed")
        assert "waits for its TLSA records" in told.stdout, told.stdout
        second.update(domain, zone(*after))
        server.wait_for_message("mx.one.test may be served with its new key")
        eventually(lambda: shown() == new.fingerprint, "the renewed certificate is served")
        assert not any("waits for" in fault for fault in server.status()["faults"])

        # The record never comes, and what is served has no time left: an alarm, and the renewed one is served.
        saved = install("mx2.one.test")
        server.wait_for_message("mx2.one.test is served with its new key although",
                                f"publish _25._tcp.mx2.one.test TLSA 3 1 1 {saved.key_digest} now")
        eventually(lambda: shown("mx2.one.test") == saved.fingerprint, "what can be served is served")
