"""What `log.addresses` hides does not show in any line of the log, whatever a client or a backend says."""

import json
import subprocess

import pytest

from harness.scripted_lmtp import Step, shut

SENDER = "Zebrasender+tag7@elsewhere.test"
ALICE = "zebraalice@example.test"
BOB = "zebrabob@example.test"
SECRET = "zebra"  # in every local part below, and nowhere else


def _greet_and_refuse(server):
    """Every refusal that quotes what was said."""
    with server.greeted() as client:
        client.expect(503, f"RCPT TO:<{ALICE}>")
        client.expect(501, "MAIL FROM:<zebra sender@elsewhere.test>")
        client.expect(501, "MAIL FROM:zebra@@elsewhere.test>")
        client.expect(555, f"MAIL FROM:<{SENDER}> ZEBRA=yes")
        client.send(b"ZEBRA me\r\n")
        client.reply()
        client.send(b"VRFY zebraalice\r\n")
        client.reply()
        client.send(b"EXPN zebraalice@example.test\r\n")
        client.reply()
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        client.expect(550, "RCPT TO:<zebrabob@stranger.test>")
        client.expect(501, "RCPT TO:<zebra bob@example.test>")
        client.expect(501, "RCPT TO:<zebrabob")
        client.expect(555, f"RCPT TO:<{BOB}> ZEBRA=zebra")
        client.expect(550, f"RCPT TO:<{BOB}>")  # by the backend
        client.send(b"NOOP zebra\r\nXCLIENT LOGIN=zebra\r\n")
        client.reply(), client.reply()


def _backend(scripted):
    backend = scripted()
    backend.rcpt_replies[BOB] = f"550 5.1.1 <{BOB}> zebrabob unknown, write to zebraother@example.test"
    return backend


@pytest.mark.parametrize("shown", ["hash", "domain"])
def test_no_address_escapes(posternd, scripted, shown):
    backend = _backend(scripted)
    # One worker, which knows at the last session who has been accepted: a check would come upon the script.
    server = posternd(backend.target, workers=1, log={"addresses": shown, "level": "debug"}, backend={"recipients": "verify"})
    _greet_and_refuse(server)
    for reply in ("250 2.0.0 <zebraalice@example.test> kept for zebraalice in folder tag7 of zebrasender",
                  "550 5.2.2 zebraalice: mailbox of ZEBRAALICE is full",
                  "451 4.2.0 (zebraalice) try later"):
        backend.final_replies[ALICE] = reply
        with server.greeted() as client:
            client.envelope(SENDER, ALICE)
            client.message(f"Message-ID: <zebrasender+tag7.1@elsewhere.test>\r\n\r\n{reply}\r\n".encode())
    # In mid-transaction: the warning about a backend that is going.
    backend.script = lambda _connection, step: shut("421 4.3.0 zebraalice and zebrasender, good bye") if step in (
        Step.MAIL, Step.AFTER_DOT) else None
    with server.greeted() as client:
        client.envelope(SENDER, ALICE)
        assert client.message(b"\r\nhello\r\n").code == 451
    server.wait_for_records(4, "session")
    shown = json.dumps(server.control({"request": "page"})["log"])  # the warnings among it
    assert "good bye" in shown and SECRET not in shown.lower(), shown
    server.stop()
    said = server.process.stderr
    assert server.records("recipient", code=250) and server.records("recipient", code=550)
    assert any("failed at" in line.get("message", "") and "good bye" in line["message"] for line in server.log()), said
    assert SECRET not in said.lower(), [line for line in said.splitlines() if SECRET in line.lower()]
    assert "@example.test" in said and "@stranger.test" in said and "@elsewhere.test" in said


def test_an_operator_finds_an_address_by_its_digest(posternd, scripted):
    server = posternd(_backend(scripted).target, log={"addresses": "hash"})
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        client.expect(250, "RCPT TO:<ZEBRAALICE@EXAMPLE.TEST>")
        client.expect(550, f"RCPT TO:<{ALICE.replace('example', 'stranger')}>")
    refused = server.wait_for_record("recipient", code=550)
    found = server.tool("log", "hash", "-c", server.path, SENDER, ALICE.replace("example", "stranger"))
    assert found.stdout.splitlines() == [refused["from"], refused["to"]], found
    # By the recipe of the manual page, and after a restart.
    key = (server.settings["state_dir"] / "addresses.key").read_bytes()
    digest = subprocess.run(["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}"],
                            input=SENDER.lower().encode(), capture_output=True, check=True, timeout=60)
    assert refused["from"] == f"<hash:{digest.stdout.decode().split()[-1][:12]}@elsewhere.test>"
    server.stop()
    server.start()
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER.upper()}>")
        client.expect(550, f"RCPT TO:<{ALICE.replace('example', 'stranger')}>")
    again = server.wait_for_record("recipient", code=550)
    assert again["from"].split("@")[0] == refused["from"].split("@")[0] and again["to"] == refused["to"]
    # A reload shows them again.
    server.settings["log"]["addresses"] = "full"
    server.write()
    assert server.reload()["configuration_taken"]
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        client.expect(550, f"RCPT TO:<{ALICE.replace('example', 'stranger')}>")
    server.wait_for_record("recipient", code=550, **{"from": f"<{SENDER}>"})


def test_without_its_key_the_tool_says_what_is_missing(posternd):
    server = posternd(ready=False)
    server.write()
    result = server.tool("log", "hash", "-c", server.path, ALICE)
    assert result.returncode == 1 and "addresses.key" in result.stderr, result


def test_nor_in_what_passes_through(passing, scripted):
    """The MTA behind answers for the whole session, in its own words."""
    backend = scripted(tcp=True, dialect="smtp", extensions=("PIPELINING", "ENHANCEDSTATUSCODES", "XCLIENT NAME ADDR PORT HELO"))
    backend.rcpt_replies[BOB] = "550 5.1.1 zebrabob unknown, says zebrasender"
    backend.final_replies[ALICE] = "550 5.7.1 zebraalice and zebracarol do not want mail of zebrasender"
    server = passing(backend.target, "xclient", tables={"log": {"addresses": "domain", "format": "json"}})
    with server.greeted() as client:
        client.expect(250, f"MAIL FROM:<{SENDER}>")
        client.expect(250, f"RCPT TO:<{ALICE}>")
        client.expect(250, "RCPT TO:<zebracarol@example.test>")
        client.expect(550, f"RCPT TO:<{BOB}>")
        assert client.message(b"\r\nhello\r\n").code == 550
        backend.script = lambda _connection, step: shut("421 4.3.0 zebraalice, good bye") if step is Step.MAIL else None
        client.expect(421, f"MAIL FROM:<{ALICE}>")
    server.wait_for_record("session")
    server.stop()
    assert len(server.records("recipient", code=550)) == 3
    assert SECRET not in server.process.stderr.lower(), server.process.stderr
