"""An ACME server on loopback (pebble), and the clients that operators use with it: lego and dehydrated."""

import functools
import http.server
import json
import pathlib
import ssl
import subprocess
import threading
import urllib.request

from .ports import accepts, free_port
from .processes import Process, environment, tool
from .wait import LIMIT, eventually


class _Challenges:
    """Serves a folder over HTTP on a port of its own: where http-01 looks for its answers."""

    resolver = None

    def __init__(self, folder):
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass
        self.folder = folder
        folder.mkdir(parents=True)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Elsewhere:
    """Challenges that somebody else serves from `folder`, on port 80 of the addresses that the resolver at 127.0.0.1:53
    knows."""

    port = 80
    resolver = "127.0.0.1:53"

    def __init__(self, folder):
        self.folder = folder

    def stop(self):
        pass


class Acme:
    """pebble. `root` is the path of the anchor of what it signs. Unless `challenges` says otherwise, it has a name server
    that says 127.0.0.1 to everything, and what it looks at is served here."""

    def __init__(self, authority, folder, challenges=None):
        self._folder = pathlib.Path(folder)
        self._folder.mkdir()
        self._trusted = authority.root  # for pebble's own HTTPS
        self._processes = []
        self._challenges = challenges or _Challenges(self._folder / "www")
        try:
            self._start(authority.issue("localhost"))
        except BaseException:
            self.stop()
            raise

    def _start(self, leaf):
        chain, key = leaf.write(self._folder, "pebble")
        port, management = free_port(), free_port()
        configuration = self._folder / "pebble.json"
        configuration.write_text(json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{port}", "managementListenAddress": f"127.0.0.1:{management}",
            "certificate": str(chain), "privateKey": str(key), "httpPort": self._challenges.port, "tlsPort": 1}}))
        self._processes.append(Process(
            [tool("pebble"), "-config", configuration, "-dnsserver", self._challenges.resolver or self._start_names()],
            name="pebble", folder=self._folder, env=environment(PEBBLE_VA_NOSLEEP="1", PEBBLE_WFE_NONCEREJECT="0")))
        self._wait_for(port, management)
        self.directory = f"https://localhost:{port}/dir"
        self.root = self._folder / "issued-root.pem"
        context = ssl.create_default_context(cafile=str(self._trusted))
        with urllib.request.urlopen(f"https://localhost:{management}/roots/0", context=context, timeout=LIMIT) as answer:
            self.root.write_bytes(answer.read())

    def _start_names(self):
        dns, management = free_port(), free_port()
        self._processes.append(Process(
            [tool("pebble-challtestsrv"), "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", f"127.0.0.1:{dns}",
             "-http01", "", "-https01", "", "-tlsalpn01", "", "-management", f"127.0.0.1:{management}"],
            name="challtestsrv", folder=self._folder))
        self._wait_for(dns, management)
        return f"127.0.0.1:{dns}"

    def _wait_for(self, *ports):
        for needed in ports:
            eventually(functools.partial(accepts, needed), lambda: f"pebble listens: {self._said()}")

    def _said(self):
        return "\n".join(process.stdout + process.stderr for process in self._processes)

    def stop(self):
        for process in self._processes:
            process.kill()
        self._challenges.stop()

    # Clients. Each function returns once all the names, a list for each certificate, are signed.

    def lego(self, path, *certificates, command=("run",)):
        """Certificates in PATH/certificates, as lego lays them out."""
        argv = [tool("lego"), "--server", self.directory, "--accept-tos", "--email", "postmaster@example.test", "--path",
                path, "--http", "--http.webroot", self._challenges.folder]
        env = environment(LEGO_CA_CERTIFICATES=str(self._trusted))

        def signed(names):
            domains = [part for name in names for part in ("--domains", name)]
            return [*argv, *domains, *command]
        first, *rest = certificates
        self._run_all([signed(first)], env)  # it makes the account
        self._run_all([signed(names) for names in rest], env)
        return pathlib.Path(path) / "certificates"

    def dehydrated(self, base, *certificates, arguments=()):
        """Certificates in BASE/certs, as dehydrated lays them out."""
        base = pathlib.Path(base)
        base.mkdir(exist_ok=True)
        answers = self._challenges.folder / ".well-known" / "acme-challenge"
        answers.mkdir(parents=True, exist_ok=True)
        configuration = base / "config"
        # The account's key is not what is tested: the usual 4096 bits take seconds to make.
        configuration.write_text(
            f'CA="{self.directory}"\nBASEDIR="{base}"\nWELLKNOWN="{answers}"\nCURL_OPTS="--cacert {self._trusted}"\n'
            "ACCOUNT_KEYSIZE=2048\nKEY_ALGO=prime256v1\n")
        argv = [tool("dehydrated"), "--config", configuration]
        (base / "domains.txt").write_text("".join(" ".join(names) + "\n" for names in certificates))
        self._run_all([[*argv, "--register", "--accept-terms"]], environment())
        self._run_all([[*argv, "--cron", *arguments]], environment())
        return base / "certs"

    def _run_all(self, commands, env):
        """At the same time: most of what a client does is waiting for the server to look again."""
        running = [subprocess.Popen([str(part) for part in argv], env=env, stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
                   for argv in commands]
        outputs = []
        try:
            for process in running:
                outputs.append(process.communicate(timeout=3 * LIMIT)[0].decode("utf-8", "replace"))
        finally:
            for process in running:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        for process, output in zip(running, outputs):
            assert process.returncode == 0, f"{process.args}:\n{output}\n{self._said()}"
