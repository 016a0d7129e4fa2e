"""The same on SQLite, for what differs there: ingest against one plain connection, and the questions."""

import shutil
import sqlite3
from contextlib import closing
from datetime import datetime, timezone

from . import asking, ingesting, kohorta, load, questions, references
from .ingesting import Ingest
from .kohorta import Server


def prepare(report, folder, options, importer):
    """The loaded database's file."""
    loaded = folder / f"events-{options.sqlite_events}.db"
    if not loaded.exists():
        loading = folder / "loading.db"
        for left in folder.glob("loading.db*"):
            left.unlink()
        events = options.sqlite_events
        seconds = kohorta.load(importer, f"sqlite://{loading}", events, options.generate(events))
        with closing(sqlite3.connect(loading)) as connection:
            # A copy of the file alone must hold everything.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        loading.rename(loaded)
        report.row(f"import of {events:,} events", f"{seconds:.0f} s, {events / seconds:,.0f} rows/s")
    return loaded


def measure(report, folder, options, server_program, importer):
    """Fills the sections of the report."""
    report.section(f"SQLite, {options.sqlite_events:,} events")
    loaded = prepare(report, folder, options, importer)
    if options.prepare:
        return
    measured = folder / "measured.db"
    for left in folder.glob("measured.db*"):
        left.unlink()
    shutil.copyfile(loaded, measured)
    url = f"sqlite://{measured}"
    asked = questions.Questions(options.last_day()).all()
    asking.cold(report, server_program, url, asked)
    with closing(Server(server_program, url)) as server:
        quiet = asking.warm(server, asked, options.seconds)
        asking.report_warm(report, asked, quiet)
        rows = server.ask('{ topEvents(from: "%s", to: "%s", limit: %d) { rows { eventType } } }' % (*options.all_days(), options.types))
        users = load.Users(options.sqlite_events // 20, [row["eventType"] for row in rows["topEvents"]["rows"]])
        asked_now = questions.Questions(datetime.now(timezone.utc).date()).all()
        quiet_now = asking.warm(server, asked_now, options.seconds)
        asking.meanwhile(report, server, users, asked_now, quiet_now, options.seconds, 5000, 0)
        ingest = Ingest(server, users, options.all_days(), options.seconds)
        singles, batches = ingest.singles(), ingest.batches()
        ingesting.report_runs(report, singles, batches)
        memory_mb = server.resident_mb()
    bulk, commit_ms = references.sqlite_bulk(measured, users, min(200_000, options.sqlite_events), 21)
    report.row("one connection, 500 rows per transaction", f"{bulk:,.0f} rows/s")
    report.row("one commit", f"{commit_ms:.2f} ms")
    report.at_least("`ingestEvent`, 128 connections", singles[128]["events_per_second"], "events/s", 0.5, bulk, "one connection, 500 rows per transaction")
    report.at_most("`ingestEvent`, 32 connections, p99", singles[32]["p99_ms"], "ms", 5, commit_ms, "one commit")
    report.at_most("server's resident memory after all that", memory_mb, "MB", 150)
    kohorta.verify(server_program, url)
    report.exact("`kohorta verify` after all that", True, "no difference")
    for left in folder.glob("measured.db*"):
        left.unlink()
