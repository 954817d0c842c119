"""How long a start takes, with the rights of who starts it and with the process that reads certificates for it; in small
pages of memory and, as the systemd unit has it, in huge ones."""

import os
import shutil
import time


class StartRows:
    def start(self, table):
        ways = {"with its own rights": ""}
        if os.geteuid() == 0:
            ways["as root, with a user"] = 'user = "nobody"'
        count = sum(1 for _ in (self.folder / "live").iterdir())
        for way, head in ways.items():
            for pages, tunables in {"": "", ", huge pages": "glibc.malloc.hugetlb=1"}.items():
                self.starts_of(table, way + pages, head, tunables, count)
        shutil.rmtree(self.folder / "state")  # which belongs to another user now

    def starts_of(self, table, way, head, tunables, count):
        cache = self.folder / "state/certs/cache"
        shutil.rmtree(self.folder / "state", ignore_errors=True)
        os.environ["GLIBC_TUNABLES"] = tunables
        try:
            for known in ("cold", "with a warm cache"):
                began = time.monotonic()
                with self.posternd(head=head) as server:
                    took = time.monotonic() - began
                    used = server.family_cpu_seconds()
                    while not cache.exists():  # it is written beside, and the next start wants it
                        server.check()
                        time.sleep(0.05)
                    server.settles()
                    resident = server.resident_kib()
                table.add(f"a start {way}, {known}, for each of {count} certificates", f"{took / count * 1e6:.0f} us",
                          remarks=f"CPU of all its processes {used / count * 1e6:.0f} us, "
                                  f"RSS afterwards {resident / count:.1f} KiB")
        finally:
            del os.environ["GLIBC_TUNABLES"]
