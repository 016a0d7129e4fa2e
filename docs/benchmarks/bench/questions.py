"""The four typical questions, in GraphQL and in SQL over the raw events, and their answers in one form to compare."""

from datetime import date, timedelta

DAY = 86_400_000_000
EPOCH = date(1970, 1, 1)
START, RETURN = "session_started", "purchase_completed"
# Generous to PostgreSQL: with the default of 4 MB its sorts and hashes would go through the disk.
SQL_SETTINGS = "SET work_mem = '256MB'"
FLOOR = "{ __typename }"


class Questions:
    """The questions about the 30 (retention: 60) days that end with `last`."""

    def __init__(self, last):
        self.last = last
        self.month = (last - timedelta(29), last)
        self.cohorts = (last - timedelta(59), last - timedelta(30))

    def all(self):
        """Title, GraphQL, SQL, and what brings each one's rows into the same form."""
        return [
            ("30-day dau", self.dau(), self.dau_sql(), dau_rows),
            ("30-day topEvents", self.top_events(), self.top_events_sql(), top_events_rows),
            ("retention 30 × 30, anybody", self.retention(), self.retention_sql(), retention_rows),
            ("retention 30 × 30, one type to another", self.retention(True), self.typed_retention_sql(), retention_rows),
        ]

    def dau(self):
        return f"{{ dau({dates(self.month)}) {{ points {{ date users }} }} }}"

    def dau_sql(self):
        return f"""SELECT occurred_at / {DAY} AS day, count(DISTINCT user_id) FROM events
            WHERE {within(self.month)} GROUP BY 1 ORDER BY 1"""

    def top_events(self):
        return f"{{ topEvents({dates(self.month)}) {{ rows {{ eventType events users share }} totalEvents totalUsers }} }}"

    def top_events_sql(self):
        return f"""SELECT event_type, count(*), count(DISTINCT user_id) FROM events
            WHERE {within(self.month)} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10"""

    def retention(self, typed=False):
        types = f', startEvent: "{START}", returnEvent: "{RETURN}"' if typed else ""
        return (f"{{ retention({dates(self.cohorts)}, periods: 30{types}) "
                "{ cohorts { start size cells { index retained rate complete } } pooled { index rate } } }")

    def retention_sql(self):
        first, last = numbers(self.cohorts)
        return f"""WITH entry AS (
                SELECT user_id, min(occurred_at) / {DAY} AS cohort FROM events GROUP BY user_id
                HAVING min(occurred_at) BETWEEN {first * DAY} AND {(last + 1) * DAY - 1}),
            active AS (
                SELECT DISTINCT user_id, occurred_at / {DAY} AS day FROM events
                WHERE occurred_at BETWEEN {first * DAY} AND {(last + 31) * DAY - 1})
            SELECT cohort, day - cohort, count(*) FROM entry JOIN active USING (user_id)
            WHERE day - cohort BETWEEN 0 AND 30 GROUP BY 1, 2"""

    def typed_retention_sql(self):
        first, last = numbers(self.cohorts)
        return f"""WITH entry AS (
                SELECT user_id, min(occurred_at) AS entered_at FROM events WHERE event_type = '{START}' GROUP BY user_id
                HAVING min(occurred_at) BETWEEN {first * DAY} AND {(last + 1) * DAY - 1}),
            returned AS (
                SELECT DISTINCT user_id, entered_at / {DAY} AS cohort, occurred_at / {DAY} AS day
                FROM entry JOIN events USING (user_id)
                WHERE event_type = '{RETURN}' AND occurred_at >= entered_at AND occurred_at < {(last + 31) * DAY})
            SELECT cohort, day - cohort, count(*) FROM returned WHERE day - cohort BETWEEN 0 AND 30 GROUP BY 1, 2"""


def total_events(first, last):
    """All events of these days."""
    return f"{{ topEvents({dates((first, last))}, limit: 1) {{ totalEvents }} }}"


def dates(days):
    return f'from: "{days[0]}", to: "{days[1]}"'


def numbers(days):
    return [(day - EPOCH).days for day in days]


def within(days):
    first, last = numbers(days)
    return f"occurred_at >= {first * DAY} AND occurred_at < {(last + 1) * DAY}"


def dau_rows(answer):
    points = answer["dau"]["points"]
    return sorted((str((date.fromisoformat(point["date"]) - EPOCH).days), str(point["users"])) for point in points if point["users"])


def top_events_rows(answer):
    return sorted((row["eventType"], str(row["events"]), str(row["users"])) for row in answer["topEvents"]["rows"])


def retention_rows(answer):
    return sorted(
        (str((date.fromisoformat(cohort["start"]) - EPOCH).days), str(cell["index"]), str(cell["retained"]))
        for cohort in answer["retention"]["cohorts"] for cell in cohort["cells"] if cell["retained"])
