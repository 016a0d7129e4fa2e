import { describe, expect, test } from 'vitest';
import { DEFAULT_VIEW, parseView, pinned, rangeOf, serialiseView, withEventPicked, type View } from '../src/view';

describe('view', () => {
  test('an empty address is the default view, and the default view an empty address', () => {
    expect(parseView('')).toEqual(DEFAULT_VIEW);
    expect(serialiseView(DEFAULT_VIEW)).toBe('');
  });

  test('every view survives the address', () => {
    const view: View = {
      range: { kind: 'custom', from: '1997-01-01', to: '1998-06-30' },
      unit: 'month',
      compare: true,
      lines: ['dau', 'mau'],
      rank: 'USERS',
      event: 'sign up & go=1',
      where: [
        { path: ['plan'], test: '=', value: 'pro' },
        { path: ['cart', 'total'], test: '>=', value: 99.5 },
        { path: ['a.b', 'c d'], test: 'is missing', value: null },
      ],
      user: 'ada@example.com',
      startEvent: 'sign up & go=1',
      returnEvent: 'käufe',
      entry: 'RECURRING',
      criterion: 'ON_OR_AFTER',
      periods: 12,
    };
    expect(parseView(`?${serialiseView(view)}`)).toEqual(view);
    const short: View = { ...DEFAULT_VIEW, range: { kind: 'preset', days: 90 } };
    expect(parseView(serialiseView(short))).toEqual(short);
  });

  test('nonsense in an address falls back to the default', () => {
    expect(parseView('?range=31&unit=year&lines=x&periods=-1&from=2024-02-30&to=2024-03-01&rank=1')).toEqual(DEFAULT_VIEW);
    expect(parseView('?from=2024-03-02&to=2024-03-01').range).toEqual(DEFAULT_VIEW.range);
    expect(parseView('?periods=1e9').periods).toBeNull();
    expect(parseView('?where=plan&where=%3D5&where=plan+%3D').where).toEqual([]);
  });

  test('presets end today; a pinned link does not move', () => {
    expect(rangeOf(DEFAULT_VIEW, '2026-11-22')).toEqual({ from: '2026-10-24', to: '2026-11-22' });
    expect(pinned(DEFAULT_VIEW, '2026-11-22').range).toEqual({ kind: 'custom', from: '2026-10-24', to: '2026-11-22' });
  });

  test('a second click on an event lets go of it', () => {
    const picked = withEventPicked(DEFAULT_VIEW, 'signup');
    expect(picked).toMatchObject({ event: 'signup', startEvent: 'signup' });
    expect(withEventPicked(picked, 'signup')).toEqual(DEFAULT_VIEW);
    expect(withEventPicked(picked, 'open')).toMatchObject({ event: 'open', startEvent: 'open' });
    expect(withEventPicked({ ...picked, startEvent: 'open' }, 'signup').startEvent, 'chosen apart').toBe('open');
  });
});
