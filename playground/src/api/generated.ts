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

/**
 * Which events pass. Give exactly one of the fields; `all`, `any` and `not` put others together, at most 10 levels deep
 * and 100 tests in all.
 *
 * `{ all: [{ eventType: { eq: "purchase" } }, { property: { path: ["amount"], is: { gte: 100 } } }] }` are the purchases of 100
 * and more.
 */
export type EventFilter =
  {   /** Events that pass every one of these; with an empty list, all events. */
  readonly all: ReadonlyArray<EventFilter>; readonly any?: never; readonly not?: never; readonly eventType?: never; readonly userId?: never; readonly property?: never; }
  |  { readonly all?: never;   /** Events that pass at least one of these; with an empty list, no event. */
  readonly any: ReadonlyArray<EventFilter>; readonly not?: never; readonly eventType?: never; readonly userId?: never; readonly property?: never; }
  |  { readonly all?: never; readonly any?: never;   /** Events that do not pass this. */
  readonly not: EventFilter; readonly eventType?: never; readonly userId?: never; readonly property?: never; }
  |  { readonly all?: never; readonly any?: never; readonly not?: never;   /** A test of the event type. Filters made of nothing else are answered fastest. */
  readonly eventType: StringTest; readonly userId?: never; readonly property?: never; }
  |  { readonly all?: never; readonly any?: never; readonly not?: never; readonly eventType?: never;   /** A test of the user's id. */
  readonly userId: StringTest; readonly property?: never; }
  |  { readonly all?: never; readonly any?: never; readonly not?: never; readonly eventType?: never; readonly userId?: never;   /** A test of one of the event's properties. */
  readonly property: PropertyTest; };

/** A unit of time. */
export type Period =
  /** A calendar day in the reporting time zone. */
  | 'DAY'
  /** Seven days from a Monday on. */
  | 'WEEK'
  /** A calendar month. */
  | 'MONTH';

/** A test of one property. */
export type PropertyTest = {
  /**
   * Where the property is: keys of objects, outermost first, 1 to 16. `["address", "city"]` is `"Rome"` in
   * `{"address": {"city": "Rome"}}`. A path never reaches into an array.
   */
  readonly path: ReadonlyArray<string>;
  /** What is asked of the value there. */
  readonly is: ValueTest;
};

/** Which returns count for a cell. */
export type ReturnCriterion =
  /** A return in the cell's period. */
  | 'ON'
  /** A return in the cell's period or any later one. */
  | 'ON_OR_AFTER';

/** A test of an event type or a user's id, byte for byte: `a` is not `A`. Give exactly one of the fields. */
export type StringTest =
  {   /** Is exactly this. */
  readonly eq: string; readonly in?: never; readonly contains?: never; readonly startsWith?: never; }
  |  { readonly eq?: never;   /** Is one of these, 1 to 1,000. */
  readonly in: ReadonlyArray<string>; readonly contains?: never; readonly startsWith?: never; }
  |  { readonly eq?: never; readonly in?: never;   /** Has this somewhere; `%` and `_` stand for themselves. */
  readonly contains: string; readonly startsWith?: never; }
  |  { readonly eq?: never; readonly in?: never; readonly contains?: never;   /** Begins with this; `%` and `_` stand for themselves. */
  readonly startsWith: string; };

/** What event types are ranked by; ties are in the order of their names. */
export type TopEventsRank =
  /** How many events there were. */
  | 'EVENTS'
  /** How many distinct users had one. */
  | 'USERS';

/**
 * A test of a property's value. Give exactly one of the fields.
 *
 * Types are JSON's: `"5"` is not `5`, and `1` is not `true`, but `1` is `1.0`. Where the path leads nowhere, every test fails
 * but `exists: false`; so `not: { property: { …, is: { eq: 1 } } }` passes events without the property, and `ne: 1` does not.
 */
export type ValueTest =
  {   /** True: there is a value, be it null. False: there is none. */
  readonly exists: boolean; readonly eq?: never; readonly ne?: never; readonly in?: never; readonly gt?: never; readonly gte?: never; readonly lt?: never; readonly lte?: never; readonly contains?: never; readonly startsWith?: never; }
  |  { readonly exists?: never;   /**
   * Is this: a string, number, boolean, object or array. Objects and arrays are compared as a whole, whatever the order
   * of keys.
   */
  readonly eq: unknown; readonly ne?: never; readonly in?: never; readonly gt?: never; readonly gte?: never; readonly lt?: never; readonly lte?: never; readonly contains?: never; readonly startsWith?: never; }
  |  { readonly exists?: never; readonly eq?: never;   /** Is there and is something else, be it of another type. */
  readonly ne: unknown; readonly in?: never; readonly gt?: never; readonly gte?: never; readonly lt?: never; readonly lte?: never; readonly contains?: never; readonly startsWith?: never; }
  |  { readonly exists?: never; readonly eq?: never; readonly ne?: never;   /** Is one of these, 1 to 1,000. */
  readonly in: ReadonlyArray<unknown>; readonly gt?: never; readonly gte?: never; readonly lt?: never; readonly lte?: never; readonly contains?: never; readonly startsWith?: never; }
  |  { readonly exists?: never; readonly eq?: never; readonly ne?: never; readonly in?: never;   /** Is a number above this. */
  readonly gt: number; readonly gte?: never; readonly lt?: never; readonly lte?: never; readonly contains?: never; readonly startsWith?: never; }
  |  { readonly exists?: never; readonly eq?: never; readonly ne?: never; readonly in?: never; readonly gt?: never;   /** Is a number above this, or this. */
  readonly gte: number; readonly lt?: never; readonly lte?: never; readonly contains?: never; readonly startsWith?: never; }
  |  { readonly exists?: never; readonly eq?: never; readonly ne?: never; readonly in?: never; readonly gt?: never; readonly gte?: never;   /** Is a number below this. */
  readonly lt: number; readonly lte?: never; readonly contains?: never; readonly startsWith?: never; }
  |  { readonly exists?: never; readonly eq?: never; readonly ne?: never; readonly in?: never; readonly gt?: never; readonly gte?: never; readonly lt?: never;   /** Is a number below this, or this. */
  readonly lte: number; readonly contains?: never; readonly startsWith?: never; }
  |  { readonly exists?: never; readonly eq?: never; readonly ne?: never; readonly in?: never; readonly gt?: never; readonly gte?: never; readonly lt?: never; readonly lte?: never;   /** Is a string that has this somewhere, byte for byte; `%` and `_` stand for themselves. */
  readonly contains: string; readonly startsWith?: never; }
  |  { readonly exists?: never; readonly eq?: never; readonly ne?: never; readonly in?: never; readonly gt?: never; readonly gte?: never; readonly lt?: never; readonly lte?: never; readonly contains?: never;   /** Is a string that begins with this, byte for byte; `%` and `_` stand for themselves. */
  readonly startsWith: string; };

export type ActiveTodaySubscriptionVariables = Exact<{ [key: string]: never; }>;


export type ActiveTodaySubscription = { readonly activeToday: { readonly date: string, readonly users: number } };

export type ActiveUsersQueryVariables = Exact<{
  from: string;
  to: string;
  windowDays: number;
  filter?: EventFilter | null | undefined;
}>;


export type ActiveUsersQuery = { readonly dau: { readonly timezone: string, readonly points: ReadonlyArray<{ readonly date: string, readonly users: number, readonly newUsers: number, readonly complete: boolean }> } };

export type EventAddedSubscriptionVariables = Exact<{
  filter?: EventFilter | null | undefined;
}>;


export type EventAddedSubscription = { readonly eventAdded: { readonly eventId: string, readonly eventType: string, readonly occurredAt: string, readonly properties: Record<string, unknown>, readonly user: { readonly userId: string } } };

export type EventsQueryVariables = Exact<{
  first: number;
  filter?: EventFilter | null | undefined;
}>;


export type EventsQuery = { readonly events: { readonly nodes: ReadonlyArray<{ readonly eventId: string, readonly eventType: string, readonly occurredAt: string, readonly properties: Record<string, unknown>, readonly user: { readonly userId: string } }> } };

export type HeadlineQueryVariables = Exact<{
  from: string;
  to: string;
  lastDay: string;
  weekBefore: string;
  monthBefore: string;
  filter?: EventFilter | null | undefined;
}>;


export type HeadlineQuery = { readonly daily: { readonly points: ReadonlyArray<{ readonly date: string, readonly users: number, readonly complete: boolean }> }, readonly weekly: { readonly points: ReadonlyArray<{ readonly date: string, readonly users: number }> }, readonly monthly: { readonly points: ReadonlyArray<{ readonly date: string, readonly users: number }> }, readonly joined: { readonly points: ReadonlyArray<{ readonly date: string, readonly newUsers: number }> } };

export type HeadlineEventsQueryVariables = Exact<{
  from: string;
  to: string;
  lastDay: string;
  previousFrom: string;
  previousTo: string;
  filter?: EventFilter | null | undefined;
}>;


export type HeadlineEventsQuery = { readonly joinedBefore: { readonly points: ReadonlyArray<{ readonly date: string, readonly newUsers: number }> }, readonly events: { readonly totalEvents: number, readonly totalUsers: number }, readonly eventsOnFullDays: { readonly totalEvents: number }, readonly eventsBefore: { readonly totalEvents: number } };

export type MonthlyActiveUsersQueryVariables = Exact<{
  from: string;
  to: string;
  filter?: EventFilter | null | undefined;
}>;


export type MonthlyActiveUsersQuery = { readonly days28: { readonly points: ReadonlyArray<{ readonly date: string, readonly users: number, readonly newUsers: number, readonly complete: boolean }> }, readonly days29: { readonly points: ReadonlyArray<{ readonly date: string, readonly users: number }> }, readonly days30: { readonly points: ReadonlyArray<{ readonly date: string, readonly users: number }> }, readonly days31: { readonly points: ReadonlyArray<{ readonly date: string, readonly users: number }> } };

export type NewestEventQueryVariables = Exact<{ [key: string]: never; }>;


export type NewestEventQuery = { readonly events: { readonly nodes: ReadonlyArray<{ readonly occurredAt: string }> } };

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
  filter?: EventFilter | null | undefined;
}>;


export type TopEventsQuery = { readonly topEvents: { readonly totalEvents: number, readonly otherEvents: number, readonly totalUsers: number, readonly rows: ReadonlyArray<{ readonly eventType: string, readonly events: number, readonly users: number, readonly share: number | null }> } };

export type UserTimelineQueryVariables = Exact<{
  userId: string;
  first: number;
  after?: string | null | undefined;
}>;


export type UserTimelineQuery = { readonly user: { readonly userId: string, readonly firstSeen: string, readonly lastSeen: string, readonly eventCount: number, readonly events: { readonly nodes: ReadonlyArray<{ readonly eventId: string, readonly eventType: string, readonly occurredAt: string, readonly properties: Record<string, unknown> }>, readonly pageInfo: { readonly hasNextPage: boolean, readonly endCursor: string | null } } } | null };

export const ActiveToday: TypedDocument<ActiveTodaySubscription, ActiveTodaySubscriptionVariables> = {
  name: 'ActiveToday',
  text: "subscription ActiveToday {\n  activeToday {\n    date\n    users\n  }\n}\n",
};

export const ActiveUsers: TypedDocument<ActiveUsersQuery, ActiveUsersQueryVariables> = {
  name: 'ActiveUsers',
  text: "query ActiveUsers($from: LocalDate!, $to: LocalDate!, $windowDays: Int!, $filter: EventFilter) {\n  dau(from: $from, to: $to, windowDays: $windowDays, filter: $filter) {\n    timezone\n    points {\n      date\n      users\n      newUsers\n      complete\n    }\n  }\n}\n",
};

export const EventAdded: TypedDocument<EventAddedSubscription, EventAddedSubscriptionVariables> = {
  name: 'EventAdded',
  text: "subscription EventAdded($filter: EventFilter) {\n  eventAdded(filter: $filter) {\n    eventId\n    eventType\n    occurredAt\n    properties\n    user {\n      userId\n    }\n  }\n}\n",
};

export const Events: TypedDocument<EventsQuery, EventsQueryVariables> = {
  name: 'Events',
  text: "query Events($first: Int!, $filter: EventFilter) {\n  events(first: $first, filter: $filter) {\n    nodes {\n      eventId\n      eventType\n      occurredAt\n      properties\n      user {\n        userId\n      }\n    }\n  }\n}\n",
};

export const Headline: TypedDocument<HeadlineQuery, HeadlineQueryVariables> = {
  name: 'Headline',
  text: "# Daily, weekly and monthly users on the last full day, and who was new over the range.\n# A question with a filter costs a fifth of what a query may, so the headline asks two queries.\nquery Headline(\n  $from: LocalDate!\n  $to: LocalDate!\n  $lastDay: LocalDate!\n  $weekBefore: LocalDate!\n  $monthBefore: LocalDate!\n  $filter: EventFilter\n) {\n  daily: dau(from: $weekBefore, to: $to, filter: $filter) {\n    points {\n      date\n      users\n      complete\n    }\n  }\n  weekly: dau(from: $weekBefore, to: $lastDay, windowDays: 7, filter: $filter) {\n    points {\n      date\n      users\n    }\n  }\n  monthly: dau(from: $monthBefore, to: $lastDay, windowDays: 30, filter: $filter) {\n    points {\n      date\n      users\n    }\n  }\n  joined: dau(from: $from, to: $to, filter: $filter) {\n    points {\n      date\n      newUsers\n    }\n  }\n}\n",
};

export const HeadlineEvents: TypedDocument<HeadlineEventsQuery, HeadlineEventsQueryVariables> = {
  name: 'HeadlineEvents',
  text: "# Events over the range. Changes compare full days with as many days directly before them.\nquery HeadlineEvents(\n  $from: LocalDate!\n  $to: LocalDate!\n  $lastDay: LocalDate!\n  $previousFrom: LocalDate!\n  $previousTo: LocalDate!\n  $filter: EventFilter\n) {\n  joinedBefore: dau(from: $previousFrom, to: $previousTo, filter: $filter) {\n    points {\n      date\n      newUsers\n    }\n  }\n  events: topEvents(from: $from, to: $to, limit: 1, filter: $filter) {\n    totalEvents\n    totalUsers\n  }\n  eventsOnFullDays: topEvents(from: $from, to: $lastDay, limit: 1, filter: $filter) {\n    totalEvents\n  }\n  eventsBefore: topEvents(from: $previousFrom, to: $previousTo, limit: 1, filter: $filter) {\n    totalEvents\n  }\n}\n",
};

export const MonthlyActiveUsers: TypedDocument<MonthlyActiveUsersQuery, MonthlyActiveUsersQueryVariables> = {
  name: 'MonthlyActiveUsers',
  text: "# A calendar month is a trailing window that ends on the month's last day and is as long as the month.\nquery MonthlyActiveUsers($from: LocalDate!, $to: LocalDate!, $filter: EventFilter) {\n  days28: dau(from: $from, to: $to, windowDays: 28, filter: $filter) {\n    points {\n      date\n      users\n      newUsers\n      complete\n    }\n  }\n  days29: dau(from: $from, to: $to, windowDays: 29, filter: $filter) {\n    points {\n      date\n      users\n    }\n  }\n  days30: dau(from: $from, to: $to, windowDays: 30, filter: $filter) {\n    points {\n      date\n      users\n    }\n  }\n  days31: dau(from: $from, to: $to, windowDays: 31, filter: $filter) {\n    points {\n      date\n      users\n    }\n  }\n}\n",
};

export const NewestEvent: TypedDocument<NewestEventQuery, NewestEventQueryVariables> = {
  name: 'NewestEvent',
  text: "query NewestEvent {\n  events(first: 1) {\n    nodes {\n      occurredAt\n    }\n  }\n}\n",
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
  text: "query TopEvents($from: LocalDate!, $to: LocalDate!, $limit: Int!, $rankBy: TopEventsRank!, $filter: EventFilter) {\n  topEvents(from: $from, to: $to, limit: $limit, rankBy: $rankBy, filter: $filter) {\n    rows {\n      eventType\n      events\n      users\n      share\n    }\n    totalEvents\n    otherEvents\n    totalUsers\n  }\n}\n",
};

export const UserTimeline: TypedDocument<UserTimelineQuery, UserTimelineQueryVariables> = {
  name: 'UserTimeline',
  text: "query UserTimeline($userId: String!, $first: Int!, $after: String) {\n  user(userId: $userId) {\n    userId\n    firstSeen\n    lastSeen\n    eventCount\n    events(first: $first, after: $after) {\n      nodes {\n        eventId\n        eventType\n        occurredAt\n        properties\n      }\n      pageInfo {\n        hasNextPage\n        endCursor\n      }\n    }\n  }\n}\n",
};
