// From a view to the variables of each query: the one place that decides what the dashboard asks.

import { addDays, endOfUnit, lengthInDays, startOfUnit, unitsBefore, type LocalDate, type Range } from './days';
import type {
  ActiveUsersQueryVariables,
  HeadlineQueryVariables,
  MonthlyActiveUsersQueryVariables,
  RetentionQueryVariables,
  TopEventsQueryVariables,
} from './api/generated';
import { DEFAULT_PERIODS, rangeOf, type Line, type View } from './view';

export const TOP_EVENTS_LIMIT = 10;
/** How many event types the retention selectors offer. */
export const EVENT_CHOICES = 100;

const WINDOW_DAYS: Readonly<Record<Line, number>> = { dau: 1, wau: 7, mau: 30 };
const PERIOD = { day: 'DAY', week: 'WEEK', month: 'MONTH' } as const;

/** Trailing windows per day, for the day view. */
export function activeUsersVariables(range: Range, line: Line): ActiveUsersQueryVariables {
  return { ...range, windowDays: WINDOW_DAYS[line] };
}

/** Whole weeks: seven trailing days on a Sunday are that calendar week. */
export function weeklyVariables(range: Range): ActiveUsersQueryVariables {
  return { from: startOfUnit(range.from, 'week'), to: endOfUnit(range.to, 'week'), windowDays: 7 };
}

export function monthlyVariables(range: Range): MonthlyActiveUsersQueryVariables {
  return { from: startOfUnit(range.from, 'month'), to: endOfUnit(range.to, 'month') };
}

/** The period before a view's own: as many units, directly before. */
export function comparisonRange(view: View, today: LocalDate): Range {
  return unitsBefore(rangeOf(view, today), view.unit);
}

export function topEventsVariables(range: Range, view: View, limit: number): TopEventsQueryVariables {
  return { ...range, limit, rankBy: view.rank };
}

export function retentionVariables(range: Range, view: View): RetentionQueryVariables {
  return {
    ...range,
    period: PERIOD[view.unit],
    periods: view.periods ?? DEFAULT_PERIODS[view.unit],
    startEvent: view.startEvent,
    returnEvent: view.returnEvent,
    entry: view.entry,
    criterion: view.criterion,
  };
}

/** Headline numbers: the last full day of the range, and full days against as many days before them. */
export function headlineVariables(range: Range, today: LocalDate): HeadlineQueryVariables {
  const yesterday = addDays(today, -1);
  const lastDay = range.to < today ? range.to : yesterday;
  const fullFrom = range.from <= lastDay ? range.from : lastDay;
  const before = previousDays({ from: fullFrom, to: lastDay });
  return {
    from: range.from,
    to: range.to,
    lastDay,
    weekBefore: addDays(lastDay, -7),
    monthBefore: addDays(lastDay, -30),
    previousFrom: before.from,
    previousTo: before.to,
  };
}

/** As many days as the range has, directly before it. */
export function previousDays(range: Range): Range {
  const days = lengthInDays(range);
  return { from: addDays(range.from, -days), to: addDays(range.from, -1) };
}
