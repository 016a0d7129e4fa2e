import { describe, expect, test } from 'vitest';
import { addDays, addUnits, dayIn, endOfUnit, isLocalDate, lengthInDays, startOfUnit, unitsBefore, unitsIn } from '../src/days';

describe('days', () => {
  test('only days that exist are days', () => {
    expect(isLocalDate('2024-02-29')).toBe(true);
    for (const text of ['2023-02-29', '2024-13-01', '2024-1-1', 'yesterday', '']) expect(isLocalDate(text), text).toBe(false);
  });

  test('adding days crosses months, years and changes of the clock', () => {
    expect(addDays('2024-02-28', 2)).toBe('2024-03-01');
    expect(addDays('2025-01-01', -1)).toBe('2024-12-31');
    expect(addDays('2024-03-30', 2)).toBe('2024-04-01');
  });

  test('today depends on the zone, not on the browser', () => {
    const moment = new Date('2026-11-22T23:30:00Z');
    expect(dayIn('UTC', moment)).toBe('2026-11-22');
    expect(dayIn('Europe/Berlin', moment)).toBe('2026-11-23');
    expect(dayIn('America/Los_Angeles', moment)).toBe('2026-11-22');
  });

  test('weeks start on Monday, before 1970 too', () => {
    expect(startOfUnit('2026-11-22', 'week')).toBe('2026-11-16');
    expect(startOfUnit('2026-11-16', 'week')).toBe('2026-11-16');
    expect(startOfUnit('1969-12-31', 'week')).toBe('1969-12-29');
    expect(endOfUnit('2026-11-22', 'week')).toBe('2026-11-22');
  });

  test('months are as long as they are', () => {
    expect(endOfUnit('2024-02-10', 'month')).toBe('2024-02-29');
    expect(addUnits('2024-12-01', 'month', 1)).toBe('2025-01-01');
    expect(addUnits('2024-01-01', 'month', -1)).toBe('2023-12-01');
  });

  test('a range touches whole units', () => {
    expect(unitsIn({ from: '2026-11-18', to: '2026-11-30' }, 'week')).toEqual(['2026-11-16', '2026-11-23', '2026-11-30']);
    expect(lengthInDays({ from: '2026-11-18', to: '2026-11-18' })).toBe(1);
  });

  test('the period before has as many units, directly before', () => {
    expect(unitsBefore({ from: '2026-11-01', to: '2026-11-30' }, 'day')).toEqual({ from: '2026-10-02', to: '2026-10-31' });
    expect(unitsBefore({ from: '2026-11-18', to: '2026-11-30' }, 'week')).toEqual({ from: '2026-10-26', to: '2026-11-15' });
    expect(unitsBefore({ from: '2026-02-10', to: '2026-03-02' }, 'month')).toEqual({ from: '2025-12-01', to: '2026-01-31' });
  });
});
