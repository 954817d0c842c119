"""The dashboard and the alert rules speak of series that the admin listener has."""

import json
import re
from pathlib import Path

from harness.admin import Metrics
from harness.dialogue import tls_context
from harness.messages import message

FILES = sorted((Path(__file__).resolve().parents[2] / "packaging/monitoring").iterdir())


def expressions(path):
    text = path.read_text()
    if path.suffix == ".json":
        for panel in json.loads(text)["panels"]:
            yield from (target["expr"] for target in panel["targets"])
    else:
        yield from re.findall(r"expr: (?:>-\n)?((?:.|\n)*?)\n +(?:for|labels):", text)


def test_series_exist(posternd, scripted):
    server = posternd(scripted().target, listen=[
        {"address": ["127.0.0.1:<smtp>"], "default_certificate": "default"},
        {"address": ["127.0.0.1:<admin>"], "protocol": "admin"}])
    with server.greeted() as client:
        client.starttls(tls_context())
        client.hello()
        client.envelope("a@elsewhere.test", "b@example.test")
        assert client.message(message("counted")).code == 250
    metrics = Metrics(server.address("admin"))
    known = {line.split()[2] for line in metrics.text.splitlines() if line.startswith("# TYPE ")}
    for path in FILES:
        asked = [name for text in expressions(path) for name in re.findall(r"\b(?:postern|process)_\w+", text)]
        assert len(asked) > 10
        assert {re.sub(r"_bucket$", "", name) for name in asked} <= known, path.name
