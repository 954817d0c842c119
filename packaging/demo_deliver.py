"""Delivers one message to each host name of the demo, as a sender does that insists on the right certificate.

    demo_deliver.py HOST:PORT CA_FILE MAIL_DIR
"""

import hashlib
import pathlib
import smtplib
import socket
import ssl
import sys
import time
import uuid

DELIVERIES = [  # MX name, recipient
    ("mx1.example.net", "alice@example.net"),
    ("mail.example.com", "bob@example.com"),
    ("mx.example.org", "carol@example.org"),
]
TIME_LIMIT = 30


class Sender(smtplib.SMTP):
    """Believes that it talks to the MX name it was made with, whatever address that has in the demo."""

    def __init__(self, mx: str, address: tuple[str, int]):
        self.address = address
        super().__init__(mx, address[1], local_hostname="sender.example", timeout=TIME_LIMIT)

    def _get_socket(self, host, port, timeout):
        return socket.create_connection(self.address, timeout)


def found_in(mail: pathlib.Path, message_id: str) -> pathlib.Path | None:
    for path in mail.glob("*/new/*"):
        if message_id.encode() in path.read_bytes():
            return path
    return None


def deliver(address: tuple[str, int], ca_file: str, mail: pathlib.Path, mx: str, recipient: str) -> str:
    """What there is to tell. Any failure is an exception."""
    message_id = f"<{uuid.uuid4()}@sender.example>"
    message = "\r\n".join([
        "From: demo@sender.example", f"To: {recipient}", f"Subject: hello {mx}", f"Message-ID: {message_id}",
        f"Date: {time.strftime('%a, %d %b %Y %H:%M:%S +0000', time.gmtime())}", "", "It works.", "",
    ])
    context = ssl.create_default_context(cafile=ca_file)  # checks the chain, and that the certificate is for `mx`
    with Sender(mx, address) as sender:
        sender.starttls(context=context)
        certificate = sender.sock.getpeercert()
        digest = hashlib.sha256(sender.sock.getpeercert(binary_form=True)).hexdigest()
        version, cipher = sender.sock.version(), sender.sock.cipher()[0]
        sender.ehlo_or_helo_if_needed()
        sender.mail("demo@sender.example")
        code, text = sender.rcpt(recipient)
        if code != 250:
            raise RuntimeError(f"RCPT was answered {code} {text.decode()}")
        code, text = sender.data(message)
        if code != 250:
            raise RuntimeError(f"the message was answered {code} {text.decode()}")
    path = found_in(mail, message_id)
    if path is None:
        raise RuntimeError(f"the message was acknowledged, and is not in {mail}")
    names = ", ".join(name for _, name in certificate["subjectAltName"])
    return "\n".join([
        f"sent          to {recipient}, asking for {mx}",
        f"certificate   for {names}, sha256 {digest[:16]}..., until {certificate['notAfter']}",
        f"connection    {version} {cipher}",
        f"answer        {code} {text.decode().splitlines()[0]}",
        f"message       {path}",
    ])


def main() -> int:
    host, _, port = sys.argv[1].rpartition(":")
    told = []
    for mx, recipient in DELIVERIES:
        try:
            told.append(deliver((host, int(port)), sys.argv[2], pathlib.Path(sys.argv[3]), mx, recipient))
        except (OSError, RuntimeError, smtplib.SMTPException) as error:
            print(f"demo: {mx}: {error}", file=sys.stderr)
            return 1
    print("\n" + "\n\n".join(told) + "\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
