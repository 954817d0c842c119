"""Authentication-Results that claim to be ours are taken out of what comes in (RFC 8601 section 5)."""

import smtplib

from harness.messages import without_trace
from harness.posternd import HOSTNAME

SENDER = "sender@elsewhere.test"
RECIPIENT = "a@example.test"
FORGED = (f"Authentication-Results: {HOSTNAME};\r\n\tspf=pass smtp.mailfrom=elsewhere.test\r\n"
          f"authentication-results: (comment) {HOSTNAME.upper()}; dkim=pass\r\n").encode()
KEPT = (b"Authentication-Results: mx.elsewhere.test; spf=pass\r\n"
        b"ARC-Authentication-Results: i=1; " + HOSTNAME.encode() + b"; spf=pass\r\n"
        b"Subject: claims\r\n")
BODY = b"\r\n" + FORGED


def test_by_data_from_a_client_that_nobody_here_wrote(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target)
    with smtplib.SMTP(*server.address(), local_hostname="client.example.test") as client:
        client.sendmail(SENDER, [RECIPIENT], FORGED + KEPT + FORGED + BODY)
    (delivery,) = backend.deliveries
    assert without_trace(delivery.message, HOSTNAME) == KEPT + BODY


def test_by_chunks_that_cut_the_field_anywhere(posternd, scripted):
    backend = scripted()
    server = posternd(backend.target)
    octets = KEPT + FORGED + BODY
    with server.greeted() as client:
        for size in (1, 7, 64):
            client.envelope(SENDER, RECIPIENT)
            chunks = [octets[at:at + size] for at in range(0, len(octets), size)]
            client.send(b"".join(b"BDAT %d\r\n" % len(chunk) + chunk for chunk in chunks) + b"BDAT 0 LAST\r\n")
            assert {reply.code for reply in client.replies(len(chunks) + 1)} == {250}
    assert [without_trace(delivery.message, HOSTNAME) for delivery in backend.deliveries] == [KEPT + BODY] * 3
