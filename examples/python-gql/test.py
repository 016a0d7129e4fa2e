"""Runs the example against a server of its own (KOHORTA_BIN, by default the debug build), without and with a key, and
compares what it says."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PROGRAM = os.environ.get("KOHORTA_BIN", HERE / "../../target/debug/kohorta")
EXPECTED = """\
2 stored, 1 sent twice
event 3 rejected: eventType must not be empty
2026-03-01: 1 active, 1 new
2026-03-02: 1 active, 1 new
BAD_USER_INPUT, not to be sent again: windowDays
live: purchase by ana, {'amount': 9.5}
"""


def said_by_example(environment):
    """What the example says to a server with these settings."""
    with tempfile.TemporaryDirectory(prefix="kohorta-example-") as folder:
        server = subprocess.Popen(
            [Path(PROGRAM).resolve(), "--listen", "127.0.0.1:0"],
            cwd=folder,
            env=os.environ | environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            listening = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in server.stderr)
            url = next((found[0] for found in listening if found), None)
            assert url, "the server does not start"
            example = subprocess.run(
                [sys.executable, HERE / "main.py"],
                env=os.environ | environment | {"KOHORTA_URL": url},
                stdout=subprocess.PIPE,
                text=True,
                timeout=120,
            )
            assert example.returncode == 0, "the example failed"
            return example.stdout
        finally:
            server.send_signal(signal.SIGKILL)
            server.wait()
            server.stderr.close()


for settings in ({}, {"KOHORTA_API_KEY": "k" * 32}):
    said = re.sub(r"(: windowDays).*", r"\1", said_by_example(settings))
    assert said == EXPECTED, f"{said}\nis not\n{EXPECTED}"
print("the example says what it should, without and with a key")
