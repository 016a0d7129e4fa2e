import { expect, test } from 'vitest';
import { Formatter, readersLocale, utcOffset } from '../src/format';

test('numbers and days follow the locale of the reader', () => {
  expect(new Formatter('en-GB').count(1234567)).toBe('1,234,567');
  expect(new Formatter('de-DE').count(1234567)).toBe('1.234.567');
  expect(new Formatter('en-GB').weekday('2026-11-22')).toBe('Sun 22 Nov');
  expect(new Formatter('de-DE').fullDay('2026-11-22')).toContain('22.');
});

test('rates have a decimal only where it says something', () => {
  const format = new Formatter('en-GB');
  expect([0, 0.004, 0.0994, 0.0996, 0.5, 1].map((rate) => format.rate(rate))).toEqual(['0%', '0.4%', '9.9%', '10%', '50%', '100%']);
  expect(format.rate(null)).toBe('–');
});

test('periods are named by what they are', () => {
  const format = new Formatter('en-GB');
  expect(format.period('2026-11-16', 'week').replaceAll(/\s/g, '')).toBe('16–22Nov');
  expect(format.period('2026-11-01', 'month')).toBe('Nov 2026');
});

test('a language that is no locale is passed over', () => {
  expect(readersLocale(['en-US@posix', 'de-AT'])).toBe('de-AT');
  expect(readersLocale(['c@x'])).toBeUndefined();
});

test('the offset of a zone depends on the moment', () => {
  expect(utcOffset('Europe/Berlin', new Date('2026-07-01T00:00:00Z'))).toBe('UTC+02:00');
  expect(utcOffset('Europe/Berlin', new Date('2026-12-01T00:00:00Z'))).toBe('UTC+01:00');
  expect(utcOffset('UTC', new Date())).toBe('UTC+00:00');
});

test('the time of an event has its year unless it is the present one', () => {
  const format = new Formatter('en-GB');
  const now = new Date('2026-11-23T12:00:00Z');
  expect(format.moment(new Date('2026-06-30T08:05:09Z'), 'UTC', now)).toBe('30 Jun, 08:05:09');
  expect(format.moment(new Date('1998-06-30T08:05:09Z'), 'UTC', now)).toBe('30 Jun 1998, 08:05:09');
  // The year is that of the reporting time zone.
  expect(format.moment(new Date('2025-12-31T23:30:00Z'), 'Europe/Berlin', now)).toBe('1 Jan, 00:30:00');
});
