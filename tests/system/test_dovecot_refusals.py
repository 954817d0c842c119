"""What a real Dovecot refuses, and when: quota at RCPT and after the message, for good and for now; and Sieve's reject."""

import pytest

from harness.dovecot import Dovecot
from harness.messages import message
from harness.wait import eventually

SENDER = "sender@elsewhere.test"
ALICE, BOB = "alice@example.test", "bob@example.test"

QUOTA = """
mail_plugins = quota
plugin {
  quota = count:User quota
  quota_rule = *:storage=20K
  quota_grace = 0
  quota_vsizes = yes
}
protocol lmtp {
  mail_plugins = quota
}
"""

SIEVE = """
protocol lmtp {
  mail_plugins = sieve
}
plugin {
  sieve = file:%h/refuse.sieve
}
"""

LARGE = message("large", b"0123456789abcdef\r\n" * 2500)
MEDIUM = message("medium", b"0123456789abcdef\r\n" * 1000)


@pytest.fixture
def dovecot_with(folder):
    made = []

    def make(more):
        made.append(Dovecot(folder / "dovecot", [ALICE, BOB], plugins=more))
        return made[-1]
    yield make
    for server in made:
        server.stop()


def attempt(server, octets, *recipients):
    """The replies to RCPT, and the final one if any recipient was taken."""
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        at_rcpt = [client.command(f"RCPT TO:<{recipient}>") for recipient in recipients]
        final = client.message(octets) if any(reply.code == 250 for reply in at_rcpt) else None
        return at_rcpt, final


@pytest.mark.parametrize("tempfail", [False, True])
def test_over_quota_after_the_message(posternd, dovecot_with, tempfail):
    store = dovecot_with(QUOTA + f"\nquota_full_tempfail = {'yes' if tempfail else 'no'}\n")
    server = posternd(store.target, backend={"recipients": "verify"})
    at_rcpt, final = attempt(server, LARGE, ALICE)
    assert [reply.code for reply in at_rcpt] == [250]
    assert final.code == (451 if tempfail else 552), final
    assert "Quota exceeded" in final.text, final
    assert store.count(ALICE) == 0
    record = server.wait_for_record("recipient", to=f"<{ALICE}>")
    assert record["status"] == ("deferred" if tempfail else "refused")
    # It was the message that was too large.
    assert attempt(server, message("small"), ALICE)[1].code == 250
    assert store.count(ALICE) == 1


@pytest.mark.parametrize("tempfail", [False, True])
def test_over_quota_at_rcpt_is_asked_again(posternd, dovecot_with, tempfail):
    store = dovecot_with(QUOTA + f"\nlmtp_rcpt_check_quota = yes\nquota_full_tempfail = {'yes' if tempfail else 'no'}\n")
    server = posternd(store.target, workers=1, backend={"recipients": "verify"},
                      recipients={"accepted_for": "0s"})
    assert attempt(server, MEDIUM, ALICE)[1].code == 250
    store.fill(ALICE)
    (refused,), final = attempt(server, message("one more"), ALICE)
    assert final is None
    assert refused.code == (452 if tempfail else 552), refused
    # Room is made: a refusal that was remembered would be wrong now.
    store.doveadm("expunge", "-u", ALICE, "mailbox", "INBOX", "all")
    (taken,), final = attempt(server, message("room again"), ALICE)
    assert (taken.code, final.code) == (250, 250)
    assert store.subjects(ALICE) == ["room again"]


def test_over_quota_for_one_of_two(posternd, dovecot_with):
    store = dovecot_with(QUOTA)
    store.fill(ALICE)
    server = posternd(store.target, backend={"recipients": "verify"})
    _, final = attempt(server, MEDIUM, ALICE, BOB)
    assert final.code == 451, final
    assert store.count(BOB) == 1
    # The sender comes back: Bob has it already, Alice gets her exact answer.
    at_rcpt, final = attempt(server, MEDIUM, BOB, ALICE)
    assert [reply.code for reply in at_rcpt].count(250) >= 1
    assert store.count(BOB) == 1


def test_sieve_reject_is_a_bounce_of_dovecots_own(posternd, dovecot_with, folder):
    """Over LMTP Dovecot 2.3 takes the message and bounces it itself: a 250 for the sender, who gets one bounce."""
    bounces = folder / "bounces"
    bounces.mkdir(mode=0o777)
    bounces.chmod(0o777)
    sendmail = folder / "sendmail"
    sendmail.write_text(f"#!/bin/sh\numask 0\ncat > {bounces}/$$.part\nmv {bounces}/$$.part {bounces}/$$\n")
    sendmail.chmod(0o755)
    store = dovecot_with(SIEVE + f"sendmail_path = {sendmail}\n")
    store.sieve(ALICE, 'require ["reject"];\nif header :contains "Subject" "offer" { reject "no offers please"; }\n')
    server = posternd(store.target, backend={"recipients": "verify"})
    assert attempt(server, message("a great offer"), ALICE)[1].code == 250
    (bounce,) = eventually(lambda: [path for path in bounces.iterdir() if path.suffix == ""], "Dovecot bounces")
    assert "no offers please" in bounce.read_text("utf-8", "replace")
    assert attempt(server, message("a question"), ALICE)[1].code == 250
    assert store.subjects(ALICE) == ["a question"]
