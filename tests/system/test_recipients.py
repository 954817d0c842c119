"""Which recipients there are: asked of the backend, from a file; and clients that try many that do not exist."""

import os

import pytest

from harness.messages import message
from harness.posternd import StartFailed
from harness.wait import eventually

SENDER = "sender@elsewhere.test"


def asked(backend):
    return [line for line in backend.commands if line.startswith("RCPT")]


def code_of(server, recipient):
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        return client.command(f"RCPT TO:<{recipient}>")


def replace(path, text):
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


# Lists.

def listed(posternd, backend, path, **more):
    return posternd(backend.target, backend={"recipients": {"file": str(path), **more}})


def test_a_list_of_recipients_is_followed_as_it_changes(posternd, dovecot, folder):
    user = dovecot.new_user()
    users = folder / "users.txt"
    users.write_text(f"# who we are\n{user}   OK\npostmaster\n")
    server = listed(posternd, dovecot, users)
    assert code_of(server, "nobody@example.test").enhanced == "5.1.1"
    with server.greeted() as client:
        client.envelope(SENDER, user.upper())
        assert client.message(message("listed")).code == 250
    assert dovecot.count(user) == 1
    newcomer = dovecot.new_user()
    assert code_of(server, newcomer).code == 550
    replace(users, f"{user}\n{newcomer}\n")
    eventually(lambda: code_of(server, newcomer).code == 250, "the new recipient is taken")
    replace(users, f"{newcomer}\n")
    eventually(lambda: code_of(server, user).code == 550, "the old one is not any more")


BAD_LISTS = {
    "a bad line": (lambda path: replace(path, "alice\nno body@@x\n@@\n"), "users.txt:3: "),
    "nobody": (lambda path: replace(path, "\n# all gone\n"), "lists nobody"),
    "a NUL": (lambda path: replace(path, "alice\nbo\0b\n"), "users.txt:2: holds a NUL"),
    "a huge line": (lambda path: replace(path, "alice\n" + "x" * 1_000_000), "users.txt:2: has more than"),
    "gone": (lambda path: path.unlink(), "does not exist"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "not a regular file"),
    "a FIFO": (lambda path: (path.unlink(), os.mkfifo(path)), "is a FIFO"),
}


@pytest.mark.parametrize("what", BAD_LISTS)
def test_a_bad_list_leaves_the_one_before(posternd, scripted, folder, what):
    users = folder / "users.txt"
    users.write_text("alice\n")
    server = listed(posternd, scripted(), users)
    harm, complaint = BAD_LISTS[what]
    harm(users)
    server.wait_for_message(complaint, "the list that was read before stays in use")
    assert any(complaint in fault for fault in server.status()["faults"])
    assert code_of(server, "alice@example.test").code == 250
    assert code_of(server, "bob@example.test").code == 550
    if users.is_dir():
        users.rmdir()
    replace(users, "bob\n")
    eventually(lambda: code_of(server, "bob@example.test").code == 250, "the mended list is taken")
    assert server.status()["faults"] == []


@pytest.mark.parametrize("text", [None, "alice\n@@\n", ""])
def test_without_a_good_list_there_is_no_start(posternd, scripted, folder, text):
    users = folder / "users.txt"
    if text is not None:
        users.write_text(text)
    with pytest.raises(StartFailed) as failed:
        listed(posternd, scripted(), users)
    assert failed.value.exit_code == 2
    assert "backend store: its recipients are not known:" in failed.value.stderr
    assert str(users) in failed.value.stderr


def test_a_configuration_with_a_bad_list_is_not_taken(posternd, scripted, folder):
    server = posternd(scripted().target, backend={"recipients": "trust"})
    server.settings["backend"][0]["recipients"] = {"file": str(folder / "missing.txt")}
    server.write()
    reply = server.reload()
    assert any("missing.txt" in error for error in reply["errors"]), reply
    assert code_of(server, "anybody@example.test").code == 250


def test_extensions_and_case_as_configured(posternd, scripted, folder):
    users = folder / "users.txt"
    users.write_text("Alice\n")
    server = listed(posternd, scripted(), users, delimiter="-", case="counts")
    assert code_of(server, "Alice-news@example.test").code == 250
    assert code_of(server, "Alice+news@example.test").code == 550
    assert code_of(server, "alice@example.test").code == 550


# Asking the backend.

def test_a_domain_that_takes_everything_is_not_asked_about(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target, workers=1, backend={"recipients": "verify"})
    for number in range(3):
        assert code_of(server, f"user{number}@example.test").code == 250
    server.wait_for_message("takes any name at example.test")
    before = asked(backend)
    assert [line for line in before if "postern-probe-" in line]
    for number in range(20):
        assert code_of(server, f"more{number}@example.test").code == 250
    assert asked(backend) == before


def test_dovecot_is_no_catch_all(posternd, dovecot):
    server = posternd(dovecot.target, workers=1, backend={"recipients": "verify"}, recipients={"catch_all_after": 1})
    users = [dovecot.new_user() for _ in range(3)]
    for user in users:
        assert code_of(server, user).code == 250
    # Again and again, since the random name is asked about on a connection of its own.
    for number in range(5):
        assert code_of(server, f"nobody{number}@example.test").code == 550
    server.stop()
    assert not [line for line in server.log() if "takes any name" in line.get("message", "")]


def test_who_tries_many_unknown_recipients_is_turned_away(posternd, dovecot):
    server = posternd(dovecot.target, backend={"recipients": "verify"}, recipients={"unknown_per_address": 5})
    user = dovecot.new_user()
    for number in range(5):  # each in a session of its own
        assert code_of(server, f"nobody{number}@example.test").code == 550
    with server.greeted() as client:
        client.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{user}>\r\nRCPT TO:<nobody@example.test>\r\n".encode())
        assert [str(reply.code) + " " + reply.enhanced for reply in client.replies(2)] == ["250 2.1.0", "421 4.7.0"]
        assert client.at_end()
    server.wait_for_record("session", outcome="too many unknown recipients")
    with server.greeted(host="127.0.0.1") as client:
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        assert client.command(f"RCPT TO:<{user}>").code == 421


def test_neighbours_of_who_tries_many_wait(posternd, scripted):
    backend = scripted()
    backend.rcpt_replies["nobody@example.test"] = "550 5.1.1 no such user"
    server = posternd(backend.target, backend={"recipients": "verify"},
                      recipients={"unknown_per_address": 0, "unknown_per_network": 3})
    for _ in range(3):
        assert code_of(server, "nobody@example.test").code == 550
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        assert client.command("RCPT TO:<alice@example.test>").enhanced == "4.7.0"
        client.expect(250, "NOOP")


def test_those_who_are_exempt_are_not_counted(posternd, scripted):
    backend = scripted()
    backend.rcpt_replies["nobody@example.test"] = "550 5.1.1 no such user"
    server = posternd(backend.target, backend={"recipients": "verify"},
                      recipients={"unknown_per_address": 1, "unknown_exempt": ["127.0.0.0/8"]})
    for _ in range(4):
        assert code_of(server, "nobody@example.test").code == 550
