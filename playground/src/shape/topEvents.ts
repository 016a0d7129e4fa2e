// Rows of the top-events chart, joined with the period before where that is compared.

import type { TopEventsQuery } from '../api/generated';
import type { Table } from './table';

export interface TopEventRow {
  readonly eventType: string;
  readonly events: number;
  readonly users: number;
  readonly share: number | null;
  /** Length of the bar, 0 to 1, against the longest. */
  readonly bar: number;
  /** Relative change of the ranked number; null without comparison or without anything before. */
  readonly change: number | null;
}

type Rank = 'EVENTS' | 'USERS';

export function topEventRows(answer: TopEventsQuery, before: TopEventsQuery | null, rank: Rank): TopEventRow[] {
  const measure = (row: { readonly events: number; readonly users: number }): number => (rank === 'EVENTS' ? row.events : row.users);
  const longest = Math.max(1, ...answer.topEvents.rows.map(measure));
  const earlier = new Map(before?.topEvents.rows.map((row) => [row.eventType, measure(row)]));
  return answer.topEvents.rows.map((row) => {
    const previous = earlier.get(row.eventType) ?? 0;
    return {
      eventType: row.eventType,
      events: row.events,
      users: row.users,
      share: row.share ?? null,
      bar: measure(row) / longest,
      change: previous > 0 ? (measure(row) - previous) / previous : null,
    };
  });
}

export function topEventsTable(rows: readonly TopEventRow[], otherEvents: number): Table {
  return {
    columns: [
      { label: 'Event', field: 'eventType', kind: 'text' },
      { label: 'Events', field: 'events', kind: 'count' },
      { label: 'Users', field: 'users', kind: 'count' },
      { label: 'Share', field: 'share', kind: 'rate' },
    ],
    rows: [
      ...rows.map((row) => [row.eventType, row.events, row.users, row.share]),
      ...(otherEvents > 0 ? [['(all others)', otherEvents, null, null]] : []),
    ],
  };
}
