"""The page of the admin listener in headless Chromium, over real traffic: with names that want to be markup in it."""

import json
import os
import pathlib
import socket

from harness.dialogue import tls_context
from harness.hello import client_hello, server_name
from harness.messages import message
from harness.mta_programs import UNPACKED
from harness.processes import Process, environment, tool
from harness.scripted_lmtp import Step, at, say
from harness.wait import eventually

SENDER, TOKEN = "author@elsewhere.test", "0123456789abcdef-a-token"
HOSTILE = "<img src=x onerror=alert(1)>"
LOOK = pathlib.Path(__file__).parent / "browser" / "look.cjs"


def send(server, name=None, to="a@example.test"):
    with server.greeted() as client:
        if name != "clear":
            client.starttls(tls_context(), server_name=name)
            client.hello(HOSTILE.replace(" ", "_"))
        client.envelope(SENDER, to)
        return client.message(message("counted")).code


def refuse_to_be_named(server):
    """A handshake that fails, under a name that is none."""
    with server.greeted() as client:
        client.expect(220, "STARTTLS")
        client.send(client_hello(server_name(HOSTILE.encode())))
        client.socket.shutdown(socket.SHUT_WR)
        client.rest()


def looking(jobs, folder):
    """Chromium with these jobs, and a function that waits for what was seen of the nth."""
    browser = Process([tool("node"), LOOK, tool("chromium-headless-shell"), json.dumps(jobs)], name="browser", folder=folder,
                      env=environment(NODE_PATH=UNPACKED / "browser" / "node_modules", HOME=str(folder)))

    def seen(number):
        def there():
            assert browser.exit_code in (None, 0), browser.stderr
            lines = browser.stdout.split("\n")
            return lines[number] if len(lines) > number + 1 else None
        return json.loads(eventually(there, lambda: f"Chromium shows {jobs[number]}; it said {browser.stderr}", limit=120))
    return browser, seen


def words(seen):
    return " ".join(seen["text"].split())


def test_what_people_see(posternd, scripted, authority, folder):
    (folder / "token").write_text(TOKEN + "\n")
    named = authority.issue("named.example.test", days=40)
    refusing = scripted(script=at(Step.GREETING, say(f"554 {HOSTILE}")))
    store = scripted()
    server = posternd(
        store.target, leaves=[named],
        backend=[{"name": "store", "deliver": "lmtp", "to": [store.target], "recipients": "trust"},
                 {"name": "hostile", "deliver": "lmtp", "to": [refusing.target], "recipients": "trust"}],
        domain=[{"name": "example.test", "backend": "store", "mx": ["named.example.test"], "mta_sts": {"mode": "testing"}},
                {"name": "hostile.test", "backend": "hostile"}],
        listen=[{"address": ["127.0.0.1:<smtp>"], "default_certificate": "default"},
                {"address": ["127.0.0.1:<admin>"], "protocol": "admin"},
                {"address": ["127.0.0.1:<locked>"], "protocol": "admin", "token_file": folder / "token"}])
    assert [send(server, name) for name in ("named.example.test", "named.example.test", None, "clear")] == [250] * 4
    assert send(server, "unheard.example.test", to="a@hostile.test") == 451
    refuse_to_be_named(server)
    page = eventually(lambda: (lambda made: made if made["minute"]["deferred"] == 1 and len(made["failures"]) == 1 else None)(
        server.control({"request": "page"})), "everything is counted")
    assert page["minute"]["messages"] == 4 and page["sni"]["totals"]["exact"] == 2, page

    origin, locked = ("http://{}:{}/".format(*server.address(port)) for port in ("admin", "locked"))
    pictures = pathlib.Path(os.environ.get("POSTERN_PICTURES", folder))
    jobs = [{"url": origin, "scheme": scheme, "width": width, "until": "4 since the start",
             "picture": str(pictures / f"page-{scheme}-{width}.png")} for scheme in ("light", "dark") for width in (1280, 360)]
    jobs.append({"url": locked, "scheme": "light", "width": 360, "until": "4 since the start", "tokens": ["wrong-wrong-wrong", TOKEN],
                 "window": "hour"})
    jobs.append({"url": origin, "scheme": "light", "width": 1280, "until": "5 since the start"})
    browser, seen = looking(jobs, folder)
    for number in range(4):
        view = seen(number)
        shown = words(view)
        for text in ("mx.example.test", "ready", "4 since the start", "1 deferred", "named.example.test", "2 certificates for 2 names",
                     "example.test", "testing", "hostile", "5 handshakes", "554 <img src=x onerror=alert", "1 failed"):
            assert text in shown, (text, view["text"])
        for share in ("exact 40.0% 2", "none 20.0% 1", "TLS 1.3 66.7% 4", "in clear 16.7% 1"):
            assert share in shown, (share, view["text"])
        assert view["wrong"] == [] and view["faint"] == [], view
        assert {url.partition("?")[0] for url in view["asked"]} - {origin + "icon.svg"} == {
            origin + path for path in ("", "page.js", "page.css", "status.json")}, view["asked"]
        assert (view["images"], view["scripts"], view["storage"], view["cookies"]) == (0, 1, 0, "")
        assert view["widest"] == jobs[number]["width"]
        for part in ('columnheader "Waiting"', 'table "Backends', 'heading "Certificates', 'img "Messages, the last minutes',
                     "status:", 'cell "named.example.test"'):
            assert part in view["tree"], (part, view["tree"])
    assert seen(0)["ground"] == seen(1)["ground"] != seen(2)["ground"] == seen(3)["ground"]
    opened = seen(4)
    assert "locked" not in words(opened) and "exact 40.0% 2" in words(opened)
    # Only what the browser itself says of the answers that were 401: one before the first token, one after the wrong one.
    assert len(opened["wrong"]) == 2 and all("401" in line for line in opened["wrong"]), opened["wrong"]
    # The last one is open while this comes.
    assert send(server) == 250
    assert "5 since the start" in words(seen(5))
    assert browser.wait() == 0
