"""Programs started by a test: each in a process group of its own, its output in files, ended by process id."""

import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess

from .wait import LIMIT, eventually

# What sanitizers print, whatever the exit code.
_SANITIZER_MARKS = (
    "ERROR: AddressSanitizer",
    "ERROR: LeakSanitizer",
    "WARNING: ThreadSanitizer",
    "WARNING: MemorySanitizer",
    ": runtime error:",
)

_REPOSITORY = pathlib.Path(__file__).resolve().parents[3]


def tool(name):
    """The path of a program that a test needs. A missing one is a failure, never a reason to skip."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin")
    assert found, f"{name} is not installed, and this test needs it"
    return found


def program(build, name):
    """One of the programs under test."""
    path = pathlib.Path(build) / "daemon" / name
    if path.is_file():
        return path
    raise AssertionError(f"{name} is not in {build}: build first, or name the build directory in POSTERN_BUILD")


def environment(**more):
    """The environment for a program under test: no locale, no proxies, sanitizers told to be strict."""
    env = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
    env.update({name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")})
    env.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
    env.setdefault("TSAN_OPTIONS", f"suppressions={_REPOSITORY / 'tests' / 'tsan.supp'}")
    env.update(more)
    return env


def sanitizer_report(text):
    """The part of a program's stderr from the first sanitizer report on; empty when there is none."""
    starts = [text.find(mark) for mark in _SANITIZER_MARKS if mark in text]
    return text[min(starts):] if starts else ""


def run(argv, *, stdin=b"", env=None, cwd=None, limit=LIMIT):
    """Runs a program to its end; stdout and stderr come back as text (undecodable octets survive as surrogates)."""
    result = subprocess.run(
        [str(part) for part in argv], input=stdin, capture_output=True, env=env or environment(), cwd=cwd,
        timeout=limit, check=False, start_new_session=True)
    result.stdout = result.stdout.decode("utf-8", "surrogateescape")
    result.stderr = result.stderr.decode("utf-8", "surrogateescape")
    return result


class Process:
    """A running program. Its stdout and stderr go to files in `folder`, so that no pipe can fill up."""

    def __init__(self, argv, *, name, folder, env=None, stdin=subprocess.DEVNULL):
        self.name = name
        self.argv = [str(part) for part in argv]
        self.stdout_path = pathlib.Path(folder) / f"{name}.stdout"
        self.stderr_path = pathlib.Path(folder) / f"{name}.stderr"
        with open(self.stdout_path, "wb") as out, open(self.stderr_path, "wb") as err:
            self._popen = subprocess.Popen(
                self.argv, stdin=stdin, stdout=out, stderr=err, env=env or environment(), start_new_session=True)
        self.pid = self._popen.pid

    @property
    def stdout(self):
        return self.stdout_path.read_text("utf-8", "surrogateescape")

    @property
    def stderr(self):
        return self.stderr_path.read_text("utf-8", "surrogateescape")

    @property
    def exit_code(self):
        """None while it runs; negative: ended by that signal."""
        return self._popen.poll()

    def running(self):
        return self.exit_code is None

    def signal(self, number):
        """To the program itself, not to its children."""
        self._popen.send_signal(number)

    def wait(self, limit=LIMIT):
        """Waits for the end of the program and returns its exit code."""
        try:
            return self._popen.wait(limit)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} (pid {self.pid}) still runs after {limit:g} s:\n{self.stderr}") from None

    def wait_for_stderr(self, text, limit=LIMIT):
        """Waits until `text` stands in the output to stderr; fails at once when the program ends without it."""
        def seen():
            ended = not self.running()
            return text in self.stderr or ended
        eventually(seen, lambda: f"{self.name} says {text!r}; it said:\n{self.stderr}", limit)
        assert text in self.stderr, f"{self.name} ended with {self.exit_code} and said:\n{self.stderr}"

    def kill(self):
        """SIGKILL to the program and all that it started; what was killed is gone when this returns."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._popen.wait(LIMIT)


@contextlib.contextmanager
def orphans_are_ours():
    """What a child of ours starts and leaves behind becomes our child."""
    set_child_subreaper = 36
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    assert prctl(set_child_subreaper, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        prctl(set_child_subreaper, 0, 0, 0, 0)


class Adopted(Process):
    """A child of this process that a program of ours has started; it writes to where that one writes."""

    def __init__(self, parent, pid):  # pylint: disable=super-init-not-called
        self.name, self.argv, self.pid = parent.name, parent.argv, pid
        self.stdout_path, self.stderr_path = parent.stdout_path, parent.stderr_path
        self._group = os.getpgid(pid)
        self._exit_code = None

    @property
    def exit_code(self):
        if self._exit_code is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self._exit_code = os.waitstatus_to_exitcode(status) if ended else None
        return self._exit_code

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self, limit=LIMIT):
        eventually(lambda: not self.running(), lambda: f"{self.name} (pid {self.pid}) ends; it said:\n{self.stderr}", limit)
        return self.exit_code

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._group, signal.SIGKILL)
        self.wait()
