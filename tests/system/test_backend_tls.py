"""TLS towards backends: who the backend is, who we are, and that nothing goes in clear where TLS was asked for."""

import ssl

import pytest

from harness.ca import Authority
from harness.dialogue import tls_context
from harness.dovecot import Dovecot
from harness.messages import message
from harness.mtas import Postfix
from harness.ports import free_port
from harness.scripted_lmtp import Step, at, say
from harness.wait import eventually

SENDER = "sender@elsewhere.test"
USER = "alice@example.test"


def send(server, subject, recipients=(USER,), parameters=""):
    """One message; the final reply."""
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER}>{parameters}")
        for recipient in recipients:
            client.expect(250, f"RCPT TO:<{recipient}>")
        return client.message(message(subject))


@pytest.fixture(scope="module")
def store_leaf(authority):
    return authority.issue("store.example.test")


@pytest.fixture(scope="module")
def tls_dovecot(session_folder, store_leaf, authority):
    server = Dovecot(session_folder / "tls-dovecot", [USER], leaf=store_leaf,
                     plugins=f"ssl_ca = <{authority.root}\nssl_require_crl = no\nssl_verify_client_cert = yes\n")
    yield server
    server.stop()


def server_context(leaf, folder, stem="backend"):
    chain, key = leaf.write(folder, stem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return context


def tls_backend(authority, mode, **more):
    return {"tls": mode, "tls_name": "store.example.test", "tls_ca": authority.root, **more}


@pytest.mark.parametrize("mode", ["implicit", "starttls"])
def test_mail_goes_to_dovecot_under_tls(posternd, tls_dovecot, authority, mode):
    target = tls_dovecot.tls_target if mode == "implicit" else tls_dovecot.tcp_target
    server = posternd(target, backend=tls_backend(authority, mode))
    reply = send(server, f"under tls {mode}")
    assert reply.code == 250, reply
    assert f"under tls {mode}" in tls_dovecot.subjects(USER)


@pytest.mark.parametrize("mode", ["implicit", "starttls"])
def test_a_backend_that_shows_the_wrong_certificate_gets_nothing(posternd, scripted, authority, folder, store_leaf, mode):
    backend = scripted(tcp=True, extensions=["PIPELINING", "STARTTLS"], tls=server_context(store_leaf, folder),
                       implicit_tls=mode == "implicit")
    other_root = Authority(folder / "stranger").root
    for wrong, said in (({"tls_name": "other.example.test"}, "certificate of other.example.test is not trusted"),
                        ({"tls_ca": other_root}, "certificate of store.example.test is not trusted")):
        server = posternd(backend.target, backend=tls_backend(authority, mode, **wrong))
        reply = send(server, "to a stranger")
        assert reply.code == 451 and reply.enhanced == "4.4.1", reply
        server.wait_for_message("TLS handshake failed", said)
    assert not any(line.startswith("MAIL") for line in backend.commands)
    server = posternd(backend.target, backend=tls_backend(authority, mode))
    assert send(server, "to a friend").code == 250
    assert backend.taken(USER)


def test_nothing_goes_in_clear_to_a_backend_without_starttls(posternd, scripted, authority):
    backend = scripted(tcp=True)
    server = posternd(backend.target, backend=tls_backend(authority, "starttls"))
    reply = send(server, "stripped")
    assert reply.code == 451 and reply.enhanced == "4.4.1", reply
    server.wait_for_message("does not offer STARTTLS")
    assert not any(line.startswith("MAIL") for line in backend.commands)


@pytest.mark.parametrize("answer", ["454 4.7.0 not now", "220 go on\r\n250 2.0.0 injected", "220 go on\r\n220-"])
def test_a_backend_that_misbehaves_at_starttls_gets_nothing(posternd, scripted, authority, folder, store_leaf, answer):
    """Response injection: what stands behind the 220 in clear must not be read as if it had come under TLS."""
    backend = scripted(tcp=True, extensions=["STARTTLS"], tls=server_context(store_leaf, folder),
                       script=at(Step.STARTTLS, say(answer)))
    server = posternd(backend.target, backend=tls_backend(authority, "starttls"))
    assert send(server, "injected").code == 451
    assert not any(line.startswith("MAIL") for line in backend.commands)
    assert not backend.client_certificates


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_a_backend_that_asks_for_our_certificate_gets_it(posternd, scripted, authority, folder, store_leaf, kind):
    context = server_context(store_leaf, folder)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.root)
    backend = scripted(tcp=True, tls=context, implicit_tls=True)
    chain, key = authority.issue("mx.example.test", usage="clientAuth", kind=kind).write(folder, "us")
    server = posternd(backend.target,
                      backend=tls_backend(authority, "implicit", tls_certificate=chain, tls_key=key))
    assert send(server, "who we are").code == 250
    assert backend.client_certificates[0]["subjectAltName"] == (("DNS", "mx.example.test"),)


class AskingPostfix(Postfix):
    """It takes mail only from who shows a certificate of the authority whose root is at `root`."""

    def __init__(self, folder, users, leaf, root):
        self._root = root
        super().__init__(folder, users, leaf)

    def more_services(self):
        self.targets = {}
        lines = []
        for mode, more in (("starttls", ""), ("implicit", " -o smtpd_tls_wrappermode=yes")):
            port = free_port()
            self.targets[mode] = f"127.0.0.1:{port}"
            lines += [f"127.0.0.1:{port} inet n - n - - smtpd",
                      f"  -o smtpd_tls_security_level=encrypt -o smtpd_tls_req_ccert=yes -o smtpd_tls_CAfile={self._root}{more}"]
        return lines


@pytest.fixture(scope="module")
def asking_postfix(session_folder, store_leaf, authority):
    server = AskingPostfix(session_folder / "asking-postfix", ["alice"], store_leaf, authority.root)
    yield server
    server.stop()


@pytest.fixture
def clients(authority, folder):
    """What posternd may show: a certificate that the backend trusts, one of a stranger, and none."""
    def settings(issuer, stem):
        chain, key = issuer.issue("mx.example.test", usage="clientAuth").write(folder, stem)
        return {"tls_certificate": chain, "tls_key": key}
    return {"friend": settings(authority, "friend"), "stranger": settings(Authority(folder / "stranger"), "strange"), "nobody": {}}


@pytest.mark.parametrize("mode", ["implicit", "starttls"])
def test_postfix_takes_mail_from_who_shows_the_right_certificate(posternd, asking_postfix, authority, clients, mode):
    refused = {"stranger": "Client certificate not trusted", "nobody": "No client certificate presented"}
    for who, shown in clients.items():
        server = posternd(asking_postfix.targets[mode], backend=tls_backend(authority, mode, deliver="smtp", **shown))
        reply = send(server, f"{who} {mode}")
        assert (reply.code, reply.enhanced) == ((451, "4.4.1") if who in refused else (250, "2.0.0")), (reply, asking_postfix.log)
        if who in refused:
            assert refused[who] in server.status()["backends"][0]["last_failure"]
    eventually(lambda: any(f"friend {mode}".encode() in kept for kept in asking_postfix.messages("alice")),
               lambda: f"it is stored; log:\n{asking_postfix.log}")
    assert not any(who.encode() + b" " in kept for who in refused for kept in asking_postfix.messages("alice"))


@pytest.mark.parametrize("mode", ["implicit", "starttls"])
def test_dovecot_takes_no_mail_from_who_shows_the_wrong_certificate(posternd, tls_dovecot, authority, clients, mode):
    """It asks everybody, and bears that some have none."""
    target = tls_dovecot.tls_target if mode == "implicit" else tls_dovecot.tcp_target
    for who, shown in clients.items():
        server = posternd(target, backend=tls_backend(authority, mode, **shown))
        reply = send(server, f"{who} {mode}")
        assert reply.code == (451 if who == "stranger" else 250), (reply, tls_dovecot.log)
    eventually(lambda: "certificate verify failed" in tls_dovecot.log, lambda: f"the stranger in the log:\n{tls_dovecot.log}")
    assert f"stranger {mode}" not in tls_dovecot.subjects(USER)


def test_what_is_wrong_with_the_files_is_said_before_the_start(posternd, authority, folder):
    empty = folder / "empty.pem"
    empty.write_text("")
    server = posternd("127.0.0.1:24", ready=False, backend=tls_backend(authority, "implicit", tls_ca=empty))
    result = server.check()
    assert result.returncode == 2 and f"{empty}: " in result.stderr, result.stderr
    server = posternd("127.0.0.1:24", ready=False,
                      backend=tls_backend(authority, "implicit", tls_certificate=folder / "none.pem"))
    result = server.check()
    assert result.returncode == 2 and "none.pem" in result.stderr, result.stderr


def test_new_trust_anchors_are_taken_up_by_a_reload(posternd, scripted, authority, folder, store_leaf):
    backend = scripted(tcp=True, tls=server_context(store_leaf, folder), implicit_tls=True)
    anchors = folder / "anchors.pem"
    anchors.write_bytes(Authority(folder / "stranger").root.read_bytes())
    server = posternd(backend.target, backend=tls_backend(authority, "implicit", tls_ca=anchors))
    assert send(server, "before").code == 451
    anchors.write_bytes(authority.root.read_bytes())
    assert server.reload()["configuration_taken"]
    eventually(lambda: send(server, "after").code == 250, "the new anchors are used")


def ask_for_tls(server, authority, recipient="alice@example.test"):
    """A client under TLS: whether REQUIRETLS is on offer, and the replies to RCPT and to a message that asks for it."""
    with server.greeted() as client:
        client.starttls(tls_context(authority.root, check=False), "mx.example.test")
        offered = "REQUIRETLS" in client.hello()
        if not offered:
            return False, None
        client.expect(250, f"MAIL FROM:<{SENDER}> REQUIRETLS")
        client.expect(250, f"RCPT TO:<{recipient}>")
        return True, client.message(message("private"))


def test_requiretls_is_kept_all_the_way_to_an_mta(posternd, scripted, authority, folder, store_leaf):
    promising = scripted(tcp=True, dialect="smtp", extensions=["PIPELINING", "REQUIRETLS"],
                         tls=server_context(store_leaf, folder), implicit_tls=True)
    server = posternd(promising.target, backend=tls_backend(authority, "implicit", deliver="smtp"), workers=1)
    eventually(lambda: ask_for_tls(server, authority)[0], "what the MTA promises is offered")
    offered, final = ask_for_tls(server, authority)
    assert offered and final.code == 250, final
    assert "REQUIRETLS" in promising.deliveries[-1].mail
    with server.greeted() as client:  # in clear
        assert "REQUIRETLS" not in client.hello()
    # An MTA that promises it in clear keeps nothing.
    clear = scripted(tcp=True, dialect="smtp", extensions=["PIPELINING", "REQUIRETLS", "DSN"])
    server = posternd(clear.target, backend={"deliver": "smtp"}, workers=1)

    def offered_under_tls():
        with server.greeted() as client:
            client.starttls(tls_context(authority.root, check=False), "mx.example.test")
            offers = client.hello()
            return offers if "DSN" in offers else None
    assert "REQUIRETLS" not in eventually(offered_under_tls, "the MTA was greeted")


def test_requiretls_ends_at_a_store_that_nobody_can_listen_to(posternd, scripted, authority, tls_dovecot):
    local = scripted()
    server = posternd(local.target, workers=1)
    eventually(lambda: ask_for_tls(server, authority)[0], "offered in front of a unix socket")
    assert ask_for_tls(server, authority)[1].code == 250
    assert "REQUIRETLS" not in local.deliveries[-1].mail
    server = posternd(tls_dovecot.tls_target, backend=tls_backend(authority, "implicit"), workers=1)
    eventually(lambda: ask_for_tls(server, authority)[0], "offered in front of a store under TLS")
    assert ask_for_tls(server, authority)[1].code == 250
