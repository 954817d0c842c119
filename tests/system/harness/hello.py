"""ClientHellos that no TLS library would write, and what a server answers to them."""

import os
import struct

HANDSHAKE, ALERT = 22, 21


def _block(size, octets):
    return len(octets).to_bytes(size, "big") + octets


def server_name(name, name_type=0):
    """The content of a server_name extension (RFC 6066 section 3), whatever `name` is."""
    return _block(2, bytes([name_type]) + _block(2, name))


def client_hello(sni):
    """A TLS 1.2 ClientHello record that BoringSSL can answer, with `sni` as the server_name extension's content.

    TLS 1.2, because there the certificate comes in clear: no handshake needs to be finished to see it.
    """
    extensions = b""
    if sni is not None:
        extensions += struct.pack(">H", 0) + _block(2, sni)
    extensions += struct.pack(">H", 10) + _block(2, _block(2, struct.pack(">HH", 0x0017, 0x0018)))  # P-256, P-384
    extensions += struct.pack(">H", 11) + _block(2, _block(1, b"\0"))                               # uncompressed
    extensions += struct.pack(">H", 13) + _block(2, _block(2, struct.pack(">HHHH", 0x0403, 0x0804, 0x0401, 0x0503)))
    suites = struct.pack(">HHHH", 0xC02B, 0xC02F, 0xC02C, 0xC030)  # ECDHE with ECDSA and RSA, AES-GCM
    body = struct.pack(">H", 0x0303) + os.urandom(32) + _block(1, b"") + _block(2, suites) + _block(1, b"\0")
    body += _block(2, extensions)
    return struct.pack(">BH", HANDSHAKE, 0x0301) + _block(2, b"\x01" + _block(3, body))


def first_certificate(answer):
    """The DER of the first certificate in a server's TLS 1.2 records; None when there is none (yet)."""
    handshake = b""
    while len(answer) >= 5:
        kind, length = answer[0], int.from_bytes(answer[3:5], "big")
        if len(answer) < 5 + length:
            break
        if kind == HANDSHAKE:
            handshake += answer[5:5 + length]
        answer = answer[5 + length:]
    while len(handshake) >= 4:
        kind, length = handshake[0], int.from_bytes(handshake[1:4], "big")
        if len(handshake) < 4 + length:
            return None
        if kind == 11:
            size = int.from_bytes(handshake[7:10], "big")
            return handshake[10:10 + size]
        handshake = handshake[4 + length:]
    return None


def is_alert(answer):
    """True when the server's first record is a fatal alert."""
    return len(answer) >= 7 and answer[0] == ALERT and answer[5] == 2
