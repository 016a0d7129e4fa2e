"""What the databases do without Kohorta: the same rows put into the same tables by plain clients.

The rows are those of `load.lua`: known users but for one in a hundred, few frequent types, ids by time, now. Every transaction writes what
ingest writes: its events, the users that are new, and for each day and event type a row of the log (which the server folds at its next
start). The bulk clients have every user's ordinal and the rows of the log ready before the clock runs.
"""

import json
import random
import sqlite3
import struct
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import machine
from .questions import DAY

ROWS = 500


def rows(users, count, seed):
    """Events as tuples in the order of the table's columns."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        micros = time.time_ns() // 1000
        identity = uuid.UUID(int=(micros // 1000) << 80 | 7 << 76 | (seed & 0xfff) << 64 | 2 << 62 | number)
        user = f"new-{seed}-{micros}-{number}" if number % 100 == 99 else f"user-{draw.randrange(users.count):07}"
        kind = users.types[int(len(users.types) * draw.random() ** 2)]
        properties = json.dumps(
            {"platform": draw.choice(["web", "ios", "android"]), "country": draw.choice(["US", "DE", "BR", "IN", "FR"]),
             "plan": "pro", "duration_ms": draw.randrange(90000), "signed_in": True}, separators=(",", ":"))
        made.append((identity, user, kind, micros, properties, micros))
    return made


def chunks(made):
    return [made[start:start + ROWS] for start in range(0, len(made), ROWS)]


class Ordinals:
    """Every user's ordinal; new users are given the next ones."""

    def __init__(self, users):
        self.known = {user_id: int(user_no) for user_no, user_id in users}
        self.next = max(self.known.values(), default=0) + 1

    def number(self, part):
        """Gives the new users of a transaction their ordinals, and returns them: (ordinal, user) each."""
        new = []
        for user in sorted({event[1] for event in part} - self.known.keys()):
            self.known[user] = self.next
            new.append((self.next, user))
            self.next += 1
        return new

    def log(self, part):
        """What a transaction logs: (day, type, ordinal of the only user or -1, events, set of the users where they are several) each."""
        rows = {}
        for event in part:
            rows.setdefault((event[3] // DAY, event[2]), []).append(self.known[event[1]])
        logged = []
        for (day, kind), users in sorted(rows.items()):
            several = len(set(users)) > 1
            logged.append((day, kind, -1 if several else users[0], len(users), portable_set(users) if several else None))
        return logged


def portable_set(numbers):
    """A Roaring bitmap in the portable format: the lower halves of the numbers as arrays by their upper halves (4,096 at most in each)."""
    arrays = {}
    for number in sorted(set(numbers)):
        arrays.setdefault(number >> 16, []).append(number & 0xffff)
    head = struct.pack("<II", 12346, len(arrays)) + b"".join(struct.pack("<HH", key, len(low) - 1) for key, low in arrays.items())
    offsets, content, begin = b"", b"", len(head) + 4 * len(arrays)
    for low in arrays.values():
        offsets += struct.pack("<I", begin + len(content))
        content += struct.pack(f"<{len(low)}H", *low)
    return head + offsets + content


def array(values, kind):
    """An array literal of PostgreSQL, which is read faster than rows of VALUES."""
    quoted = ",".join('"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values)
    return "'{" + quoted.replace("'", "''") + "}'::" + kind + "[]"


def postgres_transaction(part, ordinals):
    """One transaction of 500 rows, sent in one message: nothing waits for the client."""
    part = sorted(part)
    columns = list(zip(*part))
    new_users = list(zip(*ordinals.number(part))) or [(), ()]
    log = list(zip(*ordinals.log(part)))
    sets = ["\\x" + (users or b"").hex() for users in log[4]]
    return "\\;".join([
        "BEGIN",
        "INSERT INTO events (event_id, user_id, event_type, occurred_at, properties, received_at) SELECT * FROM unnest("
        + ",".join([array(columns[0], "uuid"), array(columns[1], "text"), array(columns[2], "text"), array(columns[3], "bigint"),
                    array(columns[4], "jsonb"), array(columns[5], "bigint")]) + ") ON CONFLICT DO NOTHING",
        f"INSERT INTO users (user_no, user_id) SELECT * FROM unnest({array(new_users[0], 'bigint')}, {array(new_users[1], 'text')})",
        "INSERT INTO activity_log (day, event_type, user_no, events, users) "
        "SELECT day, kind, user_no, events, CASE WHEN user_no = -1 THEN users END FROM unnest("
        + ",".join([array(log[0], "integer"), array(log[1], "text"), array(log[2], "bigint"), array(log[3], "bigint"), array(sets, "bytea")])
        + ") AS new(day, kind, user_no, events, users)",
        "COMMIT;\n",
    ])


def postgres_bulk(cluster, database, users, connections, count, seed):
    """Rows a second of plain connections that insert 500 rows per statement."""
    ordinals = Ordinals(cluster.sql(database, "SELECT user_no, user_id FROM users"))
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number in range(connections):
            file = Path(folder) / f"{number}.sql"
            made = rows(users, count, seed + number)
            file.write_text("SET synchronous_commit = on;\nSET jit = off;\n"
                            + "".join(postgres_transaction(part, ordinals) for part in chunks(made)))
            files.append(file)
        one = lambda file: machine.run(cluster.client("psql", database, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", file))
        since, used = time.monotonic(), cluster.cpu_seconds()
        with ThreadPoolExecutor(connections) as pool:
            list(pool.map(one, files))
        seconds = time.monotonic() - since
        cpu_ms = (cluster.cpu_seconds() - used) * 1000 / (count * connections)
    # The ordinals were given past the database, which goes on behind them.
    cluster.sql(database, "SELECT setval(pg_get_serial_sequence('users', 'user_no'), (SELECT max(user_no) FROM users))")
    return count * connections / seconds, cpu_ms


def pgbench_single(cluster, database, users, seconds):
    """Transactions a second of 128 clients with one such row each."""
    types = ",".join(f"'{name}'" for name in users.types)
    at = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    identity = ("(lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7' || "
                "substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid")
    # pgbench takes a colon with a word after it for a variable of its own, also in quotes.
    properties = '{"platform": "web", "country": "DE", "plan": "pro", "duration_ms": 1234, "signed_in": true}'
    script = f"""\\set number random(0, {users.count - 1})
\\set kind random(1, {len(users.types)})
BEGIN;
INSERT INTO events (event_id, user_id, event_type, occurred_at, properties, received_at) VALUES ({identity}, 'user-' || lpad(:number::bigint::text, 7, '0'), (ARRAY[{types}])[:kind::int], {at}, '{properties}', {at}) ON CONFLICT DO NOTHING;
INSERT INTO users (user_id) SELECT name FROM (SELECT 'user-' || lpad(:number::bigint::text, 7, '0') AS name) AS new WHERE NOT EXISTS (SELECT 1 FROM users WHERE user_id = name) ON CONFLICT DO NOTHING;
INSERT INTO activity_log (day, event_type, user_no, events) SELECT {at} / {DAY}, (ARRAY[{types}])[:kind::int], user_no, 1 FROM users WHERE user_id = 'user-' || lpad(:number::bigint::text, 7, '0');
COMMIT;
"""
    return with_script(script, lambda file: cluster.pgbench(database, file, 128, seconds)[0])


def postgres_commit_ms(cluster, database, seconds):
    """Milliseconds of a transaction of one connection that writes one small row."""
    cluster.sql(database, "CREATE TABLE bench_commit (number bigint)")
    script = "INSERT INTO bench_commit VALUES (1);\n"
    mean_ms = with_script(script, lambda file: cluster.pgbench(database, file, 1, seconds)[1])
    cluster.sql(database, "DROP TABLE bench_commit")
    return mean_ms


def with_script(text, use):
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(text)
        file.flush()
        return use(file.name)


def sqlite_bulk(path, users, count, seed):
    """Rows a second of one connection that inserts 500 rows per transaction, durably as Kohorta does; and one commit's milliseconds."""
    connection = sqlite3.connect(path, isolation_level=None)
    ordinals = Ordinals(connection.execute("SELECT user_no, user_id FROM users"))
    parts = []
    for part in chunks(rows(users, count, seed)):
        part = sorted(part)
        parts.append(([(event[0].bytes, *event[1:]) for event in part], ordinals.number(part), ordinals.log(part)))
    for pragma in ("journal_mode = wal", "synchronous = full", "wal_autocheckpoint = 16000", "cache_size = -16384"):
        connection.execute(f"PRAGMA {pragma}")
    since = time.monotonic()
    for events, names, log in parts:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO events (event_id, user_id, event_type, occurred_at, properties, received_at) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING", events)
        connection.executemany("INSERT INTO users (user_no, user_id) VALUES (?, ?)", names)
        connection.executemany("INSERT INTO activity_log (day, event_type, user_no, events, users) VALUES (?, ?, ?, ?, ?)", log)
        connection.execute("COMMIT")
    rate = count / (time.monotonic() - since)
    connection.execute("CREATE TABLE bench_commit (number INTEGER)")
    since = time.monotonic()
    for number in range(300):
        connection.execute("INSERT INTO bench_commit VALUES (?)", (number,))
    commit_ms = (time.monotonic() - since) * 1000 / 300
    connection.execute("DROP TABLE bench_commit")
    connection.close()
    return rate, commit_ms
