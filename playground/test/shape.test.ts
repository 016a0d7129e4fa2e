import { describe, expect, test } from 'vitest';
import { failureIn } from '../src/api/client';
import type { MonthlyActiveUsersQuery, RetentionQuery } from '../src/api/generated';
import { addDays } from '../src/days';
import { headlineVariables } from '../src/questions';
import { activeUsersTable, dailyPeriods, monthlyPeriods, newReturningTable, weeklyPeriods } from '../src/shape/activeUsers';
import { headline, type HeadlineAnswer } from '../src/shape/headline';
import { retentionTable, rowGroups, triangle } from '../src/shape/retention';
import { toCsv } from '../src/shape/table';
import { topEventRows, topEventsTable } from '../src/shape/topEvents';
import { DEFAULT_VIEW } from '../src/view';

function points(from: string, users: readonly number[], newUsers: readonly number[] = [], incompleteFrom = users.length) {
  return users.map((count, index) => ({ date: addDays(from, index), users: count, newUsers: newUsers[index] ?? 0, complete: index < incompleteFrom }));
}

describe('active users', () => {
  test('returning users are the active ones who are not new', () => {
    const periods = dailyPeriods({ dau: { timezone: 'UTC', points: points('2026-11-01', [5, 0], [2, 0], 1) } });
    expect(periods).toEqual([
      { start: '2026-11-01', users: 5, newUsers: 2, returningUsers: 3, complete: true },
      { start: '2026-11-02', users: 0, newUsers: 0, returningUsers: 0, complete: false },
    ]);
  });

  test('a week is its Sunday: users of the trailing window, new users added up', () => {
    const answer = { dau: { timezone: 'UTC', points: points('2026-11-16', [1, 2, 3, 4, 5, 6, 7, 9, 9, 9, 9, 9, 9, 8], Array<number>(14).fill(1), 10) } };
    expect(weeklyPeriods(answer)).toEqual([
      { start: '2026-11-16', users: 7, newUsers: 7, returningUsers: 0, complete: true },
      { start: '2026-11-23', users: 8, newUsers: 7, returningUsers: 1, complete: false },
    ]);
  });

  test('a month takes the window of its own length', () => {
    const days = 31 + 28;
    const window = (value: number) => ({ points: points('2026-01-01', Array<number>(days).fill(value)) });
    const answer: MonthlyActiveUsersQuery = { days28: window(28), days29: window(29), days30: window(30), days31: window(31) };
    expect(monthlyPeriods(answer).map(({ start, users }) => [start, users])).toEqual([['2026-01-01', 31], ['2026-02-01', 28]]);
  });

  test('tables carry the same numbers, a shorter comparison leaves gaps', () => {
    const now = dailyPeriods({ dau: { timezone: 'UTC', points: points('2026-11-01', [5, 6], [1, 1], 1) } });
    const before = now.slice(0, 1);
    const table = activeUsersTable([{ label: 'Daily', field: 'dau', periods: now }, { label: 'Before', field: 'before', periods: before }]);
    expect(table.rows).toEqual([['2026-11-01', 5, 5, 'yes'], ['2026-11-02', 6, null, 'no']]);
    expect(newReturningTable(now).rows[0]).toEqual(['2026-11-01', 1, 4, 5, 'yes']);
  });
});

describe('headline', () => {
  const range = { from: '2026-11-21', to: '2026-11-22' };
  const variables = headlineVariables(range, '2026-11-22', DEFAULT_VIEW);
  const answer: HeadlineAnswer = {
    daily: { points: [{ date: '2026-11-14', users: 50, complete: true }, { date: '2026-11-21', users: 60, complete: true }, { date: '2026-11-22', users: 7, complete: false }] },
    weekly: { points: [{ date: '2026-11-14', users: 0 }, { date: '2026-11-21', users: 200 }] },
    monthly: { points: [{ date: '2026-10-22', users: 400 }, { date: '2026-11-21', users: 300 }] },
    joined: { points: [{ date: '2026-11-21', newUsers: 8 }, { date: '2026-11-22', newUsers: 3 }] },
    joinedBefore: { points: [{ date: '2026-11-20', newUsers: 10 }] },
    events: { totalEvents: 500, totalUsers: 100 },
    eventsOnFullDays: { totalEvents: 400 },
    eventsBefore: { totalEvents: 200 },
  };
  const numbers = headline(answer, variables);

  test('the unfinished day is shown but never compared', () => {
    expect(numbers.daily).toEqual({ value: 60, before: 50, change: 0.2 });
    expect(numbers.soFarToday).toBe(7);
    expect(numbers.newUsers).toEqual({ value: 11, before: 10, change: -0.2 });
    expect(numbers.events).toEqual({ value: 500, before: 200, change: 1 });
  });

  test('nothing before means no change, not an infinite one', () => {
    expect(numbers.weekly).toEqual({ value: 200, before: 0, change: null });
    expect(numbers.monthly.change).toBe(-0.25);
    expect(numbers.stickiness).toBe(0.2);
    expect(numbers.eventsPerUser).toBe(5);
  });
});

describe('top events', () => {
  const answer = { topEvents: { rows: [{ eventType: 'open', events: 60, users: 10, share: 0.6 }, { eventType: 'buy', events: 20, users: 20, share: 0.2 }], totalEvents: 100, otherEvents: 20, totalUsers: 25 } };

  test('bars are measured against the longest of the ranked number', () => {
    expect(topEventRows(answer, null, 'EVENTS').map((row) => row.bar)).toEqual([1, 1 / 3]);
    expect(topEventRows(answer, null, 'USERS').map((row) => row.bar)).toEqual([0.5, 1]);
  });

  test('changes are of the same event type; new types have none', () => {
    const before = { topEvents: { ...answer.topEvents, rows: [{ eventType: 'open', events: 40, users: 5, share: 1 }] } };
    expect(topEventRows(answer, before, 'EVENTS').map((row) => row.change)).toEqual([0.5, null]);
  });

  test('the table adds up with the others', () => {
    expect(topEventsTable(topEventRows(answer, null, 'EVENTS'), 20).rows.at(-1)).toEqual(['(all others)', 20, null, null]);
  });
});

describe('retention', () => {
  const cell = (index: number, retained: number, size: number, complete: boolean) => ({ index, retained, rate: size > 0 ? retained / size : null, complete });
  const answer: RetentionQuery = {
    retention: {
      timezone: 'UTC',
      cohorts: [
        { start: '2026-11-20', size: 10, cells: [cell(0, 10, 10, true), cell(1, 4, 10, true), cell(2, 3, 10, false)] },
        { start: '2026-11-21', size: 0, cells: [cell(0, 0, 0, true), cell(1, 0, 0, false), cell(2, 0, 0, false)] },
      ],
      pooled: [0, 1, 2].map((index) => ({ index, rate: null, retained: 0, size: 0, cohorts: 0 })),
    },
  };
  const shaped = triangle(answer, 'day', '2026-11-22');

  test('a period that runs is told from one that has not begun', () => {
    expect(shaped.rows.map((row) => row.cells.map((one) => one.state))).toEqual([
      ['complete', 'complete', 'running'],
      ['complete', 'running', 'ahead'],
    ]);
  });

  test('the colours span what happens after index 0', () => {
    expect(shaped.scaleTop).toBe(0.4);
    expect(shaped.startsWithEverybody).toBe(true);
  });

  test('the table leaves out what has not begun and says where certainty ends', () => {
    expect(retentionTable(shaped).rows).toEqual([
      ['2026-11-20', 10, 10, 4, 3, '2'],
      ['2026-11-21', 0, 0, 0, null, '1'],
    ]);
  });
});

test('three empty cohorts in a row are drawn as one', () => {
  const sizes = [5, 0, 0, 7, 0, 0, 0, 1];
  const rows = sizes.map((size, index) => ({ start: addDays('2026-11-01', index), size, cells: [] }));
  expect(rowGroups(rows).map((group) => group.length)).toEqual([1, 1, 1, 1, 3, 1]);
});

describe('csv', () => {
  test('quotes what must be quoted and disarms formulas', () => {
    const csv = toCsv({
      columns: [{ label: 'Event', field: 'eventType', kind: 'text' }, { label: 'N', field: 'n', kind: 'count' }],
      rows: [['a,"b"', 1], ['=1+1', null], ['two\nlines', 0.5]],
    });
    expect(csv).toBe('eventType,n\r\n"a,""b""",1\r\n\'=1+1,\r\n"two\nlines",0.5\r\n');
  });
});

describe('failures', () => {
  const error = (code: string) => ({ errors: [{ message: 'm', extensions: { code, requestId: 'r1' } }] });

  test('say what the page can do about them', () => {
    expect(failureIn(200, { data: {} })).toBeNull();
    expect(failureIn(401, null)?.kind).toBe('unauthenticated');
    expect(failureIn(200, error('UNAUTHENTICATED'))?.kind).toBe('unauthenticated');
    expect(failureIn(503, error('UNAVAILABLE'))?.kind).toBe('unavailable');
    expect(failureIn(503, null)?.kind).toBe('unreachable');
    expect(failureIn(400, error('BAD_USER_INPUT'))).toMatchObject({ kind: 'refused', message: 'm', requestId: 'r1' });
    expect(failureIn(200, null)?.kind).toBe('unavailable');
  });
});
