"""A real Dovecot as the mail store: its LMTP server on a unix socket, read back with doveadm."""

import email
import grp
import os
import pathlib
import pwd
import signal
import socket

from .ports import free_port
from .processes import Process, environment, run, tool
from .wait import eventually

_CONFIGURATION = """\
# Everything lies below one temporary folder and runs without the system's dovecot users, so that any number of these
# can run side by side, started by root or by anybody else.
base_dir = {folder}/run
state_dir = {folder}/state
log_path = /dev/stderr
protocols = lmtp
listen = 127.0.0.1
ssl = no
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
mail_uid = {user}
mail_gid = {group}
first_valid_uid = 1
first_valid_gid = 1
mail_home = {folder}/mail/%u
mail_location = maildir:~/Maildir
# CRLF line ends are stored as they came in: the tests compare octets.
mail_save_crlf = yes
lda_mailbox_autocreate = yes
postmaster_address = postmaster@store.example.test
hostname = store.example.test
lmtp_rcpt_check_quota = no

passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
}}
service lmtp {{
  chroot =
  unix_listener lmtp {{
    mode = 0666
  }}
{listeners}}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service auth {{
  user = {user}
}}
service log {{
  user = {user}
}}
"""


def _mail_account():
    """Who owns the mail: ourselves, or nobody when we are root (Dovecot gives mail to no uid 0)."""
    if os.getuid() == 0:
        entry = pwd.getpwnam("nobody")
        return entry.pw_uid, entry.pw_gid
    return os.getuid(), os.getgid()


def _name_of(uid, gid):
    return pwd.getpwuid(uid).pw_name, grp.getgrgid(gid).gr_name


# LMTP over TCP, in clear (with STARTTLS) and under TLS; loopback is believed when it says XCLIENT.
_TCP_LISTENERS = """\
  inet_listener lmtp {{
    address = {host}
    port = {port}
  }}
  inet_listener lmtps {{
    address = {host}
    port = {tls_port}
    ssl = yes
  }}
"""
_TCP = """
login_trusted_networks = 127.0.0.0/8
ssl = yes
ssl_cert = <{chain}
ssl_key = <{key}
"""


class Dovecot:
    """One running Dovecot. Its users are those of `users`; anybody else is unknown to it.

    With a `leaf` it also listens on TCP, at `host`: see tcp_target and tls_target.
    """

    def __init__(self, folder, users, leaf=None, *, host="127.0.0.1", port=None, plugins=""):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self.socket_path = self.folder / "run" / "lmtp"
        self.target = f"unix:{self.socket_path}"
        self._users = self.folder / "users"
        self._users.write_text("".join(f"{user}:{{PLAIN}}unused::::::\n" for user in users))
        self._users.chmod(0o644)
        uid, gid = _mail_account()
        mail = self.folder / "mail"
        mail.mkdir(exist_ok=True)
        if os.getuid() == 0:
            os.chown(mail, uid, gid)
        user, group = _name_of(uid, gid)
        self._configuration = self.folder / "dovecot.conf"
        listeners, more = "", ""
        if leaf is not None:
            port, tls_port = port or free_port(), free_port()
            self.tcp_target, self.tls_target = f"{host}:{port}", f"{host}:{tls_port}"
            listeners = _TCP_LISTENERS.format(host=host, port=port, tls_port=tls_port)
            chain, key = leaf.write(self.folder, "tls")
            more = _TCP.format(chain=chain, key=key)
        self._configuration.write_text(
            _CONFIGURATION.format(folder=self.folder, user=user, group=group, listeners=listeners)
            .replace("ssl = no\n", "" if more else "ssl = no\n") + more + plugins)
        self._process = None
        self.start()

    def start(self):
        """Starts it (again, after kill()), and waits until it greets."""
        self._process = Process([tool("dovecot"), "-F", "-c", self._configuration], name="dovecot", folder=self.folder,
                                env=environment())
        eventually(self._greets, lambda: f"Dovecot greets; it said:\n{self._process.stderr}")

    def _greets(self):
        assert self._process.running(), f"dovecot ended:\n{self._process.stderr}"
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(5)
                probe.connect(str(self.socket_path))
                return probe.recv(512).startswith(b"220 ")
        except OSError:
            return False

    def kill(self):
        """SIGKILL to the whole of it, with what is going on inside."""
        self._process.kill()
        # Left behind by a killed master; a new one would find it.
        for name in ("master.pid", "lmtp"):
            (self.folder / "run" / name).unlink(missing_ok=True)

    def freeze(self):
        """SIGSTOP to the whole of it: who connects is taken by the kernel, and nobody reads."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self):
        os.killpg(self._process.pid, signal.SIGCONT)

    def stop(self):
        if self._process.running():
            self._process.kill()

    @property
    def log(self):
        return self._process.stderr

    def extensions(self):
        """The keywords of its LHLO answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(str(self.socket_path))
            stream = connection.makefile("rwb")
            stream.readline()
            stream.write(b"LHLO tests.example.test\r\n")
            stream.flush()
            keywords = []
            while True:
                line = stream.readline().decode()
                keywords.append(line[4:].strip())
                if line[3:4] != "-":
                    return keywords[1:]

    def doveadm(self, *arguments):
        """Runs doveadm with this Dovecot's configuration; its stdout as octets."""
        result = run([tool("doveadm"), "-c", self._configuration, *arguments])
        assert result.returncode == 0, f"doveadm {' '.join(arguments)}:\n{result.stderr}"
        return result.stdout.encode("utf-8", "surrogateescape")

    def fill(self, user):
        """Puts 40 KB into the user's mailbox, more than the tests' quota: past postern, LMTP and the quota."""
        text = "Subject: filler\n\n" + ("x" * 78 + "\n") * 500
        result = run([tool("doveadm"), "-c", self._configuration, "-o", "plugin/quota_rule=*:storage=1G", "save", "-u", user],
                     stdin=text.encode())
        assert result.returncode == 0, result.stderr

    def sieve(self, user, script):
        """What the user's mail goes through; the plug-in must be configured."""
        home = self.folder / "mail" / user
        home.mkdir(exist_ok=True)
        (home / "refuse.sieve").write_text(script)
        if os.getuid() == 0:
            for path in (home, home / "refuse.sieve"):
                os.chown(path, *_mail_account())

    def count(self, user):
        """How many messages lie in the user's INBOX."""
        if not (self.folder / "mail" / user).exists():
            return 0
        return len(self.doveadm("search", "-u", user, "mailbox", "INBOX").splitlines())

    def subjects(self, user):
        """The subjects of all messages in the user's INBOX: one call, however many they are."""
        if not (self.folder / "mail" / user).exists():
            return []
        output = self.doveadm("-f", "tab", "fetch", "-u", user, "hdr.subject", "mailbox", "INBOX")
        return output.decode().splitlines()[1:]

    def subjects_of_all(self):
        """The same of everybody, {user: subjects}, without asking Dovecot."""
        made = {}
        for path in self.folder.glob("mail/*/Maildir/new/*"):
            made.setdefault(path.parts[-4], []).append(email.message_from_bytes(path.read_bytes())["Subject"])
        return made

    def messages(self, user):
        """All messages of the user's INBOX as they lie there, oldest first."""
        if not (self.folder / "mail" / user).exists():
            return []
        uids = self.doveadm("-f", "tab", "fetch", "-u", user, "uid", "mailbox", "INBOX").split()[1:]
        return [self._fetch(user, uid.decode()) for uid in uids]

    def _fetch(self, user, uid):
        output = self.doveadm("fetch", "-u", user, "text", "mailbox", "INBOX", "uid", uid)
        head = b"text:\n"
        assert output.startswith(head), output[:100]
        return output[len(head):]
