"""The MTA-STS policy host and ACME challenges, as curl sees them."""

import socket

import pytest

from harness.processes import run, tool
from harness.wait import LIMIT

PATH = "/.well-known/mta-sts.txt"


def curl(server, url, *options, port="https"):
    """curl, which is led to the server whatever the URL's host."""
    host, number = server.address(port)
    return run([tool("curl"), "-sS", "--max-time", LIMIT, "--connect-to", f"::{host}:{number}", "-i", *options, url])


@pytest.fixture
def policy_host(posternd, authority):
    return posternd(
        leaves=[authority.issue("mta-sts.one.test"), authority.issue("mta-sts.two.test")],
        listen=[{"address": ["127.0.0.1:<smtp>"], "default_certificate": "default"},
                {"address": ["127.0.0.1:<https>"], "protocol": "mta-sts", "default_certificate": "default"}],
        domain=[{"name": "one.test", "mx": ["mx.one.test"], "backend": "store",
                 "mta_sts": {"mode": "enforce", "max_age": "1d"}},
                {"name": "two.test", "mx": ["mx.{domain}.cust.test"], "backend": "store", "mta_sts": {}},
                {"name": "plain.test", "backend": "store"}])


def test_a_policy_is_served_under_its_own_certificate(policy_host, authority):
    one = curl(policy_host, f"https://mta-sts.one.test{PATH}", "--cacert", authority.root)
    assert one.returncode == 0, one.stderr
    head, body = one.stdout.split("\r\n\r\n", 1)
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert "\r\nContent-Type: text/plain\r\n" in head
    assert body == "version: STSv1\r\nmode: enforce\r\nmx: mx.one.test\r\nmax_age: 86400\r\n"
    two = curl(policy_host, f"https://mta-sts.two.test{PATH}", "--cacert", authority.root)
    assert "mode: testing\r\nmx: mx.two.test.cust.test\r\n" in two.stdout, two.stderr
    record = policy_host.wait_for_record("http", host="mta-sts.one.test")
    assert record["status"] == 200 and record["target"] == PATH and record["tls"] == "TLSv1.3"


@pytest.mark.parametrize("load", ["eager", "lazy"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_an_rsa_certificate_of_a_folder_serves_the_policy_too(posternd, authority, folder, load, version):
    authority.issue("mta-sts.one.test", kind="rsa").write_combined(folder / "certs" / "mta-sts.one.test.pem")
    server = posternd(
        certificates={"directories": [folder / "certs"], "load": load},
        listen=[{"address": ["127.0.0.1:<smtp>"], "default_certificate": "default"},
                {"address": ["127.0.0.1:<https>"], "protocol": "mta-sts", "default_certificate": "default"}],
        domain=[{"name": "one.test", "mx": ["mx.one.test"], "backend": "store", "mta_sts": {}}])
    answer = curl(server, f"https://mta-sts.one.test{PATH}", "--cacert", authority.root, "--tlsv" + version, "--tls-max",
                  version)
    assert answer.stdout.startswith("HTTP/1.1 200 OK\r\n") and "mx: mx.one.test\r\n" in answer.stdout, answer.stderr


def test_several_requests_share_a_connection_and_head_has_no_body(policy_host, authority):
    url = f"https://mta-sts.one.test{PATH}"
    both = curl(policy_host, url, url, "--cacert", authority.root, "-w", "%{num_connects} ")
    assert both.stdout.count("max_age: 86400") == 2 and both.stdout.rstrip().endswith("0"), both.stdout
    head = curl(policy_host, url, "--cacert", authority.root, "--head")
    assert "Content-Length: " in head.stdout and "STSv1" not in head.stdout


@pytest.mark.parametrize("url", [f"https://mta-sts.plain.test{PATH}", f"https://one.test{PATH}", "https://mta-sts.one.test/",
                                 f"https://mta-sts.one.test{PATH}?x", f"https://127.0.0.1{PATH}"])
def test_everything_else_is_not_found_and_nothing_redirects(policy_host, url):
    answer = curl(policy_host, url, "--insecure")
    assert answer.stdout.startswith("HTTP/1.1 404 Not Found\r\n"), answer.stderr
    assert "Location:" not in answer.stdout


def test_a_reload_takes_a_new_policy(policy_host, authority):
    policy_host.settings["domain"][0]["mta_sts"] = {"mode": "none", "max_age": "1d"}
    policy_host.write()
    assert policy_host.reload()["configuration_taken"]
    answer = curl(policy_host, f"https://mta-sts.one.test{PATH}", "--cacert", authority.root)
    assert "mode: none\r\n" in answer.stdout


@pytest.mark.parametrize("garbage", [b"EHLO a\r\n", b"\x00" * 600, b"GET / HTTP/1.1\r\n\r\n"])
def test_clear_text_on_the_policy_host_ends_the_connection(policy_host, garbage):
    with socket.create_connection(policy_host.address("https"), LIMIT) as client:
        client.sendall(garbage)
        client.settimeout(LIMIT)
        try:
            answer = client.recv(1000)  # a TLS alert, or nothing
        except ConnectionResetError:
            answer = b""
        assert answer[:1] in (b"", b"\x15")
    assert curl(policy_host, f"https://mta-sts.one.test{PATH}", "--insecure").stdout.startswith("HTTP/1.1 200")


@pytest.fixture
def challenges(posternd, folder):
    webroot = folder / "webroot"
    (webroot / ".well-known" / "acme-challenge").mkdir(parents=True)
    server = posternd(listen=[{"address": ["127.0.0.1:<smtp>"], "default_certificate": "default"},
                              {"address": ["127.0.0.1:<http>"], "protocol": "acme", "webroot": webroot}])
    return server, webroot / ".well-known" / "acme-challenge"


def test_a_challenge_is_served_from_the_webroot(challenges):
    server, place = challenges
    (place / "token_-9").write_text("token_-9.thumbprint")
    answer = curl(server, "http://any.test/.well-known/acme-challenge/token_-9", port="http")
    head, body = answer.stdout.split("\r\n\r\n", 1)
    assert head.startswith("HTTP/1.1 200 OK\r\n") and body == "token_-9.thumbprint"


def test_nothing_else_is_served_by_the_challenge_listener(challenges):
    server, place = challenges
    (place.parent / "secret").write_text("secret")
    (place / "folder").mkdir()
    for path in ("/", "/.well-known/secret", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/missing",
                 "/.well-known/acme-challenge/folder", "/.well-known/acme-challenge/../secret",
                 "/.well-known/acme-challenge/%2e%2e/secret"):
        answer = curl(server, f"http://any.test{path}", "--path-as-is", port="http")
        assert answer.stdout.startswith("HTTP/1.1 404 Not Found\r\n"), path
        assert "secret" not in answer.stdout
