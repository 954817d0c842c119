"""The configurations that packaging/ and the README show can be used as they are, but for names and paths."""

import pathlib
import re

import pytest
import yaml

from harness.dialogue import Dialogue
from harness.messages import message
from harness.mta_programs import UNPACKED
from harness.passed_mtas import PassedPostfix
from harness.ports import free_port
from harness.processes import environment, program, run
from harness.wait import eventually

ROOT = pathlib.Path(__file__).resolve().parents[2]


def kubernetes(path):
    for document in yaml.safe_load_all((ROOT / path).read_text()):
        if document["kind"] == "ConfigMap":
            return document["data"]["posternd.toml"]
    raise AssertionError(f"{path} has no ConfigMap")


def first_block(path, language="toml"):
    return re.search(rf"```{language}\n(.*?)```", (ROOT / path).read_text(), re.S).group(1)


EXAMPLES = {
    "the README": lambda: first_block("README.md"),
    "packaged": lambda: (ROOT / "packaging/examples/posternd.toml").read_text(),
    "the image": lambda: (ROOT / "packaging/container/posternd.toml").read_text(),
    "Kubernetes": lambda: kubernetes("packaging/kubernetes/behind-load-balancer.yaml"),
    "in front of Postfix": lambda: (ROOT / "packaging/examples/in-front-of-postfix.toml").read_text(),
    "in front of Exim": lambda: (ROOT / "packaging/examples/in-front-of-exim.toml").read_text(),
}


@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES)
def test_an_example_is_a_configuration(text, build, folder, authority):
    authority.issue("mx1.example.net", "mx.example.net").write_combined(folder / "certificates/mx.pem")
    (folder / "domains.txt").write_text("example.com\n")
    (folder / "token").write_text("0123456789abcdef0123456789abcdef\n")
    (folder / "ca.crt").write_bytes(authority.root.read_bytes())
    keys = run(["openssl", "rand", "-base64", "80"]).stdout.replace("\n", "")
    (folder / "keys").write_text(keys + "\n")
    shown = text()
    for path, here in {"/etc/letsencrypt/live": "certificates", "/certificates": "certificates", "/tickets/keys": "keys",
                       "/store-ca/ca.crt": "ca.crt", "/run/secrets/postern/token": "token"}.items():
        shown = shown.replace(f'"{path}"', f'"{folder / here}"')
    shown = shown.replace("[certificates]", f'[certificates]\nroots = "{authority.root}"')
    (folder / "posternd.toml").write_text(f'state_dir = "{folder}/state"\n' + shown)
    checked = run([program(build, "posternd"), "--check", "-c", folder / "posternd.toml"],
                  env=environment(POSTERN_HOSTNAME="mx1.example.net", POSTERN_BACKEND="dovecot:24", POSTERN_BACKEND_TLS="off"))
    assert checked.returncode == 0, checked.stderr


class ExamplePostfix(PassedPostfix):
    """Its smtpd behind posternd is the one of the example, on a free port."""

    def more_services(self):
        services = super().more_services()
        self.ports["example"] = free_port()
        text = (ROOT / "packaging/examples/in-front-of-postfix.master.cf").read_text()
        assert "127.0.0.1:10025" in text
        # Debian's smtpd runs in a chroot that the package has filled.
        lines = text.replace("127.0.0.1:10025 inet n - y", f"127.0.0.1:{self.ports['example']} inet n - n").splitlines()
        return [*services, *(line for line in lines if not line.startswith("#"))]


def test_a_postfix_takes_the_example_behind_us(folder, default_leaf, passing):
    postfix = ExamplePostfix(folder / "postfix", ["user"], default_leaf)
    try:
        server = passing(postfix.target_of("example"), "proxy-v2")
        with Dialogue(server.address(), source="127.0.0.9") as client:
            client.greet()
            client.envelope("sender@elsewhere.test", "user@example.test")
            assert client.message(message("by the example")).code == 250
        eventually(lambda: postfix.messages("user"), lambda: postfix.log)
        assert b"[127.0.0.9]" in postfix.messages("user")[0]
    finally:
        postfix.stop()


def test_an_exim_takes_the_example(folder):
    configuration = folder / "exim.conf"
    configuration.write_text((ROOT / "packaging/examples/in-front-of-exim.conf").read_text() + "begin acl\n")
    done = run([UNPACKED / "exim4-heavy/usr/sbin/exim4", "-C", configuration, "-bP", "hosts_proxy", "daemon_smtp_ports"])
    assert done.returncode == 0 and "hosts_proxy = 127.0.0.1\ndaemon_smtp_ports = 10025\n" in done.stdout, done.stdout + done.stderr
