"""MTAs as backends: one reply for all recipients, who the client is, what an MTA must not be asked for."""

import smtplib

import pytest

from harness.dialogue import Dialogue, tls_context
from harness.dovecot import Dovecot
from harness.messages import message
from harness.mtas import Exim, Postfix
from harness.ports import free_port
from harness.scripted_lmtp import Step, at, close, say, silent
from harness.wait import eventually

SENDER = "sender@elsewhere.test"
USERS = ["alice", "bob", "carol"]


def send(server, subject, recipients, body=b"Hello.\r\n", parameters=""):
    """One message; (replies to RCPT, final reply or None)."""
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER}>{parameters}")
        replies = [client.command(f"RCPT TO:<{recipient}>") for recipient in recipients]
        if not any(reply.code == 250 for reply in replies):
            return replies, None
        return replies, client.message(message(subject, body))


@pytest.fixture(scope="module")
def mta_leaf(authority):
    return authority.issue("mta.example.test")


@pytest.fixture(scope="module", params=[Postfix, Exim], ids=["postfix", "exim"])
def mta(request, session_folder, mta_leaf):
    server = request.param(session_folder / f"mta-{request.param.__name__}", USERS, mta_leaf)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def postfix(session_folder, mta_leaf):
    server = Postfix(session_folder / "postfix", USERS, mta_leaf)
    yield server
    server.stop()


def stored(mta, user, subject):
    return [octets for octets in mta.messages(user) if b"Subject: " + subject.encode() in octets]


@pytest.mark.parametrize("tls", ["off", "starttls"])
def test_mail_goes_to_an_mta(posternd, mta, authority, tls):
    more = {} if tls == "off" else {"tls_name": "mta.example.test", "tls_ca": authority.root}
    server = posternd(mta.target, backend={"deliver": "smtp", "recipients": "verify", "tls": tls, **more})
    dots = b".\r\n..\r\n.a\r\nlast\r\n"
    subject = f"to an mta {tls}"
    replies, final = send(server, subject, ["alice@example.test", "nobody@example.test", "bob@example.test"], dots)
    assert [reply.code for reply in replies] == [250, 550, 250], replies
    assert final.code == 250, final
    for user in ("alice", "bob"):
        (kept,) = eventually(lambda: stored(mta, user, subject), lambda: f"{user} has it; log:\n{mta.log}")
        assert kept.endswith(dots.replace(b"\r\n", b"\n")), kept
    eventually(lambda: {record["to"] for record in server.records("recipient", status="taken")} ==
               {"<alice@example.test>", "<bob@example.test>"}, "a line for each recipient")


def test_a_large_8bit_message_goes_to_an_mta(posternd, mta):
    server = posternd(mta.target, backend={"deliver": "smtp"}, smtp={"spill_at": "64KiB"})
    body = b"".join(b"%d \xc3\xa4 %s\r\n" % (number, b"x" * 70) for number in range(20_000))
    _, final = send(server, "large", ["carol@example.test"], body, " BODY=8BITMIME")
    assert final.code == 250, final
    (kept,) = eventually(lambda: stored(mta, "carol", "large"), lambda: f"carol has it; log:\n{mta.log}")
    assert kept.endswith(body.replace(b"\r\n", b"\n"))


def test_postfix_is_told_who_the_client_is(posternd, postfix):
    # One worker: the second client must not speak over the connection that Postfix took for the first one's.
    server = posternd(postfix.target, backend={"deliver": "smtp", "identity": "xclient"}, workers=1)
    with smtplib.SMTP(*server.address(), local_hostname="true.client.test", source_address=("127.0.0.5", 0)) as client:
        assert not client.sendmail(SENDER, ["alice@example.test"], message("identified"))
    (kept,) = eventually(lambda: stored(postfix, "alice", "identified"), lambda: f"alice has it; log:\n{postfix.log}")
    received = " ".join(kept.decode().split("Received: ")[1].split())
    assert "[127.0.0.5]" in received and "by mta.example.test (Postfix)" in received, received
    # Its own rules are about the client, not about us.
    with smtplib.SMTP(*server.address(), source_address=("127.0.0.66", 0)) as client:
        with pytest.raises(smtplib.SMTPException) as refused:
            client.sendmail(SENDER, ["alice@example.test"], message("unwanted"))
    assert b"not you" in str(refused.value).encode(), refused.value


def test_postfix_logs_what_xforward_says(posternd, postfix):
    server = posternd(postfix.target, backend={"deliver": "smtp", "identity": "xforward"})
    with server.dialogue() as client:
        client.greet(name="forwarded.client.test")
        client.envelope(SENDER, "alice@example.test")
        assert client.message(message("forwarded")).code == 250
    eventually(lambda: "orig_client=" in postfix.log, lambda: f"the origin is logged:\n{postfix.log}")


def test_a_backend_that_does_not_offer_what_identity_insists_on_gets_nothing(posternd, scripted):
    backend = scripted(tcp=True, dialect="smtp")
    server = posternd(backend.target, backend={"deliver": "smtp", "identity": "xclient"})
    _, final = send(server, "unidentified", ["alice@example.test"])
    assert final.code == 451, final
    server.wait_for_message("does not offer XCLIENT to us")
    assert not any(line.startswith("MAIL") for line in backend.commands)


def test_a_backend_that_refuses_the_client_is_quoted(posternd, scripted):
    backend = scripted(tcp=True, dialect="smtp", extensions=["XCLIENT NAME ADDR"],
                       script=at(Step.XCLIENT, say("554 5.7.1 your network is not welcome")))
    server = posternd(backend.target, backend={"deliver": "smtp"})
    _, final = send(server, "unwelcome", ["alice@example.test"])
    assert final.code == 554 and "not welcome" in final.lines[0], final
    assert server.status()["backends"][0]["up"]


def test_each_transaction_says_xclient_anew(posternd, scripted):
    backend = scripted(tcp=True, dialect="smtp", extensions=["PIPELINING", "XCLIENT NAME ADDR PORT HELO"])
    server = posternd(backend.target, backend={"deliver": "smtp", "max_connections": 1}, workers=1)
    for name in ("one.client.test", "two.client.test"):
        with server.dialogue() as client:
            client.greet(name=name)
            client.envelope(SENDER, "alice@example.test")
            assert client.message(message(f"of {name}")).code == 250
    assert backend.connections == 1
    assert ["HELO=one.client.test" in backend.deliveries[0].client,
            "HELO=two.client.test" in backend.deliveries[1].client] == [True, True], backend.deliveries
    assert all("ADDR=127.0.0.1" in delivery.client for delivery in backend.deliveries)
    hellos = [line for line in backend.commands if line.startswith("EHLO")]
    assert len(hellos) == 3, backend.commands


@pytest.fixture(scope="module")
def trusting_dovecot(session_folder, mta_leaf):
    server = Dovecot(session_folder / "trusting-dovecot", ["alice@example.test"], leaf=mta_leaf)
    yield server
    server.stop()


@pytest.mark.parametrize("recipients", ["trust", "verify"])
def test_dovecot_logs_the_true_client(posternd, trusting_dovecot, recipients):
    """Dovecot offers XCLIENT over LMTP to login_trusted_networks; a unix socket has no address to trust."""
    server = posternd(trusting_dovecot.tcp_target, backend={"recipients": recipients}, workers=1)
    known = trusting_dovecot.count("alice@example.test")
    for address in ("127.0.0.2", "127.0.0.3"):
        with smtplib.SMTP(*server.address(), local_hostname="true.client.test", source_address=(address, 0)) as client:
            assert not client.sendmail(SENDER, ["alice@example.test"], message(f"from {address}"))
    first, second = trusting_dovecot.messages("alice@example.test")[known:]
    for kept, address in ((first, "127.0.0.2"), (second, "127.0.0.3")):
        received = " ".join(kept.decode().split("Received: ")[1].split())
        assert f"([{address}])" in received and "by store.example.test with LMTP" in received, received


@pytest.mark.parametrize("local", ["user%other.test", "other.test!user", '"a@other.test"', '"/etc/passwd"', '"|sh"', "-oQ"])
def test_dangerous_local_parts_do_not_reach_an_mta(posternd, scripted, local):
    backend = scripted(tcp=True, dialect="smtp")
    server = posternd(backend.target, backend={"deliver": "smtp"})
    (reply,), _ = send(server, "dangerous", [f"{local}@example.test"])
    assert reply.code == 550 and reply.enhanced == "5.1.3", reply
    server = posternd(backend.target, backend={"deliver": "smtp", "local_parts": "any"})
    (reply,), final = send(server, "meant", [f"{local}@example.test"])
    assert reply.code == 250 and final.code == 250
    assert backend.deliveries[-1].recipients[0].replace('"', "") == f"{local}@example.test".replace('"', "")


def test_one_reply_counts_for_all_recipients(posternd, scripted):
    backend = scripted(tcp=True, dialect="smtp")
    people = ["alice@example.test", "bob@example.test"]
    for line, code in (("552 5.3.4 too large", 552), ("451 4.3.0 later", 451), ("250 2.0.0 fine", 250)):
        backend.final_replies[people[0]] = line
        server = posternd(backend.target, backend={"deliver": "smtp"})
        _, final = send(server, "once", people)
        assert final.code == code, final
        assert len(server.wait_for_records(2, "recipient", code=code)) == 2


def test_a_backend_that_breaks_off_in_the_message_does_not_stop_it(posternd, scripted):
    """Failover with the whole message, out of memory and out of a file, and never after the final dot."""
    first = scripted(tcp=True, dialect="smtp", script=at(Step.BODY, close))
    second = scripted(tcp=True, dialect="smtp")
    # More than lies in the buffers between us and a backend that reads nothing.
    body = b"".join(b"%d %s\r\n" % (n, b"x" * 70) for n in range(200_000))
    for spill_at in ("64KiB", "64MiB"):
        server = posternd(backend={"deliver": "smtp", "to": [first.target, second.target]}, smtp={"spill_at": spill_at})
        _, final = send(server, "large", ["alice@example.test"], body)
        assert final.code == 250, final
        assert second.deliveries[-1].message.endswith(body)
    assert not first.deliveries
    first.script = at(Step.AFTER_DOT, close)
    _, final = send(server, "after the dot", ["alice@example.test"])
    if first.deliveries:
        assert final.code == 451, final
        assert not any(b"after the dot" in delivery.message for delivery in second.deliveries)


ALL = ["PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME", "DSN", "ENHANCEDSTATUSCODES"]


def offered_to_clients(server):
    with server.dialogue() as client:
        return set(client.greet())


def test_listeners_offer_what_every_backend_offers(posternd, scripted):
    everything = scripted(tcp=True, dialect="smtp", extensions=ALL)
    little = scripted(tcp=True, extensions=["PIPELINING", "SMTPUTF8"])
    backends = [{"name": "store", "deliver": "smtp", "to": [everything.target]},
                {"name": "other", "deliver": "lmtp", "to": [little.target]}]
    extra = {"SMTPUTF8", "BINARYMIME", "DSN"}
    alone = posternd(workers=1, backend=backends[:1], smtp={"binarymime": True})
    eventually(lambda: offered_to_clients(alone) >= extra, "what the backend offers is offered")
    usual = posternd(workers=1, backend=backends[:1])
    eventually(lambda: offered_to_clients(usual) & extra == {"SMTPUTF8", "DSN"}, "all but BINARYMIME")
    both = posternd(workers=1, backend=backends, domain=[{"name": "example.test", "backend": "store"},
                                                         {"name": "other.test", "backend": "other"}])
    eventually(lambda: "SMTPUTF8" in offered_to_clients(both), "what both offer is offered")
    assert offered_to_clients(both) & extra == {"SMTPUTF8"}
    told = posternd(workers=1, backend=backends[:1], smtp={"offer": ["dsn"]})
    assert offered_to_clients(told) & {*extra, "CHUNKING", "LIMITS"} == {"DSN"}


def test_postfix_is_asked_for_a_notification(posternd, postfix):
    server = posternd(postfix.target, backend={"deliver": "smtp"}, workers=1)
    eventually(lambda: {"DSN", "SMTPUTF8"} <= offered_to_clients(server), "what Postfix offers is offered")
    with server.greeted() as client:
        client.expect(250, "MAIL FROM:<j\u00fcrgen@elsewhere.test> SMTPUTF8 RET=HDRS ENVID=abc")
        client.expect(250, "RCPT TO:<alice@example.test> NOTIFY=SUCCESS ORCPT=rfc822;alias@example.test")
        assert client.message(message("notify me")).code == 250
    eventually(lambda: stored(postfix, "alice", "notify me"), lambda: f"it is there; log:\n{postfix.log}")
    # A parameter that had been lost would show here: the original recipient stands in Postfix's log, and it notifies.
    eventually(lambda: "orig_to=<alias@example.test>" in postfix.log or "sender delivery status notification" in postfix.log,
               lambda: f"a notification in\n{postfix.log}")


@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
def test_dsn_smtputf8_and_binarymime_reach_the_backend(posternd, scripted, protocol):
    backend = scripted(tcp=True, dialect=protocol, extensions=ALL)
    server = posternd(backend.target, backend={"deliver": protocol}, workers=1, smtp={"binarymime": True})
    eventually(lambda: "BINARYMIME" in offered_to_clients(server), "the backend was greeted")
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER}> RET=HDRS ENVID=abc SMTPUTF8")
        client.expect(250, "RCPT TO:<j\u00f6rg@example.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;joerg@example.test")
        assert client.message(message("dsn")).code == 250
        client.expect(250, f"MAIL FROM:<{SENDER}> BODY=BINARYMIME")
        client.expect(250, "RCPT TO:<alice@example.test>")
        binary = message("binary", b"\x00\n\r.\r\n\n.\n\xff")
        client.send(b"BDAT %d\r\n" % 10 + binary[:10])
        assert client.reply().code == 250
        client.send(b"BDAT %d LAST\r\n" % (len(binary) - 10) + binary[10:])
        reply = client.reply()
        assert reply.code == 250, reply
    dsn, chunked = backend.deliveries
    assert "RET=HDRS ENVID=abc" in dsn.mail and "SMTPUTF8" in dsn.mail, dsn
    assert "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;joerg@example.test" in dsn.rcpt[0], dsn
    assert chunked.chunked and chunked.message.endswith(binary), chunked


def test_what_the_backend_lacks_is_refused_when_recipients_are_named(posternd, scripted, authority):
    """Offered because the configuration says so, not because the backend can."""
    backend = scripted(tcp=True, dialect="smtp")
    server = posternd(backend.target, backend={"deliver": "smtp"},
                      smtp={"offer": ["smtputf8", "binarymime", "requiretls"]}, workers=1)
    eventually(lambda: any(line.startswith("EHLO") for line in backend.commands), "the backend was greeted")
    with server.greeted() as client:
        for parameter, code, enhanced in (("SMTPUTF8", 553, "5.6.7"), ("BODY=BINARYMIME", 550, "5.6.3")):
            client.expect(250, f"MAIL FROM:<{SENDER}> {parameter}")
            reply = client.command("RCPT TO:<alice@example.test>")
            assert (reply.code, reply.enhanced) == (code, enhanced), reply
            client.expect(250, "RSET")
        client.starttls(tls_context(authority.root, check=False), "mx.example.test")
        client.hello()
        client.expect(250, f"MAIL FROM:<{SENDER}> REQUIRETLS")
        reply = client.command("RCPT TO:<alice@example.test>")
        assert (reply.code, reply.enhanced) == (550, "5.7.30"), reply
    assert not any(line.startswith("MAIL") for line in backend.commands)


def test_a_listener_offers_what_its_own_backend_offers(posternd, scripted, default_leaf, folder):
    everything = scripted(tcp=True, dialect="smtp", extensions=ALL)
    little = scripted(tcp=True, extensions=["PIPELINING"])
    backends = [{"name": "store", "deliver": "lmtp", "to": [little.target]},
                {"name": "mta", "deliver": "smtp", "to": [everything.target]},
                {"name": "of-nobody", "deliver": "lmtp", "to": [f"127.0.0.1:{free_port()}"]}]
    listeners = [{"address": ["127.0.0.1:<smtp>"], "default_certificate": "default"},
                 {"address": ["127.0.0.1:<through>"], "default_certificate": "default", "backend": "mta"}]
    server = posternd(backend=backends, listen=listeners, workers=1, smtp={"binarymime": True})

    def offered(port):
        with server.dialogue(port) as client:
            return set(client.greet()) & {"SMTPUTF8", "BINARYMIME", "DSN"}
    eventually(lambda: offered("through") == {"SMTPUTF8", "BINARYMIME", "DSN"}, "what its backend offers")
    assert offered("smtp") == set()


def test_recipients_are_verified_with_an_mta(posternd, mta):
    server = posternd(mta.target, backend={"deliver": "smtp", "recipients": "verify"})
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        for _ in range(2):
            assert client.command("RCPT TO:<nobody@example.test>").code == 550
            assert client.command("RCPT TO:<bob@example.test>").code == 250
        assert client.message(message("verified")).code == 250
    eventually(lambda: stored(mta, "bob", "verified"), lambda: f"bob has it; log:\n{mta.log}")


def test_a_check_is_made_under_the_name_of_who_asks(posternd, postfix):
    """Postfix refuses one client by address; over the same worker another one is welcome, before and after."""
    server = posternd(postfix.target, workers=1,
                      backend={"deliver": "smtp", "identity": "xclient", "recipients": "verify"})

    def ask(address, recipient):
        with Dialogue(server.address(), source=address) as client:
            client.greet()
            client.expect(250, f"MAIL FROM:<{SENDER}>")
            return client.command(f"RCPT TO:<{recipient}@example.test>")
    assert ask("127.0.0.5", "alice").code == 250
    refused = ask("127.0.0.66", "bob")
    assert refused.code == 554 and "not you" in refused.text, refused
    assert ask("127.0.0.5", "bob").code == 250


def test_one_dead_and_one_slow_of_three(posternd, scripted):
    slow = scripted(script=at(Step.GREETING, silent))
    well = scripted()
    dead = f"127.0.0.1:{free_port()}"
    server = posternd(backend={"to": [dead, slow.target, well.target], "timeout": "1s", "balance": "least"}, workers=1)
    for number in range(20):
        _, final = send(server, f"message {number}", ["alice@example.test"])
        assert final.code == 250, final
    assert len(well.deliveries) == 20
    states = {backend["target"]: backend for backend in server.status()["backends"]}
    assert not states[dead]["up"] and states[well.target]["up"], states
    assert not states[slow.target]["up"] and "greeting" in states[slow.target]["last_failure"], states
    text = server.tool("status", "--control", server.settings["control"]).stdout
    assert f"{dead}  down for " in text and f"{well.target}  up" in text, text


def test_mail_of_a_recipient_stays_with_one_target(posternd, scripted):
    targets = [scripted(), scripted(), scripted()]
    server = posternd(backend={"to": [target.target for target in targets], "balance": "hash"})
    people = [f"user{number}@example.test" for number in range(12)]
    for number in range(2):
        _, final = send(server, f"to all {number}", people)
        assert final.code == 250, final
    for person in people:
        counts = sorted(len(target.taken(person)) for target in targets)
        assert counts == [0, 0, 2], (person, counts)
    assert all(target.deliveries for target in targets)
