"""packaging/demo.sh, as the README tells a new user to run it, but with the programs that are there."""

import os
import pathlib
import signal

from harness.network import Network
from harness.processes import Process, environment
from harness.wait import eventually

DEMO = pathlib.Path(__file__).resolve().parents[2] / "packaging" / "demo.sh"


def test_the_demo_delivers_to_three_names_and_ends_on_ctrl_c(build, folder):
    network = Network(folder, [])  # its ports are fixed
    try:
        demo = Process(["/bin/sh", DEMO], name="demo", folder=folder,
                       env=environment(POSTERN_BUILT=str(build), POSTERN_DEMO=str(folder / "demo")))
        try:
            # It goes no further when `postern status` finds a fault, or when a message is not delivered.
            eventually(lambda: "Ctrl-C ends it" in demo.stdout or not demo.running(), "the demo has shown everything")
            assert demo.running(), demo.stdout + demo.stderr
            assert "3 certificates, for 3 names" in demo.stdout, demo.stdout
            for name in ("mx1.example.net", "mail.example.com", "mx.example.org"):
                assert f"asking for {name}" in demo.stdout, demo.stdout
            for user in ("alice@example.net", "bob@example.com", "carol@example.org"):
                assert len(list((folder / "demo" / "mail" / user / "new").iterdir())) == 1
            os.killpg(demo.pid, signal.SIGINT)  # as a terminal does it
            assert demo.wait() == 0, demo.stderr
            assert "posternd has ended" in demo.stderr
        finally:
            demo.kill()
    finally:
        network.leave()
