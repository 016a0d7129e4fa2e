import { describe, expect, test } from 'vitest';
import { activeUsersVariables, comparisonRange, eventsVariables, headlineVariables, monthlyVariables, retentionVariables, topEventsVariables, weeklyVariables } from '../src/questions';
import { DEFAULT_VIEW } from '../src/view';

const TODAY = '2026-11-22';

describe('questions', () => {
  test('headline numbers speak of the last full day and compare full days only', () => {
    expect(headlineVariables({ from: '2026-10-24', to: TODAY }, TODAY, DEFAULT_VIEW)).toEqual({
      from: '2026-10-24',
      to: TODAY,
      lastDay: '2026-11-21',
      weekBefore: '2026-11-14',
      monthBefore: '2026-10-22',
      previousFrom: '2026-09-25',
      previousTo: '2026-10-23',
      filter: null,
    });
  });

  test('a range in the past is compared whole', () => {
    const variables = headlineVariables({ from: '1998-06-01', to: '1998-06-30' }, TODAY, DEFAULT_VIEW);
    expect(variables.lastDay).toBe('1998-06-30');
    expect([variables.previousFrom, variables.previousTo]).toEqual(['1998-05-02', '1998-05-31']);
  });

  test('a range of today alone still has a last full day', () => {
    const variables = headlineVariables({ from: TODAY, to: TODAY }, TODAY, DEFAULT_VIEW);
    expect(variables.lastDay).toBe('2026-11-21');
    expect([variables.previousFrom, variables.previousTo]).toEqual(['2026-11-20', '2026-11-20']);
  });

  test('weeks and months are asked whole', () => {
    expect(weeklyVariables({ from: '2026-11-18', to: '2026-11-24' }, DEFAULT_VIEW)).toEqual({ from: '2026-11-16', to: '2026-11-29', windowDays: 7, filter: null });
    expect(monthlyVariables({ from: '2026-01-31', to: '2026-02-01' }, DEFAULT_VIEW)).toEqual({ from: '2026-01-01', to: '2026-02-28', filter: null });
  });

  test('retention follows the unit of the view', () => {
    const variables = retentionVariables({ from: '2026-11-01', to: TODAY }, { ...DEFAULT_VIEW, unit: 'week', startEvent: 'signup' });
    expect(variables).toMatchObject({ period: 'WEEK', periods: 8, startEvent: 'signup', returnEvent: null, entry: 'FIRST_EVER', criterion: 'ON' });
  });

  test('the comparison lies directly before', () => {
    expect(comparisonRange(DEFAULT_VIEW, TODAY)).toEqual({ from: '2026-09-24', to: '2026-10-23' });
  });

  test('a picked event narrows everything but the list that it was picked from', () => {
    const plan = { path: ['plan'], test: '=', value: 'pro' } as const;
    const view = { ...DEFAULT_VIEW, event: 'purchase', where: [plan] };
    const isPro = { property: { path: ['plan'], is: { eq: 'pro' } } };
    const both = { all: [{ eventType: { eq: 'purchase' } }, isPro] };
    const range = { from: TODAY, to: TODAY };
    expect(activeUsersVariables(range, 'wau', view)).toEqual({ ...range, windowDays: 7, filter: both });
    expect(headlineVariables(range, TODAY, view).filter).toEqual(both);
    expect(eventsVariables(view)).toEqual({ first: 20, filter: both });
    expect(topEventsVariables(range, view, 10).filter).toEqual(isPro);
  });
});
