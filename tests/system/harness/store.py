"""`postern store`, our own LMTP store, as a backend."""

import pathlib
import signal
import socket

from .processes import Process, environment, sanitizer_report
from .wait import eventually


class Store:
    """One running `postern store` on a unix socket. Made with the path of the `postern` program."""

    def __init__(self, program, folder, *, name="store"):
        self._program, self._name = program, name
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.maildir = self.folder / f"{name}-mail"
        self.maildir.mkdir(exist_ok=True)
        self.socket_path = self.folder / f"{name}.sock"
        self.target = f"unix:{self.socket_path}"
        self.process = None
        self._starts = 0
        self._killed = False
        self.start()

    def start(self):
        if self.process is not None:
            self.process.wait()  # whoever killed it may be waiting for its end still, in another thread
        self._starts += 1
        self._killed = False
        self.process = Process(
            [self._program, "store", "--listen", self.target, "--maildir", self.maildir],
            name=f"{self._name}-{self._starts}", folder=self.folder, env=environment())
        eventually(self._greets, lambda: f"{self._name} greets; it said:\n{self.process.stderr}")

    def _greets(self):
        assert self.process.running(), f"{self._name} ended:\n{self.process.stderr}"
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(5)
                probe.connect(str(self.socket_path))
                return probe.recv(512).startswith(b"220 ")
        except OSError:
            return False

    def kill(self):
        self._killed = True
        self.process.kill()

    def stop(self):
        """SIGTERM; it must end in order, and no sanitizer may have complained."""
        if self.process.running():
            self.process.signal(signal.SIGTERM)
            code = self.process.wait()
            assert code == 0, f"{self._name} ended with {code} on SIGTERM:\n{self.process.stderr}"
        else:
            assert self._killed, f"{self._name} ended by itself with {self.process.exit_code}:\n{self.process.stderr}"
        assert not sanitizer_report(self.process.stderr), self.process.stderr

    def files(self, recipient=""):
        """The finished messages (`new`) of a recipient, or of all."""
        return sorted(path for path in self.maildir.glob("**/new/*") if recipient.lower() in str(path).lower())

    def unfinished(self):
        return sorted(self.maildir.glob("**/tmp/*"))

    def messages(self, recipient=""):
        return [path.read_bytes() for path in self.files(recipient)]

    def count(self, recipient=""):
        return len(self.files(recipient))
