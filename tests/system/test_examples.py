"""The configurations that packaging/ and the README show can be used as they are, but for names and paths."""

import pathlib
import re

import pytest
import yaml

from harness.processes import environment, program, run

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
    "in front of Postfix": lambda: first_block("packaging/examples/postern-in-front-of-postfix.md"),
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
