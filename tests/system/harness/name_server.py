"""A name server (BIND) with the zones of a test, on a loopback port; signed zones and a resolver that validates them."""

import functools
import pathlib
import signal

from .ports import free_port
from .processes import Process, run, tool
from .wait import eventually

_OPTIONS = """options {{
  directory "{folder}";
  listen-on port {port} {{ {host}; }};
  listen-on-v6 {{ none; }};
  pid-file none;
  session-keyfile none;
  {more}
}};
controls {{ }};
"""


def dig(port, name, kind, *options, host="127.0.0.1"):
    """What a server says: the data of the records, one line each."""
    result = run([tool("dig"), "+short", "+norec", *options, "-p", port, f"@{host}", name, kind])
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.splitlines()


def check_zone(origin, path):
    """named-checkzone's judgement; the zone as BIND understands it."""
    result = run([tool("named-checkzone"), "-D", "-i", "none", "-k", "fail", origin, path])
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


class _Named:
    def __init__(self, folder, options, statements, port=None, host="127.0.0.1"):
        self.folder = pathlib.Path(folder)
        self.host, self.port = host, port or free_port()
        path = self.folder / "named.conf"
        path.write_text(_OPTIONS.format(folder=self.folder, host=self.host, port=self.port, more=options) + statements)
        self._process = Process([tool("named"), "-g", "-n", "1", "-c", path], name="named", folder=self.folder)
        try:
            self._process.wait_for_stderr("all zones loaded")
        except BaseException:
            self.stop()
            raise

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def freeze(self):
        """SIGSTOP: questions are lost."""
        self._process.signal(signal.SIGSTOP)

    def thaw(self):
        self._process.signal(signal.SIGCONT)

    def stop(self):
        self._process.kill()


class NameServer(_Named):
    """Authoritative for `zones`, {origin: records as text}. Origins in `signed` are signed; `anchors` are their keys.
    `servers`: the names of their name servers."""

    def __init__(self, folder, zones, signed=(), servers=("ns.invalid.",), **place):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._zones, self._signed, self.anchors = {}, set(signed), {}
        self._folder, self._servers, self._serials = folder, servers, dict.fromkeys(zones, 1)
        statements = ""
        for origin, records in zones.items():
            self._write(origin, records, 1)
            file = self._path(origin)
            statements += f'zone "{origin}" {{ type primary; file "{file}"; notify no; }};\n'
        super().__init__(folder, "recursion no; dnssec-validation no;", statements, **place)

    def update(self, origin, records):
        """Other records for a zone that is there already; they are served when this returns."""
        self._serials[origin] += 1
        self._write(origin, records, self._serials[origin])
        self._process.signal(signal.SIGHUP)
        eventually(lambda: f" {self._serials[origin]} " in " ".join(dig(self.port, origin, "SOA", host=self.host)),
                   lambda: f"the new {origin} is served")

    def _path(self, origin):
        return self._folder / (f"{origin}.zone.signed" if origin in self._signed else f"{origin}.zone")

    def _write(self, origin, records, serial):
        path = self._folder / f"{origin}.zone"
        path.write_text(f"$ORIGIN {origin}.\n$TTL 60\n@ IN SOA ns.invalid. root.invalid. {serial} 60 60 6000 60\n"
                        + "".join(f"@ IN NS {server}\n" for server in self._servers) + f"{records}\n")
        if origin not in self._signed:
            return
        if origin not in self.anchors:
            keygen = run([tool("dnssec-keygen"), "-q", "-K", self._folder, "-a", "ECDSAP256SHA256", "-f", "KSK", origin])
            assert keygen.returncode == 0, keygen.stderr
            words = (self._folder / f"{keygen.stdout.strip()}.key").read_text().splitlines()[-1].split()
            data = words[words.index("DNSKEY") + 1:]
            self.anchors[origin] = " ".join(data[:3]), "".join(data[3:])
        sign = run([tool("dnssec-signzone"), "-q", "-z", "-S", "-K", self._folder, "-d", self._folder, "-o", origin,
                    "-f", path.with_suffix(".zone.signed"), path])
        assert sign.returncode == 0, sign.stderr


class Resolver(_Named):
    """Asks a NameServer about its zones, and validates those that are signed; on a free port, or on `port`."""

    def __init__(self, folder, server, origins, port=None):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        statements = "".join(f'zone "{origin}" {{ type forward; forward only; forwarders {{ {server.host} port {server.port}; }}; }};\n'
                             for origin in origins)
        anchors = "".join(f'{origin}. static-key {flags} "{key}"; ' for origin, (flags, key) in server.anchors.items())
        if anchors:
            statements += f"trust-anchors {{ {anchors} }};\n"
        # Addresses for documentation have empty zones otherwise, and a test wants names for them.
        super().__init__(folder, "recursion yes; dnssec-validation yes; empty-zones-enable no;", statements, port)
        eventually(functools.partial(self._answers, origins[0]), lambda: "the resolver answers")

    def _answers(self, origin):
        return bool(dig(self.port, origin, "SOA", "+rec"))
