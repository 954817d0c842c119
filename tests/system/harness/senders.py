"""Mail servers that nobody here wrote, as senders with a queue: Postfix and Exim, with retry times of seconds.

Each takes messages from the test by SMTP, sends what is for example.test to posternd, and brings what is for the authors
at elsewhere.test, that is its bounces, to an LMTP socket. Both need root, as they do everywhere.
"""

import os
import pathlib
import pwd
import signal
import smtplib
import stat

from .ports import free_port
from .processes import Process, environment, run, tool
from .wait import LIMIT, eventually

# Where packaging/deps.sh unpacks what cannot be installed beside Postfix.
UNPACKED = pathlib.Path("/usr/local/lib/postern-tests")


class _Sender:
    """`to` is where posternd listens, `authors` the path of an LMTP socket; `options` see the server's own class."""

    def __init__(self, folder, to, authors, **options):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o755)
        self._to, self._authors = to, authors
        self._options = options
        self.process = None
        for _ in range(5):
            self.port = free_port()
            self._start()
            try:
                eventually(lambda: self._greets() or not self.process.running(),
                           lambda: f"{self.process.name} greets; it said:\n{self.log()}")
            except AssertionError:
                self.process.kill()
                raise
            if self.process.running():
                return
        raise AssertionError(f"{self.process.name} does not start:\n{self.log()}")

    def _greets(self):
        try:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=5) as client:
                return client.noop()[0] == 250
        except (OSError, smtplib.SMTPException):
            return False

    def submit(self, sender, recipients, octets):
        """Hands it a message for all these recipients."""
        with smtplib.SMTP("127.0.0.1", self.port, local_hostname="author.elsewhere.test", timeout=LIMIT) as client:
            assert not client.sendmail(sender, recipients, octets)

    def stop(self):
        if self.process.running():
            self.process.signal(signal.SIGTERM)
            try:
                self.process.wait()
            finally:
                self.process.kill()


class Postfix(_Sender):
    """A whole Postfix of our own. `transports`, `settings`, `services`: more lines of its transport map, main.cf and
    master.cf."""

    def _start(self):
        # Not below two seconds: Postfix leaves a message alone for 300 s when it is due in the moment of its deferral.
        configuration, queue, data = (self.folder / name for name in ("etc", "queue", "data"))
        for path in (configuration, queue, data):
            path.mkdir(exist_ok=True)
        user = pwd.getpwnam("postfix")
        os.chown(data, user.pw_uid, user.pw_gid)
        (configuration / "transport").write_text(
            f"example.test smtp:[{self._to[0]}]:{self._to[1]}\nelsewhere.test lmtp:unix:{self._authors}\n"
            + self._options.get("transports", ""))
        (configuration / "main.cf").write_text(f"""compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
maillog_file = {self.folder}/log
maillog_file_prefixes = {self.folder}
myhostname = postfix.elsewhere.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
transport_maps = texthash:{configuration}/transport
smtpd_relay_restrictions = permit_mynetworks, reject
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_peername_lookup = no
queue_run_delay = 2s
minimal_backoff_time = 2s
maximal_backoff_time = 2s
{self._options.get("settings", "")}""")
        lines = [f"127.0.0.1:{self.port} inet n - n - - smtpd"]
        for name, kind, wakeup, limit, command in [
                ("pickup", "unix", "60", "1", "pickup"), ("cleanup", "unix", "-", "0", "cleanup"),
                ("qmgr", "unix", "300", "1", "qmgr"), ("rewrite", "unix", "-", "-", "trivial-rewrite"),
                ("bounce", "unix", "-", "0", "bounce"), ("defer", "unix", "-", "0", "bounce"),
                ("trace", "unix", "-", "0", "bounce"), ("flush", "unix", "1000", "0", "flush"),
                ("proxymap", "unix", "-", "-", "proxymap"), ("smtp", "unix", "-", "-", "smtp"),
                ("lmtp", "unix", "-", "-", "lmtp"), ("error", "unix", "-", "-", "error"),
                ("retry", "unix", "-", "-", "error"), ("anvil", "unix", "-", "1", "anvil"),
                ("scache", "unix", "-", "1", "scache"), ("showq", "unix", "-", "-", "showq"),
                ("tlsmgr", "unix", "1000", "1", "tlsmgr"), ("postlog", "unix-dgram", "-", "1", "postlogd")]:
            private = "n" if name in ("pickup", "cleanup", "qmgr", "flush", "showq", "postlog") else "y"
            lines.append(f"{name} {kind} {private} - n {wakeup} {limit} {command}")
        lines += self._options.get("services", [])
        (configuration / "master.cf").write_text("\n".join(lines) + "\n")
        made = run([tool("postfix"), "-c", configuration, "check"], env=environment(MAIL_CONFIG=str(configuration)))
        assert made.returncode == 0, made.stdout + made.stderr
        directory = run([tool("postconf"), "-h", "daemon_directory"],
                        env=environment(MAIL_CONFIG=str(configuration))).stdout.strip()
        self.process = Process([f"{directory}/master", "-c", configuration, "-d"], name="postfix", folder=self.folder,
                               env=environment(MAIL_CONFIG=str(configuration)))

    def queued(self):
        """The messages that it still holds."""
        queue = self.folder / "queue"
        return [path for name in ("maildrop", "incoming", "active", "deferred", "hold")
                for path in (queue / name).rglob("*") if _is_file(path)]

    def log(self):
        path = self.folder / "log"
        return (path.read_text("utf-8", "replace") if path.exists() else "") + self.process.stderr


class Exim(_Sender):
    """Exim cannot be installed beside Postfix: the program alone is unpacked."""

    _prdr = ""  # the servers that it asks for PRDR

    def _start(self):
        program = UNPACKED / "exim4" / "usr" / "sbin" / "exim4"
        assert program.is_file(), f"{program} is missing: sh packaging/deps.sh tests unpacks it"
        user = pwd.getpwnam("Debian-exim")
        for name in ("spool", "logs"):
            (self.folder / name).mkdir(exist_ok=True)
            os.chown(self.folder / name, user.pw_uid, user.pw_gid)
        configuration = self.folder / "exim.conf"
        configuration.write_text(f"""exim_path = {program}
primary_hostname = exim.elsewhere.test
spool_directory = {self.folder}/spool
log_file_path = {self.folder}/logs/%slog
pid_file_path = {self.folder}/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {self.port}
disable_ipv6
tls_advertise_hosts =
host_lookup =
smtp_accept_max = 100
queue_run_max = 5
keep_environment =
deliver_drop_privilege
trusted_users = root
never_users =
acl_smtp_rcpt = accept_all
begin acl
accept_all:
  accept
begin routers
authors:
  driver = accept
  domains = elsewhere.test
  transport = authors
out:
  driver = manualroute
  domains = example.test
  route_list = * {self._to[0]}
  self = send
  transport = out
begin transports
authors:
  driver = lmtp
  socket = {self._authors}
out:
  driver = smtp
  port = {self._to[1]}
  allow_localhost
  hosts_avoid_tls = *
  hosts_try_fastopen =
  hosts_try_prdr = {self._prdr}
begin retry
* * F,2h,1s
""")
        configuration.chmod(0o644)
        self.process = Process([program, "-C", configuration, "-bdf", "-q1s"], name="exim", folder=self.folder)

    def queued(self):
        return [path for path in (self.folder / "spool" / "input").rglob("*-H") if _is_file(path)]

    def log(self):
        logs = self.folder / "logs"
        return "".join(path.read_text("utf-8", "replace") for path in sorted(logs.glob("*"))) + self.process.stderr


class EximWithPrdr(Exim):
    """As Exim does it by default: a reply for each recipient."""

    _prdr = "*"


def _is_file(path):
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False
