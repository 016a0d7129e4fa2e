"""A client of Kohorta with nothing but the standard library: events in, in batches and with retries, and questions.

    with Kohorta("http://127.0.0.1:8000", api_key="…") as kohorta:
        kohorta.track("ana", "signup", {"plan": "free"})
        answer = kohorta.ask('{ dau(from: "2026-03-01", to: "2026-03-31") { points { date users } } }')

`track` only remembers the event; what is remembered is sent when a batch is full, by `flush`, and at the end of `with`.
An event gets its id and its time when it happens, so sending it again, however often, stores it once.
"""

import json
import random
import time
import urllib.error
import urllib.request
import uuid
from datetime import datetime, timezone

INGEST = """
mutation ($events: [IngestEventInput!]!) {
  ingestEvents(input: { events: $events }) { stored duplicates rejections { index userErrors { message } } }
}"""


class KohortaError(Exception):
    """The server refused a request; sending it again cannot help."""


class Kohorta:
    """A server, and the events that wait to be sent to it."""

    def __init__(self, url, api_key=None, batch=1_000, patience=300.0):
        self.url = url.rstrip("/") + "/graphql"
        self.headers = {"content-type": "application/json"}
        if api_key:
            self.headers["authorization"] = f"Bearer {api_key}"
        self.batch = batch
        self.patience = patience  # for how many seconds a request is tried again
        self.waiting = []
        self.stored = 0
        self.rejected = []  # (event, why)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.flush()

    def track(self, user_id, event_type, properties=None, occurred_at=None):
        """Remembers one event; sends a batch if that makes one."""
        when = occurred_at or datetime.now(timezone.utc)
        self.waiting.append(
            {
                "eventId": str(uuid.uuid4()),
                "userId": user_id,
                "eventType": event_type,
                "occurredAt": when.isoformat(),
                "properties": properties or {},
            }
        )
        if len(self.waiting) >= self.batch:
            self.flush()

    def flush(self):
        """Sends what waits. What was not answered still waits if this raises."""
        while self.waiting:
            events = self.waiting[: self.batch]
            answer = self.ask(INGEST, {"events": events})["ingestEvents"]
            del self.waiting[: len(events)]
            self.stored += answer["stored"]
            for rejection in answer["rejections"]:
                why = "; ".join(error["message"] for error in rejection["userErrors"])
                self.rejected.append((events[rejection["index"]], why))

    def ask(self, query, variables=None):
        """The data that answers a query or mutation; tries again while the server says that this may help."""
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        deadline = time.monotonic() + self.patience
        pause = 1.0
        while True:
            answer = self._post(body)
            errors = answer.get("errors")
            if not errors:
                return answer["data"]
            retryable = all(error.get("extensions", {}).get("retryable") for error in errors)
            if not retryable or time.monotonic() + pause > deadline:
                raise KohortaError("; ".join(error["message"] for error in errors))
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, 60.0)

    def _post(self, body):
        request = urllib.request.Request(self.url, body, self.headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            try:
                return json.load(error)
            except ValueError:
                return _failure(f"HTTP status {error.code}", error.code in (429, 502, 503, 504))
        except OSError as error:
            return _failure(str(error), True)


def _failure(message, retryable):
    return {"errors": [{"message": message, "extensions": {"retryable": retryable}}]}
