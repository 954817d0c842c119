"""Clients that nobody here wrote: each function runs one and says what it saw."""

import dataclasses
import pathlib
import re
import smtplib
import ssl
import tempfile

from .ca import fingerprint, fingerprint_of_der
from .dialogue import tls_context
from .processes import environment, run, tool
from .wait import LIMIT


@dataclasses.dataclass
class Handshake:
    """What a client saw of a TLS handshake."""

    fingerprint: str      # of the certificate that was served; empty: no handshake
    verified: bool        # chain up to our root, and the name, by the client's own judgement
    output: str           # all it said

    @property
    def done(self):
        return bool(self.fingerprint)


def _leaf_in(text):
    return fingerprint(text) if "-----BEGIN CERTIFICATE-----" in text else ""


def openssl(host, port, name=None, *, root=None, starttls=True, arguments=()):
    """`openssl s_client`; `name` None sends no SNI."""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    argv = [tool("openssl"), "s_client", "-connect", target, "-showcerts"]
    argv += ["-servername", name] if name is not None else ["-noservername"]
    argv += ["-starttls", "smtp"] if starttls else []
    argv += ["-CAfile", root, "-verify_return_error"] if root else []
    argv += ["-verify_hostname", name] if root and name else []
    # With a "Q" line s_client ends the connection as soon as the handshake is over.
    result = run([*argv, *arguments], stdin=b"Q\n")
    output = result.stdout + result.stderr
    return Handshake(_leaf_in(result.stdout), "Verify return code: 0 (ok)" in output and bool(root), output)


@dataclasses.dataclass
class Resumption:
    """What a client said of a handshake for which it may have had a session."""

    reused: bool
    fingerprint: str      # of the certificate; that of the session when it was reused
    output: str


def openssl_session(host, port, name=None, *, session, arguments=()):
    """`openssl s_client` with a session file: offers what is in it, and replaces it with what the server gives."""
    session = pathlib.Path(session)
    argv = [tool("openssl"), "s_client", "-connect", f"{host}:{port}", "-showcerts", "-starttls", "smtp", "-ign_eof",
            "-crlf", "-sess_out", session]
    argv += ["-servername", name] if name is not None else ["-noservername"]
    argv += ["-sess_in", session] if session.exists() else []
    # TLS 1.3 tickets come with the answer to EHLO.
    result = run([*argv, *arguments], stdin=b"EHLO client.example.test\nQUIT\n")
    output = result.stdout + result.stderr
    found = re.search(r"^(New|Reused), ", output, re.MULTILINE)
    assert found and "\n250" in output, output
    return Resumption(found.group(1) == "Reused", _leaf_in(result.stdout), output)


def gnutls(host, port, name=None, *, root=None, starttls=True, priority=None):
    """`gnutls-cli`, which says EHLO and STARTTLS by itself; `name` None sends no SNI."""
    with tempfile.TemporaryDirectory() as folder:
        saved = pathlib.Path(folder) / "served.pem"
        argv = [tool("gnutls-cli"), f"--save-cert={saved}", "--port", port, "--crlf"]
        argv += ["--starttls-proto=smtp"] if starttls else []
        argv += [f"--sni-hostname={name}"] if name is not None else ["--disable-sni"]
        argv += [f"--x509cafile={root}", f"--verify-hostname={name}"] if root else ["--insecure", "--no-ca-verification"]
        argv += [f"--priority={priority}"] if priority else []
        result = run([*argv, host], stdin=b"QUIT\r\n")
        output = result.stdout + result.stderr
        served = _leaf_in(saved.read_text()) if saved.exists() else ""
        return Handshake(served, "The certificate is trusted" in output and "Handshake was completed" in output, output)


def gnutls_resumes(host, port, name, *, root, arguments):
    """`gnutls-cli --resume`: two connections, the second with the session of the first. Whether it was resumed."""
    argv = [tool("gnutls-cli"), "--resume", "--port", port, "--crlf", f"--sni-hostname={name}", f"--x509cafile={root}",
            f"--verify-hostname={name}"]
    result = run([*argv, *arguments, host], stdin=b"QUIT\r\n")
    return "This is a resumed session" in result.stdout, result.stdout + result.stderr


def postfix_environment(folder):
    """Postfix's tools read a main.cf before anything else: ours, with nothing in it that concerns this machine."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.cf").write_text(
        "compatibility_level = 3.6\nmyhostname = client.example.test\ninet_protocols = all\n")
    return environment(MAIL_CONFIG=str(folder))


def posttls_finger(host, port, name=None, *, root=None, match=None, folder=None, implicit=False):
    """Postfix's `posttls-finger` at the level "secure"."""
    with tempfile.TemporaryDirectory() as scratch:
        target = f"[ipv6:{host}]:{port}" if ":" in host else f"[{host}]:{port}"
        argv = [tool("posttls-finger"), "-c", "-C", "-l", "secure", "-L", "summary,certmatch"]
        argv += ["-F", root] if root else []
        argv += ["-s", name] if name is not None else []
        argv += ["-w"] if implicit else []
        result = run([*argv, target, match or name or "nobody.invalid"],
                     env=postfix_environment(folder or scratch))
    output = result.stdout + result.stderr
    return Handshake(_leaf_in(output), "Verified TLS connection established" in output, output)


class _NamedSmtp(smtplib.SMTP):
    """smtplib takes the SNI from the host it connects to; here they are two things."""

    def __init__(self, host, port, name):
        super().__init__(host, port, local_hostname="client.example.test", timeout=LIMIT)
        self._host = name

    @property
    def peer_fingerprint(self):
        return fingerprint_of_der(self.sock.getpeercert(binary_form=True))


def smtplib_session(host, port, name=None, *, root=None):
    """An `smtplib.SMTP` that has done STARTTLS, with the name checked if `root` is given."""
    client = _NamedSmtp(host, port, name)
    client.ehlo()
    client.starttls(context=tls_context(root, check=root is not None))
    client.ehlo()
    return client


def smtplib_handshake(host, port, name=None, *, root=None):
    try:
        client = smtplib_session(host, port, name, root=root)
    except ssl.SSLCertVerificationError as refused:
        return Handshake("", False, str(refused))
    with client:
        return Handshake(client.peer_fingerprint, root is not None, client.sock.version())


def swaks(host, port, *, sender, recipients, data=None, name=None, tls=True, arguments=(), folder=None):
    """`swaks` delivers one message (`data`: a file's path); returns the finished process."""
    argv = [tool("swaks"), "--server", host, "--port", port, "--ehlo", "client.example.test", "--from", sender,
            "--to", ",".join(recipients), "--timeout", str(int(LIMIT))]
    argv += ["--tls"] if tls else []
    argv += ["--tls-sni", name] if tls and name is not None else []
    argv += ["--data", f"@{data}"] if data else []
    return run([*argv, *arguments], cwd=folder)


def smtp_source(host, port, *, sender, recipient, messages=1, sessions=1, recipients=1, length=None, folder,
                arguments=()):
    """Postfix's `smtp-source`, in clear; returns the finished process: exit code 0 when every message was taken.

    With several recipients per message they are called 1RECIPIENT, 2RECIPIENT and so on.
    """
    argv = [tool("smtp-source"), "-f", sender, "-t", recipient, "-m", messages, "-s", sessions]
    argv += ["-r", recipients] if recipients > 1 else []
    argv += ["-l", length] if length else []
    target = f"[{host}]:{port}" if ":" not in host else f"[ipv6:{host}]:{port}"
    return run([*argv, *arguments, target], env=postfix_environment(folder), limit=2 * LIMIT)


def protocol_of(output):
    """The TLS version in the output of `openssl s_client`."""
    found = re.search(r"^\s*Protocol\s*: (\S+)$", output, re.MULTILINE) or re.search(r"^New, (TLSv\S+), Cipher", output,
                                                                                    re.MULTILINE)
    return found.group(1) if found else ""
