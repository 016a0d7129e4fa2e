// Test data, the same in every run but for today's date, sent through the public API.

import { addDays, dayIn } from '../src/days';
import type { Server } from './server';

interface EventInput {
  readonly eventId: string;
  readonly userId: string;
  readonly eventType: string;
  readonly occurredAt: string;
  readonly properties: Readonly<Record<string, unknown>>;
}

const TYPES = ['page_view', 'search', 'add_to_cart', 'purchase', 'share', 'comment', 'invite', 'upload', 'export', 'login', 'settings'];
const BATCH = 1_000;
const DAYS = 75;

export const today = (): string => dayIn('UTC', new Date());

/** The range that the dashboard opens with. */
export const last30 = (): { from: string; to: string } => ({ from: addDays(today(), -29), to: today() });

/** Some seventy users over the last 75 days; each signs up once and comes back less and less. */
export function sampleEvents(lastDay: string): EventInput[] {
  const random = generator(7);
  const events: EventInput[] = [];
  const add = (user: number, eventType: string, day: string, second: number): void => {
    const number = String(events.length).padStart(12, '0');
    const time = new Date(Date.parse(`${day}T00:00:00Z`) + second * 1000).toISOString();
    const properties = { plan: user % 3 === 0 ? 'pro' : 'free', cart: { total: (events.length * 7) % 200 } };
    events.push({ eventId: `00000000-0000-4000-8000-${number}`, userId: `user-${user}`, eventType, occurredAt: time, properties });
  };
  for (let user = 0; user < 70; user += 1) {
    const joined = Math.floor(random() * DAYS);
    const loyalty = random();
    for (let age = 0; joined + age < DAYS; age += 1) {
      const day = addDays(lastDay, joined + age - DAYS + 1);
      if (age === 0) add(user, 'signup', day, 0);
      else if (random() > loyalty * 0.5 + 0.4 * Math.exp(-age / 7)) continue;
      const count = 1 + Math.floor(random() * 3);
      for (let index = 0; index < count; index += 1) add(user, TYPES[Math.floor(random() ** 2 * TYPES.length)] ?? 'page_view', day, 1 + index);
    }
  }
  return events;
}

export async function send(server: Server, events: readonly object[]): Promise<void> {
  for (let start = 0; start < events.length; start += BATCH) {
    const batch = events.slice(start, start + BATCH);
    const query = 'mutation ($input: IngestEventsInput!) { ingestEvents(input: $input) { stored rejected rejections { userErrors { message } } } }';
    const answer = await server.ask<{ ingestEvents: { stored: number } }>(query, { input: { events: batch } });
    if (answer.ingestEvents.stored !== batch.length) throw new Error(`not all were stored: ${JSON.stringify(answer)}`);
  }
}

/** Linear congruential numbers from 0 to 1: no dependency, the same everywhere. */
function generator(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296) / 4_294_967_296;
}
