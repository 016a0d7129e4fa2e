import { describe, expect, test } from 'vitest';
import { cellColours, contrast, hexToRgb, position, type Theme } from '../src/shape/colour';

const steps = Array.from({ length: 101 }, (_, index) => index / 100);

describe.each<Theme>(['light', 'dark'])('the retention scale in %s', (theme) => {
  test('text can be read on every step', () => {
    for (const step of steps) {
      const { background, text } = cellColours(step, theme);
      expect(contrast(hexToRgb(background), hexToRgb(text)), `at ${step}`).toBeGreaterThanOrEqual(4.5);
    }
  });

  test('brightness alone carries the value, whatever colours an eye sees', () => {
    const black = hexToRgb('#000000');
    const brightness = steps.filter((_, index) => index % 5 === 0).map((step) => contrast(hexToRgb(cellColours(step, theme).background), black));
    const ordered = [...brightness].sort((a, b) => (theme === 'light' ? b - a : a - b));
    expect(brightness).toEqual(ordered);
    expect(new Set(brightness).size).toBe(brightness.length);
  });
});

test('the scale ends at its top and starts at nothing', () => {
  expect(position(0, 0.4)).toBe(0);
  expect(position(0.4, 0.4)).toBe(1);
  expect(position(0.9, 0.4)).toBe(1);
});
