import { describe, expect, test } from 'vitest';
import { eventsTable, propertiesLine, propertyPaths, withArrivals, type EventRow } from '../src/shape/events';

const row = (eventId: string, occurredAt: string, properties: Record<string, unknown> = {}): EventRow => ({ eventId, occurredAt, eventType: 'open', properties, user: { userId: 'ada' } });

describe('events', () => {
  test('arrivals come on top, once each, and the list stays short', () => {
    const rows = [row('b', '2026-11-22T10:00:01Z'), row('a', '2026-11-22T10:00:00Z')];
    const arrived = [row('b', '2026-11-22T10:00:01Z'), row('d', '2026-11-22T10:00:01.500Z'), row('c', '2026-11-22T09:00:00Z')];
    expect(withArrivals(arrived, rows, 3).map(({ eventId }) => eventId)).toEqual(['d', 'b', 'a']);
    expect(withArrivals(arrived, rows, 9).map(({ eventId }) => eventId)).toEqual(['d', 'b', 'a', 'c']);
  });

  test('events of the same instant are in the order of their ids, greatest first', () => {
    const same = ['a', 'c', 'b'].map((id) => row(id, '2026-11-22T10:00:00Z'));
    expect(withArrivals([], same, 9).map(({ eventId }) => eventId)).toEqual(['c', 'b', 'a']);
  });

  test('properties in a line, and as paths to filter by', () => {
    const properties = { plan: 'pro', cart: { total: 5, items: [1, 2] }, gift: null };
    expect(propertiesLine(properties)).toBe('plan: pro, cart: {"total":5,"items":[1,2]}, gift: null');
    expect(propertyPaths([row('a', '2026-11-22T10:00:00Z', properties), row('b', '2026-11-22T10:00:00Z', { plan: 'x', new: 1 })], 9)).toEqual([['plan'], ['cart', 'total'], ['cart', 'items'], ['gift'], ['new']]);
    expect(propertyPaths([row('a', '2026-11-22T10:00:00Z', properties)], 2)).toHaveLength(2);
  });

  test('the table holds everything', () => {
    expect(eventsTable([row('a', '2026-11-22T10:00:00Z', { n: 1 })]).rows).toEqual([['2026-11-22T10:00:00Z', 'open', 'ada', '{"n":1}']]);
  });
});
