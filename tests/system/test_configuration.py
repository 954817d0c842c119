"""A wrong configuration says where and what: file, line, column, key, what was found, what was expected."""

import os
import re

import pytest

from harness.processes import environment, run, tool

PLACE = r"posternd\.toml:(\d+):(\d+): "


def line_of(server, text):
    """The number of the first line of the configuration that has `text`."""
    lines = server.path.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def refused(server, text):
    """`--check` and a real start both refuse this configuration; what they said."""
    server.path.write_text(text)
    checked = run([server._daemon, "-c", server.path, "--check"])
    assert checked.returncode == 2, (checked.returncode, checked.stderr)
    started = run([server._daemon, "-c", server.path])
    assert started.returncode == 2, (started.returncode, started.stderr)
    return checked.stderr


MISTAKES = {
    "no TOML": ("hostname = ", "hostname == ", "value", ""),
    "unknown key": ("workers = ", "wrokers = ", "wrokers", "workers"),
    "unknown section": ("[log]", "[lgo]", "lgo", "log"),
    "wrong type": ("workers = 2", 'workers = "two"', "workers", "integer"),
    "out of range": ("workers = 2", "workers = 100000", "workers", "1024"),
    "no address": ('address = ["127.0.0.1:', 'address = ["localhost:', "address", "0.0.0.0:25"),
    "unknown choice": ('deliver = "lmtp"', 'deliver = "uucp"', "deliver", "lmtp"),
    "unknown backend": ('backend = "store"', 'backend = "strore"', "backend", "store"),
    "bad host name": ('hostname = "mx.example.test"', 'hostname = "not a host name"', "hostname", "not a host name"),
    "bad duration": ("[log]", '[timeouts]\ncommand = "5 parsecs"\n[log]', "command", "5 parsecs"),
    "bad size": ("[log]", '[limits]\nmessage_size = "huge"\n[log]', "message_size", "huge"),
    "bad network": ("[log]", '[smtp]\nsmuggling_exempt = ["10.0.0.0/99"]\n[log]', "smuggling_exempt", "10.0.0.0/99"),
    "bad target": ('to = ["unix:', 'to = ["unx:', "to", "unx:"),
    "a backend over the network in clear": ('to = ["unix:/nonexistent/lmtp"]', 'to = ["192.0.2.1:24"]', "to", 'tls = "off"'),
    "a missing key": ('default_certificate = "default"\n', "\n", "default_certificate", ""),
}


@pytest.mark.parametrize("found, instead, key, hint", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_with_its_place(posternd, found, instead, key, hint):
    server = posternd(ready=False)
    server.write()
    text = server.path.read_text()
    assert found in text
    said = refused(server, text.replace(found, instead, 1))
    place = re.search(PLACE, said)
    assert place, said
    assert key in said and hint in said, said
    wrong = instead.strip().split("\n")[0 if not instead.startswith("[") or "\n" not in instead else 1]
    if wrong:
        assert int(place.group(1)) == line_of(server, wrong[:15]), said
    assert int(place.group(2)) >= 1


def test_all_mistakes_are_told_at_once(posternd):
    server = posternd(ready=False)
    server.write()
    text = server.path.read_text().replace("workers = 2", "workers = -1").replace('"lmtp"', '"uucp"', 1)
    said = refused(server, text.replace('format = "json"', 'format = "xml"'))
    for key in ("workers", "deliver", "format"):
        assert re.search(PLACE + f"[^\n]*{key}", said), said
    lines = [int(place.group(1)) for place in re.finditer(PLACE, said)]
    assert lines == sorted(lines)


def test_a_configuration_that_is_not_there(posternd, folder):
    server = posternd(ready=False)
    result = run([server._daemon, "-c", folder / "nothing.toml"])
    assert result.returncode == 2 and "nothing.toml" in result.stderr, result.stderr


def test_check_accepts_a_good_one_and_touches_nothing(posternd):
    server = posternd(ready=False)
    before = sorted(path.name for path in server.folder.rglob("*"))
    result = server.check()
    assert result.returncode == 0, result.stderr
    after = sorted(path.name for path in server.folder.rglob("*"))
    assert set(after) - set(before) == {"posternd.toml"}


def test_check_works_while_the_daemon_runs(posternd):
    server = posternd()
    result = server.check()
    assert result.returncode == 0, result.stderr


def test_includes_and_the_environment(posternd, scripted, folder):
    backend = scripted()
    server = posternd(backend.target, ready=False)
    server.settings["include"] = ["conf.d/*.toml"]
    server.settings["hostname"] = "${POSTERN_TEST_HOST}"
    server._env = environment(POSTERN_TEST_HOST="from-the-environment.example.test")
    (server.folder / "conf.d").mkdir()
    (server.folder / "conf.d" / "more.toml").write_text('[[domain]]\nname = "included.test"\nbackend = "store"\n')
    server.start()
    with server.dialogue() as client:
        assert client.expect(220).text.startswith("from-the-environment.example.test")
        client.hello()
        client.envelope("a@elsewhere.test", "b@included.test")
    (server.folder / "conf.d" / "more.toml").write_text('\n[[domain]]\nname = "included.test"\nbackend = "none"\n')
    assert any(re.search(r"conf\.d/more\.toml:4:\d+: ", error) for error in server.reload()["errors"])


# Certificates. `--check` exits with 1 when posternd would start but something is wrong, with 2 when it would not.

def with_certificate(server, leaf, change):
    """The settings with one certificate more, whose files `change(chain, key)` has spoilt."""
    chain, key = leaf.write(server.folder / "certificates", "more")
    change(chain, key)
    server.settings["certificate"].append({"id": "more", "chain": chain, "key": key})
    return chain, key


def test_a_missing_file_is_named_with_its_host_names_or_place(posternd, authority):
    server = posternd(ready=False)
    chain, key = with_certificate(server, authority.issue("one.example.test"), lambda _chain, key: key.unlink())
    result = server.check()
    assert result.returncode == 1 and str(key) in result.stderr, result.stderr
    chain.unlink()
    result = server.check()
    assert result.returncode == 1 and str(chain) in result.stderr, result.stderr


def test_a_key_that_does_not_belong_to_its_certificate_is_named(posternd, authority):
    other = authority.issue("other.example.test")
    server = posternd(ready=False)
    chain, key = with_certificate(server, authority.issue("one.example.test"),
                                  lambda _chain, key: key.write_bytes(other.key))
    result = server.check()
    assert result.returncode == 1, result.stderr
    assert str(key) in result.stderr and "one.example.test" in result.stderr, result.stderr


def test_an_expired_certificate_is_named(posternd, authority):
    server = posternd(ready=False)
    chain, _ = with_certificate(server, authority.issue("old.example.test", days=-1), lambda _chain, _key: None)
    result = server.check()
    assert result.returncode == 1, result.stderr
    assert "expired" in result.stderr and str(chain) in result.stderr and "old.example.test" in result.stderr


def test_an_unreadable_key_is_named_for_the_user_that_would_run(posternd, authority):
    prefix = [tool("setpriv"), "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
    server = posternd(ready=False, prefix=prefix)
    _, key = with_certificate(server, authority.issue("one.example.test"), lambda _chain, key: key.chmod(0o000))
    result = server.check()
    assert result.returncode == 1, result.stderr
    assert str(key) in result.stderr and "ermission denied" in result.stderr, result.stderr


def test_places_where_nothing_can_be_written_are_warned_of(posternd, folder):
    """A store may well start later, so that this is no fault."""
    server = posternd(f"unix:{folder}/none", ready=False)
    server.settings["state_dir"] = "/usr"
    server.write()
    result = run([tool("setpriv"), "--reuid=nobody", "--regid=nogroup", "--clear-groups", server._daemon, "-c", server.path, "--check"]
                 if os.getuid() == 0 else [server._daemon, "-c", server.path, "--check"])
    assert f"backend store: the socket {folder}/none: does not exist" in result.stderr, result.stderr
    assert "state_dir /usr: Permission denied" in result.stderr, result.stderr


def test_a_default_certificate_that_cannot_be_resolved_ends_the_start(posternd):
    server = posternd(ready=False)
    server.settings["listen"][0]["default_certificate"] = "nobody.example.test"
    server.write()
    said = refused(server, server.path.read_text())
    assert "nobody.example.test" in said and "default_certificate" in said and "posternd.toml:" in said, said


def test_one_bad_certificate_besides_the_default_does_not_stop_the_start(posternd, authority):
    """The others must be served; the fault is told."""
    server = posternd(ready=False)
    chain, _ = with_certificate(server, authority.issue("one.example.test"), lambda chain, _key: chain.write_text("?"))
    server.start()
    assert any(str(chain) in fault for fault in server.status()["faults"])
    server.wait_for_message(str(chain))


def test_a_state_dir_that_cannot_be_written_is_named(posternd, folder):
    server = posternd(ready=False)
    (folder / "file").write_text("not a folder")
    server.settings["state_dir"] = folder / "file" / "state"
    server.write()
    result = run([server._daemon, "-c", server.path])
    assert result.returncode > 0 and str(folder / "file" / "state") in result.stderr, result.stderr
