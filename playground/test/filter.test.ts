import { describe, expect, test } from 'vitest';
import { conditionText, eventFilter, makeCondition, parseCondition, parsePath, parseValue, TESTS, type Condition } from '../src/filter';

describe('conditions', () => {
  test('every condition survives being written and read', () => {
    const paths = [['plan'], ['cart', 'total'], ['a.b'], ['with space', 'quote"s', '='], ['ключ', '\u{1f600}'], ['exists']];
    const values = ['pro', '5', 5, -0.5, 1e21, true, false, null, '', 'a "b" \\ c', ' x '];
    for (const path of paths) {
      for (const name of TESTS) {
        for (const value of values) {
          const made = makeCondition(path, name, JSON.stringify(value));
          if (typeof made === 'string') continue;
          expect(parseCondition(conditionText(made)), conditionText(made)).toEqual(made);
        }
      }
    }
  });

  test('a value is JSON where it can be, else text', () => {
    expect(['5', '"5"', 'true', 'null', 'pro', '1.5', 'pro plan', '007'].map(parseValue)).toEqual([5, '5', true, null, 'pro', 1.5, 'pro plan', '007']);
    expect([parseValue('{"a":1}'), parseValue('[1]')]).toEqual([undefined, undefined]);
  });

  test('dots lead into nested properties, quotes keep them out', () => {
    expect(parsePath('cart.total')).toEqual(['cart', 'total']);
    expect(parsePath('"cart.total"."a b"')).toEqual(['cart.total', 'a b']);
    expect([parsePath(''), parsePath('a..b'), parsePath('a b'), parsePath('.a')]).toEqual([null, null, null, null]);
  });

  test('what does not fit is said in a sentence', () => {
    for (const text of ['', 'plan', 'plan like pro', '= 5', 'plan =']) expect(typeof parseCondition(text), text).toBe('string');
    expect(makeCondition(['seats'], '>', 'many')).toBe('> compares numbers, and "many" is none.');
    expect(makeCondition([], '=', 'x')).toContain('needs a name');
    expect(makeCondition(['plan'], '=', 'null')).toContain('null cannot be compared');
    expect(makeCondition(['zip'], 'starts with', '10')).toEqual({ path: ['zip'], test: 'starts with', value: '10' });
  });
});

describe('the filter of the API', () => {
  const condition = (text: string): Condition => {
    const made = parseCondition(text);
    if (typeof made === 'string') throw new Error(made);
    return made;
  };

  test('nothing, one test, several', () => {
    expect(eventFilter(null, [])).toBeNull();
    expect(eventFilter('signup', [])).toEqual({ eventType: { eq: 'signup' } });
    expect(eventFilter('signup', [condition('plan = pro'), condition('coupon is missing')])).toEqual({
      all: [{ eventType: { eq: 'signup' } }, { property: { path: ['plan'], is: { eq: 'pro' } } }, { property: { path: ['coupon'], is: { exists: false } } }],
    });
  });

  test('each test has its place in the API', () => {
    const tests = TESTS.map((name) => eventFilter(null, [condition(`n ${name} ${['contains', 'starts with'].includes(name) ? 'x' : '5'}`.replace(/(exists|is missing) 5/, '$1'))]));
    const keys = tests.map((filter) => Object.entries((filter as { property: { is: object } }).property.is)[0]);
    expect(keys).toEqual([['eq', 5], ['ne', 5], ['gt', 5], ['gte', 5], ['lt', 5], ['lte', 5], ['contains', 'x'], ['startsWith', 'x'], ['exists', true], ['exists', false]]);
  });
});
