"""A PostgreSQL cluster of our own, with default settings but for the number of connections, and its client programs."""

import os
import pwd
import re
import socket
import subprocess
import time
from pathlib import Path

from . import machine
from .machine import Stop


def programs():
    """The folder with the newest `initdb` and `postgres`."""
    versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    if versions:
        return max(versions, key=lambda path: int(path.parent.name))
    raise Stop("missing, by the name of Debian's package: postgresql")


class Cluster:
    """A running server. Its data lie in `folder`, which may have been filled by an earlier run."""

    def __init__(self, folder):
        self.bin = programs()
        # PostgreSQL refuses to run as root; Debian's package makes the user postgres.
        self.user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        if self.user:
            os.chown(folder, self.user.pw_uid, self.user.pw_gid)
        if not (folder / "data" / "PG_VERSION").exists():
            machine.run([*self.as_user(), self.bin / "initdb", "--username=postgres", "--auth=trust",
                         "--encoding=UTF8", "--locale=C", "--pgdata", folder / "data"], cwd="/")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.log = open(folder / "log", "ab")
        self.process = machine.start(
            [*self.as_user(), self.bin / "postgres", "-D", folder / "data", "-k", folder, "-h", "127.0.0.1",
             "-p", self.port, "-c", "max_connections=300"],
            stdout=self.log, stderr=self.log, cwd="/")
        self.wait()

    def as_user(self):
        """What to put before a command so that the right user runs it."""
        if not self.user:
            return []
        # Changing the user clears the signal at the parent's death, so it is set again.
        return ["setpriv", f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}", "--clear-groups",
                "--pdeathsig=QUIT"]

    def wait(self):
        for _ in range(600):
            ready = subprocess.run([self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)])
            if ready.returncode == 0:
                return
            if self.process.poll() is not None:
                raise Stop(f"PostgreSQL does not start: see {self.folder / 'log'}")
            time.sleep(0.1)
        raise Stop("PostgreSQL does not take connections")

    def close(self):
        """A fast shutdown: sessions are cut, data are safe."""
        machine.end(self.process, 2)
        self.log.close()

    def url(self, database):
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def client(self, program, database, *arguments):
        return [self.bin / program, "-h", "127.0.0.1", "-p", self.port, "-U", "postgres", *arguments, database]

    def sql(self, database, *statements):
        """Runs statements and returns the rows of all, as lists of texts."""
        commands = [part for statement in statements for part in ("-c", statement)]
        output = machine.run(self.client("psql", database, "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", *commands))
        return [line.split("\t") for line in output.splitlines()]

    def timed(self, database, settings, statement):
        """Runs one statement and returns its rows and how long it took, in milliseconds, by psql's `\\timing`."""
        output = machine.run(self.client(
            "psql", database, "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1",
            "-c", settings, "-c", "\\timing on", "-c", statement))
        rows, time_line = output.rsplit("Time: ", 1)
        return [line.split("\t") for line in rows.splitlines() if "\t" in line], float(time_line.split()[0])

    def pgbench(self, database, script, clients, seconds):
        """Transactions a second and mean latency in milliseconds of a script run by many clients."""
        output = machine.run(self.client(
            "pgbench", database, "-n", "-M", "prepared", "-c", clients, "-j", 1 if clients == 1 else 2, "-T", seconds, "-f", script))
        return (float(re.search(r"tps = ([\d.]+)", output)[1]), float(re.search(r"latency average = ([\d.]+)", output)[1]))

    def cpu_seconds(self):
        """Processor time of all its processes so far."""
        return machine.cpu_seconds(self.process.pid, with_children=True)
