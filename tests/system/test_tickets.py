"""Session tickets: who may resume, for how long, and what a ticket is bound to."""

import base64
import os
import re

import pytest

from harness import clients, senders
from harness.wait import eventually

NAMES = ["one.example.test", "two.example.test"]
VERSIONS = ["-tls1_2", "-tls1_3"]


@pytest.fixture(scope="session")
def two(authority):
    return {name: authority.issue(name) for name in NAMES}


def ticket_key():
    return base64.b64encode(os.urandom(80)).decode() + "\n"


def connect(server, session, name=NAMES[0], version="-tls1_3"):
    return clients.openssl_session(*server.address(), name, session=session, arguments=[version])


@pytest.mark.parametrize("version", VERSIONS)
def test_openssl_resumes_and_a_reload_ends_no_ticket(posternd, two, folder, version):
    server = posternd(leaves=two.values())
    assert not connect(server, folder / "session", version=version).reused
    assert connect(server, folder / "session", version=version).reused
    server.wait_for_record("session", sni=NAMES[0], resumed="yes")
    assert server.reload()["configuration_taken"]
    assert connect(server, folder / "session", version=version).reused


# A TLS 1.3 ticket comes with the server's first words, which are the greeting where TLS comes first.
@pytest.mark.parametrize("version, tls, arguments", [
    ("1.2", "starttls", ["--starttls-proto=smtp"]), ("1.2", "implicit", []), ("1.3", "implicit", ["--waitresumption"])])
def test_gnutls_resumes(posternd, authority, two, version, tls, arguments):
    server = posternd(leaves=two.values(),
                      listen=[{"address": ["127.0.0.1:<smtp>"], "default_certificate": "default", "tls": tls}])
    resumed, output = clients.gnutls_resumes(
        *server.address(), NAMES[0], root=authority.root,
        arguments=[f"--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}", *arguments])
    assert resumed, output
    server.wait_for_record("session", sni=NAMES[0], resumed="yes", tls=f"TLSv{version}")


def test_postfix_with_a_session_cache_gets_each_name_its_own_certificate(posternd, authority, scripted, two, folder):
    """It takes the two names, which are one address, for one server, and offers the session of one to the other."""
    backend = scripted()
    server = posternd(backend.target, leaves=two.values(),
                      domain=[{"name": name, "backend": "store"} for name in NAMES])
    routes = {name: f"to-{name.split('.')[0]}" for name in NAMES}
    postfix = senders.Postfix(
        folder / "postfix", server.address(), folder / "nobody",
        transports="".join(f"{name} {route}:[{server.address()[0]}]:{server.address()[1]}\n"
                           for name, route in routes.items()),
        settings="smtp_tls_session_cache_database = btree:$data_directory/sessions\n"
                 "smtp_tls_security_level = secure\nsmtp_tls_secure_cert_match = hostname\n"
                 f"smtp_tls_CAfile = {authority.root}\nsmtp_connection_cache_on_demand = no\nsmtp_tls_loglevel = 2\n",
        services=[f"{route} unix - - n - - smtp -o smtp_tls_servername={name} -o smtp_tls_secure_cert_match={name}"
                  for name, route in routes.items()])
    try:
        for number, name in enumerate([NAMES[0], NAMES[0], NAMES[1], NAMES[0], NAMES[1]]):
            postfix.submit("author@elsewhere.test", [f"a{number}@{name}"], b"Subject: session\r\n\r\nx\r\n")
            eventually(lambda number=number, name=name: backend.taken(f"a{number}@{name}"),
                       lambda: f"message {number} is taken; Postfix says:\n{postfix.log()}")
    finally:
        postfix.stop()
    sessions = [record for record in server.wait_for_records(5, "session") if record.get("sni") in NAMES]
    assert [record["sni"] for record in sessions] == [NAMES[0], NAMES[0], NAMES[1], NAMES[0], NAMES[1]]
    for record in sessions:
        assert record["match"] == "exact" and record["certificate"].startswith(record["sni"]), record
    # The cache is at work, and the first session of the second name is a whole handshake.
    assert sessions[1]["resumed"] == "yes" and sessions[2]["resumed"] == "no", sessions


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_of_one_name_gives_a_full_handshake_under_another(posternd, two, folder, default_leaf, version):
    server = posternd(leaves=two.values())
    connect(server, folder / "session", version=version)
    ticket = (folder / "session").read_bytes()
    for name, leaf in ((NAMES[1], two[NAMES[1]]), ("unknown.example.test", default_leaf), (None, default_leaf)):
        (folder / "session").write_bytes(ticket)
        seen = connect(server, folder / "session", name, version)
        assert not seen.reused and seen.fingerprint == leaf.fingerprint, seen.output
    (folder / "session").write_bytes(ticket)
    assert connect(server, folder / "session", version=version).reused


@pytest.mark.parametrize("version", VERSIONS)
def test_a_renewal_ends_old_tickets(posternd, authority, folder, version):
    old, new = authority.issue(NAMES[0]), authority.issue(NAMES[0])
    old.write_combined(folder / "certs" / "one.pem")
    server = posternd(certificates={"directories": [folder / "certs"]})
    connect(server, folder / "session", version=version)
    assert connect(server, folder / "session", version=version).reused
    ticket = (folder / "session").read_bytes()
    new.write_combined(folder / "certs" / "new")
    os.rename(folder / "certs" / "new", folder / "certs" / "one.pem")
    eventually(lambda: clients.openssl(*server.address(), NAMES[0]).fingerprint == new.fingerprint, "the renewed one")
    (folder / "session").write_bytes(ticket)
    seen = connect(server, folder / "session", version=version)
    assert not seen.reused and seen.fingerprint == new.fingerprint, seen.output


@pytest.mark.parametrize("version", VERSIONS)
def test_without_tickets_nobody_resumes(posternd, folder, version):
    server = posternd(tls={"tickets": 0})
    for _ in range(2):
        assert not connect(server, folder / "session", version=version).reused


@pytest.mark.parametrize("tickets", [1, 3])
def test_the_number_of_tickets_is_the_configured_one(posternd, folder, tickets):
    server = posternd(tls={"tickets": tickets})
    seen = connect(server, folder / "session")
    assert seen.output.count("Post-Handshake New Session Ticket arrived") == tickets, seen.output


def test_no_early_data_is_offered(posternd, folder):
    seen = connect(posternd(), folder / "session")
    assert "Max Early Data: 0" in seen.output, seen.output


def test_the_lifetime_of_a_ticket_is_the_configured_one(posternd, folder):
    server = posternd(tls={"ticket_lifetime": "90m"})
    seen = connect(server, folder / "session")
    hint = int(re.search(r"TLS session ticket lifetime hint: (\d+) \(seconds\)", seen.output).group(1))
    assert 5300 < hint <= 5400, seen.output  # counted from the beginning of the handshake


@pytest.mark.parametrize("version", VERSIONS)
def test_two_machines_with_one_key_file_take_each_others_tickets(posternd, two, folder, version):
    keys = folder / "ticket-keys"
    keys.write_text(ticket_key())
    first = posternd(leaves=two.values(), tls={"ticket_key_file": keys})
    second = posternd(leaves=two.values(), tls={"ticket_key_file": keys})
    stranger = posternd(leaves=two.values())
    connect(first, folder / "session", version=version)
    ticket = (folder / "session").read_bytes()
    assert connect(second, folder / "session", version=version).reused
    (folder / "session").write_bytes(ticket)
    assert not connect(stranger, folder / "session", version=version).reused
    # Also over a restart.
    second.stop()
    second.start()
    (folder / "session").write_bytes(ticket)
    assert connect(second, folder / "session", version=version).reused


def test_a_key_file_is_taken_up_by_itself_and_a_bad_one_keeps_the_old_keys(posternd, folder):
    keys, old, new = folder / "ticket-keys", ticket_key(), ticket_key()
    keys.write_text(old)
    server = posternd(tls={"ticket_key_file": keys})
    connect(server, folder / "session")
    ticket = (folder / "session").read_bytes()

    keys.write_text("no ticket key\n")
    server.wait_for_message("tls.ticket_key_file", "ticket-keys:1:", "stay in use")
    assert any("ticket-keys:1:" in fault for fault in server.status()["faults"])
    assert connect(server, folder / "session").reused

    keys.write_text(old + new)  # the one before the last seals
    eventually(lambda: not server.status()["faults"], "the fault is over")
    (folder / "session").write_bytes(ticket)
    assert connect(server, folder / "session").reused

    keys.write_text(new)
    eventually(lambda: len([line for line in server.log() if "ticket keys taken" in line.get("message", "")]) == 3,
               "the new keys are in use")
    (folder / "session").write_bytes(ticket)
    assert not connect(server, folder / "session").reused
    assert connect(server, folder / "session").reused


def test_a_missing_key_file_keeps_nobody_from_delivering(posternd, folder):
    server = posternd(tls={"ticket_key_file": folder / "nothing"})
    assert any("does not exist" in fault and "random keys" in fault for fault in server.status()["faults"])
    assert clients.openssl(*server.address()).done
    assert server.check().returncode == 1
