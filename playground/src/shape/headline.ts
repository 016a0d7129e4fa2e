// The numbers at the top of the page, each with its change against the period before.

import type { HeadlineEventsQuery, HeadlineEventsQueryVariables, HeadlineQuery, HeadlineQueryVariables } from '../api/generated';
import type { LocalDate } from '../days';

export interface HeadlineNumber {
  readonly value: number;
  readonly before: number | null;
  /** Relative change of full days; null where nothing was there before. */
  readonly change: number | null;
}

export interface Headline {
  readonly lastDay: LocalDate;
  readonly daily: HeadlineNumber;
  /** Users on the unfinished last day of the range, where there is one. */
  readonly soFarToday: number | null;
  readonly weekly: HeadlineNumber;
  readonly monthly: HeadlineNumber;
  /** Daily over monthly users: how much of the month comes back on a day. */
  readonly stickiness: number | null;
  readonly newUsers: HeadlineNumber;
  readonly events: HeadlineNumber;
  readonly eventsPerUser: number | null;
}

/** What the headline's two queries ask with. */
export type HeadlineVariables = HeadlineQueryVariables & HeadlineEventsQueryVariables;
/** What they answer. */
export type HeadlineAnswer = HeadlineQuery & HeadlineEventsQuery;

export function headline(answer: HeadlineAnswer, variables: HeadlineVariables): Headline {
  const usersOn = (points: readonly { readonly date: LocalDate; readonly users: number }[], day: LocalDate): number =>
    points.find((point) => point.date === day)?.users ?? 0;
  const { lastDay, weekBefore, monthBefore, to } = variables;
  const daily = usersOn(answer.daily.points, lastDay);
  const monthly = usersOn(answer.monthly.points, lastDay);
  const last = answer.daily.points.find((point) => point.date === to);
  const joined = sum(answer.joined.points.map((point) => point.newUsers));
  const joinedOnFullDays = sum(answer.joined.points.filter((point) => point.date <= lastDay).map((point) => point.newUsers));
  const joinedBefore = sum(answer.joinedBefore.points.map((point) => point.newUsers));
  const { totalEvents, totalUsers } = answer.events;
  return {
    lastDay,
    daily: compared(daily, daily, usersOn(answer.daily.points, weekBefore)),
    soFarToday: last && !last.complete && to !== lastDay ? last.users : null,
    weekly: compared(usersOn(answer.weekly.points, lastDay), null, usersOn(answer.weekly.points, weekBefore)),
    monthly: compared(monthly, null, usersOn(answer.monthly.points, monthBefore)),
    stickiness: monthly > 0 ? daily / monthly : null,
    newUsers: compared(joined, joinedOnFullDays, joinedBefore),
    events: compared(totalEvents, answer.eventsOnFullDays.totalEvents, answer.eventsBefore.totalEvents),
    eventsPerUser: totalUsers > 0 ? totalEvents / totalUsers : null,
  };
}

/** `full` is the part of the value that may be compared (full days); null compares the value itself. */
function compared(value: number, full: number | null, before: number): HeadlineNumber {
  const now = full ?? value;
  return { value, before, change: before > 0 ? (now - before) / before : null };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
