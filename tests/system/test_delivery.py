"""Messages through postern into Dovecot, into `postern store` and into a scripted backend: octets, recipients, traces."""

import os
import pathlib
import re

import pytest

from harness import clients
from harness.dialogue import stuffed, tls_context
from harness.messages import message, message_set, received_fields, without_trace
from harness.posternd import HOSTNAME
from harness.wait import eventually

MESSAGES = message_set()
SENDER = "sender@elsewhere.test"


def deliver(server, octets, *recipients, sender=SENDER):
    """One message over TLS; returns the final reply."""
    with server.greeted() as client:
        client.starttls(tls_context(), "mx.example.test")
        client.hello()
        client.envelope(sender, *recipients)
        return client.message(octets)


@pytest.mark.parametrize("name", MESSAGES)
def test_dovecot_has_the_octets_that_were_sent(posternd, dovecot, name):
    user = dovecot.new_user()
    server = posternd(dovecot.target, backend={"recipients": "verify"})
    reply = deliver(server, MESSAGES[name], user)
    assert reply.code == 250, reply
    (stored,) = dovecot.messages(user)
    assert without_trace(stored, HOSTNAME) == MESSAGES[name]


@pytest.mark.parametrize("name", MESSAGES)
def test_our_store_has_the_octets_that_were_sent(posternd, store, name):
    server = posternd(store.target, backend={"recipients": "verify"})
    reply = deliver(server, MESSAGES[name], "alice@example.test")
    assert reply.code == 250, reply
    (stored,) = store.messages("alice")
    assert without_trace(stored, HOSTNAME) == MESSAGES[name]
    assert not store.unfinished()


@pytest.mark.parametrize("name", MESSAGES)
def test_the_backend_gets_the_octets_that_were_sent(posternd, scripted, name):
    backend = scripted()
    server = posternd(backend.target)
    assert deliver(server, MESSAGES[name], "alice@example.test").code == 250
    (delivery,) = backend.deliveries
    assert without_trace(delivery.message, HOSTNAME) == MESSAGES[name]


def test_a_message_in_the_smallest_pieces_is_the_same_message(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target)
    with server.greeted() as client:
        client.socket.setsockopt(6, 1, 1)  # TCP_NODELAY: each octet its own segment
        client.envelope(SENDER, "alice@example.test")
        client.expect(354, "DATA")
        for octet in stuffed(MESSAGES["dots"]):
            client.send(bytes([octet]))
        client.expect(250)
    assert without_trace(backend.deliveries[0].message, HOSTNAME) == MESSAGES["dots"]


def test_a_whole_pipelined_session_in_one_write(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target)
    with server.greeted() as client:
        client.send(b"MAIL FROM:<a@elsewhere.test>\r\nRCPT TO:<one@example.test>\r\nRCPT TO:<no@relay.test>\r\n"
                    b"RCPT TO:<two@example.test>\r\nDATA\r\n")
        assert [reply.code for reply in client.replies(5)] == [250, 250, 550, 250, 354]
        client.send(stuffed(message("first")) + b"MAIL FROM:<>\r\nRCPT TO:<three@example.test>\r\nDATA\r\n")
        assert [reply.code for reply in client.replies(4)] == [250, 250, 250, 354]
        client.send(stuffed(message("second")) + b"QUIT\r\n")
        assert [reply.code for reply in client.replies(2)] == [250, 221]
        assert client.at_end()
    assert [delivery.recipients for delivery in backend.deliveries] == \
        [["one@example.test", "two@example.test"], ["three@example.test"]]
    assert [delivery.sender for delivery in backend.deliveries] == ["a@elsewhere.test", ""]


def open_files(pid):
    """What a process's descriptors point to."""
    targets = []
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            targets.append(os.readlink(link))
        except OSError:
            pass
    return targets


def test_a_large_message_spills_to_an_unlinked_file(posternd, scripted, folder):
    spill = folder / "spill"
    spill.mkdir()
    backend = scripted()
    server = posternd(backend.target, smtp={"spill_at": "64KB", "spill_dir": str(spill)})

    def spilled():
        return [target for target in open_files(server.process.pid) if target.startswith(str(spill))]
    octets = message("spilled", b"0123456789abcdef\r\n" * 100_000)
    with server.greeted() as client:
        client.envelope(SENDER, "alice@example.test")
        client.expect(354, "DATA")
        wire = stuffed(octets)
        client.send(wire[:-3])
        eventually(spilled, "a spill file is open")
        assert all(target.endswith("(deleted)") for target in spilled())
        assert not list(spill.iterdir())
        client.send(wire[-3:])
        client.expect(250)
    assert without_trace(backend.deliveries[0].message, HOSTNAME) == octets
    eventually(lambda: not spilled(), "the spill file is closed")


def test_a_full_or_missing_spill_folder_defers_the_message(posternd, scripted, folder):
    backend = scripted()
    spill = folder / "spill"
    spill.mkdir()
    server = posternd(backend.target, smtp={"spill_at": "64KB", "spill_dir": str(spill)})
    spill.rmdir()
    with server.greeted() as client:
        client.envelope(SENDER, "alice@example.test")
        reply = client.message(message("too large for memory", b"x" * 998 + b"\r\n" + b"y\r\n" * 100_000))
        assert reply.code in (451, 452), reply
        client.envelope(SENDER, "alice@example.test")
        assert client.message(message("small")).code == 250
    assert len(backend.deliveries) == 1


CLIENTS = {}


def client_of(name):
    def register(function):
        CLIENTS[name] = function
        return function
    return register


@client_of("smtplib")
def _(server, folder, authority, user, path):
    with clients.smtplib_session(*server.address(), "mx.example.test", root=authority.root) as client:
        assert client.sendmail(SENDER, [user], path.read_bytes()) == {}


@client_of("swaks")
def _(server, folder, authority, user, path):
    result = clients.swaks(*server.address(), sender=SENDER, recipients=[user], data=path, name="mx.example.test",
                           arguments=["--tls-verify", "--tls-ca-path", authority.root])
    assert result.returncode == 0, result.stdout + result.stderr


@client_of("swaks, pipelining")
def _(server, folder, authority, user, path):
    result = clients.swaks(*server.address(), sender=SENDER, recipients=[user], data=path, arguments=["--pipeline"])
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_clients_deliver_into_dovecot(posternd, dovecot, authority, folder, client):
    user = dovecot.new_user()
    server = posternd(dovecot.target, backend={"recipients": "verify"})
    path = folder / "message"
    path.write_bytes(message("from a client", b"caf\xc3\xa9\r\n.\r\n..\r\n"))
    client(server, folder, authority, user, path)
    (stored,) = dovecot.messages(user)
    assert without_trace(stored, HOSTNAME).rstrip() == path.read_bytes().rstrip()
    assert server.wait_for_record("recipient", status="taken")["to"].strip("<>") == user


def test_smtp_source_delivers_many_messages(posternd, store, folder):
    server = posternd(store.target, limits={"connections_per_address": 100})
    result = clients.smtp_source(*server.address(), sender=SENDER, recipient="many@example.test", messages=400,
                                 sessions=20, length=2000, folder=folder / "postfix")
    assert result.returncode == 0, result.stderr
    assert store.count("many") == 400
    assert server.status()["messages_total"] == 400


def test_smtp_source_with_several_recipients_into_dovecot(posternd, dovecot, folder):
    server = posternd(dovecot.target, backend={"recipients": "verify"}, limits={"connections_per_address": 100})
    user = dovecot.new_user()
    result = clients.smtp_source(*server.address(), sender=SENDER, recipient=user, messages=30, sessions=5,
                                 folder=folder / "postfix", arguments=["-d"])
    assert result.returncode == 0, result.stderr
    assert dovecot.count(user) == 30


OUTCOMES = {
    "all take it": ({}, 250),
    "all refuse it": ({"one": "554 5.7.0 virus", "two": "554 5.7.0 virus", "three": "552 5.2.2 full"}, 554),
    "all fail for now": ({"one": "452 4.2.2 full", "two": "451 4.3.0 later", "three": "451 4.3.0 later"}, 451),
    "some fail for now": ({"two": "452 4.2.2 full"}, 451),
    "some are refused": ({"three": "554 5.7.0 virus"}, 451),
    "of each": ({"one": "554 5.7.0 virus", "two": "451 4.3.0 later"}, 451),
    "refused and failed": ({"one": "554 5.7.0 virus", "two": "451 4.3.0 later", "three": "554 5.7.0 virus"}, 451),
}


@pytest.mark.parametrize("replies, code", OUTCOMES.values(), ids=OUTCOMES)
def test_several_recipients_with_different_outcomes_get_one_reply(posternd, scripted, replies, code):
    backend = scripted()
    people = [f"{name}@example.test" for name in ("one", "two", "three")]
    backend.final_replies = {f"{name}@example.test": reply for name, reply in replies.items()}
    server = posternd(backend.target)
    reply = deliver(server, message("mixed"), *people)
    assert reply.code == code, reply
    assert reply.enhanced.startswith(str(code)[0])
    # One line for each recipient says what became of it.
    for person in people:
        (record,) = server.wait_for_records(1, "recipient", to=f"<{person}>")
        said = backend.final_replies.get(person, "250")
        assert record["status"] == {"2": "taken", "4": "deferred", "5": "refused"}[said[0]], record
        assert record["code"] == int(said[:3])


def test_a_recipient_that_is_refused_by_the_backend_at_rcpt_does_not_hurt_the_others(posternd, scripted):
    backend = scripted()
    backend.rcpt_replies["full@example.test"] = "552 5.2.2 full"
    server = posternd(backend.target, backend={"recipients": "verify"})
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        client.expect(250, "RCPT TO:<one@example.test>")
        assert client.command("RCPT TO:<full@example.test>").code == 552
        client.expect(250, "RCPT TO:<two@example.test>")
        assert client.message(message("for two")).code == 250
    assert backend.deliveries[-1].taken == ["one@example.test", "two@example.test"]


def test_a_recipient_that_dovecot_does_not_know_is_refused_at_rcpt(posternd, dovecot):
    server = posternd(dovecot.target, backend={"recipients": "verify"})
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        reply = client.command("RCPT TO:<stranger@example.test>")
        assert reply.code == 550 and reply.enhanced == "5.1.1", reply
        client.expect(554, "DATA")
        # One that it knows can still be named in the same transaction.
        user = dovecot.new_user()
        client.expect(250, f"RCPT TO:<{user}>")
        assert client.message(message("known")).code == 250
    assert dovecot.count(user) == 1
    record = server.wait_for_record("recipient", status="refused")
    assert record["code"] == 550 and record["to"].strip("<>") == "stranger@example.test" and record["id"]


def test_trusted_recipients_are_not_asked_for(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target, backend={"recipients": "trust"})
    with server.greeted() as client:
        client.envelope(SENDER, "anybody@example.test")
        assert not [line for line in backend.commands if line.startswith(("MAIL", "RCPT"))]
        assert client.message(message("trusted")).code == 250


def test_verified_recipients_are_asked_for_once_with_the_null_sender(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target, workers=1, backend={"recipients": "verify"})
    for _ in range(3):
        with server.greeted() as client:
            client.envelope(SENDER, "anybody@example.test")
    assert backend.commands.count("RCPT TO:<anybody@example.test>") == 1
    assert "MAIL FROM:<>" in backend.commands
    assert not any(line.startswith(f"MAIL FROM:<{SENDER}>") for line in backend.commands)


def test_a_domain_that_is_not_ours_is_no_recipient(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target)
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        for stranger in ("a@elsewhere.test", "a@sub.example.test", "a@example.test.evil.test", "a@[127.0.0.1]",
                         "a%elsewhere.test@relay.test", "@example.test:a@elsewhere.test"):
            reply = client.command(f"RCPT TO:<{stranger}>")
            assert reply.code == 550 and reply.enhanced in ("5.7.1", "5.1.2"), (stranger, reply)
        assert client.command("RCPT TO:<a@elsewhere.test>").enhanced == "5.7.1"
    assert not [line for line in backend.commands if line.startswith(("MAIL", "RCPT"))]
    record = server.wait_for_record("recipient", status="refused")
    assert record["to"].strip("<>") == "a@elsewhere.test" and record["code"] == 550


def test_everything_is_taken_only_when_that_is_said_in_so_many_words(posternd, scripted):
    backend = scripted()
    domains = [{"name": "*", "backend": "store"}]
    refused = posternd(backend.target, ready=False, domain=domains)
    result = refused.check()
    assert result.returncode == 2 and "relay_everything" in result.stderr, result.stderr
    server = posternd(backend.target, domain=[{**domains[0], "relay_everything": True}])
    assert deliver(server, message("relayed"), "a@anywhere.test").code == 250
    assert backend.taken("a@anywhere.test")


def test_domains_come_from_a_file_too_and_their_case_does_not_matter(posternd, scripted, folder):
    names = folder / "domains.txt"
    names.write_text("# customers\nfirst.test\nSecond.Test\n")
    backend = scripted()
    server = posternd(backend.target, domain=[{"file": str(names), "backend": "store"}])
    assert deliver(server, message("file"), "a@first.test", "b@SECOND.test").code == 250
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        client.expect(550, "RCPT TO:<c@third.test>")


def test_domains_go_to_the_backends_that_they_name(posternd, scripted):
    first, second = scripted(), scripted()
    server = posternd(
        backend=[{"name": "one", "deliver": "lmtp", "to": [first.target], "recipients": "trust"},
                 {"name": "other", "deliver": "lmtp", "to": [second.target], "recipients": "trust"}],
        domain=[{"name": "first.test", "backend": "one"}, {"name": "second.test", "backend": "other"}])
    assert deliver(server, message("both"), "a@first.test", "b@second.test").code == 250
    assert first.taken("a@first.test") and second.taken("b@second.test")
    assert len(first.deliveries) == len(second.deliveries) == 1
    second.final_replies["b@second.test"] = "451 4.3.0 later"
    assert deliver(server, message("one of them"), "a@first.test", "b@second.test").code == 451


def test_postmaster_always_has_a_place(posternd, dovecot):
    server = posternd(dovecot.target, backend={"recipients": "verify"}, postmaster="postmaster@example.test")
    before = dovecot.count("postmaster@example.test")
    for name in ("Postmaster", "postmaster@example.test"):
        with server.greeted() as client:
            client.envelope(SENDER, name)
            assert client.message(message("to the postmaster")).code == 250, name
    assert dovecot.count("postmaster@example.test") == before + 2


def test_postmaster_and_abuse_of_a_domain_without_them_go_to_ours(posternd, scripted):
    backend = scripted()
    for unknown in ("postmaster@hosted.test", "abuse@hosted.test", "other@hosted.test"):
        backend.rcpt_replies[unknown] = "550 5.1.1 unknown"
    server = posternd(backend.target, backend={"recipients": "verify"}, postmaster="admin@example.test",
                      domain=[{"name": "example.test", "backend": "store"}, {"name": "hosted.test", "backend": "store"}])
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        client.expect(250, "RCPT TO:<postmaster@hosted.test>")
        client.expect(250, "RCPT TO:<abuse@hosted.test>")
        client.expect(550, "RCPT TO:<other@hosted.test>")
        assert client.message(message("to somebody who cares")).code == 250
    assert backend.taken("admin@example.test")


def test_smtputf8_is_offered_only_when_the_backend_has_it(posternd, scripted, dovecot):
    assert "SMTPUTF8" not in dovecot.extensions()
    for server, offered in ((posternd(dovecot.target, backend={"recipients": "verify"}), False),
                            (posternd(scripted(extensions=["PIPELINING", "8BITMIME", "SMTPUTF8"]).target,
                                      backend={"recipients": "verify"}), True)):
        with server.greeted() as client:
            # The first message shows what the backend can do.
            client.command(f"MAIL FROM:<{SENDER}>")
            client.command("RCPT TO:<user0@example.test>")

        def offers():
            with server.greeted() as client:  # noqa: B023
                return "SMTPUTF8" in client.hello()
        if offered:
            eventually(offers, "SMTPUTF8 is offered")
        assert offers() is offered


def test_smtputf8_through_a_backend_that_has_it(posternd, scripted):
    backend = scripted(extensions=["PIPELINING", "8BITMIME", "SMTPUTF8"])
    server = posternd(backend.target, workers=1)
    assert deliver(server, message("first, so that the backend is known"), "a@example.test").code == 250
    octets = "Subject: Grüße\r\n\r\nÄpfel\r\n".encode()
    with server.greeted() as client:
        assert "SMTPUTF8" in client.hello()
        client.expect(250, "MAIL FROM:<jürgen@elsewhere.test> SMTPUTF8 BODY=8BITMIME")
        client.expect(250, "RCPT TO:<jöran@example.test>")
        assert client.message(octets).code == 250
    assert any(re.match(r"MAIL FROM:<jürgen@elsewhere\.test>.* SMTPUTF8", line) for line in backend.commands)
    delivery = backend.deliveries[-1]
    assert delivery.recipients == ["jöran@example.test"] and without_trace(delivery.message, HOSTNAME) == octets
    assert " with UTF8SMTP id " in received_fields(delivery.message)[0]


def test_an_international_address_towards_a_backend_without_smtputf8_is_refused(posternd, dovecot):
    server = posternd(dovecot.target, backend={"recipients": "verify"})
    with server.greeted() as client:
        assert client.command("MAIL FROM:<jürgen@elsewhere.test> SMTPUTF8").code in (550, 553, 555)
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        assert client.command("RCPT TO:<jöran@example.test>").code in (501, 553)


def test_a_message_above_the_limit_is_refused_by_its_size_and_by_its_octets(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target, limits={"message_size": "100KB"})
    with server.greeted() as client:
        assert client.hello()["SIZE"] in ("100000", "102400")
        reply = client.command(f"MAIL FROM:<{SENDER}> SIZE=200000")
        assert reply.code == 552 and reply.enhanced == "5.3.4", reply
        client.envelope(SENDER, "a@example.test")
        reply = client.message(message("large", b"x" * 70 + b"\r\n" + b"y" * 98 + b"\r\n" * 60_000))
        assert reply.code == 552 and reply.enhanced == "5.3.4", reply
        client.envelope(SENDER, "a@example.test")
        assert client.message(message("small enough")).code == 250
    assert len(backend.deliveries) == 1


def test_recipients_above_the_limit_are_deferred(posternd, scripted):
    server = posternd(scripted().target, limits={"recipients": 2})
    with server.greeted() as client:
        client.envelope(SENDER, "a@example.test", "b@example.test")
        reply = client.command("RCPT TO:<c@example.test>")
        assert reply.code == 452 and reply.enhanced == "4.5.3", reply
        assert client.message(message("for two")).code == 250


def test_a_transaction_has_one_id_in_received_reply_and_log(posternd, dovecot):
    user, other = dovecot.new_user(), dovecot.new_user()
    server = posternd(dovecot.target, backend={"recipients": "verify"})
    with server.greeted() as client:
        client.starttls(tls_context(), "mx.example.test")
        client.hello("mail.elsewhere.test")
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        client.expect(550, "RCPT TO:<stranger@example.test>")
        client.expect(250, f"RCPT TO:<{user}>")
        client.expect(250, f"RCPT TO:<{other}>")
        reply = client.message(message("traced"))
        assert reply.code == 250, reply
        version = client.socket.version()
        cipher = client.socket.cipher()[0]
        client.expect(221, "QUIT")
    taken = server.wait_for_records(2, "recipient", status="taken")
    assert len(taken) == 2
    (transaction,) = {record["id"] for record in taken}
    (refused,) = server.records("recipient", status="refused")
    assert refused["id"] == transaction and refused["code"] == 550
    assert re.search(rf"\b{re.escape(transaction)}\b", reply.text), reply
    for record in taken:
        assert record["from"].strip("<>") == SENDER and record["to"].strip("<>") in (user, other)
        assert record["helo"] == "mail.elsewhere.test" and record["sni"] == "mx.example.test"
        assert record["tls"] == version and record["message_id"] == "<traced@elsewhere.test>"
        assert record["backend"] and record["octets"] >= len(message("traced"))
    ours = [field for field in received_fields(dovecot.messages(user)[0]) if f"by {HOSTNAME}" in field]
    assert len(ours) == 1
    assert re.search(rf"\bid {re.escape(transaction)}\b", ours[0]), ours
    assert "with ESMTPS" in ours[0] and "mail.elsewhere.test" in ours[0] and "[127.0.0.1]" in ours[0]
    assert cipher in ours[0] and "mx.example.test" in ours[0]
    # Two recipients: neither may learn of the other.
    assert " for <" not in ours[0]
    session = server.wait_for_record("session", outcome="quit")
    assert session["id"] == taken[0]["session"] and session["messages"] == 1 and session["recipients"] == 2
    assert session["tls"] == version and session["cipher"] == cipher and session["match"] == "exact"
    assert "mx.example.test" in session["certificate"] and session["helo"] == "mail.elsewhere.test"


def test_received_names_the_recipient_when_there_is_one_only(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target)
    assert deliver(server, message("one"), "a@example.test").code == 250
    assert deliver(server, message("two"), "a@example.test", "b@example.test").code == 250
    one, two = (received_fields(delivery.message)[0] for delivery in backend.deliveries)
    assert "for <a@example.test>" in one and "for <" not in two


def test_what_a_client_says_cannot_forge_the_trace(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target)
    with server.greeted() as client:
        answer = client.command("EHLO evil) by (mx\" ;id 1")
        if answer.code != 250:
            client.hello("x")
        client.envelope(SENDER, "a@example.test")
        assert client.message(message("forged")).code == 250
    fields = received_fields(backend.deliveries[0].message)
    assert len(fields) == 1 and fields[0].count("(") == fields[0].count(")") or "\\(" in fields[0]


def test_log_lines_as_text(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target, log={"format": "text"})
    reply = deliver(server, message("as text"), "a@example.test")
    received = received_fields(backend.deliveries[0].message)[0]
    transaction = re.search(r"\bid (\S+?);?(?:\s|$)", received).group(1)
    assert transaction in reply.text
    server.process.wait_for_stderr(" session ")
    lines = server.process.stderr.splitlines()
    (line,) = [line for line in lines if " recipient " in line]
    assert transaction in line and "a@example.test" in line and "taken" in line
    (line,) = [line for line in lines if " session " in line]
    assert "127.0.0.1" in line and "sni=mx.example.test" in line and "match=exact" in line
    assert not any(line.startswith("{") for line in lines)
