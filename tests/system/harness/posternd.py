"""posternd under test: its configuration, its life, its log and its control socket."""

import json
import pathlib
import re
import signal
import socket

from .configuration import toml
from .dialogue import Dialogue, connect
from .ports import free_port
from .processes import Adopted, Process, environment, orphans_are_ours, program, run, sanitizer_report
from .wait import LIMIT, eventually

HOSTNAME = "mx.example.test"

_PORT = re.compile(r"<(\w+)>")


class StartFailed(AssertionError):
    """posternd ended before it was ready."""

    def __init__(self, process):
        self.exit_code, self.stderr = process.exit_code, process.stderr
        super().__init__(f"posternd ended with {self.exit_code}:\n{self.stderr}")


class Posternd:
    """One posternd. In `settings` (see configuration.toml) `<name>` stands for a free port that is called so."""

    def __init__(self, build, folder, settings, *, prefix=(), env=None, forgive=None):
        self._daemon = program(build, "posternd")
        self._tool = program(build, "postern")
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.path = self.folder / "posternd.toml"
        self.ports = {}
        self.process = None
        self._prefix, self._env = list(prefix), env
        self._forgive = forgive  # a regular expression: what is no sanitizer report although it looks like one
        self._starts = 0
        self._end_is_expected = False

    # Configuration.

    def write(self):
        """Writes the settings as they are now."""
        self.path.write_text(self._filled(toml(self.settings)))

    def _filled(self, text):
        return _PORT.sub(lambda found: str(self.ports.setdefault(found.group(1), free_port())), text)

    def address(self, port="smtp", host="127.0.0.1"):
        return host, self.ports[port]

    # Life.

    def start(self):
        """Starts it and waits until it is ready; raises StartFailed when it ends instead."""
        for _ in range(5):
            try:
                return self._start_once()
            except StartFailed as failed:
                # Somebody else took one of our ports between the look and the start.
                if "in use" not in failed.stderr:
                    raise
                self.ports.clear()
        return self._start_once()

    def _start_once(self):
        self.write()
        self._end_is_expected = False
        self._starts += 1
        self.process = Process([*self._prefix, self._daemon, "-c", self.path], name=f"posternd-{self._starts}",
                               folder=self.folder, env=self._env or environment())
        eventually(self._ready, lambda: f"posternd is ready; it said:\n{self.process.stderr}")
        return self

    def _ready(self):
        if not self.process.running():
            self._end_is_expected = True
            raise StartFailed(self.process)
        try:
            return self.control({"request": "status"})["pid"] > 0
        except (OSError, ValueError):
            return False

    def terminate(self):
        """SIGTERM, without waiting."""
        self._end_is_expected = True
        self.process.signal(signal.SIGTERM)

    def upgrade(self):
        """SIGUSR2: waits until another process serves. Returns the one before, whose sessions may go on."""
        old = self.process

        def another():
            try:
                pid = self.status()["pid"]
            except (OSError, ValueError):  # a connection to the old one, which closes
                return None
            return pid if pid != old.pid else None
        with orphans_are_ours():
            old.signal(signal.SIGUSR2)
            pid = eventually(another, lambda: f"another posternd serves; they said:\n{old.stderr}")
        self.process = Adopted(old, pid)
        return old

    def hang_up(self):
        self.process.signal(signal.SIGHUP)

    def kill(self):
        """kill -9."""
        self._end_is_expected = True
        self.process.kill()

    def stop(self):
        """Ends it in order and judges it: exit code 0, no sanitizer report, no end of its own accord."""
        if self.process is None:
            return
        if self.process.running():
            self.terminate()
            code = self.process.wait(2 * LIMIT)
            assert code == 0, f"posternd ended with {code} on SIGTERM:\n{self.process.stderr}"
        assert self._end_is_expected, f"posternd ended by itself with {self.process.exit_code}:\n{self.process.stderr}"
        for path in self.folder.glob("posternd-*.stderr"):
            said = path.read_text("utf-8", "surrogateescape")
            report = sanitizer_report(re.sub(self._forgive, "", said) if self._forgive else said)
            assert not report, report

    # What it says.

    def log(self):
        """Every JSON line of its log so far, as dictionaries."""
        lines = []
        for line in self.process.stderr.splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n"):
                lines.append(json.loads(line))
        return lines

    def records(self, event, **fields):
        """The log's "session" or "recipient" records whose fields have these values."""
        return [line for line in self.log() if line.get("event") == event
                and all(line.get(name) == value for name, value in fields.items())]

    def wait_for_record(self, event, **fields):
        """The first such record, as soon as there is one."""
        return self.wait_for_records(1, event, **fields)[0]

    def wait_for_records(self, count, event, **fields):
        """Such records, as soon as there are `count`: a line is written a moment after what it tells of, by a thread of
        its own. Whoever asserts that there is no line stops the server first."""
        return eventually(lambda: len(found := self.records(event, **fields)) >= count and found,
                          lambda: f"{count} {event} lines with {fields} in\n{self.process.stderr}")

    def wait_for_message(self, *parts):
        """The first other log line whose text contains all `parts`."""
        def found():
            return [line for line in self.log()
                    if "message" in line and all(part in line["message"] for part in parts)]
        return eventually(found, lambda: f"a log line with {parts} in\n{self.process.stderr}")[0]

    def control(self, request):
        """One request on the control socket."""
        path = str(self.settings["control"])
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(LIMIT)
            connection.connect(path)
            stream = connection.makefile("rwb")
            stream.write(json.dumps(request).encode() + b"\n")
            stream.flush()
            return json.loads(stream.readline())

    def status(self):
        return self.control({"request": "status"})

    def reload(self):
        return self.control({"request": "reload"})

    def tool(self, *arguments):
        """Runs `postern` to its end."""
        return run([self._tool, *arguments])

    def check(self, *arguments):
        """`posternd --check` on the settings as they are now (or on a file named in `arguments`)."""
        self.write()
        return run([*self._prefix, self._daemon, "-c", self.path, "--check", *arguments])

    # Talking to it.

    def dialogue(self, port="smtp", host="127.0.0.1", limit=LIMIT):
        return Dialogue(self.address(port, host), limit=limit)

    def greeted(self, port="smtp", host="127.0.0.1", limit=LIMIT):
        """A dialogue that has taken the greeting and said EHLO."""
        dialogue = self.dialogue(port, host, limit)
        dialogue.greet()
        return dialogue

    def accepts(self, port="smtp"):
        try:
            connect(self.address(port), 5).close()
        except OSError:
            return False
        return True


def basic_settings(folder, leaf, target, *, roots, leaves=(), backend=None, **tables):
    """A configuration that delivers example.test to `target` and shows `leaf` by default.

    `roots` is the trust anchor of the certificates. `leaves` are served for their own names. `tables` replace or complete: a dictionary is merged into the table of its name, anything else replaces it;
    `backend` is merged into the one [[backend]], or a list of all of them.
    """
    folder = pathlib.Path(folder)
    chain, key = leaf.write(folder / "certificates", "default")
    settings = {
        "hostname": HOSTNAME,
        "workers": 2,
        "state_dir": folder / "state",
        "control": folder / "control",
        "listen": [{"address": ["127.0.0.1:<smtp>"], "default_certificate": "default"}],
        "certificate": [{"id": "default", "chain": chain, "key": key}],
        "certificates": {"roots": roots},
        "log": {"level": "info", "format": "json"},
        "dns": {"reverse": False},  # clients may claim to be anybody, and no test asks a DNS server that is not its own
        "backend": backend if isinstance(backend, list) else
        [{"name": "store", "deliver": "lmtp", "to": [target], "recipients": "trust", **(backend or {})}],
        "domain": [{"name": "example.test", "backend": "store"}],
    }
    for number, more in enumerate(leaves):
        chain, key = more.write(folder / "certificates", f"leaf-{number}")
        settings["certificate"].append({"chain": chain, "key": key})
    settings["state_dir"].mkdir(parents=True, exist_ok=True)
    for name, value in tables.items():
        if isinstance(value, dict):
            settings[name] = {**settings.get(name, {}), **value}
        else:
            settings[name] = value
    return settings
