// Conditions on events, as the reader writes them, as the address holds them and as the API takes them.
// One text for all three places: `plan = "pro"`, `cart.total >= 100`, `coupon is missing`. A value is JSON:
// 5 is a number, "5" a text; what is neither number, true, false nor quoted is taken as text.

import type { EventFilter } from './api/generated';

export const TESTS = ['=', '!=', '>', '>=', '<', '<=', 'contains', 'starts with', 'exists', 'is missing'] as const;
export type Test = (typeof TESTS)[number];
/** What a property is compared with; null stands where nothing is. */
export type Value = string | number | boolean | null;

export interface Condition {
  /** Keys from the outside in. */
  readonly path: readonly string[];
  readonly test: Test;
  /** Null for `exists` and `is missing` too, which look at no value. */
  readonly value: Value;
}

const WITHOUT_VALUE: readonly Test[] = ['exists', 'is missing'];
const NUMBERS_ONLY: readonly Test[] = ['>', '>=', '<', '<='];
const TEXTS_ONLY: readonly Test[] = ['contains', 'starts with'];
/** A key that needs no quotes. */
const BARE_KEY = /^[^\s."=!<>]+$/;
const QUOTED = /^"(?:[^"\\]|\\.)*"/;

export function takesValue(test: Test): boolean {
  return !WITHOUT_VALUE.includes(test);
}

/** The condition as text; `parseCondition` reads it back. */
export function conditionText({ path, test, value }: Condition): string {
  const keys = path.map((key) => (BARE_KEY.test(key) ? key : JSON.stringify(key))).join('.');
  return takesValue(test) ? `${keys} ${test} ${JSON.stringify(value)}` : `${keys} ${test}`;
}

/** Reads a condition, or says in a sentence why the text is none. */
export function parseCondition(text: string): Condition | string {
  const found = readPath(text.trim());
  if (found === null) return 'A condition begins with the name of a property, as in plan = "pro".';
  const [path, rest] = found;
  const test = [...TESTS].sort((one, other) => other.length - one.length).find((name) => rest.startsWith(name));
  if (test === undefined) return `After the property comes one of: ${TESTS.join(', ')}.`;
  return makeCondition(path, test, rest.slice(test.length));
}

/** Puts a condition together from what was typed, or says what does not fit. */
export function makeCondition(path: readonly string[], test: Test, typed: string): Condition | string {
  if (path.length === 0 || path.some((key) => key === '')) return 'The property needs a name; dots lead into nested ones, as in cart.total.';
  if (!takesValue(test)) return { path, test, value: null };
  const value = parseValue(typed);
  if (value === undefined) return 'The value is no text, number, true, false or null.';
  if (value === null) return 'null cannot be compared; "exists" and "is missing" look at no value.';
  if (typed.trim() === '') return 'A value is missing; "" is the empty text.';
  if (NUMBERS_ONLY.includes(test) && typeof value !== 'number') return `${test} compares numbers, and ${JSON.stringify(value)} is none.`;
  if (TEXTS_ONLY.includes(test) && typeof value !== 'string') return { path, test, value: typed.trim() };
  return { path, test, value };
}

/** Keys from text: `cart.total`, with quotes around a key that holds a dot or a space. */
export function parsePath(text: string): readonly string[] | null {
  const found = readPath(text.trim());
  return found !== null && found[1] === '' ? found[0] : null;
}

/** What was typed as a value: JSON where it is a number, a quoted text, true, false or null; else the text itself. */
export function parseValue(typed: string): Value | undefined {
  const text = typed.trim();
  try {
    const value: unknown = JSON.parse(text);
    const isPlain = value === null || ['string', 'number', 'boolean'].includes(typeof value);
    return isPlain ? (value as Value) : undefined;
  } catch {
    return text;
  }
}

function readPath(text: string): [string[], string] | null {
  const path: string[] = [];
  let rest = text;
  for (;;) {
    const quoted = QUOTED.exec(rest)?.[0];
    const key = quoted ?? /^[^\s."=!<>]+/.exec(rest)?.[0];
    if (key === undefined) return null;
    try {
      path.push(quoted === undefined ? key : (JSON.parse(quoted) as string));
    } catch {
      return null;
    }
    rest = rest.slice(key.length);
    if (!rest.startsWith('.')) return [path, rest.trimStart()];
    rest = rest.slice(1);
  }
}

function propertyTest({ path, test, value }: Condition): EventFilter {
  const is = {
    '=': { eq: value },
    '!=': { ne: value },
    '>': { gt: value as number },
    '>=': { gte: value as number },
    '<': { lt: value as number },
    '<=': { lte: value as number },
    contains: { contains: value as string },
    'starts with': { startsWith: value as string },
    exists: { exists: true },
    'is missing': { exists: false },
  }[test];
  return { property: { path, is } };
}

/** The filter that the API takes: everything must hold; null where nothing is asked for. */
export function eventFilter(event: string | null, conditions: readonly Condition[]): EventFilter | null {
  const tests: EventFilter[] = [...(event === null ? [] : [{ eventType: { eq: event } }]), ...conditions.map(propertyTest)];
  const [only] = tests;
  if (only === undefined) return null;
  return tests.length === 1 ? only : { all: tests };
}
