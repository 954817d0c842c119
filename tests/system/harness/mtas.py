"""Postfix and Exim as backends: MTAs that nobody here wrote, which keep what they take in Maildirs.

Both need root, as they do everywhere. They listen on loopback only and are ended with the test, by process group.
"""

import os
import pathlib
import pwd
import re

from .mta_programs import exim_log, greets, postfix_log, start_exim, start_postfix
from .ports import free_port
from .wait import eventually


class _Mta:
    """`users` are local parts at example.test; `leaf` is for STARTTLS."""

    more_settings = ""  # of a kind of its own, behind the others
    more_acls = ""      # of Exim
    more_sections = ""  # of Exim's configuration

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
        return greets(self.port)

    def messages(self, user):
        """What lies in the user's Maildir, in no order; Maildirs have LF line ends."""
        return [path.read_bytes() for path in (self.mail / user / "new").glob("*")]

    def stop(self):
        self.process.kill()


class Postfix(_Mta):
    def smtpds(self, address, count=1):
        """The process ids of those that this client was connected to, in their order, once there are so many."""
        def found():
            pids = re.findall(rf"smtpd\[(\d+)\]: connect from \S*\[{re.escape(address)}\]", self.log)
            return [int(pid) for pid in pids] if len(pids) >= count else None
        return eventually(found, lambda: f"{count} connections from {address}; log:\n{self.log}")

    def _start(self):
        nobody = pwd.getpwnam("nobody")
        os.chown(self.mail, nobody.pw_uid, nobody.pw_gid)
        boxes = " ".join(f"{{{user}@example.test = {user}/}}" for user in self.users)
        (self.folder / "tls.all").write_bytes(self.key.read_bytes() + self.chain.read_bytes())
        return start_postfix(self.folder, self.port, f"""myhostname = mta.example.test
virtual_mailbox_domains = example.test
virtual_mailbox_base = {self.mail}
virtual_mailbox_maps = inline:{{ {boxes} }}
virtual_minimum_uid = 1
virtual_uid_maps = static:{nobody.pw_uid}
virtual_gid_maps = static:{nobody.pw_gid}
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_authorized_xforward_hosts = 127.0.0.1
smtpd_client_restrictions = check_client_access inline:{{ {{127.0.0.66 = REJECT not you}} }}
smtpd_tls_security_level = may
smtpd_tls_chain_files = {self.folder}/tls.all
smtputf8_enable = yes
{self.more_settings}""", self.more_services())

    @property
    def log(self):
        return postfix_log(self.folder, self.process)


class Exim(_Mta):
    unpacked = "exim4"  # which of the programs

    def _start(self):
        owner = pwd.getpwnam("Debian-exim")
        os.chown(self.mail, owner.pw_uid, owner.pw_gid)
        return start_exim(self.folder, self.port, f"""primary_hostname = mta.example.test
tls_advertise_hosts = *
tls_certificate = {self.chain}
tls_privatekey = {self.key}
dsn_advertise_hosts = *
chunking_advertise_hosts = *
acl_smtp_rcpt = known
{self.more_settings}{self.more_sections}begin acl
{self.more_acls}known:
  accept authenticated = *
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
""", self.unpacked)

    @property
    def log(self):
        return exim_log(self.folder, self.process)
