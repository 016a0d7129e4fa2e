"""The server and the importer as programs, and questions over one kept connection."""

import http.client
import json
import subprocess
import threading
import time

from . import machine
from .machine import Stop


class Server:
    """A running `kohorta`."""

    def __init__(self, program, database_url):
        self.started = time.monotonic()
        self.process = machine.start(
            [program, "--database-url", database_url, "--listen", "127.0.0.1:0", "--log-filter", "info,access=off,sqlx=warn"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.port = None
        said = []
        for line in self.process.stderr:
            said.append(line.decode())
            if b"listening" in line and b"127.0.0.1:" in line:
                self.port = int(line.split(b"127.0.0.1:")[1].split(b"/")[0])
                break
        if not self.port:
            raise Stop(f"kohorta ended: {''.join(said)}")
        self.warnings = []
        threading.Thread(target=self.listen, daemon=True).start()
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.used = time.monotonic()

    def listen(self):
        for line in self.process.stderr:
            if b'"level":"warn"' in line.lower() or b'"level":"error"' in line.lower():
                self.warnings.append(line.decode().strip())

    def url(self):
        return f"http://127.0.0.1:{self.port}/graphql"

    def ask(self, query, variables=None):
        """The data of an answer; stops if there are errors."""
        body = json.dumps({"query": query, "variables": variables or {}})
        if time.monotonic() - self.used > 10:
            # The server closes connections that are idle for long.
            self.connection.close()
        self.used = time.monotonic()
        self.connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        answer = json.loads(response.read())
        if response.status != 200 or "errors" in answer:
            time.sleep(0.2)
            raise Stop(f"status {response.status}: {json.dumps(answer)[:500]} {self.warnings[-1:]}")
        return answer["data"]

    def timed(self, query):
        """How long one question takes, in milliseconds."""
        since = time.perf_counter()
        self.ask(query)
        return (time.perf_counter() - since) * 1000

    def resident_mb(self):
        return machine.resident_mb(self.process.pid)

    def cpu_seconds(self):
        return machine.cpu_seconds(self.process.pid)

    def close(self):
        """SIGTERM, as in production: what was accepted is stored and folded."""
        self.connection.close()
        machine.end(self.process)
        if self.process.returncode != 0:
            raise Stop(f"kohorta ended with {self.process.returncode}: {self.warnings[-5:]}")


def load(importer, database_url, events, generate):
    """Generates events and imports them, without a file between; returns seconds."""
    since = time.monotonic()
    with machine.start([importer, "generate", *generate], stdout=subprocess.PIPE) as generator:
        output = machine.run([importer, "--database-url", database_url, "--quiet", "--json", "--format", "csv", "-"], stdin=generator.stdout)
        generator.stdout.close()
    check_import(output, events)
    return time.monotonic() - since


def check_import(output, events):
    stored = json.loads(output)["stored"]
    if stored != events:
        raise Stop(f"{stored} of {events} events were imported: {output}")


def load_copies(importer, database_url, events, copies, generate):
    """As `load`, each event `copies` times with an id of its own: the same users on the same days, with more events."""
    since = time.monotonic()
    arguments = [importer, "--database-url", database_url, "--quiet", "--json", "--format", "csv", "-"]
    with machine.start([importer, "generate", *generate], stdout=subprocess.PIPE) as generator:
        with machine.start(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as importing:
            importing.stdin.write(generator.stdout.readline())
            for line in generator.stdout:
                # The 21st character is one of the random ones of a UUID; the 20th holds its variant.
                digit = int(line[20:21], 16)
                for copy in range(copies):
                    importing.stdin.write(line[:20] + b"%x" % ((digit + copy) % 16) + line[21:])
            importing.stdin.close()
            check_import(importing.stdout.read(), events * copies)
    return time.monotonic() - since


def verify(program, database_url):
    """Recounts everything from the events; stops if there is a difference."""
    machine.run([program, "verify", "--database-url", database_url])
