// Active users per day, calendar week or calendar month, from the answers to `dau`.

import { endOfUnit, toNumber, type LocalDate, type Unit } from '../days';
import type { ActiveUsersQuery, MonthlyActiveUsersQuery } from '../api/generated';
import type { Table } from './table';

export interface ActivePeriod {
  readonly start: LocalDate;
  readonly users: number;
  readonly newUsers: number;
  readonly returningUsers: number;
  readonly complete: boolean;
}

interface DailyPoint {
  readonly date: LocalDate;
  readonly users: number;
  readonly newUsers: number;
  readonly complete: boolean;
}

/** One entry per day of the answer. */
export function dailyPeriods(answer: ActiveUsersQuery): ActivePeriod[] {
  return answer.dau.points.map((point) => period(point.date, point.users, point.newUsers, point.complete));
}

/** One entry per week. The answer must have 7-day windows and start on a Monday. */
export function weeklyPeriods(answer: ActiveUsersQuery): ActivePeriod[] {
  return groups(answer.dau.points, 'week').flatMap(([start, points]) => {
    const last = points.at(-1);
    return last ? [period(start, last.users, sumNew(points), last.complete)] : [];
  });
}

/** One entry per month: the trailing window that ends on its last day and has its length. */
export function monthlyPeriods(answer: MonthlyActiveUsersQuery): ActivePeriod[] {
  const windows: Readonly<Record<number, ReadonlyMap<LocalDate, number>>> = {
    28: usersByDay(answer.days28.points),
    29: usersByDay(answer.days29.points),
    30: usersByDay(answer.days30.points),
    31: usersByDay(answer.days31.points),
  };
  return groups(answer.days28.points, 'month').map(([start, points]) => {
    const end = endOfUnit(start, 'month');
    const length = toNumber(end) - toNumber(start) + 1;
    const users = windows[length]?.get(end) ?? 0;
    return period(start, users, sumNew(points), points.at(-1)?.complete ?? false);
  });
}

function period(start: LocalDate, users: number, newUsers: number, complete: boolean): ActivePeriod {
  return { start, users, newUsers, returningUsers: Math.max(0, users - newUsers), complete };
}

function groups(points: readonly DailyPoint[], unit: Unit): [LocalDate, DailyPoint[]][] {
  const byStart = new Map<LocalDate, DailyPoint[]>();
  for (const point of points) {
    const end = endOfUnit(point.date, unit);
    const group = byStart.get(end);
    if (group) group.push(point);
    else byStart.set(end, [point]);
  }
  return [...byStart.values()].flatMap((group) => (group[0] ? [[group[0].date, group] as [LocalDate, DailyPoint[]]] : []));
}

function usersByDay(points: readonly { readonly date: LocalDate; readonly users: number }[]): ReadonlyMap<LocalDate, number> {
  return new Map(points.map((point) => [point.date, point.users]));
}

function sumNew(points: readonly DailyPoint[]): number {
  return points.reduce((sum, point) => sum + point.newUsers, 0);
}

/** One line of the chart with its name for tables. */
export interface NamedSeries {
  readonly label: string;
  readonly field: string;
  readonly periods: readonly ActivePeriod[];
}

/** The active-users chart as a table: a row per period, a column per line. Shorter series leave gaps. */
export function activeUsersTable(series: readonly NamedSeries[]): Table {
  const first = series[0]?.periods ?? [];
  return {
    columns: [
      { label: 'Starts', field: 'date', kind: 'text' },
      ...series.map(({ label, field }) => ({ label, field, kind: 'count' as const })),
      { label: 'Complete', field: 'complete', kind: 'text' },
    ],
    rows: first.map((point, index) => [
      point.start,
      ...series.map(({ periods }) => periods[index]?.users ?? null),
      point.complete ? 'yes' : 'no',
    ]),
  };
}

export function newReturningTable(periods: readonly ActivePeriod[]): Table {
  return {
    columns: [
      { label: 'Starts', field: 'date', kind: 'text' },
      { label: 'New', field: 'newUsers', kind: 'count' },
      { label: 'Returning', field: 'returningUsers', kind: 'count' },
      { label: 'Active', field: 'users', kind: 'count' },
      { label: 'Complete', field: 'complete', kind: 'text' },
    ],
    rows: periods.map((point) => [point.start, point.newUsers, point.returningUsers, point.users, point.complete ? 'yes' : 'no']),
  };
}
