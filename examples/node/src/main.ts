// Sends three events, one of them twice and one that is wrong, and asks what came of them.
import { randomUUID } from 'node:crypto';
import { Kohorta } from './client.js';
import { Ingest, Overview, type IngestMutationVariables } from './generated.js';

const kohorta = new Kohorta(process.env['KOHORTA_URL'] ?? 'http://127.0.0.1:8000', process.env['KOHORTA_API_KEY']);

const signup = { eventId: randomUUID(), userId: 'ana', eventType: 'signup', occurredAt: '2026-03-01T08:00:00Z' };
const events: IngestMutationVariables['events'] = [
  signup,
  { eventId: randomUUID(), userId: 'ana', eventType: 'login', occurredAt: '2026-03-02T09:00:00Z' },
  { eventId: randomUUID(), userId: 'ben', eventType: 'login', occurredAt: '2026-03-02T10:00:00Z' },
  signup,
  { eventId: randomUUID(), userId: 'ben', eventType: '', occurredAt: '2026-03-02T10:00:00Z' },
];

const { ingestEvents } = await kohorta.ask(Ingest, { events });
console.log(`${ingestEvents.stored} stored, ${ingestEvents.duplicates} sent twice`);
for (const { index, userErrors } of ingestEvents.rejections) {
  console.log(`event ${index} rejected: ${userErrors.map((error) => error.message).join('; ')}`);
}

const { dau, topEvents } = await kohorta.ask(Overview, { from: '2026-03-01', to: '2026-03-02' });
for (const point of dau.points) console.log(`${point.date}: ${point.users} active, ${point.newUsers} new`);
for (const row of topEvents.rows) console.log(`${row.eventType}: ${row.events} events by ${row.users} users`);
