import { describe, expect, test } from 'vitest';
import { stretches } from '../src/api/extent';
import { comparisonRange, headlineVariables, monthlyVariables, retentionVariables, weeklyVariables } from '../src/questions';
import { DEFAULT_VIEW } from '../src/view';

const TODAY = '2026-11-22';

describe('questions', () => {
  test('headline numbers speak of the last full day and compare full days only', () => {
    expect(headlineVariables({ from: '2026-10-24', to: TODAY }, TODAY)).toEqual({
      from: '2026-10-24',
      to: TODAY,
      lastDay: '2026-11-21',
      weekBefore: '2026-11-14',
      monthBefore: '2026-10-22',
      previousFrom: '2026-09-25',
      previousTo: '2026-10-23',
    });
  });

  test('a range in the past is compared whole', () => {
    const variables = headlineVariables({ from: '1998-06-01', to: '1998-06-30' }, TODAY);
    expect(variables.lastDay).toBe('1998-06-30');
    expect([variables.previousFrom, variables.previousTo]).toEqual(['1998-05-02', '1998-05-31']);
  });

  test('a range of today alone still has a last full day', () => {
    const variables = headlineVariables({ from: TODAY, to: TODAY }, TODAY);
    expect(variables.lastDay).toBe('2026-11-21');
    expect([variables.previousFrom, variables.previousTo]).toEqual(['2026-11-20', '2026-11-20']);
  });

  test('weeks and months are asked whole', () => {
    expect(weeklyVariables({ from: '2026-11-18', to: '2026-11-24' })).toEqual({ from: '2026-11-16', to: '2026-11-29', windowDays: 7 });
    expect(monthlyVariables({ from: '2026-01-31', to: '2026-02-01' })).toEqual({ from: '2026-01-01', to: '2026-02-28' });
  });

  test('retention follows the unit of the view', () => {
    const variables = retentionVariables({ from: '2026-11-01', to: TODAY }, { ...DEFAULT_VIEW, unit: 'week', startEvent: 'signup' });
    expect(variables).toMatchObject({ period: 'WEEK', periods: 8, startEvent: 'signup', returnEvent: null, entry: 'FIRST_EVER', criterion: 'ON' });
  });

  test('the comparison lies directly before', () => {
    expect(comparisonRange(DEFAULT_VIEW, TODAY)).toEqual({ from: '2026-09-24', to: '2026-10-23' });
  });

  test('the search for data reaches back to 1970 without gaps or overlap', () => {
    const ranges = stretches('2026-11-23', 3653);
    expect(ranges[0]).toEqual({ from: '2016-11-23', to: '2026-11-23' });
    expect(ranges.at(-1)?.from).toBe('1970-01-01');
    expect(ranges).toHaveLength(6);
  });
});
