"""`postern store` by itself, with clients that nobody here wrote."""

import smtplib

import pytest

from harness.dialogue import Dialogue
from harness.messages import message, message_set
from harness.ports import free_port
from harness.processes import program, run, tool

SENDER = "sender@elsewhere.test"


def behind_the_trace(stored, octets):
    """True when what is stored ends in the message, behind header fields that the store put in front."""
    head = stored.removesuffix(octets) if octets else stored
    return len(head) + len(octets) == len(stored) and b"Return-Path: <" in head and b"\r\n\r\n" not in head


def test_swaks_delivers_over_lmtp(store, folder):
    path = folder / "message"
    path.write_bytes(message("by swaks"))
    result = run([tool("swaks"), "--protocol", "LMTP", "--socket", store.socket_path, "--from", SENDER,
                  "--to", "alice@example.test,bob@example.test", "--data", f"@{path}"])
    assert result.returncode == 0, result.stdout + result.stderr
    assert store.count("alice@example.test") == store.count("bob@example.test") == 1
    assert not store.unfinished()


def test_smtplib_delivers_every_message_of_the_set(store):
    for name, octets in message_set().items():
        with Dialogue(store.socket_path) as client:
            client.greet(verb="LHLO")
            client.envelope(SENDER, f"{name}@example.test")
            assert client.message(octets).code == 250, name
        (stored,) = store.messages(f"{name}@example.test")
        assert behind_the_trace(stored, octets), name


def test_lmtp_rules(store):
    with Dialogue(store.socket_path) as client:
        client.expect(220)
        assert client.command("EHLO x").code == 500
        assert client.command("HELO x").code == 500
        keywords = client.hello(verb="LHLO")
        assert {"PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME"} <= set(keywords)
        client.expect(250, "MAIL FROM:<>")
        client.expect(503, "DATA")
        client.expect(250, "RCPT TO:<a@example.test>")
        client.expect(250, "RCPT TO:<b@example.test>")
        client.expect(354, "DATA")
        client.send(message("one reply each") + b".\r\n")
        assert [reply.code for reply in client.replies(2)] == [250, 250]
        client.expect(221, "QUIT")


@pytest.mark.parametrize("recipient", ["../../../outside@example.test", "..@example.test", "/etc@example.test",
                                       '"a/../../b"@example.test', "x@[127.0.0.1]", '".."@example.test', "tmp@example.test"])
def test_no_recipient_leads_out_of_the_store(store, recipient):
    before = {path for path in store.folder.rglob("*") if store.maildir not in path.parents}
    with Dialogue(store.socket_path) as client:
        client.greet(verb="LHLO")
        client.expect(250, "MAIL FROM:<>")
        if client.command(f"RCPT TO:<{recipient}>").code == 250:
            assert client.message(message("where to")).code == 250
            assert store.count() == 1
    after = {path for path in store.folder.rglob("*") if store.maildir not in path.parents}
    assert after == before
    for path in store.files():
        # DIR/recipient/new/file
        assert path.parent.parent.parent == store.maildir


def test_smtplib_speaks_lmtp_with_it(store):
    with smtplib.LMTP(str(store.socket_path)) as client:
        assert client.sendmail(SENDER, ["alice@example.test"], message("by smtplib")) == {}
    assert store.count("alice") == 1


def test_it_does_not_listen_to_the_world_unasked(build, folder):
    port = free_port()
    for address in (f"0.0.0.0:{port}", f"[::]:{port}"):
        refused = run([program(build, "postern"), "store", "--listen", address, "--maildir", folder / "mail"])
        assert refused.returncode == 2 and "--allow" in refused.stderr, refused.stderr


def test_a_folder_that_cannot_be_written_ends_the_start(build, folder):
    (folder / "file").write_text("")
    refused = run([program(build, "postern"), "store", "--listen", f"unix:{folder}/s", "--maildir",
                   folder / "file" / "mail"])
    assert refused.returncode not in (0, None) and str(folder / "file") in refused.stderr, refused.stderr
