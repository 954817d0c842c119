"""docs/migrating.md: what stands there of other servers is read by them, and what is to replace it serves the same."""

import json
import pathlib
import re

import pytest

from harness.mta_programs import UNPACKED
from harness.processes import program, run, tool

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs/migrating.md").read_text()
DEFAULT, NAME, BELOW = "mx1.example.net", "mx.example.com", "host.sub.example.org"


def shown(language):
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.S).group(1)


def new_for(language):
    """The configuration that follows."""
    return re.search(rf"```{language}\n.*?```toml\n(.*?)```", PAGE, re.S).group(1)


class Serving:
    """What posternd serves with a configuration of the page, in which `places` are here."""

    def __init__(self, build, folder, authority, text, places):
        for path, here in places.items():
            text = text.replace(f'"{path}"', f'"{here}"')
        if "[[backend]]" not in text:
            text = 'hostname = "mx1.example.net"\n' + text
        text = text.replace("[certificates]", f'[certificates]\nroots = "{authority.root}"')
        self._path = folder / "posternd.toml"
        self._path.write_text(text)
        self._build = build
        checked = run([program(build, "posternd"), "--check", "-c", self._path])
        assert checked.returncode == 0, checked.stderr

    def file_of(self, name):
        done = run([program(self._build, "postern"), "certs", "-c", self._path, "--name", name, "--json"])
        answer = json.loads(done.stdout)
        return (answer["sources"] or answer["defaults"][0]["sources"])[0]


@pytest.fixture
def pems(folder, authority):
    live = folder / "pems"
    live.mkdir()
    for name in (DEFAULT, NAME):
        authority.issue(name).write_combined(live / f"{name}.pem")
    authority.issue("*.sub.example.org").write_combined(live / "below.pem")
    return live


def test_postfix(build, folder, authority, pems):
    configuration = folder / "postfix"
    configuration.mkdir()
    (folder / "sni").write_text(f"{NAME} {pems / NAME}.pem\n.sub.example.org {pems}/below.pem\n")
    (folder / "users").write_text("alice@example.com alice/\n")
    main = shown("postfix").replace("/etc/postfix/sni", f"{folder}/sni").replace("/etc/postfix/users", f"{folder}/users")
    main = main.replace("/etc/postfix/mx1.example.net.pem", f"{pems / DEFAULT}.pem")
    (configuration / "main.cf").write_text("compatibility_level = 3.6\n" + main)
    (configuration / "master.cf").write_text("")
    known = run([tool("postconf"), "-c", configuration, "-n"])
    assert known.returncode == 0 and known.stderr == "" and f"tls_server_sni_maps = hash:{folder}/sni" in known.stdout, known
    assert run([tool("postmap"), "-c", configuration, "-F", f"hash:{folder}/sni"]).returncode == 0
    served = run([tool("postmap"), "-c", configuration, "-q", NAME, "-F", f"hash:{folder}/sni"]).stdout
    assert served.strip() == (pems / f"{NAME}.pem").read_text().strip()
    ours = Serving(build, folder, authority, new_for("postfix"),
                   {"/etc/postfix/sni": folder / "sni", "/etc/postfix/users": folder / "users",
                    "/etc/postfix/mx1.example.net.pem": f"{pems / DEFAULT}.pem"})
    assert ours.file_of(NAME) == f"{pems / NAME}.pem"
    assert ours.file_of(BELOW) == f"{pems}/below.pem"
    assert ours.file_of("other.example.com") == f"{pems / DEFAULT}.pem"


def test_exim(build, folder, authority, pems):
    exim = UNPACKED / "exim4-heavy/usr/sbin/exim4"
    line = shown("exim").replace("/etc/ssl/mx", str(pems))
    configuration = folder / "exim.conf"
    configuration.write_text(line)
    read = run([exim, "-C", configuration, "-bP", "tls_certificate"])
    assert read.returncode == 0 and read.stdout.strip() == line.strip(), read.stdout + read.stderr
    ours = Serving(build, folder, authority, new_for("exim"), {"/etc/ssl/mx": pems})
    for name in (NAME, "other.example.com"):
        chosen = run([exim, "-C", configuration, "-be", line.split("=", 1)[1].strip().replace("$tls_in_sni", name)])
        assert chosen.stdout.strip() == ours.file_of(name), chosen.stdout + chosen.stderr


def test_haproxy(build, folder, authority, pems):
    configuration = folder / "haproxy.cfg"
    timeouts = "defaults\n  timeout connect 5s\n  timeout client 5m\n  timeout server 5m\n"
    configuration.write_text(timeouts + shown("haproxy").replace("/etc/haproxy/certs/", f"{pems}/"))
    done = run([tool("haproxy"), "-c", "-f", configuration])
    assert done.returncode == 0, done.stdout + done.stderr
    ours = Serving(build, folder, authority, new_for("haproxy"), {"/etc/haproxy/certs": pems})
    assert ours.file_of(NAME) == f"{pems / NAME}.pem" and ours.file_of("other.example.com") == f"{pems / DEFAULT}.pem"
