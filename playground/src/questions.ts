// From a view to the variables of each query: the one place that decides what the dashboard asks.

import { addDays, endOfUnit, lengthInDays, startOfUnit, unitsBefore, type LocalDate, type Range } from './days';
import type {
  ActiveUsersQueryVariables,
  EventFilter,
  EventsQueryVariables,
  MonthlyActiveUsersQueryVariables,
  RetentionQueryVariables,
  TopEventsQueryVariables,
} from './api/generated';
import { eventFilter } from './filter';
import type { HeadlineVariables } from './shape/headline';
import { DEFAULT_PERIODS, rangeOf, type Line, type View } from './view';

export const TOP_EVENTS_LIMIT = 10;
/** How many events the list of the latest ones holds. */
export const LATEST_EVENTS = 20;
/** How many event types the retention selectors offer. */
export const EVENT_CHOICES = 100;

const WINDOW_DAYS: Readonly<Record<Line, number>> = { dau: 1, wau: 7, mau: 30 };
const PERIOD = { day: 'DAY', week: 'WEEK', month: 'MONTH' } as const;

/** What the page is about, as the API takes it. */
export function filterOf(view: View): EventFilter | null {
  return eventFilter(view.event, view.where);
}

/** Trailing windows per day, for the day view. */
export function activeUsersVariables(range: Range, line: Line, view: View): ActiveUsersQueryVariables {
  return { ...range, windowDays: WINDOW_DAYS[line], filter: filterOf(view) };
}

/** Whole weeks: seven trailing days on a Sunday are that calendar week. */
export function weeklyVariables(range: Range, view: View): ActiveUsersQueryVariables {
  return { from: startOfUnit(range.from, 'week'), to: endOfUnit(range.to, 'week'), windowDays: 7, filter: filterOf(view) };
}

export function monthlyVariables(range: Range, view: View): MonthlyActiveUsersQueryVariables {
  return { from: startOfUnit(range.from, 'month'), to: endOfUnit(range.to, 'month'), filter: filterOf(view) };
}

/** The newest events of everything that the page is about, whatever their day. */
export function eventsVariables(view: View): EventsQueryVariables {
  return { first: LATEST_EVENTS, filter: filterOf(view) };
}

/** The period before a view's own: as many units, directly before. */
export function comparisonRange(view: View, today: LocalDate): Range {
  return unitsBefore(rangeOf(view, today), view.unit);
}

/** The list stays whole when one of its events is picked: only the conditions on properties narrow it. */
export function topEventsVariables(range: Range, view: View, limit: number): TopEventsQueryVariables {
  return { ...range, limit, rankBy: view.rank, filter: eventFilter(null, view.where) };
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
export function headlineVariables(range: Range, today: LocalDate, view: View): HeadlineVariables {
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
    filter: filterOf(view),
  };
}

/** As many days as the range has, directly before it. */
export function previousDays(range: Range): Range {
  const days = lengthInDays(range);
  return { from: addDays(range.from, -days), to: addDays(range.from, -1) };
}
