"""Who uses an MTA behind a postern that passes sessions through: people who log in, lists, and other MTAs."""

import smtplib

import pytest

from harness import clients, senders
from harness.messages import message
from harness.dialogue import tls_context
from harness.passed_mtas import FRIEND, LOGIN, PASSWORD
from harness.wait import LIMIT, eventually

SENDER, FAR = "author@example.test", "somebody@far-away.test"
STRANGER = "127.0.0.9"


@pytest.fixture
def behind(passed_postfix, passed_exim, passing):
    """Starts a posternd in front of the MTA of this name."""
    def make(name, **options):
        if name == "exim":
            return passing(passed_exim.target, "proxy-v2", profile="exim", **options)
        return passing(passed_postfix.target_of("proxy"), options.pop("identity", "proxy-v2"), **options)
    return make


def stranger(server, address=STRANGER):
    return smtplib.SMTP(*server.address(), local_hostname="client.example.test", timeout=LIMIT, source_address=(address, 0))


@pytest.mark.parametrize("connect", ["late", "early"])
@pytest.mark.parametrize("name", ["postfix", "exim"])
def test_people_log_in_under_tls_only(behind, name, connect):
    server = behind(name, connect=connect, allow_auth=True)
    if connect == "late":
        with stranger(server) as first:  # what the MTA offers is known from the first session on
            first.ehlo()
            first.mail(SENDER)
    with stranger(server) as client:
        client.ehlo()
        assert not client.has_extn("auth")
        assert client.docmd("AUTH", "PLAIN AAAA")[0] == 502
        client.starttls(context=tls_context())
        client.ehlo()
        assert {"PLAIN", "LOGIN"} <= set(client.esmtp_features["auth"].split())
        client.user, client.password = LOGIN, "wrong"
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            client.auth("PLAIN", client.auth_plain)
        assert refused.value.smtp_code == 535
        assert client.mail(SENDER)[0] == 250 and client.rcpt(FAR)[0] == (554 if name == "postfix" else 550)
        client.rset()
        client.password = PASSWORD
        # With an initial response, and in an exchange of several lines.
        mechanism, way = ("PLAIN", client.auth_plain) if connect == "late" else ("LOGIN", client.auth_login)
        assert client.auth(mechanism, way, initial_response_ok=mechanism == "PLAIN")[0] == 235
        assert client.mail(SENDER)[0] == 250 and client.rcpt(FAR)[0] == 250


def test_swaks_logs_in(behind, passed_postfix):
    server = behind("postfix", connect="early", allow_auth=True)
    user = passed_postfix.new_user()
    done = clients.swaks(*server.address(), sender=SENDER, recipients=[f"{user}@example.test"], name="mx.example.test",
                         arguments=["--auth", "LOGIN", "--auth-user", LOGIN, "--auth-password", PASSWORD])
    assert done.returncode == 0, done.stdout + done.stderr
    eventually(lambda: passed_postfix.messages(user), lambda: passed_postfix.log)
    assert f"sasl_username={LOGIN}" in passed_postfix.log


@pytest.mark.parametrize("name", ["postfix", "exim"])
def test_nobody_logs_in_where_it_is_not_allowed(behind, name):
    server = behind(name, connect="early")
    with stranger(server) as client:
        client.starttls(context=tls_context())
        client.ehlo()
        assert not client.has_extn("auth")
        client.user, client.password = LOGIN, PASSWORD
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            client.auth("PLAIN", client.auth_plain)
        assert refused.value.smtp_code == 502
        assert client.mail(SENDER)[0] == 250 and client.rcpt(FAR)[0] == (554 if name == "postfix" else 550)


def test_an_extension_that_postern_does_not_know(behind, passed_postfix):
    """Postfix's XVERP: it passes where it is named, and the MTA decides by the client's address who may use it."""
    user = passed_postfix.new_user()
    with stranger(behind("postfix", connect="early"), FRIEND) as client:
        client.ehlo()
        assert not client.has_extn("xverp")
        assert client.mail(SENDER, ["XVERP"])[0] == 555
    server = behind("postfix", connect="early", pass_extensions=["XVERP"])
    with stranger(server) as client:
        client.ehlo()
        assert not client.has_extn("xverp")
    with stranger(server, FRIEND) as client:
        client.ehlo()
        assert client.has_extn("xverp")
        client.sendmail("list@example.test", [f"{user}@example.test"], message("to a list"), ["XVERP=+="])
    eventually(lambda: passed_postfix.messages(user), lambda: passed_postfix.log)
    assert f"list+{user}=example.test@example.test".encode() in passed_postfix.messages(user)[0]


def sending_postfix(folder, to, root):
    return senders.Postfix(folder, to, folder / "authors", settings=f"""smtp_tls_CAfile = {root}
smtp_tls_security_level = encrypt
""")


class _TlsExim(senders.EximWithPrdr):
    tls = "  hosts_require_tls = *\n  tls_sni = mx.example.test"


def sending_exim(folder, to, _):
    return _TlsExim(folder, to, folder / "authors")


@pytest.mark.parametrize("start,behind_us", [(sending_postfix, "exim"), (sending_exim, "postfix")],
                         ids=["from postfix to exim", "from exim to postfix"])
def test_one_mta_sends_to_another(behind, passed_postfix, passed_exim, folder, authority, start, behind_us):
    """Two messages, the second for two: over STARTTLS, by whatever the sender makes of the other's extensions."""
    server = behind(behind_us)
    receiver = passed_postfix if behind_us == "postfix" else passed_exim
    one, two = receiver.new_user(), receiver.new_user()
    mta = start(folder / "mta", server.address(), authority.root)
    try:
        mta.submit(SENDER, [f"{one}@example.test"], message("the first"))
        mta.submit(SENDER, [f"{one}@example.test", f"{two}@example.test"], message("the second", b"One.\r\n.dot\r\n\r\nLast.\r\n"))
        eventually(lambda: len(receiver.messages(one)) == 2 and len(receiver.messages(two)) == 1,
                   lambda: f"all is delivered; the sender:\n{mta.log()}\nthe receiver:\n{receiver.log}")
        eventually(lambda: not mta.queued(), lambda: f"nothing is left in the queue; log:\n{mta.log()}")
    finally:
        mta.stop()
    (second,) = receiver.messages(two)
    assert second.endswith(b"One.\n.dot\n\nLast.\n"), second
    assert server.wait_for_record("session", messages=1)["tls"] == "TLSv1.3"
