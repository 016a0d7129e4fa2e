"""Everything on PostgreSQL, in order: load, ask, ingest, then the database without Kohorta."""

import time
from contextlib import closing
from datetime import datetime, timezone

from . import asking, ingesting, kohorta, load, questions, references
from .ingesting import Ingest
from .kohorta import Server
from .machine import Stop

COPIES = 10


def prepare(report, cluster, options, importer):
    """Loads what is not there yet: the events, and for the comparison a tenth of them once and ten times."""
    loaded = {name for (name,) in cluster.sql("postgres", "SELECT datname FROM pg_database")}
    if "events" not in loaded:
        fill(report, cluster, "events", options.events, lambda url: kohorta.load(importer, url, options.events, options.generate()))
    if options.comparison:
        few = options.events // COPIES
        generate = options.generate(few)
        if "few" not in loaded:
            fill(report, cluster, "few", few, lambda url: kohorta.load(importer, url, few, generate))
        if "many" not in loaded:
            fill(report, cluster, "many", few * COPIES, lambda url: kohorta.load_copies(importer, url, few, COPIES, generate))


def fill(report, cluster, name, events, load_into):
    """Fills a database under another name first, so that an interrupted load is never taken for a whole one."""
    cluster.sql("postgres", "DROP DATABASE IF EXISTS loading WITH (FORCE)", "CREATE DATABASE loading")
    seconds = load_into(cluster.url("loading"))
    cluster.sql("loading", "VACUUM (ANALYZE)")
    cluster.sql("postgres", f"ALTER DATABASE loading RENAME TO {name}", "CHECKPOINT")
    report.row(f"import of {events:,} events", f"{seconds:.0f} s, {events / seconds:,.0f} rows/s")


def measure(report, cluster, options, server_program, importer):
    """Fills the sections of the report."""
    report.section("PostgreSQL: loading")
    prepare(report, cluster, options, importer)
    if options.prepare:
        return
    database = "events"
    if options.data:
        # What was loaded stays as it is for the next run.
        database = "measured"
        cluster.sql("postgres", "DROP DATABASE IF EXISTS measured WITH (FORCE)", "CREATE DATABASE measured TEMPLATE events", "CHECKPOINT")
        cluster.sql(database, "ANALYZE")
    url = cluster.url(database)
    asked = questions.Questions(options.last_day()).all()

    report.section("PostgreSQL: questions")
    sql_answers = asking.sql(cluster, database, asked)
    asking.cold(report, server_program, url, asked)
    with closing(Server(server_program, url)) as server:
        quiet = asking.warm(server, asked, options.seconds)
        asking.report_warm(report, asked, quiet)
        asking.report_sql(report, server, asked, quiet, sql_answers)
        if options.comparison:
            compare(report, cluster, options, server_program, asked)
        rows = server.ask('{ topEvents(from: "%s", to: "%s", limit: %d) { rows { eventType } } }' % (*options.all_days(), options.types))
        users = load.Users(options.users, [row["eventType"] for row in rows["topEvents"]["rows"]])

        # The same questions about days that end today, where the new events fall.
        asked_now = questions.Questions(datetime.now(timezone.utc).date()).all()
        quiet_now = asking.warm(server, asked_now, options.seconds)
        for batch in (0, 100):
            asking.meanwhile(report, server, users, asked_now, quiet_now, options.seconds, 5000, batch)

        report.section("PostgreSQL: ingest")
        ingest = Ingest(server, users, options.all_days(), options.seconds, cluster.cpu_seconds)
        singles, batches = ingest.singles(), ingest.batches()
        ingesting.report_runs(report, singles, batches)
        log_rows = lambda: int(cluster.sql(database, "SELECT count(*) FROM activity_log")[0][0])
        ingesting.full_speed(report, server, users, options.seconds * 2, quiet_now[1], asked_now[0][1], log_rows)
        memory_mb = server.resident_mb()
        warnings = len(server.warnings)

    report.section("PostgreSQL: ingest against the database alone")
    against_references(report, cluster, database, users, options, singles, batches)

    report.section("PostgreSQL: memory and truth")
    report.at_most("server's resident memory after all that", memory_mb, "MB", 150)
    empty_memory(report, cluster, server_program)
    report.row("warnings and errors in the server's log", str(warnings), "0", "", warnings == 0)
    since = time.monotonic()
    kohorta.verify(server_program, url)
    report.exact("`kohorta verify` after all that (recount of every event)", True, f"no difference, {time.monotonic() - since:.0f} s")
    if options.data:
        cluster.sql("postgres", "DROP DATABASE measured WITH (FORCE)")


def compare(report, cluster, options, server_program, asked):
    with (closing(Server(server_program, cluster.url("few"))) as small,
          closing(Server(server_program, cluster.url("many"))) as large):
        results = asking.by_turns([small, large], asked, options.seconds)
    few = options.events // COPIES
    asking.compare(report, asked, *results, few, few * COPIES)


def against_references(report, cluster, database, users, options, singles, batches):
    count = min(200_000, options.events)
    # The better of two: PostgreSQL may just be vacuuming what came in before.
    best_of = lambda connections, *seeds: max(references.postgres_bulk(cluster, database, users, connections, count, seed) for seed in seeds)
    bulk, bulk_cpu = best_of(1, 1, 2)
    bulk_of_two, _ = best_of(2, 11, 21)
    single = references.pgbench_single(cluster, database, users, options.seconds)
    commit_ms = references.postgres_commit_ms(cluster, database, 3)
    report.row("one connection, 500 rows per statement", f"{bulk:,.0f} rows/s, CPU per row {bulk_cpu:.4f} ms")
    report.row("two such connections", f"{bulk_of_two:,.0f} rows/s")
    report.row("`pgbench`, 128 clients, one row per transaction", f"{single:,.0f} rows/s")
    report.row("one commit (one connection, one small row)", f"{commit_ms:.2f} ms")
    at_128, of_1000 = singles[128], batches[1000]
    report.at_least("`ingestEvent`, 128 connections", at_128["events_per_second"], "events/s", 0.6, bulk, "one connection, 500 rows per statement")
    report.at_least("`ingestEvent`, 128 connections", at_128["events_per_second"], "events/s", 3, single, "pgbench, 128 clients")
    report.at_least("`ingestEvents` of 1,000, 4 at a time", of_1000["events_per_second"], "events/s", 0.9, bulk_of_two,
                    "two connections, 500 rows per statement")
    report.at_most("CPU per single event at 128 connections, server", at_128["server_ms"], "ms", 0.03)
    report.at_most("CPU per single event at 128 connections, PostgreSQL", at_128["database_ms"], "ms", 0.03)
    report.at_most("`ingestEvent`, 32 connections, p99", singles[32]["p99_ms"], "ms", 5, commit_ms, "one commit")


def empty_memory(report, cluster, server_program):
    cluster.sql("postgres", "DROP DATABASE IF EXISTS empty WITH (FORCE)", "CREATE DATABASE empty")
    with closing(Server(server_program, cluster.url("empty"))) as server:
        server.ask(questions.FLOOR)
        time.sleep(3)
        report.at_most("server's resident memory, idle, empty database", server.resident_mb(), "MB", 40)
    cluster.sql("postgres", "DROP DATABASE empty WITH (FORCE)")
