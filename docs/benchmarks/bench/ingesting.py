"""What is measured of ingest: events a second and latency, processor time, the log of the fold, memory."""

import time

from . import load, questions
from .machine import Stop
from .report import number

CONNECTIONS = [1, 32, 128]
BATCHES = [1, 100, 1000]


class Ingest:
    """Runs of ingest against one server; `database_cpu` reads the processor time of the database's own processes."""

    def __init__(self, server, users, days, seconds, database_cpu=None):
        self.server = server
        self.users = users
        self.days = days
        self.seconds = seconds
        self.database_cpu = database_cpu or (lambda: 0.0)

    def total(self):
        return self.server.ask(questions.total_events(*self.days))["topEvents"]["totalEvents"]

    def settled_total(self):
        """The number of stored events once what was sent before has been stored."""
        total, earlier = self.total(), -1
        while total != earlier:
            time.sleep(0.3)
            total, earlier = self.total(), total
        return total

    def run(self, connections, batch=0):
        """One run, with processor milliseconds per event; stops if not every acknowledged event was stored."""
        size = max(batch, 1)
        before, server_cpu, database_cpu = self.settled_total(), self.server.cpu_seconds(), self.database_cpu()
        result = load.events(self.server.url(), self.users, connections, self.seconds, batch)
        acknowledged = result["requests"] * size
        result["server_ms"] = (self.server.cpu_seconds() - server_cpu) * 1000 / acknowledged
        result["database_ms"] = (self.database_cpu() - database_cpu) * 1000 / acknowledged
        stored = self.settled_total() - before
        # When the time is up, each connection may have a request whose answer wrk does not wait for.
        if not acknowledged <= stored <= acknowledged + connections * size:
            raise Stop(f"{acknowledged} events were acknowledged and {stored} stored")
        result["events_per_second"] = result["rate"] * size
        return result

    def singles(self):
        return {connections: self.run(connections) for connections in CONNECTIONS}

    def batches(self):
        return {batch: self.run(4, batch) for batch in BATCHES}


def full_speed(report, server, users, seconds, quiet_dau, dau, log_rows):
    """Batches of 1,000 as fast as they go: how long the log gets, how soon it is empty again, what a reader feels."""
    longest, answers = 0, []
    with load.events_meanwhile(server.url(), users, 4, seconds, 1000) as ingested:
        until = time.monotonic() + seconds - 1
        while time.monotonic() < until:
            longest = max(longest, log_rows())
            answers.append(server.timed(dau))
            time.sleep(0.2)
    since = time.monotonic()
    while log_rows() and time.monotonic() - since < 60:
        time.sleep(0.05)
    took = time.monotonic() - since
    rate = ingested[0]["rate"] * 1000
    report.row(f"longest log at {rate:,.0f} events/s for {seconds} s", f"{longest:,} rows", "bounded: ≤ 3 s of ingest", f"{longest / rate:.1f} s",
               longest <= 3 * rate)
    report.row("log empty again after that", f"{took:.1f} s", "≤ 5 s", "", took <= 5)
    answers.sort()
    middle, slow = answers[len(answers) // 2], answers[int(len(answers) * 0.95)]
    report.row("30-day dau meanwhile, asked every 0.2 s", f"p50 {number(middle)} ms, p95 {number(slow)} ms",
               "", f"{middle / quiet_dau['p50_ms']:.0f} × quiet")


def report_runs(report, singles, batches):
    for connections, result in singles.items():
        report.row(f"`ingestEvent`, {connections} connections", rate_and_latency(result))
    for batch, result in batches.items():
        report.row(f"`ingestEvents` of {batch:,}, 4 at a time", rate_and_latency(result))


def rate_and_latency(result):
    return (f"{result['events_per_second']:,.0f} events/s, p50 {number(result['p50_ms'])} ms, p99 {number(result['p99_ms'])} ms, "
            f"CPU per event {result['server_ms']:.4f} ms server" + (f" + {result['database_ms']:.4f} ms database" if result["database_ms"] else ""))
