"""A real Cyrus as the mail store: its LMTP server on a unix socket, read back from its spool. It needs root, as everywhere."""

import os
import pathlib
import pwd
import socket

from .mta_programs import UNPACKED
from .processes import Process, environment
from .wait import eventually

# Its servers drop root's rights to this user.
_USER, _GROUP = "nobody", "nogroup"
_PROGRAMS = UNPACKED / "cyrus/usr/lib/cyrus/bin"

_SETTINGS = """\
configdirectory: {folder}/configuration
defaultpartition: default
partition-default: {folder}/spool
cyrus_user: {user}
cyrus_group: {group}
admins: cyrus
servername: store.example.test
virtdomains: userid
defaultdomain: unused.test
unixhierarchysep: yes
# Mailboxes are made when the first message comes, for these users only; anybody else is unknown.
autocreate_post: yes
autocreate_users: {users}
autocreate_quota: {quota}
duplicatesuppression: no
# A message for which there is no room is refused, and for good.
lmtp_strict_quota: yes
lmtp_over_quota_perm_failure: yes
"""
_SERVICES = """\
START {{
  recover cmd="{programs}/ctl_cyrusdb -C {folder}/imapd.conf -r"
}}
SERVICES {{
  lmtpunix cmd="{programs}/lmtpd -C {folder}/imapd.conf" listen="{folder}/lmtp" prefork=0
}}
"""


class Cyrus:
    """One running Cyrus with these users, each of whom may store `quota_kib`."""

    def __init__(self, folder, users, *, quota_kib):
        self.folder = pathlib.Path(folder)
        for path in (self.folder, self.folder / "configuration", self.folder / "spool"):
            path.mkdir(mode=0o755)
            os.chown(path, pwd.getpwnam(_USER).pw_uid, -1)
        self.target = f"unix:{self.folder}/lmtp"
        values = {"folder": self.folder, "programs": _PROGRAMS, "user": _USER, "group": _GROUP, "users": " ".join(users),
                  "quota": quota_kib}
        (self.folder / "imapd.conf").write_text(_SETTINGS.format(**values))
        (self.folder / "cyrus.conf").write_text(_SERVICES.format(**values))
        master = _PROGRAMS / "master"
        assert master.exists(), f"{master} is not there, and this test needs it: see packaging/deps.sh"
        # Its libraries lie beside it, and it hands this on to the servers that it starts.
        libraries = UNPACKED / "cyrus/usr/lib" / f"{os.uname().machine}-linux-gnu"
        self._process = Process([master, "-C", self.folder / "imapd.conf", "-M", self.folder / "cyrus.conf", "-p",
                                 self.folder / "pid"], name="cyrus", folder=self.folder,
                                env=environment(LD_LIBRARY_PATH=str(libraries)))
        eventually(self._greets, lambda: f"Cyrus greets; it said:\n{self._process.stderr}")

    def _greets(self):
        assert self._process.running(), f"Cyrus ended:\n{self._process.stderr}"
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(5)
                probe.connect(f"{self.folder}/lmtp")
                return probe.recv(512).startswith(b"220 ")
        except OSError:
            return False

    def stop(self):
        if self._process.running():
            self._process.kill()

    def messages(self):
        """All messages of all mailboxes, as they lie there."""
        return [path.read_bytes() for path in sorted((self.folder / "spool").rglob("[0-9]*.")) if path.is_file()]
