"""Mail servers that nobody here wrote, as senders with a queue: Postfix and Exim, with retry times of seconds.

Each takes messages from the test by SMTP, sends what is for example.test to posternd, and brings what is for the authors
at elsewhere.test, that is its bounces, to an LMTP socket. Both need root, as they do everywhere.
"""

import pathlib
import signal
import smtplib
import stat

from .mta_programs import exim_log, greets, postfix_log, start_exim, start_postfix
from .ports import free_port
from .wait import LIMIT, eventually


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
                eventually(lambda: greets(self.port) or not self.process.running(),
                           lambda: f"{self.process.name} greets; it said:\n{self.log()}")
            except AssertionError:
                self.process.kill()
                raise
            if self.process.running():
                return
        raise AssertionError(f"{self.process.name} does not start:\n{self.log()}")

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
        transport = self.folder / "transport"
        transport.write_text(
            f"example.test smtp:[{self._to[0]}]:{self._to[1]}\nelsewhere.test lmtp:unix:{self._authors}\n"
            + self._options.get("transports", ""))
        # Not below two seconds: Postfix leaves a message alone for 300 s when it is due in the moment of its deferral.
        self.process = start_postfix(self.folder, self.port, f"""myhostname = postfix.elsewhere.test
transport_maps = texthash:{transport}
smtpd_relay_restrictions = permit_mynetworks, reject
smtp_dns_support_level = disabled
smtp_host_lookup = native
queue_run_delay = 2s
minimal_backoff_time = 2s
maximal_backoff_time = 2s
{self._options.get("settings", "")}""", self._options.get("services", []))

    def queued(self):
        """The messages that it still holds."""
        queue = self.folder / "queue"
        return [path for name in ("maildrop", "incoming", "active", "deferred", "hold")
                for path in (queue / name).rglob("*") if _is_file(path)]

    def log(self):
        return postfix_log(self.folder, self.process)


class Exim(_Sender):
    """`ways`: settings of the smtp transport for messages to these local parts, which are sent to posternd as no others
    are."""

    _prdr = ""  # the servers that it asks for PRDR
    tls = "  hosts_avoid_tls = *"  # of the transport to posternd

    def _start(self):
        routers = transports = ""
        for user, settings in self._options.get("ways", {}).items():
            routers += (f"{user}:\n  driver = manualroute\n  domains = example.test\n  local_parts = {user}\n"
                        f"  route_list = * {self._to[0]}\n  self = send\n  transport = {user}\n")
            transports += (f"{user}:\n  driver = smtp\n  port = {self._to[1]}\n  allow_localhost\n"
                           "  hosts_try_fastopen =\n" + "".join(f"  {name} = {value}\n" for name, value in settings.items()))
        self.process = start_exim(self.folder, self.port, f"""primary_hostname = exim.elsewhere.test
tls_advertise_hosts =
smtp_accept_max = 100
queue_run_max = 5
deliver_drop_privilege
acl_smtp_rcpt = accept_all
begin acl
accept_all:
  accept
begin routers
authors:
  driver = accept
  domains = elsewhere.test
  transport = authors
{routers}out:
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
{self.tls}
  hosts_try_fastopen =
  hosts_try_prdr = {self._prdr}
{transports}""")

    def queued(self):
        return [path for path in (self.folder / "spool" / "input").rglob("*-H") if _is_file(path)]

    def log(self):
        return exim_log(self.folder, self.process)


class EximWithPrdr(Exim):
    """As Exim does it by default: a reply for each recipient."""

    _prdr = "*"


def _is_file(path):
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False
