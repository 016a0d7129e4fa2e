// Generated from schema.graphql and src/queries by `npm run generate`. Do not edit.
import type { TypedDocument } from './client';

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** When a user enters a cohort. */
export type CohortEntry =
  /** Once, with the first start event in all stored history; so no user is new twice. */
  | 'FIRST_EVER'
  /** In each period, with the first start event of that period; so a user may be in several cohorts. */
  | 'RECURRING';

/** A unit of time. */
export type Period =
  /** A calendar day in the reporting time zone. */
  | 'DAY'
  /** Seven days from a Monday on. */
  | 'WEEK'
  /** A calendar month. */
  | 'MONTH';

/** Which returns count for a cell. */
export type ReturnCriterion =
  /** A return in the cell's period. */
  | 'ON'
  /** A return in the cell's period or any later one. */
  | 'ON_OR_AFTER';

/** What event types are ranked by; ties are in the order of their names. */
export type TopEventsRank =
  /** How many events there were. */
  | 'EVENTS'
  /** How many distinct users had one. */
  | 'USERS';

export type ActiveUsersQueryVariables = Exact<{
  from: string;
  to: string;
  windowDays: number;
}>;


export type ActiveUsersQuery = { readonly dau: { readonly timezone: string, readonly points: ReadonlyArray<{ readonly date: string, readonly users: number, readonly newUsers: number, readonly complete: boolean }> } };

export type HeadlineQueryVariables = Exact<{
  from: string;
  to: string;
  lastDay: string;
  weekBefore: string;
  monthBefore: string;
  previousFrom: string;
  previousTo: string;
}>;


export type HeadlineQuery = { readonly daily: { readonly points: ReadonlyArray<{ readonly date: string, readonly users: number, readonly complete: boolean }> }, readonly weekly: { readonly points: ReadonlyArray<{ readonly date: string, readonly users: number }> }, readonly monthly: { readonly points: ReadonlyArray<{ readonly date: string, readonly users: number }> }, readonly joined: { readonly points: ReadonlyArray<{ readonly date: string, readonly newUsers: number }> }, readonly joinedBefore: { readonly points: ReadonlyArray<{ readonly date: string, readonly newUsers: number }> }, readonly events: { readonly totalEvents: number, readonly totalUsers: number }, readonly eventsOnFullDays: { readonly totalEvents: number }, readonly eventsBefore: { readonly totalEvents: number } };

export type MonthlyActiveUsersQueryVariables = Exact<{
  from: string;
  to: string;
}>;


export type MonthlyActiveUsersQuery = { readonly days28: { readonly points: ReadonlyArray<{ readonly date: string, readonly users: number, readonly newUsers: number, readonly complete: boolean }> }, readonly days29: { readonly points: ReadonlyArray<{ readonly date: string, readonly users: number }> }, readonly days30: { readonly points: ReadonlyArray<{ readonly date: string, readonly users: number }> }, readonly days31: { readonly points: ReadonlyArray<{ readonly date: string, readonly users: number }> } };

export type RetentionQueryVariables = Exact<{
  from: string;
  to: string;
  period: Period;
  periods: number;
  startEvent?: string | null | undefined;
  returnEvent?: string | null | undefined;
  entry: CohortEntry;
  criterion: ReturnCriterion;
}>;


export type RetentionQuery = { readonly retention: { readonly timezone: string, readonly cohorts: ReadonlyArray<{ readonly start: string, readonly size: number, readonly cells: ReadonlyArray<{ readonly index: number, readonly retained: number, readonly rate: number | null, readonly complete: boolean }> }>, readonly pooled: ReadonlyArray<{ readonly index: number, readonly rate: number | null, readonly retained: number, readonly size: number, readonly cohorts: number }> } };

export type ServerInfoQueryVariables = Exact<{ [key: string]: never; }>;


export type ServerInfoQuery = { readonly serverInfo: { readonly version: string, readonly database: string, readonly timezone: string, readonly limits: { readonly maxRangeDays: number } } };

export type TopEventsQueryVariables = Exact<{
  from: string;
  to: string;
  limit: number;
  rankBy: TopEventsRank;
}>;


export type TopEventsQuery = { readonly topEvents: { readonly totalEvents: number, readonly otherEvents: number, readonly totalUsers: number, readonly rows: ReadonlyArray<{ readonly eventType: string, readonly events: number, readonly users: number, readonly share: number | null }> } };

export const ActiveUsers: TypedDocument<ActiveUsersQuery, ActiveUsersQueryVariables> = {
  name: 'ActiveUsers',
  text: "query ActiveUsers($from: LocalDate!, $to: LocalDate!, $windowDays: Int!) {\n  dau(from: $from, to: $to, windowDays: $windowDays) {\n    timezone\n    points {\n      date\n      users\n      newUsers\n      complete\n    }\n  }\n}\n",
};

export const Headline: TypedDocument<HeadlineQuery, HeadlineQueryVariables> = {
  name: 'Headline',
  text: "# Daily, weekly and monthly users on the last full day; new users and events over the range.\n# Changes compare full days with as many days directly before them.\nquery Headline(\n  $from: LocalDate!\n  $to: LocalDate!\n  $lastDay: LocalDate!\n  $weekBefore: LocalDate!\n  $monthBefore: LocalDate!\n  $previousFrom: LocalDate!\n  $previousTo: LocalDate!\n) {\n  daily: dau(from: $weekBefore, to: $to) {\n    points {\n      date\n      users\n      complete\n    }\n  }\n  weekly: dau(from: $weekBefore, to: $lastDay, windowDays: 7) {\n    points {\n      date\n      users\n    }\n  }\n  monthly: dau(from: $monthBefore, to: $lastDay, windowDays: 30) {\n    points {\n      date\n      users\n    }\n  }\n  joined: dau(from: $from, to: $to) {\n    points {\n      date\n      newUsers\n    }\n  }\n  joinedBefore: dau(from: $previousFrom, to: $previousTo) {\n    points {\n      date\n      newUsers\n    }\n  }\n  events: topEvents(from: $from, to: $to, limit: 1) {\n    totalEvents\n    totalUsers\n  }\n  eventsOnFullDays: topEvents(from: $from, to: $lastDay, limit: 1) {\n    totalEvents\n  }\n  eventsBefore: topEvents(from: $previousFrom, to: $previousTo, limit: 1) {\n    totalEvents\n  }\n}\n",
};

export const MonthlyActiveUsers: TypedDocument<MonthlyActiveUsersQuery, MonthlyActiveUsersQueryVariables> = {
  name: 'MonthlyActiveUsers',
  text: "# A calendar month is a trailing window that ends on the month's last day and is as long as the month.\nquery MonthlyActiveUsers($from: LocalDate!, $to: LocalDate!) {\n  days28: dau(from: $from, to: $to, windowDays: 28) {\n    points {\n      date\n      users\n      newUsers\n      complete\n    }\n  }\n  days29: dau(from: $from, to: $to, windowDays: 29) {\n    points {\n      date\n      users\n    }\n  }\n  days30: dau(from: $from, to: $to, windowDays: 30) {\n    points {\n      date\n      users\n    }\n  }\n  days31: dau(from: $from, to: $to, windowDays: 31) {\n    points {\n      date\n      users\n    }\n  }\n}\n",
};

export const Retention: TypedDocument<RetentionQuery, RetentionQueryVariables> = {
  name: 'Retention',
  text: "query Retention(\n  $from: LocalDate!\n  $to: LocalDate!\n  $period: Period!\n  $periods: Int!\n  $startEvent: String\n  $returnEvent: String\n  $entry: CohortEntry!\n  $criterion: ReturnCriterion!\n) {\n  retention(\n    from: $from\n    to: $to\n    period: $period\n    periods: $periods\n    startEvent: $startEvent\n    returnEvent: $returnEvent\n    entry: $entry\n    criterion: $criterion\n  ) {\n    timezone\n    cohorts {\n      start\n      size\n      cells {\n        index\n        retained\n        rate\n        complete\n      }\n    }\n    pooled {\n      index\n      rate\n      retained\n      size\n      cohorts\n    }\n  }\n}\n",
};

export const ServerInfo: TypedDocument<ServerInfoQuery, ServerInfoQueryVariables> = {
  name: 'ServerInfo',
  text: "query ServerInfo {\n  serverInfo {\n    version\n    database\n    timezone\n    limits {\n      maxRangeDays\n    }\n  }\n}\n",
};

export const TopEvents: TypedDocument<TopEventsQuery, TopEventsQueryVariables> = {
  name: 'TopEvents',
  text: "query TopEvents($from: LocalDate!, $to: LocalDate!, $limit: Int!, $rankBy: TopEventsRank!) {\n  topEvents(from: $from, to: $to, limit: $limit, rankBy: $rankBy) {\n    rows {\n      eventType\n      events\n      users\n      share\n    }\n    totalEvents\n    otherEvents\n    totalUsers\n  }\n}\n",
};
