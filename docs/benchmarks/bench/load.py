"""Load by wrk: one question repeated, or new events; every run checked for failures."""

import contextlib
import itertools
import json
import os
import subprocess
import tempfile
from pathlib import Path

from . import machine
from .machine import Stop

LUA = Path(__file__).with_name("load.lua")
RUNS = itertools.count(os.getpid() * 16 % 0x3000)


class Users:
    """Whose events are sent, and of which types."""

    def __init__(self, count, types):
        if not types:
            raise Stop("there are no event types: nothing was loaded")
        self.count = count
        self.types = types


def question(url, query, seconds, connections=1):
    """Latencies of one question asked again and again."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"query": query}, file)
        file.flush()
        return result(wrk(url, connections, seconds, "question", file.name))


def events(url, users, connections, seconds, batch=0):
    """New events as fast as answers come; `batch` 0 is the single mutation."""
    return result(wrk(url, connections, seconds, *event_arguments(users, batch, 0)))


@contextlib.contextmanager
def events_meanwhile(url, users, connections, seconds, batch=0, rate=0):
    """New events (at `rate` requests a second) while the body runs; gives a list that holds the result afterwards."""
    results = []
    process = wrk(url, connections, seconds, *event_arguments(users, batch, rate))
    try:
        yield results
        results.append(result(process))
    finally:
        machine.end(process)


def event_arguments(users, batch, rate):
    return "events", batch, rate, next(RUNS), users.count, ",".join(users.types)


def wrk(url, connections, seconds, *arguments):
    return machine.start(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", LUA, url, "--", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def result(process):
    output, errors = process.communicate()
    text = output.decode()
    if "RESULT " not in text:
        raise Stop(f"wrk failed: {text[-500:]} {errors.decode()[-500:]}")
    measured = json.loads(text.split("RESULT ", 1)[1])
    if measured["failed"] or not measured["requests"]:
        raise Stop(f"wrk had {measured['failed']} failed of {measured['requests']} requests")
    measured["rate"] = measured["requests"] / measured["seconds"]
    return measured
