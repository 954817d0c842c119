"""A DNS server for one test: what it does not know does not exist."""

import ipaddress
import socket
import struct
import threading

_TYPES = {"A": 1, "NS": 2, "CNAME": 5, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}
_NXDOMAIN, _SERVFAIL = 3, 2


def wire_name(name):
    labels = [label.encode("latin-1") for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


class Names:
    """Answers over UDP on a free port of loopback. `silent`: names that get no answer; `broken`: that get SERVFAIL."""

    def __init__(self):
        self._records = {}
        self.silent, self.broken, self.asked = set(), set(), []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.server = "127.0.0.1:%d" % self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def add(self, name, kind, data, ttl=300):
        """`data`: octets, or for A and AAAA an address, for PTR and CNAME a name."""
        if kind in ("A", "AAAA"):
            data = ipaddress.ip_address(data).packed
        elif isinstance(data, str):
            data = wire_name(data)
        self._records.setdefault((name.lower().rstrip("."), _TYPES[kind]), []).append((ttl, data))

    def client(self, address, name):
        """An address that has this name, which has this address."""
        self.reverse(address, name)
        self.add(name, "AAAA" if ":" in address else "A", address)

    def reverse(self, address, name):
        """An address that says it has this name."""
        self.add(ipaddress.ip_address(address).reverse_pointer, "PTR", name)

    def stop(self):
        # A datagram wakes the thread; closing the socket under it would not.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self):
        while True:
            query, client = self._socket.recvfrom(512)
            if not query:
                return
            answer = self._answer(query)
            if answer is not None:
                self._socket.sendto(answer, client)

    def _answer(self, query):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
            at += query[at] + 1
        name = ".".join(labels).lower()
        kind, = struct.unpack(">H", query[at + 1:at + 3])
        self.asked.append(name)
        if name in self.silent:
            return None
        records = self._records.get((name, kind), [])
        exists = any(known == name for known, _ in self._records)
        code = _SERVFAIL if name in self.broken else 0 if exists else _NXDOMAIN
        if code:
            records = []
        head = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(records), 0, 0)
        body = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data for ttl, data in records)
        return head + query[12:at + 5] + body
