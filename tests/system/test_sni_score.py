"""The SNI score: what senders ask for, what they make of the certificate, and whether `enforce` would be safe. The senders
are real ones, each with an address and a name of its own."""

import json
import socket
import ssl
import struct

import pytest

from harness import senders
from harness.ca import Authority
from harness.dialogue import tls_context
from harness.messages import message
from harness.names import Names
from harness.processes import run, tool
from harness.wait import LIMIT, eventually

SENDER, RECIPIENT = "author@elsewhere.test", "alice@example.test"
MX = "mx1.example.test"


@pytest.fixture
def names():
    server = Names()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mx_leaf(authority):
    return authority.issue(MX)


@pytest.fixture(scope="session")
def stranger(session_folder):
    """An authority that signed nothing here: who trusts only it refuses everything."""
    return Authority(session_folder / "stranger")


@pytest.fixture
def scored(posternd, store, authority, mx_leaf, names):
    """Makes a posternd whose domain has one MX name, which the default certificate does not cover."""
    def make(**tables):
        domain = [{"name": "example.test", "mx": [MX], "backend": "store", "mta_sts": {"mode": "testing"}}]
        tables = {"domain": domain, "certificates": {"roots": authority.root}, **tables}
        return posternd(store.target, leaves=[mx_leaf], dns={"reverse": True, "servers": [names.server]},
                        timeouts={"reverse_dns": "60s"}, **tables)
    return make


def asked(server, *arguments):
    done = server.tool("sni", "--control", str(server.settings["control"]), "--json", *arguments)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def text(server, *arguments):
    return server.tool("sni", "--control", str(server.settings["control"]), *arguments)


def counts(server, sender):
    """Of one sender; None until it has been seen."""
    for row in asked(server)["senders"]:
        if row["sender"] == sender:
            return row["counts"]
    return None


def wait_for(server, sender, condition):
    def look():
        seen = counts(server, sender)
        return seen if seen and condition(seen) else None
    return eventually(look, lambda: f"the score of {sender}, which is now {asked(server)}")


def kinds(list_of_kinds):
    return {kind["kind"]: kind["count"] for kind in list_of_kinds}


def without_details(seen):
    """The counts that are not zero."""
    return {name: value for name, value in seen.items() if value}


@pytest.fixture
def postfix(folder, names, stranger):
    def make(to):
        encrypt = {"smtp_tls_security_level": "encrypt", "smtp_tls_CAfile": stranger.root}
        ways = {"named": {**encrypt, "smtp_tls_servername": MX, "smtp_bind_address": "127.0.0.31"},
                "nameless": {**encrypt, "smtp_bind_address": "127.0.0.32"},
                "strict": {**encrypt, "smtp_tls_security_level": "verify", "smtp_tls_servername": MX,
                           "smtp_bind_address": "127.0.0.33"}}
        for user, address in (("named", "127.0.0.31"), ("nameless", "127.0.0.32"), ("strict", "127.0.0.33")):
            names.client(address, f"out.{user}.test")
        host, port = to
        transports = "".join(f"{user}@example.test way-{user}:[{host}]:{port}\n" for user in ways)
        services = []
        for user, settings in ways.items():
            services += [f"way-{user} unix y - n - - smtp"] + [f"  -o {{{name} = {value}}}" for name, value in settings.items()]
        made.append(senders.Postfix(folder / "sender", to, folder / "authors", transports=transports, services=services))
        return made[-1]
    made = []
    yield make
    for server in made:
        server.stop()


def test_what_postfix_does(scored, store, postfix):
    server = scored()
    sender = postfix(server.address())
    for user in ("named", "nameless", "strict"):
        sender.submit(SENDER, [f"{user}@example.test"], message(f"for {user}"))
    named = wait_for(server, "named.test", lambda seen: seen["messages"] == 1)
    assert without_details(named) == {"handshakes": 1, "exact": 1, "tls13": 1, "accepted": 1, "messages": 1}, sender.log()
    nameless = wait_for(server, "nameless.test", lambda seen: seen["messages"] == 1)
    assert without_details(nameless) == {"handshakes": 1, "without_sni": 1, "tls13": 1, "accepted": 1, "messages": 1}
    # It completes the handshake, says QUIT, and comes again later.
    strict = wait_for(server, "strict.test", lambda seen: seen["refused"] >= 1)
    assert strict["accepted"] == strict["messages"] == strict["failed"] == strict["clear_sessions"] == 0, sender.log()
    assert set(kinds(strict["refusals"])) == {"QUIT after the handshake"} and strict["refused"] == strict["exact"]
    assert store.messages("strict@example.test") == []

    domain = asked(server, "--domain", "example.test")
    assert (domain["ok"], domain["at_risk"], domain["without_sni"], domain["in_clear"]) == (1, 0, 1, 0)
    assert domain["enforce"] == "unsafe" and domain["policy"] == "testing" and domain["mx"] == [MX]
    (refusal,) = domain["refusals"]
    assert (refusal["sender"], refusal["server_name"]) == ("strict.test", MX)
    assert {row["sender"]: (row["ok"], row["without_sni"]) for row in domain["senders"]} == \
        {"named.test": (1, 0), "nameless.test": (0, 1)}
    shown = text(server, "--domain", "example.test")
    assert shown.returncode == 1 and "enforce is NOT safe" in shown.stdout and "strict.test asks for mx1" in shown.stdout
    server.wait_for_record("recipient", to="<named@example.test>", sts="pass")
    server.wait_for_record("recipient", to="<nameless@example.test>", sts="fail:name")


@pytest.fixture
def exim(folder, names, authority, stranger):
    def make(to):
        trusting = {"hosts_require_tls": "*", "tls_verify_certificates": authority.root, "tls_verify_cert_hostnames": ""}
        strict = {"tls_verify_hosts": "*", "tls_verify_certificates": stranger.root, "tls_verify_cert_hostnames": ""}
        ways = {"named": {**trusting, "tls_sni": MX, "interface": "127.0.0.41"},
                "nameless": {**trusting, "interface": "127.0.0.42"},
                "strict": {**strict, "tls_sni": MX, "hosts_require_tls": "*", "interface": "127.0.0.43"},
                "clear": {**strict, "interface": "127.0.0.44"}}
        for user, address in (("named", "127.0.0.41"), ("nameless", "127.0.0.42"), ("strict", "127.0.0.43"),
                              ("clear", "127.0.0.44")):
            names.client(address, f"out.{user}.test")
        made.append(senders.Exim(folder / "sender", to, folder / "authors", ways=ways))
        return made[-1]
    made = []
    yield make
    for server in made:
        server.stop()


def test_what_exim_does(scored, store, exim):
    server = scored()
    sender = exim(server.address())
    for user in ("named", "nameless", "strict", "clear"):
        sender.submit(SENDER, [f"{user}@example.test"], message(f"for {user}"))
    named = wait_for(server, "named.test", lambda seen: seen["messages"] == 1)
    assert without_details(named) == {"handshakes": 1, "exact": 1, "tls13": 1, "accepted": 1, "messages": 1}, sender.log()
    nameless = wait_for(server, "nameless.test", lambda seen: seen["messages"] == 1)
    assert without_details(nameless) == {"handshakes": 1, "without_sni": 1, "tls13": 1, "accepted": 1, "messages": 1}
    # It completes the handshake as far as we can see, and sends an alert.
    strict = wait_for(server, "strict.test", lambda seen: seen["refused"] >= 1)
    assert set(kinds(strict["refusals"])) == {"alert bad_certificate"}, (strict, sender.log())
    assert strict["accepted"] == strict["clear_sessions"] == 0
    # Without a policy that forbids it, it comes back in clear: what the refusal was to protect is lost.
    clear = wait_for(server, "clear.test", lambda seen: seen["downgraded"] >= 1)
    assert clear["refused"] == 1 and clear["clear_sessions"] == 1 and clear["messages"] == 1, (clear, sender.log())
    (refusal,) = asked(server)["nameless_refusals"]
    assert refusal["sender"] == "clear.test" and refusal["local"] == "127.0.0.1" and refusal["downgraded"] == 1
    assert refusal["domains"] == ["example.test"] and refusal["help"] == [MX]
    server.wait_for_record("recipient", to="<clear@example.test>", sts="fail:clear")
    domain = asked(server, "--domain", "example.test")
    assert (domain["ok"], domain["at_risk"], domain["without_sni"], domain["in_clear"]) == (1, 0, 1, 1)
    assert any("clear.test sends no SNI" in line and MX in line for line in domain["advice"]), domain
    # The alert came before anything was said: what was offered is kept.
    failures = asked(server, "--failures")["failures"]
    strict_one = next(one for one in failures if one["sender"] == "strict.test")
    assert strict_one["alert"] == "received bad_certificate" and strict_one["server_name"] == MX
    assert strict_one["stage"] in ("certificate", "after the handshake")
    assert "TLSv1.3" in strict_one["versions"] and strict_one["cipher_suites"] and strict_one["groups"]
    assert "bad_certificate" in text(server, "--failures").stdout


def greeted_socket(server, source):
    """A connection on which the server waits for a ClientHello."""
    connection = socket.create_connection(server.address(), timeout=LIMIT, source_address=(source, 0))
    stream = connection.makefile("rwb")
    stream.readline()
    stream.write(b"EHLO client.test\r\n")
    stream.flush()
    while stream.readline()[3:4] == b"-":
        pass
    stream.write(b"STARTTLS\r\n")
    stream.flush()
    assert stream.readline().startswith(b"220")
    return connection


def until_server_flight(connection, name):
    """Sends a ClientHello, and reads what comes back; our side of the handshake is left undone."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls_context().wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    connection.sendall(outgoing.read())
    assert connection.recv(65536)


def test_a_reset_an_alert_in_clear_or_a_silent_close_instead_of_a_finished(scored, names):
    """As node does it (rejectUnauthorized), OpenSSL, and OpenSMTPD."""
    names.client("127.0.0.51", "out.resets.test")
    names.client("127.0.0.52", "out.closes.test")
    names.client("127.0.0.53", "out.looks.test")
    server = scored()
    connection = greeted_socket(server, "127.0.0.51")
    until_server_flight(connection, MX)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    resets = wait_for(server, "resets.test", lambda seen: seen["refused"] == 1)
    assert kinds(resets["refusals"]) == {"connection reset": 1} and resets["exact"] == 1 and resets["tls13"] == 0

    connection = greeted_socket(server, "127.0.0.52")
    until_server_flight(connection, MX)
    connection.shutdown(socket.SHUT_WR)
    closes = wait_for(server, "closes.test", lambda seen: seen["refused"] == 1)
    assert kinds(closes["refusals"]) == {"connection closed": 1}
    connection.close()

    # OpenSSL sends the alert in clear, because its key for writing is not in use yet.
    names.client("127.0.0.54", "out.openssl.test")
    refuses = greeted_socket(server, "127.0.0.54")
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(refuses, server_hostname=MX)
    alerts = wait_for(server, "openssl.test", lambda seen: seen["handshakes"] == 1)
    assert kinds(alerts["refusals"]) == {"alert unknown_ca": 1}

    # Whoever says EHLO and leaves has refused nothing.
    with socket.create_connection(server.address(), timeout=LIMIT, source_address=("127.0.0.53", 0)) as plain:
        plain.close()
    looked = greeted_socket(server, "127.0.0.53")
    with tls_context().wrap_socket(looked, server_hostname="other.example.test") as tls:
        tls.sendall(b"EHLO client.test\r\nQUIT\r\n")
        while tls.recv(4096):
            pass
    looks = wait_for(server, "looks.test", lambda seen: seen["handshakes"] == 1)
    assert without_details(looks) == {"handshakes": 1, "unknown": 1, "tls13": 1, "left": 1}


def test_a_client_that_has_nothing_in_common_with_us_is_kept_with_what_it_offered(scored):
    server = scored()
    host, port = server.address()
    seen = run([tool("openssl"), "s_client", "-connect", f"{host}:{port}", "-starttls", "smtp", "-tls1_2",
                        "-cipher", "AES128-SHA256", "-servername", "unknown.test"], stdin=b"")
    assert seen.returncode != 0
    failure = eventually(lambda: asked(server, "--failures")["failures"], "a failed handshake")[0]
    assert failure["stage"] == "ClientHello" and failure["alert"].startswith("sent "), failure
    assert failure["server_name"] == "unknown.test" and "0x003c" in failure["cipher_suites"]
    assert failure["versions"] == ["TLSv1.2"] and failure["sender"] == "localhost"
    totals = asked(server)["totals"]
    assert totals["failed"] == 1 and totals["refused"] == 0


def deliver(server, name):
    with server.dialogue() as client:
        client.greet()
        if name is not None:
            client.starttls(tls_context(), name)
            client.hello()
        client.envelope(SENDER, RECIPIENT)
        assert client.message(message("x")).code == 250
        client.command("QUIT")


def test_at_risk_is_told_why(scored, authority):
    expired = authority.issue("old.example.test", days=-1)
    domain = [{"name": "example.test", "mx": [MX, "bare.example.test", "old.example.test"], "backend": "store"},
              {"name": "other.test", "mx": ["mx.other.test"], "backend": "store"}]
    server = scored(domain=domain)
    chain, key = expired.write(server.folder / "certificates", "expired")
    server.settings["certificate"].append({"chain": chain, "key": key})
    server.write()
    server.reload()
    for name in (MX, "bare.example.test", "old.example.test", "mx.other.test", "example.test", None):
        deliver(server, name)
    seen = eventually(lambda: (lambda d: d if d["in_clear"] == 1 else None)(asked(server, "--domain", "example.test")),
                      lambda: f"six messages in {asked(server, '--domain', 'example.test')}")
    assert kinds(seen["why"]) == {"fail:name": 1, "fail:expired": 1, "fail:other-mx": 1, "fail:domain-as-sni": 1}
    assert (seen["ok"], seen["at_risk"], seen["other_name"], seen["enforce"]) == (1, 4, 2, "unsafe")
    assert len(seen["advice"]) == 4
    for sts in ("pass", "fail:name", "fail:expired", "fail:other-mx", "fail:domain-as-sni", "fail:clear"):
        server.wait_for_record("recipient", status="taken", sts=sts)
    assert asked(server, "--domain", "other.test")["enforce"] == "unknown"


def test_a_chain_to_no_anchor_is_at_risk(scored, stranger):
    """The same certificates, of a CA that the public does not know."""
    server = scored(certificates={"roots": stranger.root})

    def untrusted():
        deliver(server, MX)
        return kinds(asked(server, "--domain", "example.test")["why"]).get("fail:untrusted")
    # The first message may come before anybody has looked at the chain.
    eventually(untrusted, "a chain that leads nowhere")


def test_a_restart_keeps_it_and_damage_is_said(scored):
    server = scored()
    deliver(server, MX)
    before = wait_for(server, "localhost", lambda seen: seen["messages"] == 1)
    server.stop()
    path = server.settings["state_dir"] / "score"
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"alice" not in path.read_bytes()  # no local parts
    server.start()
    assert counts(server, "localhost") == before
    assert asked(server, "--domain", "example.test")["ok"] == 1
    deliver(server, MX)
    wait_for(server, "localhost", lambda seen: seen["messages"] == 2)
    server.stop()
    path.write_bytes(path.read_bytes().replace(b"localhost", b"localhorst", 1))
    server.start()
    assert counts(server, "localhost") is None
    server.wait_for_message("score", "check sum", "the file is kept as")
    assert list(path.parent.glob("score.damaged-*"))


def test_off_counts_nothing_and_says_so(scored):
    server = scored(score={"enabled": False})
    deliver(server, MX)
    assert "sts" not in server.wait_for_record("recipient", status="taken")
    seen = asked(server)
    assert seen["enabled"] is False and seen["senders"] == []
    assert "score.enabled is false" in text(server).stdout
    server.settings["score"] = {"enabled": True}
    server.write()
    server.reload()
    deliver(server, MX)
    wait_for(server, "localhost", lambda one: one["messages"] == 1)


def test_wrong_questions_are_refused(scored):
    server = scored()
    assert text(server, "--window", "2h").returncode == 2
    assert text(server, "--domain", "x y").returncode == 1
    assert "is no domain" in text(server, "--domain", "x y").stderr
    assert "expected" in server.control({"request": "sni", "window": "1y"})["text"]
    assert "no handshake has failed" in text(server, "--failures").stdout
    assert text(server).returncode == 0
