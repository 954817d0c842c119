"""The reader's side of an admin listener: HTTP, and metrics as Prometheus' own client library reads them."""

import http.client
import socket

from prometheus_client.parser import text_string_to_metric_families

from .wait import LIMIT


def fetch(address, path, *, method="GET", token=None, host=None):
    """(status, headers, body) of one request; `address` is (host, port) or a unix socket's path."""
    if isinstance(address, tuple):
        connection = http.client.HTTPConnection(*address, timeout=LIMIT)
    else:
        connection = http.client.HTTPConnection("localhost", timeout=LIMIT)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(LIMIT)
        connection.sock.connect(str(address))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connection.request(method, path, headers={**headers, "Host": host} if host else headers)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, response.headers, body


def get(address, path, **more):
    """(status, body) of one request."""
    status, _, body = fetch(address, path, **more)
    return status, body


class Metrics:
    """One scrape."""

    def __init__(self, address, token=None):
        status, self.text = get(address, "/metrics", token=token)
        assert status == 200, self.text
        self.families = {family.name: family for family in text_string_to_metric_families(self.text)}
        self.samples = [sample for family in self.families.values() for sample in family.samples]

    def value(self, name, **labels):
        """The sum of the samples of this name that have these labels, among others."""
        found = [sample.value for sample in self.samples
                 if sample.name == name and labels.items() <= sample.labels.items()]
        assert found or labels, f"{name} in\n{self.text}"
        return sum(found)
