"""How a Postfix and an Exim of a test's own are started, whatever they are there for. Both need root, as they do everywhere."""

import os
import pathlib
import pwd
import smtplib

from .processes import Process, environment, run, tool

# Where packaging/deps.sh unpacks what cannot be installed beside Postfix.
UNPACKED = pathlib.Path("/usr/local/lib/postern-tests")

# Of master.cf: name, kind, wake-up, limit, program.
_SERVICES = [
    ("pickup", "unix", "60", "1", "pickup"), ("cleanup", "unix", "-", "0", "cleanup"),
    ("qmgr", "unix", "300", "1", "qmgr"), ("rewrite", "unix", "-", "-", "trivial-rewrite"),
    ("bounce", "unix", "-", "0", "bounce"), ("defer", "unix", "-", "0", "bounce"),
    ("trace", "unix", "-", "0", "bounce"), ("flush", "unix", "1000", "0", "flush"),
    ("proxymap", "unix", "-", "-", "proxymap"), ("smtp", "unix", "-", "-", "smtp"),
    ("lmtp", "unix", "-", "-", "lmtp"), ("virtual", "unix", "-", "-", "virtual"),
    ("error", "unix", "-", "-", "error"), ("retry", "unix", "-", "-", "error"),
    ("anvil", "unix", "-", "1", "anvil"), ("scache", "unix", "-", "1", "scache"),
    ("showq", "unix", "-", "-", "showq"), ("tlsmgr", "unix", "1000", "1", "tlsmgr"),
    ("postlog", "unix-dgram", "-", "1", "postlogd")]
_NOT_PRIVATE = ("pickup", "cleanup", "qmgr", "flush", "showq", "postlog")


def greets(port):
    """Whether a server answers there."""
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=5) as client:
            return client.noop()[0] == 250
    except (OSError, smtplib.SMTPException):
        return False


def _own(path, user):
    owner = pwd.getpwnam(user)
    os.chown(path, owner.pw_uid, owner.pw_gid)


def _each_once(settings):
    """The text of a main.cf in which the last line for a parameter holds. Of a parameter that stands there twice, each of
    Postfix's programs warns at its start, postlogd as well, which then may wait for ever for room in its own queue."""
    lines = {}
    for line in settings.splitlines():
        name, equals, _ = line.partition(" =")
        assert equals and not line[0].isspace(), f"not a line of a parameter: {line!r}"
        lines[name] = line
    return "".join(line + "\n" for line in lines.values())


def start_postfix(folder, port, settings, services=()):
    """A whole Postfix below `folder`. `settings` hold instead of those that every test wants; `services` go into
    master.cf."""
    configuration, queue, data = (folder / name for name in ("etc", "queue", "data"))
    for path in (configuration, queue, data):
        path.mkdir(exist_ok=True)
    _own(data, "postfix")
    (configuration / "main.cf").write_text(_each_once(f"""compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
smtpd_peername_lookup = no
{settings}"""))
    lines = [f"127.0.0.1:{port} inet n - n - - smtpd"]
    for name, kind, wakeup, limit, command in _SERVICES:
        private = "n" if name in _NOT_PRIVATE else "y"
        privileged = "n" if name == "virtual" else "-"
        lines.append(f"{name} {kind} {private} {privileged} n {wakeup} {limit} {command}")
    (configuration / "master.cf").write_text("\n".join([*lines, *services]) + "\n")
    env = environment(MAIL_CONFIG=str(configuration))
    made = run([tool("postfix"), "-c", configuration, "check"], env=env)
    assert made.returncode == 0, made.stdout + made.stderr
    directory = run([tool("postconf"), "-h", "daemon_directory"], env=env).stdout.strip()
    return Process([f"{directory}/master", "-c", configuration, "-d"], name="postfix", folder=folder, env=env)


def postfix_log(folder, process):
    path = folder / "log"
    return (path.read_text("utf-8", "replace") if path.exists() else "") + process.stderr


def start_exim(folder, port, settings, unpacked="exim4"):
    """Exim cannot be installed beside Postfix: the program alone is unpacked. `settings` end with the transports."""
    program = UNPACKED / unpacked / "usr" / "sbin" / "exim4"
    assert program.is_file(), f"{program} is missing: sh packaging/deps.sh tests unpacks it"
    for name in ("spool", "logs"):
        (folder / name).mkdir(exist_ok=True)
        _own(folder / name, "Debian-exim")
    configuration = folder / "exim.conf"
    configuration.write_text(f"""exim_path = {program}
spool_directory = {folder}/spool
log_file_path = {folder}/logs/%slog
pid_file_path = {folder}/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
disable_ipv6
host_lookup =
keep_environment =
trusted_users = root
never_users =
{settings}begin retry
* * F,2h,1s
""")
    configuration.chmod(0o644)
    return Process([program, "-C", configuration, "-bdf", "-q1s"], name="exim", folder=folder)


def exim_log(folder, process):
    return "".join(path.read_text("utf-8", "replace") for path in sorted((folder / "logs").glob("*"))) + process.stderr
