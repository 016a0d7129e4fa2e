"""Events, questions and a subscription with gql (https://gql.readthedocs.io), the GraphQL client for Python.

    pip install -r requirements.txt
    KOHORTA_URL=http://127.0.0.1:8000 KOHORTA_API_KEY=… python main.py
"""

import asyncio
import os
import uuid

from gql import Client, GraphQLRequest
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport

URL = os.environ.get("KOHORTA_URL", "http://127.0.0.1:8000")
KEY = os.environ.get("KOHORTA_API_KEY")

INGEST = """
mutation ($events: [IngestEventInput!]!) {
  ingestEvents(input: { events: $events }) { stored duplicates rejections { index userErrors { message } } }
}"""

DAYS = """
query ($from: LocalDate!, $to: LocalDate!, $windowDays: Int!) {
  dau(from: $from, to: $to, windowDays: $windowDays) { points { date users newUsers } }
}"""

LIVE = """
subscription ($filter: EventFilter) { eventAdded(filter: $filter) { eventType user { userId } properties } }"""


def http():
    """A client for queries and mutations. It also checks documents against the schema before they are sent."""
    headers = {"authorization": f"Bearer {KEY}"} if KEY else {}
    transport = AIOHTTPTransport(url=f"{URL}/graphql", headers=headers)
    return Client(transport=transport, fetch_schema_from_transport=True)


def live():
    """A client for subscriptions."""
    payload = {"authorization": f"Bearer {KEY}"} if KEY else {}
    address = URL.replace("http", "ws", 1) + "/graphql"
    # Of the two protocols that it knows, gql would begin in the older one, which is not spoken here.
    protocols = [WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL]
    return Client(transport=WebsocketsTransport(url=address, init_payload=payload, subprotocols=protocols))


def event(user_id, event_type, occurred_at, **properties):
    """An event with an id of its own, so that sending it again stores it once."""
    return {
        "eventId": str(uuid.uuid4()),
        "userId": user_id,
        "eventType": event_type,
        "occurredAt": occurred_at,
        "properties": properties,
    }


async def first(subscription, session, events):
    """The first event that is heard of. Until the subscription stands nothing is, so events are sent until one is."""

    async def send():
        while True:
            await session.execute(GraphQLRequest(INGEST, variable_values={"events": events()}))
            await asyncio.sleep(0.1)

    sending = asyncio.create_task(send())
    try:
        async for answer in subscription:
            return answer["eventAdded"]
    finally:
        sending.cancel()


async def main():
    async with http() as session:
        signup = event("ana", "signup", "2026-03-01T08:00:00Z", plan="pro")
        login = event("ben", "login", "2026-03-02T09:00:00+01:00")
        wrong = event("ben", "", "2026-03-02T10:00:00Z")
        sent = {"events": [signup, login, signup, wrong]}
        answer = (await session.execute(GraphQLRequest(INGEST, variable_values=sent)))["ingestEvents"]
        print(f"{answer['stored']} stored, {answer['duplicates']} sent twice")
        for rejection in answer["rejections"]:
            why = "; ".join(error["message"] for error in rejection["userErrors"])
            print(f"event {rejection['index']} rejected: {why}")

        days = {"from": "2026-03-01", "to": "2026-03-02", "windowDays": 1}
        answer = await session.execute(GraphQLRequest(DAYS, variable_values=days))
        for point in answer["dau"]["points"]:
            print(f"{point['date']}: {point['users']} active, {point['newUsers']} new")

        try:
            await session.execute(GraphQLRequest(DAYS, variable_values=days | {"windowDays": 0}))
        except TransportQueryError as error:
            [problem] = error.errors
            code, retryable = problem["extensions"]["code"], problem["extensions"]["retryable"]
            print(f"{code}, {'try again' if retryable else 'not to be sent again'}: {problem['message']}")

        async with live() as listener:
            only = {"filter": {"all": [{"eventType": {"eq": "purchase"}}]}}
            subscription = listener.subscribe(GraphQLRequest(LIVE, variable_values=only))

            def purchase():
                return [event("ana", "purchase", "2026-03-02T11:00:00Z", amount=9.5)]

            heard = await first(subscription, session, purchase)
            print(f"live: {heard['eventType']} by {heard['user']['userId']}, {heard['properties']}")


if __name__ == "__main__":
    asyncio.run(main())
