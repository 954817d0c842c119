"""Which certificate a client is shown: by name, wildcard, key type, listener; and the default for everything else."""

import ssl

import pytest

from harness import clients
from harness.dialogue import tls_context
from harness.hello import client_hello, first_certificate, is_alert, server_name
from harness.ca import fingerprint_of_der
from harness.messages import message, received_fields
from harness.posternd import HOSTNAME

NAMES = ["one.example.test", "two.example.test", "three.example.test"]

CLIENTS = {
    "openssl": clients.openssl,
    "gnutls-cli": clients.gnutls,
    "posttls-finger": clients.posttls_finger,
    "smtplib": clients.smtplib_handshake,
}


@pytest.fixture(scope="session")
def three(authority):
    """One certificate for each of NAMES."""
    return {name: authority.issue(name) for name in NAMES}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_three_names_give_three_certificates(posternd, authority, three, default_leaf, client):
    server = posternd(leaves=three.values())
    for name, leaf in three.items():
        seen = client(*server.address(), name, root=authority.root)
        assert seen.fingerprint == leaf.fingerprint, seen.output
        assert seen.verified, seen.output
        server.wait_for_record("session", sni=name, match="exact")
    assert len({leaf.fingerprint for leaf in three.values()} | {default_leaf.fingerprint}) == 4


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_no_name_and_an_unknown_name_give_the_default(posternd, authority, three, default_leaf, client):
    server = posternd(leaves=three.values())
    unnamed = client(*server.address())
    assert unnamed.fingerprint == default_leaf.fingerprint, unnamed.output
    unknown = client(*server.address(), "unknown.example.test")
    assert unknown.fingerprint == default_leaf.fingerprint, unknown.output
    assert "sni" not in server.wait_for_record("session", match="default")
    server.wait_for_record("session", match="default", sni="unknown.example.test")


def test_posttls_finger_accepts_the_default_under_its_own_name_without_sni(posternd, authority, default_leaf):
    server = posternd()
    seen = clients.posttls_finger(*server.address(), root=authority.root, match="mx.example.test")
    assert seen.fingerprint == default_leaf.fingerprint and seen.verified, seen.output


@pytest.mark.parametrize("name", ["127.0.0.1", "[127.0.0.1]", "dummy", "under_score.example.test", "two words", "..", ".",
                                  "../../etc/passwd", "*.example.test", "-", "a" * 64 + ".example.test", "x" * 255,
                                  "one.example.test/", "one.example.test\n"])
def test_a_name_that_is_no_host_name_gives_the_default(posternd, three, default_leaf, name):
    server = posternd(leaves=three.values())
    seen = clients.openssl(*server.address(), name)
    assert seen.fingerprint == default_leaf.fingerprint, seen.output
    record = server.wait_for_record("session", match="default")
    # Whatever came from the wire stands in the log in printable form.
    assert record["sni"].isascii() and record["sni"].isprintable()
    assert record["sni"].startswith(name.replace("\n", "\\x0a")[:200])


@pytest.mark.parametrize("spelling", ["ONE.Example.TEST", "one.example.test."])
def test_case_and_one_trailing_dot_do_not_matter(posternd, three, spelling):
    server = posternd(leaves=three.values())
    seen = clients.openssl(*server.address(), spelling)
    assert seen.fingerprint == three["one.example.test"].fingerprint, seen.output
    server.wait_for_record("session", match="exact", sni=spelling)


def raw_handshake(server, sni):
    """STARTTLS, then a ClientHello with this server_name extension; what the server answers in its first flight."""
    with server.greeted() as client:
        client.expect(220, "STARTTLS")
        client.send(client_hello(sni))
        return client.octets_until(lambda answer: first_certificate(answer) is not None or is_alert(answer))


REFUSED_BY_BORINGSSL = {
    "an empty name": server_name(b""),
    "a NUL in the name": server_name(b"one.example.test\0.evil.test"),
    "256 octets": server_name(b"a" * 256),
    "another name type": server_name(b"one.example.test", name_type=1),
    "an empty list": b"\0\0",
    "a length that goes beyond the end": b"\0\x20\0\0\x10one",
    "an empty extension": b"",
}


@pytest.mark.parametrize("sni", REFUSED_BY_BORINGSSL.values(), ids=REFUSED_BY_BORINGSSL)
def test_a_malformed_name_ends_its_own_handshake_only_and_is_logged_as_such(posternd, three, sni):
    server = posternd(leaves=three.values())
    answer = raw_handshake(server, sni)
    assert is_alert(answer), answer[:20]
    record = server.wait_for_record("session", tls="none")
    assert "malformed server name" in record["tls_error"], record
    assert record["outcome"] != "quit"
    seen = clients.openssl(*server.address(), "one.example.test")
    assert seen.fingerprint == three["one.example.test"].fingerprint, seen.output


def test_the_raw_client_hello_is_a_good_one(posternd, three, default_leaf):
    """Without this the test above could pass because of another fault in the hello."""
    server = posternd(leaves=three.values())
    served = first_certificate(raw_handshake(server, server_name(b"two.example.test")))
    assert fingerprint_of_der(served) == three["two.example.test"].fingerprint
    assert fingerprint_of_der(first_certificate(raw_handshake(server, None))) == default_leaf.fingerprint
    served = first_certificate(raw_handshake(server, server_name(b"\xff\xfe.example.test")))
    assert fingerprint_of_der(served) == default_leaf.fingerprint


def test_bytes_that_are_no_tls_end_the_connection_and_not_the_server(posternd):
    server = posternd()
    with server.greeted() as client:
        client.expect(220, "STARTTLS")
        client.send(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@example.test>\r\n")
        # Perhaps an alert, but no reply in clear.
        rest = client.rest()
        assert rest == b"" or is_alert(rest), rest
    assert server.wait_for_record("session", tls="none")["tls_error"]
    assert clients.openssl(*server.address()).done


def test_a_wildcard_stands_for_one_label(posternd, authority, default_leaf):
    wildcard, exact = authority.issue("*.wild.example.test"), authority.issue("exact.wild.example.test")
    server = posternd(leaves=[wildcard, exact])
    expected = {
        "any.wild.example.test": wildcard,
        "exact.wild.example.test": exact,
        "wild.example.test": default_leaf,
        "two.labels.wild.example.test": default_leaf,
    }
    for name, leaf in expected.items():
        seen = clients.openssl(*server.address(), name)
        assert seen.fingerprint == leaf.fingerprint, name
    seen = clients.gnutls(*server.address(), "any.wild.example.test", root=authority.root)
    assert seen.verified, seen.output
    server.wait_for_record("session", sni="any.wild.example.test", match="wildcard")


KEY_TYPES = {
    "TLS 1.3, ECDSA wanted": (["-tls1_3", "-sigalgs", "ECDSA+SHA256"], "ecdsa"),
    "TLS 1.3, RSA wanted": (["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"], "rsa"),
    "TLS 1.3, both possible": (["-tls1_3"], "ecdsa"),
    "TLS 1.2, ECDSA wanted": (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "ecdsa"),
    "TLS 1.2, RSA wanted": (["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "rsa"),
    "TLS 1.2, both possible": (["-tls1_2"], "ecdsa"),
}


@pytest.mark.parametrize("arguments, kind", KEY_TYPES.values(), ids=KEY_TYPES)
def test_ecdsa_and_rsa_stand_side_by_side(posternd, authority, both_kinds, arguments, kind):
    server = posternd(leaves=both_kinds.values())
    seen = clients.openssl(*server.address(), "both.example.test", root=authority.root, arguments=arguments)
    assert seen.fingerprint == both_kinds[kind].fingerprint, seen.output
    assert seen.verified, seen.output


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_an_ed25519_certificate_is_for_clients_that_know_it(posternd, authority, default_leaf, version):
    leaf = authority.issue("edwards.example.test", kind="ed25519")
    server = posternd(leaves=[leaf])
    seen = clients.openssl(*server.address(), "edwards.example.test", root=authority.root, arguments=[version])
    assert seen.fingerprint == leaf.fingerprint and seen.verified, seen.output
    seen = clients.gnutls(*server.address(), "edwards.example.test", root=authority.root)
    assert seen.fingerprint == leaf.fingerprint and seen.verified, seen.output
    # Any certificate that the client can use is better than an aborted handshake.
    seen = clients.openssl(*server.address(), "edwards.example.test", arguments=[version, "-sigalgs", "ECDSA+SHA256"])
    assert seen.fingerprint == default_leaf.fingerprint, seen.output


ALPN = {
    "smtp": ("smtp", "ALPN protocol: smtp"),
    "its own among others": ("h2,smtp", "ALPN protocol: smtp"),
    "one that nobody knows": ("smtp-of-tomorrow", "No ALPN negotiated"),
}


@pytest.mark.parametrize("offer, answer", ALPN.values(), ids=ALPN)
def test_alpn_is_answered_as_the_protocol_of_the_listener(posternd, offer, answer):
    server = posternd()
    seen = clients.openssl(*server.address(), arguments=["-alpn", offer])
    assert seen.done and answer in seen.output, seen.output


def test_alpn_of_other_protocols_only_is_refused(posternd):
    """A browser that was led here must not get to speak (ALPACA)."""
    server = posternd()
    seen = clients.openssl(*server.address(), arguments=["-alpn", "h2,http/1.1"])
    assert not seen.done and "no application protocol" in seen.output, seen.output
    assert server.wait_for_record("session", tls="none")["tls_error"]


@pytest.fixture(scope="session")
def both_kinds(authority):
    return {kind: authority.issue("both.example.test", kind=kind) for kind in ("ecdsa", "rsa")}


def test_gnutls_without_ecdsa_gets_the_rsa_certificate(posternd, authority, both_kinds):
    server = posternd(leaves=both_kinds.values())
    seen = clients.gnutls(*server.address(), "both.example.test", root=authority.root,
                          priority="NORMAL:-SIGN-ECDSA-SECP256R1-SHA256:-SIGN-ECDSA-SHA256:-ECDHE-ECDSA")
    assert seen.fingerprint == both_kinds["rsa"].fingerprint and seen.verified, seen.output


def test_an_implicit_tls_listener_speaks_tls_before_its_greeting(posternd, authority, three):
    server = posternd(leaves=three.values(), listen=[
        {"address": ["127.0.0.1:<smtps>"], "default_certificate": "default", "tls": "implicit"}])
    address, name = server.address("smtps"), "one.example.test"
    for seen in (clients.openssl(*address, name, root=authority.root, starttls=False),
                 clients.gnutls(*address, name, root=authority.root, starttls=False),
                 clients.posttls_finger(*address, name, root=authority.root, implicit=True)):
        assert seen.fingerprint == three[name].fingerprint and seen.verified, seen.output
    with server.dialogue("smtps") as client:
        client.wrap(tls_context(authority.root, check=True), name)
        keywords = client.greet()
        assert "STARTTLS" not in keywords and "SIZE" in keywords
        assert client.command("STARTTLS").code in (502, 503)
    with server.dialogue("smtps") as client:
        client.send(b"EHLO in.clear.test\r\n")
        rest = client.rest()
        assert b"220" not in rest and b"250" not in rest


def test_a_listener_without_tls_offers_none(posternd):
    server = posternd(listen=[{"address": ["127.0.0.1:<smtp>"], "tls": "none"}])
    with server.dialogue() as client:
        assert "STARTTLS" not in client.greet()
        assert client.command("STARTTLS").code == 502
        client.expect(250, "NOOP")


def test_an_ipv6_listener(posternd, authority, three):
    server = posternd(leaves=three.values(), listen=[
        {"address": ["127.0.0.1:<smtp>", "[::1]:<smtp>"], "default_certificate": "default"}])
    for host in ("127.0.0.1", "::1"):
        for client in CLIENTS.values():
            seen = client(*server.address(host=host), "two.example.test", root=authority.root)
            assert seen.fingerprint == three["two.example.test"].fingerprint and seen.verified, seen.output
    sessions = server.wait_for_records(2 * len(CLIENTS), "session", sni="two.example.test")
    assert {record["peer"].rsplit(":", 1)[0] for record in sessions} == \
        {"127.0.0.1", "[::1]"}


def test_a_local_address_can_have_a_default_of_its_own(posternd, three, default_leaf):
    server = posternd(leaves=three.values(), listen=[{
        "address": ["127.0.0.1:<smtp>", "127.0.0.2:<smtp>"], "default_certificate": "default",
        "local": {"127.0.0.2": {"hostname": "second.example.test", "default_certificate": "two.example.test"}}}])
    assert clients.openssl(*server.address()).fingerprint == default_leaf.fingerprint
    assert clients.openssl(*server.address(host="127.0.0.2")).fingerprint == three["two.example.test"].fingerprint
    with server.dialogue(host="127.0.0.2") as client:
        assert client.expect(220).text.startswith("second.example.test")


def test_listeners_can_have_defaults_of_their_own(posternd, three, default_leaf):
    server = posternd(leaves=three.values(), listen=[
        {"address": ["127.0.0.1:<smtp>"], "default_certificate": "default"},
        {"address": ["127.0.0.1:<other>"], "default_certificate": "three.example.test",
         "hostname": "other.example.test"}])
    assert clients.openssl(*server.address()).fingerprint == default_leaf.fingerprint
    assert clients.openssl(*server.address("other")).fingerprint == three["three.example.test"].fingerprint
    with server.dialogue("other") as client:
        assert client.expect(220).text.startswith("other.example.test")


def test_an_expired_certificate_of_the_right_name_is_served_and_reported(posternd, authority):
    expired = authority.issue("old.example.test", days=-1)
    server = posternd(leaves=[expired])
    assert clients.openssl(*server.address(), "old.example.test").fingerprint == expired.fingerprint
    faults = server.status()["faults"]
    assert any("expired" in fault and "old.example.test" in fault for fault in faults), faults


def test_tls_versions_below_the_minimum_are_refused(posternd):
    server = posternd(tls={"min_version": "1.3"})
    assert clients.openssl(*server.address(), arguments=["-tls1_3"]).done
    assert not clients.openssl(*server.address(), arguments=["-tls1_2"]).done
    assert server.wait_for_record("session", tls="none")["tls_error"]


def test_a_ticket_of_one_name_does_not_resume_under_another(posternd, three, folder):
    server = posternd(leaves=three.values())
    first = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    first.check_hostname, first.verify_mode = False, ssl.CERT_NONE

    def connect(name, session=None):
        with server.greeted() as client:
            client.expect(220, "STARTTLS")
            client.socket = first.wrap_socket(client.socket, server_hostname=name, session=session)
            client.hello()
            return client.socket.session, client.socket.session_reused, client.served()
    session, _, served = connect("one.example.test")
    assert served == three["one.example.test"].fingerprint
    assert connect("one.example.test", session)[1]
    _, reused, served = connect("two.example.test", session)
    assert not reused and served == three["two.example.test"].fingerprint


@pytest.mark.parametrize("greet_as, name, said", [
    ("sni", "One.Example.Test", "one.example.test"), ("sni", "unknown.test", HOSTNAME), ("sni", None, HOSTNAME),
    ("hostname", "one.example.test", HOSTNAME),
], ids=["a name of ours", "an unknown name", "no name", "switched off"])
def test_over_tls_the_server_can_call_itself_what_the_client_asked_for(posternd, scripted, three, greet_as, name, said):
    backend = scripted()
    server = posternd(backend.target, leaves=three.values(), listen=[
        {"address": ["127.0.0.1:<smtp>"], "default_certificate": "default", "greet_as": greet_as},
        {"address": ["127.0.0.1:<smtps>"], "default_certificate": "default", "greet_as": greet_as, "tls": "implicit"}])
    with server.dialogue() as client:
        assert client.expect(220).text.startswith(HOSTNAME)
        assert client.expect(250, "EHLO client.example.test").lines[0].startswith(HOSTNAME)
        client.starttls(tls_context(), name)
        assert client.expect(250, "EHLO client.example.test").lines[0].split()[0] == said
        client.envelope("sender@elsewhere.test", "a@example.test")
        assert client.message(message("named")).code == 250
    (delivery,) = backend.deliveries
    assert f"by {said} " in " ".join(received_fields(delivery.message)[0].split()) + " "
    with server.dialogue("smtps") as client:
        client.wrap(tls_context(), name)
        assert client.expect(220).text.split()[0] == said
