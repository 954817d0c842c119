"""The admin listener, read as Prometheus and a load balancer would; and what `postern` shows and steers."""

import json
import re

import pytest

from harness.admin import Metrics, fetch, get
from harness.dialogue import connect, tls_context
from harness.messages import message
from harness.posternd import StartFailed
from harness.processes import Process, environment, program
from harness.scripted_lmtp import ScriptedLmtp, Step, at, say
from harness.wait import eventually

SENDER = "sender@elsewhere.test"
TOKEN = "0123456789abcdef-a-token"


def listeners(*admin):
    return [{"address": ["127.0.0.1:<smtp>"], "default_certificate": "default"}, *admin]


ADMIN = {"address": ["127.0.0.1:<admin>"], "protocol": "admin"}


def deliver(client, *recipients):
    client.envelope(SENDER, *recipients)
    return client.message(message("counted"))


def test_metrics_under_traffic(posternd, scripted, authority):
    named = authority.issue("named.example.test", days=20)
    backend = scripted(script=at(Step.RCPT, say("550 5.1.1 unknown"), times=1))
    server = posternd(backend.target, leaves=[named], listen=listeners({**ADMIN, "expires_within": "15d"}),
                      backend={"recipients": "verify"})
    admin = server.address("admin")
    before = Metrics(admin)
    assert before.value("postern_sessions_total") == 0
    with server.greeted() as client:
        client.starttls(tls_context(), server_name="named.example.test")
        client.hello()
        client.envelope(SENDER)
        assert client.command("RCPT TO:<nobody@example.test>").code == 550
        client.command("RSET")
        assert deliver(client, "a@example.test", "b@example.test").code == 250
        assert client.command("NONSENSE").code == 500
        during = Metrics(admin)
        assert during.value("postern_sessions_open") == 1
    with server.greeted() as client:
        client.starttls(tls_context(), server_name="unheard.example.test")
    with server.greeted() as client:
        client.expect(220, "STARTTLS")
        client.send(b"\x16\x03\x01\x00\x05never")
        client.rest()
    eventually(lambda: Metrics(admin).value("postern_sessions_open") == 0, "all sessions have ended")

    after = Metrics(admin)
    assert after.value("postern_sessions_total") == 3
    handshakes = "postern_tls_handshakes_total"
    assert after.value(handshakes, outcome="established", version="TLSv1.3", sni="exact") == 1
    assert after.value(handshakes, outcome="established", sni="unknown") == 1
    assert after.value(handshakes, outcome="failed") == 1
    assert after.value("postern_tls_handshake_duration_seconds_count") == 2
    assert after.value("postern_smtp_commands_total", verb="STARTTLS") == 3
    assert after.value("postern_smtp_commands_total", verb="unknown") == 1
    assert after.value("postern_smtp_replies_total", **{"class": "3xx"}) == 1
    assert after.value("postern_smtp_replies_total", **{"class": "5xx"}) == 2
    assert after.value("postern_messages_total", outcome="taken") == 1
    assert after.value("postern_message_bytes_total") >= len(message("counted"))
    assert after.value("postern_received_bytes_total") > after.value("postern_message_bytes_total")
    assert after.value("postern_recipients_total", status="taken") == 2
    assert after.value("postern_recipients_total", status="refused") == 1
    assert after.value("postern_backend_recipients_total", backend="store", outcome="taken") == 2
    assert after.value("postern_backend_delivery_duration_seconds_count", backend="store") == 1
    assert after.value("postern_backend_up", backend="store", target=backend.target) == 1
    assert after.value("postern_certificates") == 2
    # Of the two only the default, which has ten days left, is listed by name.
    names = [sample.labels["name"] for sample in after.samples
             if sample.name == "postern_certificate_expiry_timestamp_seconds"]
    assert names == ["mx.example.test"]
    assert after.value("process_resident_memory_bytes") > 1 << 20
    assert after.value("process_open_fds") > 10
    assert after.value("postern_ready") == 1
    assert after.value("postern_loop_lag_seconds_count") > 0

    # The conventions that promtool checks: counters end in _total, units are base units, no colons, help everywhere.
    for family in after.families.values():
        assert family.documentation, family.name
        assert re.fullmatch(r"(postern|process)_[a-z_]+", family.name), family.name
        for sample in family.samples:
            if family.type == "counter":
                assert sample.name.endswith("_total"), sample.name
            assert len(sample.labels) <= 4, sample
    # What counts never goes back.
    for sample in before.samples:
        if sample.name.endswith(("_total", "_count", "_bucket")):
            assert after.value(sample.name, **sample.labels) >= sample.value, sample


def test_map_and_reloads_are_counted(posternd, scripted, authority):
    server = posternd(scripted().target, listen=listeners(ADMIN))
    admin = server.address("admin")
    before = Metrics(admin)
    chain, key = authority.issue("new.example.test").write(server.folder, "new")
    server.settings["certificate"].append({"chain": chain, "key": key})
    server.write()
    assert server.reload()["configuration_taken"]
    server.path.write_text("nonsense = 1\n")
    assert not server.reload()["configuration_taken"]
    after = Metrics(admin)
    assert after.value("postern_config_generation") == before.value("postern_config_generation") + 1
    assert after.value("postern_config_reloads_total", outcome="taken") == 1
    assert after.value("postern_config_reloads_total", outcome="refused") == 1
    assert after.value("postern_certificate_map_version") > before.value("postern_certificate_map_version")
    assert after.value("postern_certificate_names") == before.value("postern_certificate_names") + 1


def test_what_an_admin_listener_answers(posternd, scripted, folder):
    path = folder / "admin.sock"
    server = posternd(scripted().target, listen=listeners({"address": ["127.0.0.1:<admin>", f"unix:{path}"],
                                                           "protocol": "admin"}))
    for address in (server.address("admin"), path):
        assert get(address, "/healthz") == (200, "alive\n")
        eventually(lambda: get(address, "/readyz") == (200, "ready\n"), "it is ready")
        assert get(address, "/metrics?x=1")[0] == 200
        assert get(address, "/metrics", method="HEAD") == (200, "")
        assert get(address, "/nothing")[0] == get(address, "/page.html")[0] == 404
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert get(address, "/status.json", method=method)[0] == get(address, "/", method=method)[0] == 405
        assert json.loads(get(address, "/status.json?window=1h")[1])["sni"]["window"] == "1h"
        assert get(address, "/status.json?window=1y")[0] == get(address, "/status.json?window=")[0] == 400
    assert path.stat().st_mode & 0o777 == 0o660
    server.terminate()
    assert server.process.wait() == 0
    assert not path.exists()


def test_a_token_is_asked_for(posternd, scripted, folder):
    token = folder / "token"
    token.write_text(f"{TOKEN}\nnot the second line\n")
    server = posternd(scripted().target, listen=listeners({**ADMIN, "token_file": token}))
    admin = server.address("admin")
    for wrong in (None, "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper()):
        assert get(admin, "/metrics", token=wrong)[0] == 401, wrong
    assert Metrics(admin, token=TOKEN).value("postern_workers") == 2
    for path in ("/status.json", "/nothing"):
        assert get(admin, path)[0] == 401
    assert json.loads(get(admin, "/status.json", token=TOKEN)[1])["reply"] == "page"
    for path in ("/", "/page.js", "/page.css", "/icon.svg"):  # they tell nothing, and ask for the token
        assert get(admin, path)[0] == 200
    assert get(admin, "/healthz")[0] == 200  # a load balancer has no token
    eventually(lambda: get(admin, "/readyz?verbose")[0] == 200, "it is ready")


def test_what_a_browser_may_do_with_it(posternd, scripted, folder):
    path, token = folder / "admin.sock", folder / "token"
    token.write_text(TOKEN)
    server = posternd(scripted().target, listen=listeners(
        {"address": ["127.0.0.1:<admin>", f"unix:{path}"], "protocol": "admin"},
        {"address": ["127.0.0.1:<locked>"], "protocol": "admin", "token_file": token}))
    admin = server.address("admin")
    for page in ("/", "/status.json", "/metrics", "/healthz", "/nothing"):
        _, headers, _ = fetch(admin, page)
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store" and "Access-Control-Allow-Origin" not in headers
    assert fetch(admin, "/page.js")[1]["Content-Type"] == "text/javascript; charset=utf-8"
    # A page elsewhere that has its name point to 127.0.0.1 sends its own name, and reads nothing.
    for host in ("rebound.example", f"rebound.example:{admin[1]}", "192.0.2.1"):
        for page in ("/", "/status.json", "/metrics"):
            status, body = get(admin, page, host=host)
            assert status == 421 and "listen.token_file" in body
            assert get(path, page, host=host)[0] == 200
            assert get(server.address("locked"), page, host=host, token=TOKEN)[0] == 200
        assert get(admin, "/healthz", host=host)[0] == 200
    for host in ("localhost", f"[::1]:{admin[1]}", "a.localhost:1"):
        assert get(admin, "/status.json", host=host)[0] == 200


def test_the_page_has_bounds(posternd, scripted):
    """However much there is: of 120 targets and 60 domains some are shown, and how many there are."""
    targets = [f"unix:/nonexistent/{number}" for number in range(120)]
    names = [f"d{number}.test" for number in range(60)]
    server = posternd(targets[0], listen=listeners(ADMIN),
                      backend=[{"name": "store", "deliver": "lmtp", "to": [scripted().target, *targets], "recipients": "trust"}],
                      domain=[{"name": name, "backend": "store", "mx": [f"mx.{name}"]} for name in names])
    page = json.loads(get(server.address("admin"), "/status.json")[1])
    assert page["target_count"] == 121 and len(page["status"]["backends"]) == 50
    assert page["domains"]["domain_count"] == 60 and len(page["domains"]["domains"]) == 20
    assert {row["enforce"] for row in page["domains"]["domains"]} == {"unknown"}
    assert server.control({"request": "page", "window": "1y"})["reply"] == "error"
    assert len(server.control({"request": "sni-domains", "limit": 60})["domains"]) == 60
    # Metrics have the first hundred targets, and one for the others.
    metrics = Metrics(server.address("admin"))
    assert sum(sample.name == "postern_backend_up" for sample in metrics.samples) == 101
    assert [sample.labels["target"] for sample in metrics.samples
            if sample.name == "postern_backend_waiting" and sample.labels["backend"] == "other"] == ["other"]


@pytest.mark.parametrize("admin, complaint", [
    ({"address": ["0.0.0.0:9"], "protocol": "admin"}, "set token_file"),
    ({"address": ["localhost"], "protocol": "admin"}, "expected an IP address and a port"),
    ({**ADMIN, "token_file": "/nonexistent/token"}, "/nonexistent/token: does not exist"),
    ({**ADMIN, "token_file": "/dev/null"}, "/dev/null: is a device"),
], ids=["reachable from elsewhere", "no address", "no token file", "no regular file"])
def test_wrong_configurations_say_so(posternd, admin, complaint):
    server = posternd(listen=listeners(admin), ready=False)
    with pytest.raises(StartFailed) as failed:
        server.start()
    assert complaint in failed.value.stderr


def test_readiness_follows_the_backends(posternd, folder):
    backend = ScriptedLmtp(folder / "mortal.sock")
    server = posternd(backend.target, listen=listeners(ADMIN), backend={"health": "1s"})
    admin = server.address("admin")
    eventually(lambda: get(admin, "/readyz")[0] == 200, "it is ready")
    backend.stop()
    eventually(lambda: get(admin, "/readyz") == (503, "not ready: no backend is up\n"), "the backend is missed")
    assert get(admin, "/healthz")[0] == 200
    assert server.status()["not_ready"] == ["no backend is up"]
    assert Metrics(admin).value("postern_backend_up") == 0


def test_drain_and_undrain(posternd, scripted):
    server = posternd(scripted().target, listen=listeners(ADMIN), timeouts={"drain_notice": "2s"})
    admin, control = server.address("admin"), str(server.settings["control"])
    with server.greeted() as old:
        drained = server.tool("drain", "--control", control)
        assert drained.returncode == 0 and "accepted for another" in drained.stdout
        assert get(admin, "/readyz") == (503, "not ready: draining\n")
        assert server.accepts()  # a load balancer may not have noticed yet
        eventually(lambda: not server.accepts(), "connections are refused")
        assert server.status()["draining"]
        assert deliver(old, "a@example.test").code == 250
        assert get(admin, "/healthz")[0] == 200
        undrained = json.loads(server.tool("undrain", "--json", "--control", control).stdout)
        assert undrained == {"reply": "drain", "draining": False, "accepts_for_seconds": 0}
        eventually(server.accepts, "connections are accepted again")
        eventually(lambda: get(admin, "/readyz")[0] == 200, "it is ready again")
    # Both workers have a socket of their own, and both must take part again.
    for _ in range(20):
        with server.greeted() as client:
            assert deliver(client, "a@example.test").code == 250


def test_sessions_are_listed(posternd, scripted, build, folder):
    server = posternd(scripted().target)
    control = str(server.settings["control"])
    with server.greeted() as clear, server.greeted() as secure:
        secure.starttls(tls_context(), server_name="mx.example.test")
        secure.hello("mail.example")
        clear.envelope(SENDER, "a@example.test")
        reply = server.control({"request": "sessions"})
        assert reply["matching"] == 2
        by_doing = {row["doing"]: row for row in reply["sessions"]}
        assert by_doing["transaction"]["recipients"] == 1
        assert by_doing["transaction"]["peer"] == "{}:{}".format(*clear.socket.getsockname()[:2])
        assert (by_doing["idle"]["tls_version"], by_doing["idle"]["sni"]) == ("TLSv1.3", "mx.example.test")
        shown = server.tool("sessions", "--control", control, "--match", "transaction")
        lines = shown.stdout.splitlines()
        assert len(lines) == 2 and "client.example.test" in lines[1]
        everything = server.tool("sessions", "--control", control).stdout
        assert "mail.example" in everything and "client.example.test" in everything
        assert server.control({"request": "sessions", "limit": 1})["matching"] == 2
        assert len(server.control({"request": "sessions", "limit": 1})["sessions"]) == 1
        watching = Process([program(build, "postern"), "sessions", "--watch", "--control", control], name="watch",
                           folder=folder, env=environment())
        eventually(lambda: watching.stdout.count("ID ") >= 2, "it is shown again and again")
        watching.kill()
    eventually(lambda: server.control({"request": "sessions"})["matching"] == 0, "they are gone")
    assert server.tool("sessions", "--control", control).stdout == "no such session\n"


def test_the_log_level_changes_while_it_runs(posternd, scripted):
    server = posternd(scripted().target)
    control = str(server.settings["control"])
    assert server.tool("log", "level", "--control", control).stdout == "info\n"
    assert server.tool("log", "level", "error", "--control", control).returncode == 0
    with server.greeted() as client:
        assert client.command("QUIT").code == 221
    eventually(lambda: server.control({"request": "sessions"})["matching"] == 0, "the session has ended")
    assert server.status()["log_level"] == "error"
    assert server.tool("log", "level", "loud", "--control", control).returncode == 2
    assert server.reload()["configuration_taken"]
    assert server.status()["log_level"] == "info"
    with server.greeted() as client:
        assert client.command("QUIT").code == 221
    server.wait_for_record("session", outcome="quit")
    server.stop()
    assert len(server.records("session")) == 1, "the first one was kept out"


def test_status_says_how_it_is(posternd, scripted):
    server = posternd(scripted().target, listen=listeners(ADMIN))
    with server.greeted():
        status = server.status()
    assert status["ready"] or status["not_ready"] == ["no backend is up"]
    assert sum(worker["sessions"] for worker in status["per_worker"]) == 1
    assert [listener["protocol"] for listener in status["listeners"]] == ["smtp", "admin"]
    assert status["memory_octets"] > 1 << 20 and 0 < status["descriptors"] < status["descriptors_max"]
    eventually(lambda: server.status()["rates"]["seconds"] >= 5, "rates have been measured")
    assert server.status()["rates"]["sessions"] <= 1
    text = server.tool("status", "--control", str(server.settings["control"])).stdout
    assert "descriptors" in text and "admin" in text


def test_out_of_descriptors_is_counted(posternd, scripted):
    server = posternd(scripted().target, workers=1, limits={"connections_per_address": 1000},
                      listen=listeners(ADMIN), prefix=["prlimit", "--nofile=80:80"])
    admin = server.address("admin")
    clients = []
    try:
        # A scrape needs a descriptor of its own, so that some are left free when the pause is to be seen.
        def hurt():
            clients.append(connect(server.address()))
            return "cannot be accepted" in server.process.stderr
        eventually(hurt, "descriptors are wanting")
    finally:
        for client in clients:
            client.close()
    eventually(lambda: server.status()["sessions"] == 0, "the clients are gone")
    assert Metrics(admin).value("postern_accept_failures_total") > 0
