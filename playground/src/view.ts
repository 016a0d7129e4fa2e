// What the reader is looking at. The whole of it lives in the address, so that a link shows the same picture.
// Reading is forgiving: what makes no sense in an address falls back to the default.

import { addDays, isLocalDate, type LocalDate, type Range, type Unit } from './days';
import { conditionText, parseCondition, type Condition } from './filter';

export type PresetDays = 7 | 30 | 90;
export type RangeChoice = { readonly kind: 'preset'; readonly days: PresetDays } | ({ readonly kind: 'custom' } & Range);
export type Line = 'dau' | 'wau' | 'mau';

export interface View {
  readonly range: RangeChoice;
  readonly unit: Unit;
  readonly compare: boolean;
  readonly lines: readonly Line[];
  readonly rank: 'EVENTS' | 'USERS';
  /** Event type that the page is about; null is all of them. */
  readonly event: string | null;
  /** What the properties of events must say; all of it. */
  readonly where: readonly Condition[];
  /** The user whose timeline is open. */
  readonly user: string | null;
  /** Event type that brings a user into a cohort; null is any event. */
  readonly startEvent: string | null;
  /** Event type that counts as coming back; null is any event. */
  readonly returnEvent: string | null;
  readonly entry: 'FIRST_EVER' | 'RECURRING';
  readonly criterion: 'ON' | 'ON_OR_AFTER';
  /** Number of periods after the cohort's own; null is the default for the unit. */
  readonly periods: number | null;
}

export const PRESETS: readonly PresetDays[] = [7, 30, 90];
export const LINES: readonly Line[] = ['dau', 'wau', 'mau'];
export const DEFAULT_PERIODS: Readonly<Record<Unit, number>> = { day: 14, week: 8, month: 6 };
export const MAX_PERIODS = 90;

export const DEFAULT_VIEW: View = {
  range: { kind: 'preset', days: 30 },
  unit: 'day',
  compare: false,
  lines: ['dau'],
  rank: 'EVENTS',
  event: null,
  where: [],
  user: null,
  startEvent: null,
  returnEvent: null,
  entry: 'FIRST_EVER',
  criterion: 'ON',
  periods: null,
};

/** Reads a view from the part of an address after `?`. */
export function parseView(search: string): View {
  const parameters = new URLSearchParams(search);
  const unit = parameters.get('unit');
  const lines = (parameters.get('lines') ?? '').split(',').filter((line): line is Line => LINES.includes(line as Line));
  const periods = Number(parameters.get('periods'));
  return {
    range: parseRange(parameters),
    unit: unit === 'week' || unit === 'month' ? unit : 'day',
    compare: parameters.get('compare') === '1',
    lines: lines.length > 0 ? LINES.filter((line) => lines.includes(line)) : DEFAULT_VIEW.lines,
    rank: parameters.get('rank') === 'users' ? 'USERS' : 'EVENTS',
    event: parameters.get('event') || null,
    where: parameters.getAll('where').map(parseCondition).filter((condition) => typeof condition !== 'string'),
    user: parameters.get('user') || null,
    startEvent: parameters.get('start') || null,
    returnEvent: parameters.get('return') || null,
    entry: parameters.get('entry') === 'recurring' ? 'RECURRING' : 'FIRST_EVER',
    criterion: parameters.get('criterion') === 'on-or-after' ? 'ON_OR_AFTER' : 'ON',
    periods: Number.isInteger(periods) && periods >= 1 && periods <= MAX_PERIODS ? periods : null,
  };
}

function parseRange(parameters: URLSearchParams): RangeChoice {
  const from = parameters.get('from') ?? '';
  const to = parameters.get('to') ?? '';
  if (isLocalDate(from) && isLocalDate(to) && from <= to) return { kind: 'custom', from, to };
  const days = PRESETS.find((preset) => String(preset) === parameters.get('range'));
  return days === undefined ? DEFAULT_VIEW.range : { kind: 'preset', days };
}

/** The address of a view, without `?`; what is default is left out. */
export function serialiseView(view: View): string {
  const parameters = new URLSearchParams();
  if (view.range.kind === 'custom') {
    parameters.set('from', view.range.from);
    parameters.set('to', view.range.to);
  } else if (view.range.days !== 30) parameters.set('range', String(view.range.days));
  if (view.unit !== 'day') parameters.set('unit', view.unit);
  if (view.compare) parameters.set('compare', '1');
  if (view.lines.join() !== DEFAULT_VIEW.lines.join()) parameters.set('lines', view.lines.join(','));
  if (view.rank === 'USERS') parameters.set('rank', 'users');
  if (view.event !== null) parameters.set('event', view.event);
  for (const condition of view.where) parameters.append('where', conditionText(condition));
  if (view.user !== null) parameters.set('user', view.user);
  if (view.startEvent !== null) parameters.set('start', view.startEvent);
  if (view.returnEvent !== null) parameters.set('return', view.returnEvent);
  if (view.entry === 'RECURRING') parameters.set('entry', 'recurring');
  if (view.criterion === 'ON_OR_AFTER') parameters.set('criterion', 'on-or-after');
  if (view.periods !== null) parameters.set('periods', String(view.periods));
  return parameters.toString();
}

/** The days a view covers. Presets end today, the unfinished day included. */
export function rangeOf(view: View, today: LocalDate): Range {
  if (view.range.kind === 'custom') return { from: view.range.from, to: view.range.to };
  return { from: addDays(today, 1 - view.range.days), to: today };
}

/** The same picture with its days written out, for links that must not move with time. */
export function pinned(view: View, today: LocalDate): View {
  return { ...view, range: { kind: 'custom', ...rangeOf(view, today) } };
}

/** What a click on an event type does: the page is about it, and retention starts with it; a second click lets go. */
export function withEventPicked(view: View, eventType: string): View {
  if (view.event === eventType) return withoutEvent(view);
  return { ...view, event: eventType, startEvent: eventType };
}

/** The page is about all events again; retention keeps a start event that was chosen apart. */
export function withoutEvent(view: View): View {
  return { ...view, event: null, startEvent: view.startEvent === view.event ? null : view.startEvent };
}
