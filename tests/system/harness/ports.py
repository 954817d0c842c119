"""TCP ports of loopback: free ones, and those on which somebody listens."""

import os
import random
import socket


def _range():
    """Below the range from which the kernel takes the local ports of outgoing connections, so that none of those can take
    a port between our look at it and the moment it is used; and a part of it for each process of a test run, since the
    port of a server that is started again is free for a moment. Other test runs choose at random too: who uses such a
    port must be ready to try another one."""
    first, last = 10240, 32000
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % processes  # one that replaces another counts on
    share = (last - first) // processes
    return first + mine * share, first + (mine + 1) * share - 1


_FIRST, _LAST = _range()


def _is_free(family, address, port):
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def free_port():
    """A port that nobody listens on, on the loopback addresses of both families."""
    for _ in range(1000):
        port = random.randint(_FIRST, _LAST)
        if _is_free(socket.AF_INET, "127.0.0.1", port) and _is_free(socket.AF_INET6, "::1", port):
            return port
    raise RuntimeError("no free port found")


def accepts(port):
    """Whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True
