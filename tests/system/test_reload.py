"""Certificates and configuration change under a running posternd: by themselves, on SIGHUP, by `postern reload`."""

import os
import pathlib
import shutil
import threading

import pytest

from harness import clients
from harness.dialogue import Dialogue, tls_context
from harness.messages import message
from harness.wait import eventually

NAME = "one.example.test"


def served(server, name=NAME):
    """The certificate that a new connection is shown."""
    with server.greeted() as client:
        client.starttls(tls_context(), name)
        return client.served()


def wait_until_served(server, leaf, name=NAME):
    eventually(lambda: served(server, name) == leaf.fingerprint,
               lambda: f"{name} is served with the new certificate; log:\n{server.process.stderr}")


def replace(path, octets):
    """As careful programs do it: a new file, renamed over the old one."""
    path = pathlib.Path(path)
    new = path.with_name(path.name + ".new")
    new.write_bytes(octets)
    os.rename(new, path)


def relink(link, target):
    """As certbot does it: the link goes, and comes back with another target."""
    link.unlink()
    link.symlink_to(target)


@pytest.fixture
def one_file(posternd, authority, folder, default_leaf):
    """A posternd with an explicit certificate for NAME: (server, its leaf, chain path, key path)."""
    leaf = authority.issue(NAME)
    chain, key = leaf.write(folder / "own", "one")
    default_chain, default_key = default_leaf.write(folder / "own", "default")
    server = posternd(certificate=[{"id": "default", "chain": default_chain, "key": default_key},
                                   {"id": "one", "chain": chain, "key": key}])
    return server, leaf, chain, key


def test_a_replaced_certificate_is_served_by_itself_and_open_sessions_go_on(one_file, authority):
    server, old, chain, key = one_file
    new = authority.issue(NAME)
    with server.greeted() as before, server.greeted() as in_clear:
        before.starttls(tls_context(authority.root, check=True), NAME)
        assert before.served() == old.fingerprint
        before.hello()
        replace(key, new.key)
        replace(chain, new.chain)
        wait_until_served(server, new)
        # The session from before lives on under its old certificate.
        before.expect(250, "NOOP")
        before.expect(250, "MAIL FROM:<a@elsewhere.test>")
        before.expect(221, "QUIT")
        # One that has not asked for TLS yet gets the certificate of now.
        in_clear.starttls(tls_context(authority.root, check=True), NAME)
        assert in_clear.served() == new.fingerprint
    assert clients.openssl(*server.address(), NAME, root=authority.root).verified


def test_a_certificate_written_in_place_is_served_too(one_file, authority):
    server, _, chain, key = one_file
    new = authority.issue(NAME)
    key.write_bytes(new.key)
    chain.write_bytes(new.chain)
    wait_until_served(server, new)


def certbot(live, archive, name, number, leaf):
    """Version `number` of a certificate in certbot's layout: files in archive/, links in live/."""
    (archive / name).mkdir(parents=True, exist_ok=True)
    (live / name).mkdir(parents=True, exist_ok=True)
    parts = {"fullchain": leaf.chain, "privkey": leaf.key}
    for kind, octets in parts.items():
        (archive / name / f"{kind}{number}.pem").write_bytes(octets)
    for kind in parts:
        link, target = live / name / f"{kind}.pem", f"../../archive/{name}/{kind}{number}.pem"
        if link.is_symlink():
            relink(link, target)
        else:
            link.symlink_to(target)


def test_a_certbot_folder_is_read_and_followed_through_renewals(posternd, authority, folder):
    live, archive = folder / "letsencrypt" / "live", folder / "letsencrypt" / "archive"
    leaves = [authority.issue(NAME), authority.issue(NAME), authority.issue(NAME)]
    other, later = authority.issue("two.example.test"), authority.issue("later.example.test")
    certbot(live, archive, NAME, 1, leaves[0])
    certbot(live, archive, "two.example.test", 1, other)
    (live / "README").write_text("This directory contains your keys and certificates.\n")
    server = posternd(certificates={"directories": [live]})
    assert served(server) == leaves[0].fingerprint
    assert served(server, "two.example.test") == other.fingerprint
    for number in (2, 3):
        certbot(live, archive, NAME, number, leaves[number - 1])
        wait_until_served(server, leaves[number - 1])
    certbot(live, archive, "later.example.test", 1, later)
    wait_until_served(server, later, "later.example.test")
    assert served(server, "two.example.test") == other.fingerprint
    assert not server.status()["faults"]


def test_a_name_that_goes_from_a_folder_gets_the_default(posternd, authority, folder, default_leaf):
    live, archive = folder / "live", folder / "archive"
    certbot(live, archive, NAME, 1, authority.issue(NAME))
    server = posternd(certificates={"directories": [live]})
    assert served(server) != default_leaf.fingerprint
    shutil.rmtree(live / NAME)
    wait_until_served(server, default_leaf)


def kubernetes(secret, version, leaf):
    """A secret volume as the kubelet writes it: a folder for each version, `..data` swapped by rename."""
    data = secret / f"..{version}"
    data.mkdir(parents=True)
    (data / "tls.crt").write_bytes(leaf.chain)
    (data / "tls.key").write_bytes(leaf.key)
    (secret / "..data_tmp").symlink_to(f"..{version}")
    old = os.readlink(secret / "..data") if (secret / "..data").is_symlink() else None
    os.rename(secret / "..data_tmp", secret / "..data")
    for name in ("tls.crt", "tls.key"):
        if not (secret / name).is_symlink():
            (secret / name).symlink_to(f"..data/{name}")
    if old:
        shutil.rmtree(secret / old)


def test_a_kubernetes_secret_is_followed_through_its_data_swap(posternd, authority, folder):
    secret = folder / "tls-secret"
    leaves = [authority.issue(NAME) for _ in range(3)]
    kubernetes(secret, "2026_01", leaves[0])
    server = posternd(certificates={"directories": [secret]})
    assert served(server) == leaves[0].fingerprint
    for version, leaf in (("2026_02", leaves[1]), ("2026_03", leaves[2])):
        kubernetes(secret, version, leaf)
        wait_until_served(server, leaf)
    assert not server.status()["faults"]


def test_no_handshake_fails_while_a_kubernetes_secret_is_swapped(posternd, authority, folder):
    secret = folder / "tls-secret"
    leaves = [authority.issue(NAME) for _ in range(3)]
    kubernetes(secret, "0", leaves[0])
    server = posternd(certificates={"directories": [secret]}, limits={"connections_per_address": 1000})
    context = tls_context(authority.root, check=True)
    over, failures, seen = threading.Event(), [], set()

    def loop():
        while not over.is_set():
            try:
                with server.greeted() as client:
                    client.starttls(context, NAME)
                    seen.add(client.served())
                    client.hello()
            except Exception as failure:  # noqa: BLE001 (whatever it is, it must not be)
                failures.append(failure)
                return

    threads = [threading.Thread(target=loop) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for version in range(1, 13):
            kubernetes(secret, str(version), leaves[version % 3])
            if version % 3 == 0:  # the others come as they may, several in a burst
                wait_until_served(server, leaves[version % 3])
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[0]
    assert seen <= {leaf.fingerprint for leaf in leaves} and leaves[0].fingerprint in seen
    eventually(lambda: not server.status()["faults"], "nothing is wrong in the end")


def test_a_postfix_map_is_followed(posternd, authority, folder):
    one, two, new = authority.issue(NAME), authority.issue("two.example.test"), authority.issue(NAME)
    one.write_combined(folder / "map" / "one.pem")
    two.write_combined(folder / "map" / "two.pem")
    sni_map = folder / "map" / "sni"
    sni_map.write_text(f"# the source of tls_server_sni_maps\n{NAME}  {folder}/map/one.pem\n")
    server = posternd(certificates={"maps": [sni_map]})
    assert served(server) == one.fingerprint
    assert served(server, "two.example.test") not in (one.fingerprint, two.fingerprint)
    # A name more in the map, and one for all below a domain.
    replace(sni_map, f"{NAME} {folder}/map/one.pem\ntwo.example.test\t{folder}/map/two.pem\n"
                     f".deep.example.test {folder}/map/two.pem\n".encode())
    wait_until_served(server, two, "two.example.test")
    assert served(server, "any.depth.deep.example.test") == two.fingerprint
    # Another content of a file that the map names.
    replace(folder / "map" / "one.pem", new.key + new.chain)
    wait_until_served(server, new)


BROKEN = {
    "no PEM at all": lambda leaf, other: (b"this is no certificate\n", leaf.key),
    "empty": lambda leaf, other: (b"", leaf.key),
    "cut in the middle": lambda leaf, other: (leaf.chain[:len(leaf.chain) // 4], leaf.key),
    "damaged base64": lambda leaf, other: (leaf.chain.replace(b"M", b"!", 5), leaf.key),
    "the key of another certificate": lambda leaf, other: (leaf.chain, other.key),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_keeps_the_last_good_certificate_and_is_reported(one_file, authority, broken):
    server, old, chain, key = one_file
    new = authority.issue(NAME)
    bad_chain, bad_key = broken(new, authority.issue("other.example.test"))
    replace(key, bad_key)
    replace(chain, bad_chain)

    def faults():
        return [fault for fault in server.status()["faults"] if str(chain) in fault or str(key) in fault]
    eventually(faults, lambda: f"a fault that names the file; there are {server.status()['faults']}")
    assert served(server) == old.fingerprint
    server.wait_for_message(str(chain.parent))
    shown = server.tool("reload", "--control", str(server.settings["control"]))
    assert str(chain) in shown.stdout + shown.stderr or str(key) in shown.stdout + shown.stderr
    assert shown.returncode == 1
    assert server.tool("reload", "--accept-faults", "--control", str(server.settings["control"])).returncode == 0
    assert served(server) == old.fingerprint
    replace(key, new.key)
    replace(chain, new.chain)
    wait_until_served(server, new)
    eventually(lambda: not server.status()["faults"], "the fault is gone")


def test_a_dangling_link_keeps_the_last_good_certificate(posternd, authority, folder):
    live, archive = folder / "live", folder / "archive"
    leaf = authority.issue(NAME)
    certbot(live, archive, NAME, 1, leaf)
    server = posternd(certificates={"directories": [live]})
    assert served(server) == leaf.fingerprint
    relink(live / NAME / "fullchain.pem", "../../archive/gone.pem")
    eventually(lambda: any("fullchain.pem" in fault for fault in server.status()["faults"]),
               lambda: f"a fault; there are {server.status()['faults']}")
    assert served(server) == leaf.fingerprint


def test_a_broken_file_next_to_good_ones_does_not_hold_them_up(posternd, authority, folder):
    live, archive = folder / "live", folder / "archive"
    one, two, new = authority.issue(NAME), authority.issue("two.example.test"), authority.issue("two.example.test")
    certbot(live, archive, NAME, 1, one)
    certbot(live, archive, "two.example.test", 1, two)
    server = posternd(certificates={"directories": [live]})
    (archive / NAME / "fullchain1.pem").write_text("broken\n")
    certbot(live, archive, "two.example.test", 2, new)
    wait_until_served(server, new, "two.example.test")
    assert served(server) == one.fingerprint


def test_postern_reload_says_what_changed(one_file, authority, folder):
    server, _, chain, key = one_file
    unchanged = server.reload()
    assert unchanged["configuration_taken"] and not unchanged["errors"]
    assert not unchanged["added"] + unchanged["removed"] + unchanged["renewed"]
    new = authority.issue(NAME)
    added_chain, added_key = authority.issue("added.example.test").write(folder / "own", "added")
    server.settings["certificate"].append({"chain": added_chain, "key": added_key})
    server.write()
    shown = server.tool("reload", "--control", str(server.settings["control"]))
    assert shown.returncode == 0, shown.stderr
    assert "added.example.test" in shown.stdout, shown.stdout
    assert served(server, "added.example.test") != served(server, "nobody.example.test")
    server.settings["certificate"].pop()
    server.write()
    shown = server.tool("reload", "--control", str(server.settings["control"]))
    assert shown.returncode == 0 and "added.example.test" in shown.stdout, shown.stdout
    assert served(server, "added.example.test") == served(server, "nobody.example.test")
    # A renewal that the reload itself finds, or that was found by itself just before: it is served when reload returns.
    replace(key, new.key)
    replace(chain, new.chain)
    assert server.tool("reload", "--control", str(server.settings["control"])).returncode == 0
    assert served(server) == new.fingerprint


def test_postern_status_says_what_runs(one_file):
    server, *_ = one_file
    shown = server.tool("status", "--control", str(server.settings["control"]))
    assert shown.returncode == 0, shown.stderr
    assert f"127.0.0.1:{server.ports['smtp']}" in shown.stdout
    assert "store" in shown.stdout
    status = server.status()
    assert status["pid"] == server.process.pid and status["workers"] == 2
    assert status["names"] == 2 and status["certificates"] == 2 and not status["faults"]


def test_the_tool_without_a_daemon_says_so_and_fails(one_file, folder):
    server, *_ = one_file
    shown = server.tool("status", "--control", str(folder / "nobody-listens"))
    assert shown.returncode != 0
    assert str(folder / "nobody-listens") in shown.stderr


BROKEN_CONFIGURATIONS = {
    "no TOML": lambda settings, text: text + "\nthis is no TOML\n",
    "unknown key": lambda settings, text: text.replace("hostname", "hostnmae", 1),
    "default certificate that is not there": lambda settings, text: text.replace(
        'default_certificate = "default"', 'default_certificate = "nothing.example.test"'),
    "backend that is not there": lambda settings, text: text.replace('backend = "store"', 'backend = "strore"'),
}


@pytest.mark.parametrize("breaking", BROKEN_CONFIGURATIONS.values(), ids=BROKEN_CONFIGURATIONS)
def test_sighup_with_a_broken_configuration_keeps_the_old_one(posternd, scripted, default_leaf, breaking):
    backend = scripted()
    server = posternd(backend.target)
    good = server.path.read_text()
    server.path.write_text(breaking(server.settings, good))
    server.hang_up()
    server.wait_for_message("posternd.toml:")
    answer = server.reload()
    assert not answer["configuration_taken"]
    assert any("posternd.toml:" in error for error in answer["errors"]), answer
    shown = server.tool("reload", "--control", str(server.settings["control"]))
    assert shown.returncode != 0 and "posternd.toml:" in shown.stdout + shown.stderr
    assert served(server) == default_leaf.fingerprint
    with server.greeted() as client:
        client.envelope("a@elsewhere.test", "b@example.test")
        assert client.message(message("still works")).code == 250
    server.path.write_text(good)
    assert server.reload()["configuration_taken"]


def test_sighup_takes_a_new_configuration_and_running_transactions_keep_theirs(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target)
    with server.greeted() as running, server.greeted() as idle:
        running.envelope("a@elsewhere.test", "b@example.test")
        idle.expect(250, "MAIL FROM:<a@elsewhere.test>")
        idle.expect(550, "RCPT TO:<b@new.test>")
        idle.expect(250, "RSET")
        server.settings["domain"] = [{"name": "new.test", "backend": "store"}]
        server.write()
        server.hang_up()

        def new_is_taken():
            idle.expect(250, "MAIL FROM:<a@elsewhere.test>")
            code = idle.command("RCPT TO:<b@new.test>").code
            idle.expect(250, "RSET")
            return code == 250
        eventually(lambda: server.status()["config_generation"] >= 2, "the configuration is taken")
        assert new_is_taken()
        idle.expect(250, "MAIL FROM:<a@elsewhere.test>")
        idle.expect(550, "RCPT TO:<b@example.test>")
        # The transaction that began before the reload ends as it began.
        running.expect(250, "RCPT TO:<c@example.test>")
        assert running.message(message("from before")).code == 250
    assert backend.taken("c@example.test")


def test_what_needs_a_restart_is_said_and_the_rest_is_taken(posternd):
    server = posternd()
    generation = server.status()["config_generation"]
    server.settings["workers"] = 1
    server.settings["listen"][0]["address"].append("127.0.0.1:<more>")
    server.settings["domain"].append({"name": "more.test", "backend": "store"})
    server.write()
    answer = server.reload()
    assert answer["configuration_taken"], answer
    assert any("workers" in warning for warning in answer["warnings"]), answer
    assert any("restart" in warning for warning in answer["warnings"]), answer
    assert server.status()["config_generation"] > generation
    assert server.status()["workers"] == 2
    assert not server.accepts("more")


def test_no_connection_fails_while_certificates_and_configuration_are_reloaded(posternd, authority, scripted, folder):
    """Handshakes and messages in a loop, while everything is replaced again and again: not one may fail."""
    backend = scripted()
    leaves = [authority.issue(NAME) for _ in range(3)]
    allowed = {leaf.fingerprint for leaf in leaves}
    live, archive = folder / "live", folder / "archive"
    certbot(live, archive, NAME, 1, leaves[0])
    server = posternd(backend.target, certificates={"directories": [live]},
                      limits={"connections_per_address": 1000})
    context = tls_context(authority.root, check=True)
    over, failures, done = threading.Event(), [], []
    seen = set()

    def loop(number):
        count = 0
        while not over.is_set():
            try:
                with Dialogue(server.address()) as client:
                    client.greet()
                    client.starttls(context, NAME)
                    seen.add(client.served())
                    client.hello()
                    client.envelope("a@elsewhere.test", f"{number}@example.test")
                    reply = client.message(message(f"loop {number} {count}"))
                    assert reply.code == 250, reply
                    client.expect(221, "QUIT")
                count += 1
            except Exception as failure:  # noqa: BLE001 (whatever it is, it must not be)
                failures.append(failure)
                return
        done.append(count)

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(2, 17):
            leaf = leaves[number % 3]
            certbot(live, archive, NAME, number, leaf)
            server.settings["limits"]["recipients"] = 100 + number
            server.write()
            if number % 2:
                server.hang_up()
            else:
                assert server.reload()["configuration_taken"]
            eventually(lambda: served(server) == leaf.fingerprint or failures, "the new certificate is served")
            assert not failures, failures[0]
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[0]
    assert seen == allowed
    assert sum(done) == len(backend.deliveries) > 15
