"""`postern tlsrpt`: reports in all their forms, and files that are meant to hurt."""

import email.message
import email.policy
import gzip
import json

import pytest

from harness.processes import program, run, tool

REPORT = {
    "organization-name": "Sender Inc.",
    "date-range": {"start-datetime": "2026-11-25T00:00:00Z", "end-datetime": "2026-11-25T23:59:59Z"},
    "contact-info": "tls@sender.test", "report-id": "1@sender.test",
    "policies": [{
        "policy": {"policy-type": "sts", "policy-string": [], "policy-domain": "one.test", "mx-host": ["mx.one.test"]},
        "summary": {"total-successful-session-count": 20, "total-failure-session-count": 4},
        "failure-details": [{"result-type": "certificate-host-mismatch", "sending-mta-ip": "192.0.2.1",
                             "receiving-mx-hostname": "mx.one.test", "failed-session-count": 4}]}]}


def mail(attachment, subtype):
    """As Python's own library writes a multipart/report."""
    made = email.message.EmailMessage(policy=email.policy.SMTP)
    made["Subject"] = "Report Domain: one.test Submitter: sender.test Report-ID: <1@sender.test>"
    made["TLS-Report-Domain"] = "one.test"
    made.set_content("An aggregate TLS report.")
    made.add_attachment(attachment, maintype="application", subtype=subtype, filename="sender.test!one.test!1!2.json.gz")
    made.set_type("multipart/report")
    made.set_param("report-type", "tlsrpt")
    return made.as_bytes()


@pytest.fixture
def tlsrpt(build):
    return lambda *arguments, stdin=b"": run([program(build, "postern"), "tlsrpt", *arguments], stdin=stdin)


FORMS = {
    "json": json.dumps(REPORT, indent=1).encode(),
    "gzip": gzip.compress(json.dumps(REPORT).encode()),
    "mail": mail(gzip.compress(json.dumps(REPORT).encode()), "tlsrpt+gzip"),
    "mail-json": mail(json.dumps(REPORT).encode(), "tlsrpt+json"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_report_is_read_in_each_of_its_forms(tlsrpt, folder, form):
    path = folder / "report"
    path.write_bytes(FORMS[form])
    from_file, from_pipe = tlsrpt(path), tlsrpt("-", stdin=FORMS[form])
    assert from_file.returncode == 0, from_file.stderr
    assert from_file.stdout == from_pipe.stdout
    rows = [line.split() for line in from_file.stdout.splitlines()]
    assert ["one.test", "Sender", "Inc.", "certificate-host-mismatch", "4", "mx.one.test"] in rows
    assert ["one.test", "Sender", "Inc.", "ok", "20", "-"] in rows


def test_a_maildir_that_a_real_lmtp_store_has_filled(tlsrpt, folder, store):
    for body in (FORMS["mail"], FORMS["mail-json"], b"Subject: hello\r\n\r\nno report\r\n"):
        path = folder / "body"
        path.write_bytes(body)
        sent = run([tool("swaks"), "--protocol", "LMTP", "--socket", store.socket_path, "--from", "a@sender.test", "--to",
                    "tls@one.test", "--data", f"@{path}"])
        assert sent.returncode == 0, sent.stdout
    result = tlsrpt("--maildir", store.maildir / "tls@one.test", "--json")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["reports"], told["other_mails"]) == (2, 1)
    assert {(row["result"], row["sessions"]) for row in told["rows"]} == {("ok", 40), ("certificate-host-mismatch", 8)}


def test_only_one_domain(tlsrpt):
    assert "one.test" in tlsrpt("-", "--domain", "ONE.test", stdin=FORMS["json"]).stdout
    assert "one.test" not in tlsrpt("-", "--domain", "two.test", stdin=FORMS["json"]).stdout


def test_files_that_are_meant_to_hurt_are_refused_in_words(tlsrpt, folder):
    bomb = folder / "bomb"
    with gzip.open(bomb, "wb") as out:
        for _ in range(200):
            out.write(bytes(1_000_000))
    large = folder / "large"
    with open(large, "wb") as out:
        out.truncate(100_000_000)
    deep = folder / "deep"
    deep.write_bytes(b'{"policies":' + b"[" * 1_000_000)
    cases = {bomb: "it decompresses to more than", large: "it is longer than", deep: "its JSON nests more than",
             folder: "it is no file", folder / "missing": "No such file", folder / "empty-folder": "No such file"}
    for path, words in cases.items():
        result = tlsrpt(path)
        assert result.returncode == 1, path
        assert f"{path}: {words}" in result.stderr and len(result.stderr) < 300
    assert tlsrpt("--maildir", folder).returncode == 1
    assert tlsrpt().returncode == 2


def test_without_a_posternd_there_is_no_score(tlsrpt, folder):
    path = folder / "report"
    path.write_bytes(FORMS["json"])
    alone = tlsrpt("--score", "--control", folder / "nobody", path)
    assert alone.returncode == 1 and str(folder / "nobody") in alone.stderr and not alone.stdout
    assert tlsrpt("--window", "7d", path).returncode == 2  # says nothing without --score
    assert tlsrpt("--score", "--window", "1y", path).returncode == 2


def test_reports_about_names_that_posternd_does_not_know(tlsrpt, posternd, folder):
    server = posternd()
    control = ("--score", "--control", server.settings["control"])
    path = folder / "report"
    path.write_text(json.dumps({**REPORT, "policies": [
        {"policy": {"policy-domain": domain}, "summary": {"total-successful-session-count": 1}}
        for domain in ("one.test", "no domain\x1b[2J", "")]}))
    result = tlsrpt(*control, path)
    assert result.returncode == 0, result.stderr
    assert "\x1b" not in result.stdout
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["one.test", "sender.test", "(Sender", "Inc.)", "ok", "1", "0"] in rows
    path.write_text(json.dumps({**REPORT, "policies": [
        {"policy": {"policy-domain": f"d{number}.test"}, "summary": {"total-successful-session-count": 1}}
        for number in range(101)]}))
    assert "101 domains" in tlsrpt(*control, path).stderr
    assert tlsrpt(*control, "--domain", "d7.test", path).returncode == 0
