"""Postfix and Exim as backends: MTAs that nobody here wrote, which keep what they take in Maildirs.

Both need root, as they do everywhere. They listen on loopback only and are ended with the test, by process group.
"""

import os
import pathlib
import pwd
import smtplib

from .ports import free_port
from .processes import Process, environment, run, tool
from .wait import eventually

# Where packaging/deps.sh unpacks what cannot be installed beside Postfix.
UNPACKED = pathlib.Path("/usr/local/lib/postern-tests")


class _Mta:
    """`users` are local parts at example.test; `leaf` is for STARTTLS."""

    more_settings = ""  # of a kind of its own, behind the others
    more_acls = ""      # of Exim

    def more_services(self):
        """Lines of Postfix's master.cf."""
        return []

    def __init__(self, folder, users, leaf):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o755)
        self.mail = self.folder / "mail"
        self.mail.mkdir()
        self.users = users
        self.chain, self.key = leaf.write(self.folder, "tls")
        self.key.chmod(0o644)
        self.port = free_port()
        self.target = f"127.0.0.1:{self.port}"
        self.process = self._start()
        try:
            eventually(self._greets, lambda: f"{self.process.name} greets; it said:\n{self.log}")
        except AssertionError:
            self.stop()
            raise

    def _greets(self):
        assert self.process.running(), f"{self.process.name} ended:\n{self.log}"
        try:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=5) as client:
                return client.noop()[0] == 250
        except (OSError, smtplib.SMTPException):
            return False

    def messages(self, user):
        """What lies in the user's Maildir, in no order; Maildirs have LF line ends."""
        return [path.read_bytes() for path in (self.mail / user / "new").glob("*")]

    def stop(self):
        self.process.kill()


class Postfix(_Mta):
    def _start(self):
        configuration, queue, data = (self.folder / name for name in ("etc", "queue", "data"))
        for path in (configuration, queue, data):
            path.mkdir()
        owner = pwd.getpwnam("postfix")
        os.chown(data, owner.pw_uid, owner.pw_gid)
        nobody = pwd.getpwnam("nobody")
        os.chown(self.mail, nobody.pw_uid, nobody.pw_gid)
        boxes = " ".join(f"{{{user}@example.test = {user}/}}" for user in self.users)
        (configuration / "main.cf").write_text(f"""compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
maillog_file = {self.folder}/log
maillog_file_prefixes = {self.folder}
myhostname = mta.example.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
virtual_mailbox_domains = example.test
virtual_mailbox_base = {self.mail}
virtual_mailbox_maps = inline:{{ {boxes} }}
virtual_minimum_uid = 1
virtual_uid_maps = static:{nobody.pw_uid}
virtual_gid_maps = static:{nobody.pw_gid}
smtpd_peername_lookup = no
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_authorized_xforward_hosts = 127.0.0.1
smtpd_client_restrictions = check_client_access inline:{{ {{127.0.0.66 = REJECT not you}} }}
smtpd_tls_security_level = may
smtpd_tls_chain_files = {self.folder}/tls.all
smtputf8_enable = yes
{self.more_settings}""")
        (self.folder / "tls.all").write_bytes(self.key.read_bytes() + self.chain.read_bytes())
        lines = [f"127.0.0.1:{self.port} inet n - n - - smtpd"]
        for name, kind, wakeup, limit, command in [
                ("pickup", "unix", "60", "1", "pickup"), ("cleanup", "unix", "-", "0", "cleanup"),
                ("qmgr", "unix", "300", "1", "qmgr"), ("rewrite", "unix", "-", "-", "trivial-rewrite"),
                ("bounce", "unix", "-", "0", "bounce"), ("defer", "unix", "-", "0", "bounce"),
                ("trace", "unix", "-", "0", "bounce"), ("proxymap", "unix", "-", "-", "proxymap"),
                ("virtual", "unix", "-", "-", "virtual"), ("error", "unix", "-", "-", "error"),
                ("retry", "unix", "-", "-", "error"), ("anvil", "unix", "-", "1", "anvil"),
                ("smtp", "unix", "-", "-", "smtp"), ("flush", "unix", "1000", "0", "flush"),
                ("tlsmgr", "unix", "1000", "1", "tlsmgr"), ("postlog", "unix-dgram", "-", "1", "postlogd")]:
            private = "n" if name in ("pickup", "cleanup", "qmgr", "flush", "postlog") else "y"
            privileged = "n" if name == "virtual" else "-"
            lines.append(f"{name} {kind} {private} {privileged} n {wakeup} {limit} {command}")
        lines += self.more_services()
        (configuration / "master.cf").write_text("\n".join(lines) + "\n")
        env = environment(MAIL_CONFIG=str(configuration))
        made = run([tool("postfix"), "-c", configuration, "check"], env=env)
        assert made.returncode == 0, made.stdout + made.stderr
        directory = run([tool("postconf"), "-h", "daemon_directory"], env=env).stdout.strip()
        return Process([f"{directory}/master", "-c", configuration, "-d"], name="postfix", folder=self.folder, env=env)

    @property
    def log(self):
        path = self.folder / "log"
        return (path.read_text("utf-8", "replace") if path.exists() else "") + self.process.stderr


class Exim(_Mta):
    """Exim cannot be installed beside Postfix: the program alone is unpacked."""

    unpacked = "exim4"

    def _start(self):
        program = UNPACKED / self.unpacked / "usr" / "sbin" / "exim4"
        assert program.is_file(), f"{program} is missing: sh packaging/deps.sh tests unpacks it"
        owner = pwd.getpwnam("Debian-exim")
        for name in ("spool", "logs"):
            (self.folder / name).mkdir()
            os.chown(self.folder / name, owner.pw_uid, owner.pw_gid)
        os.chown(self.mail, owner.pw_uid, owner.pw_gid)
        configuration = self.folder / "exim.conf"
        configuration.write_text(f"""exim_path = {program}
primary_hostname = mta.example.test
spool_directory = {self.folder}/spool
log_file_path = {self.folder}/logs/%slog
pid_file_path = {self.folder}/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {self.port}
disable_ipv6
tls_advertise_hosts = *
tls_certificate = {self.chain}
tls_privatekey = {self.key}
host_lookup =
dsn_advertise_hosts = *
chunking_advertise_hosts = *
keep_environment =
trusted_users = root
never_users =
acl_smtp_rcpt = known
{self.more_settings}begin acl
{self.more_acls}known:
  accept verify = recipient
  deny message = no such user
begin routers
boxes:
  driver = accept
  domains = example.test
  local_parts = {' : '.join(self.users)}
  transport = boxes
begin transports
boxes:
  driver = appendfile
  directory = {self.mail}/$local_part_data
  maildir_format
  create_directory
  user = Debian-exim
begin retry
* * F,2h,1s
""")
        configuration.chmod(0o644)
        return Process([program, "-C", configuration, "-bdf", "-q1s"], name="exim", folder=self.folder)

    @property
    def log(self):
        logs = self.folder / "logs"
        return "".join(path.read_text("utf-8", "replace") for path in sorted(logs.glob("*"))) + self.process.stderr
