"""Fixtures of the end-to-end tests. POSTERN_BUILD names the build directory; the programs are in its daemon folder."""

import contextlib
import itertools
import os
import pathlib
import resource
import shutil
import tempfile

import pytest

from harness.ca import Authority
from harness.dovecot import Dovecot
from harness.passed_mtas import LoginPostfix, PassedExim
from harness.posternd import Posternd, basic_settings
from harness.processes import program
from harness.scripted_lmtp import ScriptedLmtp
from harness.store import Store
from harness.tap import Tap


def pytest_configure(config):
    """Some tests hold many connections: the soft limit on descriptors is for programs that use select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextlib.contextmanager
def _temporary_folder():
    # Short, because a unix socket's path has at most 107 octets; open to all, because a Dovecot that root started runs
    # as nobody.
    path = pathlib.Path(tempfile.mkdtemp(prefix="postern-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def folder():
    """A temporary folder of this test."""
    with _temporary_folder() as path:
        yield path


@pytest.fixture(scope="session")
def session_folder():
    with _temporary_folder() as path:
        yield path


@pytest.fixture(scope="session")
def build():
    """The build directory with the programs under test."""
    default = pathlib.Path(__file__).resolve().parents[2] / "build"
    path = pathlib.Path(os.environ.get("POSTERN_BUILD", default)).resolve()
    assert path.is_dir(), f"{path} is missing: build first, or name the build directory in POSTERN_BUILD"
    return path


@pytest.fixture(scope="session")
def authority(session_folder):
    """A certificate authority whose root the clients trust."""
    return Authority(session_folder / "authority")


@pytest.fixture(scope="session")
def default_leaf(authority):
    """The certificate of posternd's own name."""
    return authority.issue("mx.example.test")


class _Users:
    """A server with users that no other test has."""

    def __init__(self, server, names):
        self._server, self._names = server, iter(names)

    def __getattr__(self, name):
        return getattr(self._server, name)

    def new_user(self):
        return next(self._names)


_USERS = [f"user{number}@example.test" for number in range(500)]


@pytest.fixture(scope="session")
def dovecot(session_folder):
    """A Dovecot for all tests of this run that do not hurt it; each test takes users of its own with new_user()."""
    server = Dovecot(session_folder / "dovecot", [*_USERS, "postmaster@example.test"])
    yield _Users(server, _USERS)
    server.stop()


@pytest.fixture
def own_dovecot(folder):
    """A Dovecot for one test, which may kill it."""
    server = Dovecot(folder / "dovecot", ["alice@example.test", "bob@example.test", "carol@example.test"])
    yield server
    server.stop()


@pytest.fixture
def store(build, folder):
    """A running `postern store`."""
    server = Store(program(build, "postern"), folder)
    yield server
    server.stop()


@pytest.fixture
def scripted(folder):
    """Makes scripted LMTP backends: scripted(script=..., extensions=...)."""
    made = []
    numbers = itertools.count(1)

    def make(*, tcp=False, **options):
        address = ("127.0.0.1", 0) if tcp else folder / f"scripted-{next(numbers)}.sock"
        made.append(ScriptedLmtp(address, **options))
        return made[-1]
    yield make
    for server in made:
        server.stop()


@pytest.fixture
def tap(folder):
    """Makes relays in front of a real LMTP server: tap(server_address, hook)."""
    made = []
    numbers = itertools.count(1)

    def make(server, hook=None):
        made.append(Tap(folder / f"tap-{next(numbers)}.sock", server, hook))
        return made[-1]
    yield make
    for relay in made:
        relay.stop()


@pytest.fixture
def posternd(build, folder, authority, default_leaf):
    """Starts posternds: posternd(target, **tables), see basic_settings(); `ready=False` only makes one.

    Every one is ended and judged when the test is over. What they logged is shown when the test failed.
    """
    made = []

    def make(target="unix:/nonexistent/lmtp", *, ready=True, prefix=(), env=None, forgive=None, name=None,
             **tables):
        own = folder / (name or f"p{len(made) + 1}")
        own.mkdir(exist_ok=True)
        server = Posternd(build, own, basic_settings(own, default_leaf, target, **{"roots": authority.root, **tables}), prefix=prefix, env=env,
                          forgive=forgive)
        made.append(server)
        return server.start() if ready else server
    yield make
    for server in made:
        if server.process is not None:
            print(f"--- {server.process.stderr_path}\n{server.process.stderr}")
    problems = []
    for server in made:
        try:
            server.stop()
        except AssertionError as problem:
            problems.append(problem)
            server.process.kill()
    assert not problems, problems[0]


# In front of these two many posterns stand, one after the other; each test takes users of its own with new_user().
_PASSED_USERS = [f"user{number}" for number in range(120)]


@pytest.fixture(scope="session")
def passed_postfix(session_folder, default_leaf):
    server = LoginPostfix(session_folder / "passed-postfix", _PASSED_USERS, default_leaf)
    yield _Users(server, _PASSED_USERS)
    server.stop()


@pytest.fixture(scope="session")
def passed_exim(session_folder, default_leaf):
    server = PassedExim(session_folder / "passed-exim", _PASSED_USERS, default_leaf)
    yield _Users(server, _PASSED_USERS)
    server.stop()


@pytest.fixture
def passing(posternd):
    """Starts a posternd that passes everything to `target`: passing(target, identity, **of the backend)."""
    def make(target, identity, *, tables=None, **options):
        server = posternd(ready=False, backend=[{"name": "mta", "deliver": "smtp-proxy", "to": [target],
                                                 "identity": identity, **options}], **(tables or {}))
        for listener in server.settings["listen"]:
            listener["backend"] = "mta"
        server.settings["domain"] = []
        return server.start()
    return make
