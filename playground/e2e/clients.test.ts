// GraphQL over HTTP and WebSocket as others understand it: the audit suite of graphql-http, and clients that people use.

import { serverAudits } from 'graphql-http';
import { ClientError, GraphQLClient } from 'graphql-request';
import { createClient } from 'graphql-ws';
import { afterAll, beforeAll, expect, test } from 'vitest';
import WebSocket from 'ws';
import { TopEvents, type TopEventsQuery, type TopEventsQueryVariables } from '../src/api/generated';
import { Server } from './server';

let server: Server;

beforeAll(async () => {
  server = await Server.start();
});

afterAll(async () => {
  await server?.stop();
});

// What a server MUST, SHOULD and MAY do: all of it, without exception.
for (const audit of serverAudits({ url: () => `${server.url}/graphql` })) {
  test(`audit ${audit.id}: ${audit.name}`, async () => {
    const result = await audit.fn();
    expect(result.status === 'ok' ? 'ok' : `${result.status}: ${result.reason}`).toBe('ok');
  });
}

test('graphql-request sends, asks with generated types, and tells errors by their code', async () => {
  const client = new GraphQLClient(`${server.url}/graphql`);
  const event = { userId: 'ana', eventType: 'signup', occurredAt: '2026-03-01T08:00:00Z', properties: { plan: 'pro' } };
  const mutation = 'mutation ($input: IngestEventInput!) { ingestEvent(input: $input) { status } }';
  expect(await client.request(mutation, { input: event })).toEqual({ ingestEvent: { status: 'STORED' } });
  const variables: TopEventsQueryVariables = { from: '2026-03-01', to: '2026-03-01', limit: 10, rankBy: 'EVENTS' };
  const answer = await client.request<TopEventsQuery, TopEventsQueryVariables>(TopEvents.text, variables);
  expect(answer.topEvents.rows).toEqual([{ eventType: 'signup', events: 1, users: 1, share: 1 }]);
  const refused = client.request<TopEventsQuery, TopEventsQueryVariables>(TopEvents.text, { ...variables, limit: 0 });
  const error: unknown = await refused.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ClientError);
  expect((error as ClientError).response.errors?.[0]?.extensions).toMatchObject({ code: 'BAD_USER_INPUT', retryable: false });
});

test('graphql-ws subscribes and hears of what is stored', async () => {
  const client = createClient({ url: `${server.url.replace('http', 'ws')}/graphql`, webSocketImpl: WebSocket, retryAttempts: 0 });
  const events = client.iterate<{ eventAdded: { eventType: string; user: { userId: string } } }>({
    query: 'subscription { eventAdded { eventType user { userId } } }',
  });
  const heard = events.next();
  // Until the subscription stands nothing is heard of; so events are sent until one is.
  const http = new GraphQLClient(`${server.url}/graphql`);
  const mutation = 'mutation { ingestEvent(input: { userId: "bo", eventType: "heard" }) { status } }';
  const sending = setInterval(() => void http.request(mutation), 100);
  const first = await heard.finally(() => clearInterval(sending));
  expect(first.value?.data).toEqual({ eventAdded: { eventType: 'heard', user: { userId: 'bo' } } });
  await events.return?.(undefined);
  await client.dispose();
});
