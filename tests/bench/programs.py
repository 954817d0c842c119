"""Servers that a benchmark starts, what they use, and how it is shown."""

import os
import pathlib
import re
import socket
import subprocess
import sys
import time

TICK = os.sysconf("SC_CLK_TCK")
START_LIMIT_SECONDS = 60


def cpu_seconds_of(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    fields = stat.rpartition(")")[2].split()  # from the third field on: proc(5)
    return (int(fields[11]) + int(fields[12])) / TICK


class Program:
    """A server that was started here, and what it has used so far."""

    def __init__(self, command, log):
        self.log_path = log
        self._log = open(log, "wb")
        self.process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def cpu_seconds(self):
        return cpu_seconds_of(self.process.pid)

    def family_cpu_seconds(self):
        """With its children that run."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return self.cpu_seconds() + sum(cpu_seconds_of(child) for child in children)

    def resident_kib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.M).group(1))

    def settles(self):
        """Waits until it has nothing to do."""
        used = -1.0
        while used != self.cpu_seconds():
            used = self.cpu_seconds()
            time.sleep(0.3)

    def said(self, pattern):
        """Waits for a line."""
        for _ in range(START_LIMIT_SECONDS * 20):
            found = re.search(pattern, self.log_path.read_text(errors="replace"))
            if found:
                return found
            self.check()
            time.sleep(0.05)
        sys.exit(f"{self.process.args[0]} did not say {pattern!r}")

    def answers(self, port):
        """Waits for a greeting."""
        for _ in range(START_LIMIT_SECONDS * 20):
            self.check()
            try:
                with socket.create_connection(("127.0.0.1", port), 1) as client:
                    if client.recv(100).startswith(b"220"):
                        return
            except OSError:
                pass
            time.sleep(0.05)
        sys.exit(f"{self.process.args[0]} does not answer on port {port}")

    def check(self):
        if self.process.poll() is not None:
            text = self.log_path.read_text(errors="replace")
            sys.exit(f"{self.process.args[0]} ended with {self.process.returncode}:\n{text[-2000:]}")

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        self._log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Table:
    """Rows of text under the budgets."""

    def __init__(self):
        self.rows = [("what", "measured", "budget", "remarks")]

    def add(self, what, measured, budget="", remarks=""):
        self.rows.append((what, measured, budget, remarks))
        print(f"  {what}: {measured}  {remarks}", flush=True)

    def __str__(self):
        widths = [max(len(row[n]) for row in self.rows) for n in range(3)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0])).rstrip() for row in self.rows]
        return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
