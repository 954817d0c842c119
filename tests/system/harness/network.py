"""A network of a test's own: one machine with loopback, addresses for documentation (RFC 5737) and a resolver, on which the
ports that are wired into servers, 25, 53, 80 and 443, are free.

The test's thread moves into new network and mount namespaces, and with it all that it starts from then on: programs,
threads, its own sockets. Files are the same as outside but for /etc/resolv.conf. It needs root.
"""

import ctypes
import os
import pathlib

from .processes import run, tool

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000

_libc = ctypes.CDLL(None, use_errno=True)


def _call(function, *arguments):
    if getattr(_libc, function)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{function}: {os.strerror(error)}; a network of a test's own needs root")


class Network:
    """Until leave() the calling thread is in a network that has `addresses` and asks a resolver at 127.0.0.1:53."""

    def __init__(self, folder, addresses):
        # A thread has a working folder of its own only once it has left the others' mount namespace: that is why it
        # is not moved back by setns(2) alone.
        self._working_folder = os.getcwd()
        self._outside = [os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("net", "mnt")]
        _call("unshare", _CLONE_NEWNET | _CLONE_NEWNS)
        try:
            self._furnish(pathlib.Path(folder), addresses)
        except BaseException:
            self.leave()
            raise

    @staticmethod
    def _furnish(folder, addresses):
        # Nothing that is mounted here is seen outside.
        _call("mount", b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None)
        resolver = folder / "resolv.conf"
        # trust-ad: without it glibc hides from Postfix that an answer was validated.
        resolver.write_text("nameserver 127.0.0.1\noptions trust-ad\n")
        _call("mount", bytes(resolver), b"/etc/resolv.conf", None, ctypes.c_ulong(_MS_BIND), None)
        for arguments in (["link", "set", "lo", "up"], *(["address", "add", f"{one}/32", "dev", "lo"] for one in addresses)):
            done = run([tool("ip"), *arguments])
            assert done.returncode == 0, done.stderr

    def leave(self):
        for descriptor in self._outside:
            _call("setns", descriptor, 0)
            os.close(descriptor)
        os.chdir(self._working_folder)
