// Rows of events: what a reader sees of an event in one line, and the same as a table.

import type { EventsQuery } from '../api/generated';
import type { Table } from './table';

export type EventRow = EventsQuery['events']['nodes'][number];

/** Properties in one line: `plan: pro, seats: 5`. Nested ones as JSON. */
export function propertiesLine(properties: Readonly<Record<string, unknown>>): string {
  return Object.entries(properties)
    .map(([key, value]) => `${key}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(', ');
}

/** Every path to a property of these events, in the order in which they turn up: what a condition may be about. */
export function propertyPaths(rows: readonly { readonly properties: Readonly<Record<string, unknown>> }[], most: number): (readonly string[])[] {
  const paths = new Map<string, readonly string[]>();
  const add = (properties: object, above: readonly string[]): void => {
    for (const [key, value] of Object.entries(properties)) {
      const path = [...above, key];
      if (value !== null && typeof value === 'object' && !Array.isArray(value)) add(value as object, path);
      else if (paths.size < most) paths.set(JSON.stringify(path), path);
    }
  };
  for (const { properties } of rows) add(properties, []);
  return [...paths.values()];
}

/** Newest first, each event once, no more than `most`: what has just arrived on top of what was there. */
export function withArrivals<Row extends { readonly eventId: string; readonly occurredAt: string }>(arrived: readonly Row[], rows: readonly Row[], most: number): Row[] {
  const once = new Map([...rows, ...arrived].map((row) => [row.eventId, row]));
  const newestFirst = (one: Row, other: Row): number => compareInstants(other, one);
  return [...once.values()].sort(newestFirst).slice(0, most);
}

/** Instants of the API have a varying number of decimals, so texts alone do not compare. */
function compareInstants(one: { readonly eventId: string; readonly occurredAt: string }, other: typeof one): number {
  const difference = Date.parse(one.occurredAt) - Date.parse(other.occurredAt);
  if (difference !== 0) return difference;
  return one.eventId < other.eventId ? -1 : one.eventId > other.eventId ? 1 : 0;
}

export function eventsTable(rows: readonly EventRow[]): Table {
  return {
    columns: [
      { label: 'Time', field: 'occurredAt', kind: 'text' },
      { label: 'Event', field: 'eventType', kind: 'text' },
      { label: 'User', field: 'userId', kind: 'text' },
      { label: 'Properties', field: 'properties', kind: 'text' },
    ],
    rows: rows.map((row) => [row.occurredAt, row.eventType, row.user.userId, JSON.stringify(row.properties)]),
  };
}
