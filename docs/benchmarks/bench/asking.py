"""What is measured of questions: cold, warm, while events come in, against SQL, and with ten times the events."""

import json
import statistics
import threading
import time
from datetime import datetime, timezone

from . import load, questions
from .kohorta import Server
from .report import number

# How many times the floor a warm question may take, in the order of the questions.
WARM_LIMITS = [4, 4, 8, 25]
COLD_LIMIT_MS = 300
WARM_ROUNDS = 3
SLOWER_SQL = [500, None, 500, 500]


def sql(cluster, database, asked):
    """Rows and median time of each question as SQL over the raw events."""
    answers = []
    for _, _, statement, _ in asked:
        rows, first_ms = cluster.timed(database, questions.SQL_SETTINGS, statement)
        times = [first_ms]
        while len(times) < 3 and sum(times) < 10_000:
            times.append(cluster.timed(database, questions.SQL_SETTINGS, statement)[1])
        answers.append((sorted(map(tuple, rows)), statistics.median(times)))
    return answers


def cold(report, program, url, asked):
    """The first question after a start, and how long a start takes; medians of three."""
    starts = []
    for title, query, _, _ in asked:
        times = []
        for _ in range(3):
            server = Server(program, url)
            times.append(server.timed(query))
            starts.append((time.monotonic() - server.started) * 1000)
            server.close()
        report.at_most(f"{title}, first question after start", statistics.median(times), "ms", COLD_LIMIT_MS)
    report.at_most(f"start to first answer ({asked[0][0]}), existing database", statistics.median(starts[:3]), "ms", COLD_LIMIT_MS)


def warm(server, asked, seconds):
    """Latencies of the floor and of each question over one connection: of several rounds by turns, the middle one by its p50.

    Other tenants of a virtual machine come and go within seconds; turns let them slow all questions alike.
    """
    return by_turns([server], asked, seconds)[0]


def by_turns(servers, asked, seconds):
    """The results of `warm` for each of the servers, which are asked by turns as well."""
    queries = [questions.FLOOR, *(query for _, query, _, _ in asked)]
    rounds = [[[] for _ in queries] for _ in servers]
    for _ in range(WARM_ROUNDS):
        for position, query in enumerate(queries):
            for server, results in zip(servers, rounds):
                server.ask(query)
                results[position].append(load.question(server.url(), query, max(1, round(seconds / WARM_ROUNDS))))
    middle = lambda results: sorted(results, key=lambda result: result["p50_ms"])[len(results) // 2]
    return [[middle(results) for results in of_server] for of_server in rounds]


def report_warm(report, asked, results):
    floor = results[0]
    report.row("`{ __typename }`, the floor", latencies(floor))
    for (title, _, _, _), result, limit in zip(asked, results[1:], WARM_LIMITS):
        ratio = result["p50_ms"] / floor["p50_ms"]
        report.row(f"{title}, warm", latencies(result), f"p50 ≤ {limit} × floor", f"{ratio:.1f} ×", ratio <= limit)


def report_sql(report, server, asked, results, sql_answers):
    """Compares the answers with SQL's, and the times."""
    for (title, query, _, rows_of), result, (rows, sql_ms), factor in zip(asked, results[1:], sql_answers, SLOWER_SQL):
        same = rows_of(server.ask(query)) == rows
        report.exact(f"{title}: answer equals SQL's", same, f"{len(rows):,} rows")
        ratio = sql_ms / result["p50_ms"]
        goal = f"≥ {factor} × slower" if factor else ""
        report.row(f"{title} as SQL over `events`", f"{number(sql_ms)} ms", goal, f"{ratio:,.0f} ×", ratio >= factor if factor else None)


def meanwhile(report, server, users, asked, quiet, seconds, rate, batch):
    """The questions while events come in at `rate` a second; checks that every acknowledged event is seen at once."""
    size = max(batch, 1)
    name = f"{rate:,} events/s " + (f"in batches of {batch}" if batch else "one by one")
    for (title, query, _, _), before in zip(asked, quiet[1:]):
        with load.events_meanwhile(server.url(), users, 64 if batch == 0 else 4, seconds + 2, batch, rate / size) as ingested:
            time.sleep(1)
            result = load.question(server.url(), query, seconds)
        got = ingested[0]["rate"] * size
        ratio = result["p50_ms"] / before["p50_ms"]
        report.row(f"{title}, while {name} come in (got {got:,.0f}/s)", latencies(result), "p50 ≤ 3 × quiet", f"{ratio:.1f} ×",
                   ratio <= 3 and got >= 0.98 * rate)
    with load.events_meanwhile(server.url(), users, 64 if batch == 0 else 4, seconds, batch, rate / size):
        checks, wrong = probe(server, seconds - 1)
    report.exact(f"every acknowledged event counted by the next question, while {name} come in", wrong == 0, f"{checks - wrong} of {checks}")


def probe(server, seconds):
    """Stores one event of a type of our own at a time and asks for its count after each; returns checks and failures."""
    kind = f"bench_probe_{time.time_ns()}"
    today = datetime.now(timezone.utc).date()
    ask = f'{{ topEvents(from: "{today}", to: "{today}", limit: 1000) {{ rows {{ eventType events users }} }} }}'
    until, checks, wrong = time.monotonic() + seconds, 0, 0
    while time.monotonic() < until:
        checks += 1
        event = {"userId": f"probe-{checks}", "eventType": kind, "occurredAt": f"{today}T00:00:00Z"}
        answer = server.ask("mutation($input: IngestEventInput!) { ingestEvent(input: $input) { status } }", {"input": event})
        rows = [row for row in server.ask(ask)["topEvents"]["rows"] if row["eventType"] == kind]
        wrong += answer["ingestEvent"]["status"] != "STORED" or rows != [{"eventType": kind, "events": checks, "users": checks}]
    return checks, wrong


def compare(report, asked, few, many, few_events, many_events):
    """Warm latencies with ten times the events of the same users on the same days."""
    for (title, _, _, _), small, large in zip(asked, few[1:], many[1:]):
        report.at_most(f"{title}, {many_events:,} events against {few_events:,}, p50", large["p50_ms"], "ms", 1.2, small["p50_ms"],
                       f"{number(small['p50_ms'])} ms")


def latencies(result):
    return f"p50 {number(result['p50_ms'])} ms, p99 {number(result['p99_ms'])} ms"
