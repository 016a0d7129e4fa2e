// Draws the retention triangle as a real table: sizes at the left, a colour per rate, hatching where a period still runs.

import type { Unit } from '../days';
import type { Formatter } from '../format';
import { cellColours, position } from '../shape/colour';
import { rowGroups, type RowGroup, type Triangle, type TriangleCell, type TriangleRow } from '../shape/retention';
import { h, type Child } from '../ui/dom';
import { currentTheme } from '../ui/theme';

/** Rows drawn before "show all": three months of days. */
const ROWS_AT_FIRST = 92;
const UNIT_WORDS: Readonly<Record<Unit, string>> = { day: 'Day', week: 'Week', month: 'Month' };

export function renderTriangle(triangle: Triangle, unit: Unit, format: Formatter, all: boolean, showAll: () => void): HTMLElement {
  const rows = all ? triangle.rows : triangle.rows.slice(-ROWS_AT_FIRST);
  const hidden = triangle.rows.length - rows.length;
  const word = UNIT_WORDS[unit];
  return h('div', {}, [
    h('table', {}, [
      h('caption', { class: 'visually-hidden' }, `Retention by cohort: share of users who came back, per ${unit} after entering`),
      h('thead', {}, [
        h('tr', {}, [
          h('th', { scope: 'col' }, 'Cohort'),
          h('th', { scope: 'col', class: 'number' }, 'Users'),
          ...triangle.indexes.map((index) => h('th', { scope: 'col', class: 'cell' }, [index === 0 && h('span', { class: 'wide' }, `${word} `), String(index)])),
        ]),
        pooledRow(triangle, format),
      ]),
      h('tbody', {}, rowGroups(rows).map((group) => (group.length > 1 ? emptyRow(group, triangle, unit, format) : cohortRow(group[0], triangle, unit, format)))),
    ]),
    hidden > 0 && h('button', { type: 'button', class: 'button' }, `Show ${format.count(hidden)} earlier cohorts`, { click: showAll }),
  ]);
}

function emptyRow(group: RowGroup, { indexes }: Triangle, unit: Unit, format: Formatter): HTMLElement {
  const last = group[group.length - 1] ?? group[0];
  const name = `${format.periodShort(group[0].start, unit)} – ${format.periodShort(last.start, unit)}`;
  return h('tr', { class: 'nobody' }, [
    h('th', { scope: 'row' }, name),
    h('td', { class: 'number' }, '0'),
    h('td', { class: 'nobody-text', colspan: indexes.length }, `nobody entered in these ${format.count(group.length)} ${unit}s`),
  ]);
}

function pooledRow({ pooled, users }: Triangle, format: Formatter): HTMLElement {
  return h('tr', { class: 'pooled' }, [
    h('th', { scope: 'row' }, 'All cohorts'),
    h('td', { class: 'number' }, format.count(users)),
    ...pooled.map((average) =>
      h(
        'td',
        { class: 'cell', 'data-tip': `All complete cohorts\n${format.count(average.retained)} of ${format.count(average.size)} users in ${format.count(average.cohorts)} cohorts: ${format.exactRate(average.rate ?? null)}` },
        format.rate(average.rate ?? null),
      ),
    ),
  ]);
}

function cohortRow(row: TriangleRow, triangle: Triangle, unit: Unit, format: Formatter): HTMLElement {
  return h('tr', { 'data-cohort': row.start, class: row.size === 0 ? 'nobody' : null }, [
    h('th', { scope: 'row' }, format.period(row.start, unit)),
    h('td', { class: 'number' }, format.count(row.size)),
    ...row.cells.map((cell) => cohortCell(cell, row, triangle, unit, format)),
  ]);
}

function cohortCell(cell: TriangleCell, row: TriangleRow, { scaleTop, startsWithEverybody }: Triangle, unit: Unit, format: Formatter): HTMLElement {
  if (cell.state === 'ahead') return h('td', { class: 'cell ahead' });
  if (row.size === 0) return h('td', { class: 'cell nobody' }, '·');
  const running = cell.state === 'running';
  const saysNothing = startsWithEverybody && cell.index === 0;
  const what = `${format.count(cell.retained)} of ${format.count(row.size)} users: ${format.exactRate(cell.rate)}`;
  const element = h(
    'td',
    {
      class: saysNothing ? 'cell everybody' : running ? 'cell running' : 'cell',
      'data-retained': cell.retained,
      'data-tip': `${format.period(row.start, unit)}, ${UNIT_WORDS[unit].toLowerCase()} ${cell.index}\n${what}${running ? '\nnot over yet: may still rise' : ''}`,
    },
    [format.rate(cell.rate), running && h('span', { class: 'visually-hidden' }, ' so far')],
  );
  if (saysNothing) return element;
  const colours = cellColours(position(cell.rate ?? 0, scaleTop), currentTheme());
  element.style.setProperty('--cell', colours.background);
  element.style.setProperty('--cell-text', colours.text);
  return element;
}

/** The scale in words and colour: from 0 to the top, what hatching means. */
export function legend({ scaleTop }: Triangle, format: Formatter): Child[] {
  const steps = Array.from({ length: 9 }, (_, index) => {
    const step = h('i', {});
    step.style.background = cellColours(position((index / 8) * scaleTop, scaleTop), currentTheme()).background;
    return step;
  });
  return [
    h('span', {}, '0 %'),
    h('span', { class: 'scale', 'aria-hidden': 'true' }, steps),
    h('span', {}, `${format.rate(scaleTop)} and more`),
    h('span', { class: 'hatched' }, [h('i', { class: 'swatch running' }), 'period not over yet']),
  ];
}
