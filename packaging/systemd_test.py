"""Tests a Debian package of postern under a real systemd, as root:

    /usr/bin/python3 packaging/systemd_test.py postern_VERSION_ARCH.deb

In a clean Debian 12 of its own (packaging/debian-root.sh) systemd is process 1, and the package is installed, started,
reloaded, stopped in the middle of a message, killed, made to hang, replaced, activated by its socket, upgraded, removed and
purged, while mail comes in over TLS. It takes debootstrap, systemd-nspawn (systemd-container) and openssl, and changes
nothing else here. What postern.service forbids is forbidden there as it is on a machine.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
MX = "mx.example.test"
ENVIRONMENT = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]
LIMIT = 60  # seconds until waiting is given up: what takes longer hangs
CONFIGURATION = """\
hostname = "mx.example.test"

[[listen]]
address             = ["0.0.0.0:25", "[::]:25"]
default_certificate = "mx.example.test"

[certificates]
directories = ["/etc/letsencrypt/live"]
roots       = "/etc/letsencrypt/ca.pem"

[[backend]]
name    = "store"
deliver = "lmtp"
to      = ["unix:/run/store/lmtp"]

[[domain]]
name    = "example.test"
backend = "store"
"""


def say(text):
    print("systemd-test:", text, flush=True)


def eventually(what, condition):
    """The first true value of `condition`."""
    end = time.monotonic() + LIMIT
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"this did not come true in {LIMIT} s: {what}")
        time.sleep(0.05)


class Machine:
    """A Debian with systemd as process 1, in namespaces and a control group of its own."""

    def __init__(self, root: pathlib.Path):
        self.root = root
        self.log = root.parent / "console"
        self._group = None
        # systemd-nspawn allows fewer system calls than Linux has; posternd's sandbox wants these. The machine's own systemd
        # makes the control group; where there is none, we do.
        name = f"postern-test-{os.getpid()}"
        command = ["systemd-nspawn", "--quiet", "--directory", str(root), f"--machine={name}", "--register=no",
                   "--private-network", "--console=pipe",
                   "--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self"]
        enter = None
        if not pathlib.Path("/run/systemd/system").is_dir():
            command.append("--keep-unit")
            unified = pathlib.Path("/sys/fs/cgroup/unified")
            self._group = (unified if unified.is_dir() else unified.parent) / name
            self._group.mkdir()
            enter = lambda: (self._group / "cgroup.procs").write_text(str(os.getpid()))
        with self.log.open("wb") as console:
            self._nspawn = subprocess.Popen(  # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
                [*command, "--boot", "systemd.log_target=journal"], stdin=subprocess.DEVNULL, stdout=console,
                stderr=subprocess.STDOUT, preexec_fn=enter,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"})
        self.leader = 0

    def boot(self):
        self.leader = eventually("systemd is started, and D-Bus is there", self._process_1)
        state = self.run("systemctl", "is-system-running", "--wait", check=False).stdout.strip()
        assert state == "running", f"systemd says {state}: {self.run('systemctl', '--failed', check=False).stdout}"

    def _process_1(self):
        if self._nspawn.poll() is not None:
            raise AssertionError(f"systemd-nspawn ended: {self.log.read_text(errors='replace')}")
        for child in pathlib.Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split():
            if pathlib.Path(f"/proc/{child}/root/run/dbus/system_bus_socket").exists():
                return int(child)
        return 0

    def command(self, *words):
        return ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--",
                *ENVIRONMENT, *words]

    def run(self, *words, check=True, **options):
        done = subprocess.run(self.command(*words), text=True, capture_output=True, timeout=LIMIT, check=False, **options)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def path(self, inside):
        return pathlib.Path(f"/proc/{self.leader}/root{inside}")

    def enter_network(self):
        """From here on this process is on the machine's network."""
        with open(f"/proc/{self.leader}/ns/net", "rb") as network:
            if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), 0) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    def end(self):
        if self.leader and self._nspawn.poll() is None:
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.kill(self.leader, signal.SIGRTMIN + 4)  # systemd(1): power off
                self._nspawn.wait(LIMIT)
        if self._group:
            (self._group / "cgroup.kill").write_text("1")
        if self._nspawn.poll() is None:
            self._nspawn.kill()
            self._nspawn.wait()
        if self._group:
            events = self._group / "cgroup.events"
            eventually("nothing of it runs any more", lambda: "populated 0" in events.read_text())
            for group, _, _ in os.walk(self._group, topdown=False):
                os.rmdir(group)


class Unit:
    """postern.service."""

    def __init__(self, machine):
        self.machine = machine

    def __getitem__(self, name):
        return self.machine.run("systemctl", "show", "-P", name, "postern.service").stdout.strip()

    def __call__(self, verb, check=True):
        return self.machine.run("systemctl", verb, "postern.service", check=check)

    @property
    def pid(self):
        """As the machine counts."""
        return int(self["MainPID"])

    def processes(self):
        """What /proc says of each, sorted by name."""
        group = self["ControlGroup"]
        found = []
        for pid in self.machine.run("cat", f"/sys/fs/cgroup{group}/cgroup.procs").stdout.split():
            with contextlib.suppress(OSError):  # it has just ended
                status = self.machine.path(f"/proc/{pid}/status").read_text()
                found.append(dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line))
        return sorted(found, key=lambda fields: fields["Name"])

    def whole(self):
        """posternd, its launcher and its loader, and nobody else."""
        return [fields["Name"] for fields in self.processes()] == ["postern-launch", "postern-loader", "posternd"]

    def journal(self, *matches):
        lines = self.machine.run("journalctl", "--quiet", "-o", "json", "-u", "postern.service", *matches).stdout
        return [json.loads(line) for line in lines.splitlines()]

    def said(self, text):
        return any(text in entry.get("MESSAGE", "") for entry in self.journal())

    def settings(self, name, text):
        """A drop-in."""
        folder = self.machine.path("/etc/systemd/system/postern.service.d")
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        self.machine.run("systemctl", "daemon-reload")


class Client(smtplib.SMTP):
    """A sender that insists on the certificate of the MX name."""

    def __init__(self, machine, address="127.0.0.1"):
        self.trust = machine.path("/etc/letsencrypt/ca.pem").read_text()
        super().__init__(address, 25, local_hostname="sender.example", timeout=LIMIT)
        self._host = MX
        self.starttls(context=ssl.create_default_context(cadata=self.trust))
        self.certificate = self.sock.getpeercert()["serialNumber"]
        self.ehlo()

    def envelope(self):
        assert self.mail("sender@elsewhere.test")[0] == 250
        assert self.rcpt("alice@example.test")[0] == 250

    def deliver(self, subject):
        self.envelope()
        code, text = self.data(header(subject) + "x\r\n")
        assert code == 250, (code, text)


def header(subject):
    return f"From: sender@elsewhere.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@elsewhere.test>\r\n\r\n"


def delivered(machine, subject):
    """How often."""
    wanted = re.compile(rf"^Subject: {subject}\r?$".encode(), re.M)
    return sum(bool(wanted.search(path.read_bytes())) for path in machine.path("/var/lib/store").glob("**/new/*"))


def deliver(machine, subject, address="127.0.0.1"):
    with Client(machine, address) as client:
        client.deliver(subject)
    assert delivered(machine, subject) == 1


def certificate(machine):
    """The serial number of what is served."""
    with Client(machine) as client:
        return client.certificate


def issue(machine, serial):
    """A certificate as certbot leaves it: for root alone, a link of `live` to a new file of `archive`."""
    letsencrypt = machine.path("/etc/letsencrypt")
    archive, live = letsencrypt / "archive" / MX, letsencrypt / "live" / MX
    if not archive.exists():
        for folder in (archive, live):
            folder.mkdir(parents=True)
            folder.parent.chmod(0o700)
    ca = letsencrypt / "ca.pem"
    if not ca.exists():
        issue_certificate("-subj", "/CN=ca", "-keyout", str(letsencrypt / "ca.key"), "-out", str(ca))
        ca.chmod(0o644)
    key, chain = archive / f"privkey{serial}.pem", archive / f"fullchain{serial}.pem"
    issue_certificate("-subj", f"/CN={MX}", "-addext", f"subjectAltName=DNS:{MX}",
                      "-addext", "basicConstraints=critical,CA:FALSE",
                      "-set_serial", str(serial), "-CA", str(ca), "-CAkey", str(letsencrypt / "ca.key"),
                      "-keyout", str(key), "-out", str(chain))
    key.chmod(0o600)
    chain.chmod(0o600)
    for name in ("privkey", "fullchain"):
        link = live / f"{name}.pem"
        link.with_suffix(".new").symlink_to(f"../../archive/{MX}/{name}{serial}.pem")
        link.with_suffix(".new").rename(link)


def issue_certificate(*words):
    done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                           "-days", "9", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def in_root(root, *words):
    done = subprocess.run(["chroot", root, *ENVIRONMENT, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}:\n{done.stdout}{done.stderr}"


def newer(deb, folder):
    """The same package with a higher version."""
    subprocess.run(["dpkg-deb", "-R", str(deb), str(folder / "newer")], check=True)
    control = folder / "newer" / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^(Version: .*)$", r"\1+newer1", control.read_text()))
    subprocess.run(["dpkg-deb", "-Zgzip", "-z1", "-b", str(folder / "newer"), str(folder / "new.deb")], check=True,
                   stdout=subprocess.DEVNULL)
    return folder / "new.deb"


def install(machine, unit):
    machine.run("dpkg", "-i", "/debs/old.deb")
    assert (unit["ActiveState"], unit["UnitFileState"]) == ("inactive", "disabled")
    machine.path("/etc/postern/posternd.toml").write_text(CONFIGURATION)
    issue(machine, 1)
    # A mail store, as another service has it.
    machine.run("systemd-run", "--quiet", "--unit=store", "--property=User=postern", "--property=RuntimeDirectory=store",
                "--property=StateDirectory=store",
                "postern", "store", "--listen", "unix:/run/store/lmtp", "--maildir", "/var/lib/store")


def keys_that_only_root_can_read(machine, unit):
    assert unit("start", check=False).returncode != 0
    assert unit["ActiveState"] == "failed", "an error in the configuration is not mended by another start"
    assert unit.said("readable by user root only")
    machine.run("systemctl", "reset-failed", "postern.service")
    machine.run("install", "-D", "-m", "644", "/usr/share/doc/postern/examples/root-only-keys.conf",
                "/etc/systemd/system/postern.service.d/root-only-keys.conf")
    machine.run("systemctl", "daemon-reload")


def start(machine, unit):
    unit("start")
    assert (unit["ActiveState"], unit["SubState"]) == ("active", "running")
    assert unit["StatusText"].endswith(", 1 certificate")
    deliver(machine, "started")
    deliver(machine, "started-v6", "::1")


def rights(_, unit):
    assert unit.whole(), unit.processes()
    processes = {fields["Name"]: fields for fields in unit.processes()}
    net_bind, read_search = 1 << 10, 1 << 2
    allowed = {"posternd": net_bind, "postern-loader": read_search, "postern-launch": net_bind | read_search}
    for name, fields in processes.items():
        assert int(fields["CapPrm"], 16) | int(fields["CapEff"], 16) == allowed[name], (name, fields)
        assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2" and fields["Uid"].split()[0] != "0", (name, fields)
    # Its own filter of system calls is one more than the unit's; the launcher must be able to start a program.
    assert int(processes["posternd"]["Seccomp_filters"]) > int(processes["postern-launch"]["Seccomp_filters"])
    assert not unit.said("Landlock") and not unit.said("seccomp"), "the sandbox is not whole"


def journal_fields(_, unit):
    entry = unit.journal("POSTERN_EVENT=recipient", "POSTERN_MESSAGE_ID=<started-v6@elsewhere.test>")[-1]
    wanted = {"POSTERN_TO": "<alice@example.test>", "POSTERN_STATUS": "taken", "POSTERN_CODE": "250", "POSTERN_SNI": MX,
              "SYSLOG_IDENTIFIER": "posternd", "PRIORITY": "6", "_TRANSPORT": "journal"}
    assert wanted.items() <= entry.items(), entry


def renewal_of_a_key_that_only_root_can_read(machine, unit):
    pid = unit.pid
    issue(machine, 2)
    eventually("the new certificate is served", lambda: certificate(machine) == "02")
    assert unit.pid == pid


def reload(machine, unit):
    configuration = machine.path("/etc/postern/posternd.toml")
    with Client(machine) as client:
        client.mail("sender@elsewhere.test")
        assert client.rcpt("bob@more.test")[0] == 550
        configuration.write_text(CONFIGURATION + '\n[[domain]]\nname = "more.test"\nbackend = "store"\n')
        unit("reload")
        # It is in use when systemctl returns, for whoever comes then; who is there goes on.
        with Client(machine) as second:
            second.mail("sender@elsewhere.test")
            assert second.rcpt("bob@more.test")[0] == 250
        client.rset()
        client.deliver("over-a-reload")
    configuration.write_text("hostname = 1\n")
    assert unit("reload", check=False).returncode != 0
    assert unit["ActiveState"] == "active"
    assert "posternd.toml:1" in machine.run("journalctl", "--quiet", "-u", "postern.service", "-t", "postern").stdout
    configuration.write_text(CONFIGURATION)
    unit("reload")
    deliver(machine, "reloaded")


def message_under_way(machine, subject, interrupt):
    """A message whose first half arrives before `interrupt`, and the other one after it."""
    with contextlib.closing(Client(machine)) as client:
        client.envelope()
        client.putcmd("DATA")
        assert client.getreply()[0] == 354
        client.send(header(subject))
        interrupt()
        client.send("x\r\n.\r\n")
        assert client.getreply()[0] == 250
    assert delivered(machine, subject) == 1


def stop_with_a_message_under_way(machine, unit):
    def stop():
        machine.run("systemctl", "--no-block", "stop", "postern.service")
        eventually("it ends", lambda: unit["ActiveState"] == "deactivating" and refused())
    message_under_way(machine, "over-a-stop", stop)
    eventually("it has ended", lambda: unit["ActiveState"] == "inactive")
    assert unit["Result"] == "success", unit["Result"]
    unit("start")


def refused():
    try:
        socket.create_connection(("127.0.0.1", 25), LIMIT).close()
    except ConnectionRefusedError:
        return True
    return False


def kill(machine, unit):
    # Oftener than systemd's usual limit allows within ten seconds.
    for number in range(7):
        pid, restarts = unit.pid, int(unit["NRestarts"])
        machine.run("systemctl", "kill", "--kill-who=main", "-s", "KILL", "postern.service")
        eventually(f"it runs again, {number}", lambda: int(unit["NRestarts"]) > restarts and unit["ActiveState"] == "active")
        assert unit.pid != pid
    eventually("only the last one is left", unit.whole)
    deliver(machine, "killed")


def stuck(machine, unit):
    unit.settings("watchdog.conf", "[Service]\nWatchdogSec=2s\n")
    unit("restart")
    pid = unit.pid
    machine.run("systemctl", "kill", "--kill-who=main", "-s", "STOP", "postern.service")
    eventually("the watchdog bites", lambda: unit["ActiveState"] == "active" and unit.pid not in (0, pid))
    assert any("watchdog" in entry.get("MESSAGE", "").lower() for entry in unit.journal("_PID=1"))
    machine.path("/etc/systemd/system/postern.service.d/watchdog.conf").unlink()
    machine.run("systemctl", "daemon-reload")
    unit("restart")


def replace(machine, unit):
    """SIGUSR2, as the unit says; returns the new process."""
    old = unit.pid
    machine.run("systemctl", "kill", "--kill-who=main", "-s", "USR2", "postern.service")
    eventually("the new one is the main process", lambda: unit.pid not in (0, old))
    assert unit["ActiveState"] == "active"
    return old, unit.pid


def replacement_with_a_message_under_way(machine, unit):
    pids = []
    message_under_way(machine, "over-a-replacement", lambda: pids.extend(replace(machine, unit)))
    old, new = pids
    eventually("the old one has ended", lambda: not machine.path(f"/proc/{old}").exists())
    eventually("so have those who helped it", unit.whole)
    assert unit.pid == new
    assert int(unit["NRestarts"]) == 0
    deliver(machine, "replaced")
    # What is looked after is the new one.
    machine.run("systemctl", "kill", "--kill-who=main", "-s", "KILL", "postern.service")
    eventually("it runs again", lambda: int(unit["NRestarts"]) == 1 and unit["ActiveState"] == "active")
    deliver(machine, "replaced-and-killed")


def replacement_that_cannot_start(machine, unit):
    pid = unit.pid
    configuration = machine.path("/etc/postern/posternd.toml")
    configuration.write_text("hostname = 1\n")
    machine.run("systemctl", "kill", "--kill-who=main", "-s", "USR2", "postern.service")
    eventually("it says so", lambda: unit.said("posternd.toml:1:"))
    eventually("it is as it was", unit.whole)
    assert unit.pid == pid and unit["ActiveState"] == "active"
    configuration.write_text(CONFIGURATION)
    deliver(machine, "not-replaced")


def log_file(machine, unit):
    """With LogsDirectory= of a drop-in, and rotated by a signal to all processes of the unit, as `systemctl kill` sends it."""
    log, old = machine.path("/var/log/postern/posternd.log"), machine.path("/var/log/postern/posternd.log.1")
    unit.settings("log.conf", "[Service]\nLogsDirectory=postern\n")
    configuration = machine.path("/etc/postern/posternd.toml")
    configuration.write_text(CONFIGURATION + '\n[log]\nfile = "/var/log/postern/posternd.log"\n')
    unit("restart")
    before = [fields["Pid"] for fields in unit.processes()]
    deliver(machine, "logged")
    eventually("it is in the log", lambda: "<logged@elsewhere.test>" in log.read_text())
    log.rename(old)
    machine.run("systemctl", "kill", "-s", "USR1", "postern.service")
    eventually("there is a new log", log.exists)
    deliver(machine, "logged-anew")
    eventually("it is in the new log", lambda: "<logged-anew@elsewhere.test>" in log.read_text())
    assert [fields["Pid"] for fields in unit.processes()] == before
    machine.path("/etc/systemd/system/postern.service.d/log.conf").unlink()
    machine.run("systemctl", "daemon-reload")
    configuration.write_text(CONFIGURATION)
    unit("restart")


class Senders:
    """Connect all the while: nobody may be refused."""

    def __enter__(self):
        self.greeted, self.refused, self._over = 0, [], threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def _run(self):
        while not self._over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", 25), LIMIT) as sender:
                    self.greeted += sender.recv(3) == b"220"
            except ConnectionRefusedError as error:
                self.refused.append(error)
            except OSError:  # it was accepted by a process that ended then
                pass

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


def socket_activation(machine, unit):
    unit("stop")
    machine.run("systemctl", "enable", "--now", "postern.socket")
    assert unit["ActiveState"] == "inactive"
    deliver(machine, "activated")
    assert unit["ActiveState"] == "active"
    deliver(machine, "activated-v6", "::1")
    with Senders() as senders:
        for _ in range(2):
            unit("restart")
        replace(machine, unit)
        replace(machine, unit)
        before = senders.greeted
        eventually("senders are greeted", lambda: senders.greeted > before)
    assert not senders.refused, senders.refused
    deliver(machine, "activated-and-replaced")


def socket_activation_with_a_broken_configuration(machine, unit):
    """Senders wait until it is mended."""
    configuration = machine.path("/etc/postern/posternd.toml")
    configuration.write_text("hostname = 1\n")
    unit("stop")

    def failures():
        return sum("Failed to start" in entry.get("MESSAGE", "") for entry in unit.journal("_PID=1"))
    before = failures()
    with socket.create_connection(("127.0.0.1", 25), LIMIT) as sender:
        eventually("it is tried again and again", lambda: failures() >= before + 4)
        configuration.write_text(CONFIGURATION)
        assert sender.recv(3) == b"220"
    eventually("it runs", lambda: unit["ActiveState"] == "active")
    deliver(machine, "mended")


def upgrade_of_the_package(machine, unit):
    old = unit.pid
    with Senders() as senders:
        machine.run("dpkg", "-i", "/debs/new.deb")
        before = senders.greeted
        eventually("senders are greeted", lambda: senders.greeted > before)
    assert unit["ActiveState"] == "active" and unit.pid != old
    assert machine.run("systemctl", "is-active", "postern.socket").stdout.strip() == "active"
    deliver(machine, "upgraded")
    assert not senders.refused, f"refused: {len(senders.refused)} of {len(senders.refused) + senders.greeted}"


def removal(machine, unit):
    machine.run("dpkg", "--remove", "postern")
    assert unit["ActiveState"] == "inactive" and refused()
    machine.run("dpkg", "--purge", "postern")
    assert not machine.path("/var/lib/postern").exists()
    left = machine.run("systemctl", "list-unit-files", "--no-legend", "postern.*", check=False).stdout
    assert not left, left


STEPS = (install, keys_that_only_root_can_read, start, rights, journal_fields, renewal_of_a_key_that_only_root_can_read, reload,
         stop_with_a_message_under_way, kill, stuck, replacement_with_a_message_under_way, replacement_that_cannot_start,
         log_file, socket_activation, socket_activation_with_a_broken_configuration, upgrade_of_the_package, removal)


def main(deb):
    with tempfile.TemporaryDirectory(prefix="postern-systemd-") as name:
        folder = pathlib.Path(name)
        root = folder / "root"
        say("a Debian with systemd")
        subprocess.run(["sh", HERE / "debian-root.sh", root], check=True)
        (root / "debs").mkdir()
        shutil.copy(deb, root / "debs" / "old.deb")
        shutil.copy(newer(deb, folder), root / "debs" / "new.deb")
        in_root(root, "apt-get", "update", "-qq")
        in_root(root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", "systemd", "systemd-sysv", "dbus")
        depends = subprocess.run(["dpkg-deb", "-f", deb, "Depends"], check=True, capture_output=True, text=True).stdout.strip()
        in_root(root, "apt-get", "satisfy", "-y", "-qq", "--no-install-recommends", depends)
        (root / "usr/sbin/policy-rc.d").unlink()
        machine = Machine(root)
        try:
            machine.boot()
            machine.enter_network()
            unit = Unit(machine)
            for step in STEPS:
                say(step.__name__.replace("_", " "))
                try:
                    step(machine, unit)
                except Exception:
                    print(machine.run("journalctl", "--no-pager", "-n", "60", check=False).stdout, file=sys.stderr)
                    raise
        finally:
            machine.end()
    say("all is well")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main(pathlib.Path(sys.argv[1]).resolve())
