"""Mail clients as a new user would try them: each delivers a message over STARTTLS with the name checked."""

import re
import smtplib

import pytest

from harness import clients, senders
from harness.messages import message, without_trace
from harness.posternd import HOSTNAME
from harness.processes import run, tool
from harness.wait import LIMIT, eventually

SENDER, RECIPIENT = "sender@elsewhere.test", "alice@example.test"


def with_swaks(host, port, root, data, folder):
    return clients.swaks(host, port, sender=SENDER, recipients=[RECIPIENT], data=data, name=HOSTNAME, folder=folder,
                         arguments=["--tls-verify", "--tls-ca-path", root])


def with_msmtp(host, port, root, data, folder):
    settings = folder / "msmtprc"
    settings.write_text(f"account default\nhost {host}\nport {port}\nfrom {SENDER}\ntls on\ntls_starttls on\n"
                        f"tls_trust_file {root}\ntls_host_override {HOSTNAME}\nauth off\ndomain client.example.test\n"
                        "set_from_header off\nset_date_header off\nset_msgid_header off\n")
    settings.chmod(0o600)
    return run([tool("msmtp"), f"--file={settings}", RECIPIENT], stdin=data.read_bytes().replace(b"\r\n", b"\n"))


def with_curl(host, port, root, data, folder):
    del folder
    return run([tool("curl"), "--silent", "--show-error", f"smtp://{HOSTNAME}:{port}/client.example.test",
                "--connect-to", f"{HOSTNAME}:{port}:{host}:{port}", "--ssl-reqd", "--cacert", root,
                "--mail-from", SENDER, "--mail-rcpt", RECIPIENT, "--upload-file", data])


@pytest.mark.parametrize("deliver", [with_swaks, with_msmtp, with_curl], ids=["swaks", "msmtp", "curl"])
def test_a_client_delivers_over_verified_tls(posternd, store, authority, folder, deliver):
    server = posternd(store.target, backend={"recipients": "verify"})
    data = folder / "message"
    octets = message("from a client", b"One.\r\n.dot\r\n\r\nLast.\r\n")
    data.write_bytes(octets)
    done = deliver(*server.address(), authority.root, data, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (stored,) = store.messages(RECIPIENT)
    # swaks and curl may end the message with one line end more than the file has.
    assert without_trace(stored, HOSTNAME).rstrip(b"\r\n") == octets.rstrip(b"\r\n")
    record = server.wait_for_record("session", outcome="quit")
    assert record["tls"] == "TLSv1.3" and record["messages"] == 1


def tls_postfix(folder, to, root, authors):
    policy = f"secure match={HOSTNAME} servername={HOSTNAME}"
    return senders.Postfix(folder, to, authors, settings=f"""smtp_tls_CAfile = {root}
smtp_tls_security_level = encrypt
smtp_tls_policy_maps = inline:{{ {{ [{to[0]}]:{to[1]} = {policy} }} }}
""")


def tls_exim(folder, to, root, authors):
    class Client(senders.EximWithPrdr):
        tls = f"  hosts_require_tls = *\n  tls_sni = {HOSTNAME}\n  tls_verify_certificates = {root}\n" \
              "  tls_verify_hosts = *\n  tls_verify_cert_hostnames ="
    return Client(folder, to, authors)


@pytest.mark.parametrize("start", [tls_postfix, tls_exim], ids=["postfix", "exim"])
def test_a_mail_server_delivers_over_verified_tls_under_the_name_that_it_asked_for(
        posternd, store, scripted, authority, folder, start):
    server = posternd(store.target, backend={"recipients": "verify"})
    authors = scripted()
    mta = start(folder / "mta", server.address(), authority.root, authors.target.removeprefix("unix:"))
    try:
        mta.submit(SENDER, [RECIPIENT], message("by an mta"))
        eventually(lambda: store.messages(RECIPIENT), lambda: f"it is delivered; log:\n{mta.log()}")
        eventually(lambda: not mta.queued(), lambda: f"nothing is left in the queue; log:\n{mta.log()}")
    finally:
        mta.stop()
    record = server.wait_for_record("session", messages=1)
    assert record["tls"] == "TLSv1.3" and record["sni"] == HOSTNAME and record["match"] == "exact", record
    assert record["outcome"] == "quit", record


def test_postfix_sends_dsn_and_an_international_sender_through(posternd, scripted, folder):
    """A real Postfix uses what is offered; what the backend gets is what its author has said."""
    backend = scripted(tcp=True, dialect="smtp", extensions=["PIPELINING", "8BITMIME", "SMTPUTF8", "DSN"])
    server = posternd(backend.target, backend={"deliver": "smtp"}, workers=1)

    def offered():
        with server.dialogue() as client:
            return {"SMTPUTF8", "DSN"} <= set(client.greet())
    eventually(offered, "the backend was greeted")
    mta = senders.Postfix(folder / "mta", server.address(), folder / "authors", settings="smtputf8_enable = yes")
    try:
        with smtplib.SMTP("127.0.0.1", mta.port, local_hostname="author.elsewhere.test", timeout=LIMIT) as author:
            assert not author.sendmail("j\u00fcrgen@elsewhere.test", [RECIPIENT], message("with dsn"),
                                       ["SMTPUTF8", "RET=HDRS", "ENVID=abc"],
                                       ["NOTIFY=FAILURE", f"ORCPT=rfc822;{RECIPIENT}"])
        eventually(lambda: backend.deliveries, lambda: f"it is delivered; log:\n{mta.log()}")
    finally:
        mta.stop()
    (delivery,) = backend.deliveries
    assert delivery.mail.startswith("MAIL FROM:<j\u00fcrgen@elsewhere.test>"), delivery
    assert {"SMTPUTF8", "RET=HDRS", "ENVID=abc"} <= set(delivery.mail.split()), delivery
    assert {"NOTIFY=FAILURE", f"ORCPT=rfc822;{RECIPIENT}"} <= set(delivery.rcpt[0].split()), delivery


def test_sslscan_finds_nothing_old(posternd):
    server = posternd()
    host, port = server.address()
    seen = run([tool("sslscan"), "--no-colour", "--starttls-smtp", "--no-failed", f"{host}:{port}"], limit=120)
    assert seen.returncode == 0, seen.stdout + seen.stderr
    for version in ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"):
        assert re.search(rf"{version}\s+disabled", seen.stdout), seen.stdout
    for version in ("TLSv1.2", "TLSv1.3"):
        assert re.search(rf"{version}\s+enabled", seen.stdout), seen.stdout
    assert "not vulnerable to heartbleed" in seen.stdout, seen.stdout
    assert "Session renegotiation not supported" in seen.stdout, seen.stdout
    assert not re.search(r"^Accepted .*(RC4|3DES|NULL|EXP|anon)", seen.stdout, re.MULTILINE), seen.stdout


def test_nmap_finds_no_relay(posternd, scripted):
    """`+` forces the scripts, which else look at the usual ports only."""
    server = posternd(scripted().target)
    host, port = server.address()
    seen = run([tool("nmap"), "-Pn", "-p", str(port), "--script", "+smtp-commands,+smtp-open-relay", host], limit=120)
    assert seen.returncode == 0, seen.stdout + seen.stderr
    assert f"smtp-commands: {HOSTNAME}, PIPELINING, SIZE " in seen.stdout, seen.stdout
    assert "all tests failed" in seen.stdout, seen.stdout
    # Each of its tries has a line, with what it tried and why not.
    server.wait_for_record("recipient", status="refused")
