// Range, unit and comparison: what the whole page is about. Every change goes into the address.

import type { Unit } from '../days';
import type { Page, Situation } from '../situation';
import { comparisonRange } from '../questions';
import { conditionText, type Condition } from '../filter';
import { pinned, PRESETS, serialiseView, withoutEvent, type View } from '../view';
import { copyText } from './announce';
import { segmented, toggle } from './controls';
import { fill, h, icon, ICONS, keepingFocus, type Child } from './dom';
import { openFilterDialog } from './filterDialog';

const UNITS: readonly { readonly value: Unit; readonly label: string }[] = [
  { value: 'day', label: 'Day' },
  { value: 'week', label: 'Week' },
  { value: 'month', label: 'Month' },
];

export class Toolbar {
  readonly element = h('div', { class: 'toolbar', role: 'group', 'aria-label': 'What to show' });
  private drawn = '';

  /** `paths` names the properties that the filter suggests. */
  constructor(
    private readonly page: Page,
    private readonly paths: () => readonly (readonly string[])[],
  ) {}

  /** Draws the controls for a view; leaves them alone when nothing changed, so that focus stays. */
  draw(situation: Situation): void {
    const { view, today } = situation;
    const key = `${serialiseView(view)} ${today}`;
    if (key === this.drawn) return;
    this.drawn = key;
    const controls: Child[] = [
      this.rangePicker(situation),
      view.range.kind === 'custom' && this.dayFields(situation),
      segmented('By', UNITS, view.unit, (unit) => this.page.change({ unit, periods: null })),
      toggle('Compare', view.compare, (compare) => this.page.change({ compare })),
      this.rangeText(situation),
      this.filterButton(view),
      view.event !== null && chip(view.event, () => this.page.change(withoutEvent(view))),
      ...view.where.map((condition) => this.conditionChip(view, condition)),
      h('button', { type: 'button', class: 'quiet push', title: 'Copy a link to this picture, days written out', 'aria-label': 'Copy link' }, [icon(ICONS.link)], {
        click: () => void copyText(linkTo(pinned(view, today)), 'Link'),
      }),
    ];
    keepingFocus(this.element, () => fill(this.element, controls));
  }

  private rangePicker({ view, range }: Situation): HTMLElement {
    const presets = PRESETS.map((days) => ({ value: String(days), label: `${days} days` }));
    const chosen = view.range.kind === 'custom' ? 'custom' : String(view.range.days);
    return segmented('Range', [...presets, { value: 'custom', label: 'Custom' }], chosen, (value) => {
      const days = PRESETS.find((preset) => String(preset) === value);
      this.page.change({ range: days === undefined ? { kind: 'custom', ...range } : { kind: 'preset', days } });
    });
  }

  private dayFields({ range }: Situation): HTMLElement {
    const from = h('input', { type: 'date', 'aria-label': 'From', value: range.from, required: true });
    const to = h('input', { type: 'date', 'aria-label': 'To', value: range.to, required: true });
    const apply = (): void => {
      if (from.value === '' || to.value === '') return;
      const [first, last] = from.value <= to.value ? [from.value, to.value] : [to.value, from.value];
      this.page.change({ range: { kind: 'custom', from: first, to: last } });
    };
    for (const field of [from, to]) {
      field.addEventListener('keydown', (event) => {
        if (event.key === 'Enter') apply();
      });
      field.addEventListener('blur', () => {
        if (field.value !== (field === from ? range.from : range.to)) apply();
      });
    }
    return h('span', { class: 'days' }, [from, h('span', { 'aria-hidden': 'true' }, '–'), to]);
  }

  private rangeText({ view, range, today }: Situation): Child {
    const { format } = this.page;
    const shown = view.range.kind === 'custom' ? null : format.range(range.from, range.to);
    if (!view.compare) return shown === null ? null : h('span', { class: 'range-text' }, shown);
    const before = comparisonRange(view, today);
    return h('span', { class: 'range-text' }, [shown, `against ${format.range(before.from, before.to)}`].filter((part) => part !== null).join(', '));
  }

  private filterButton(view: View): HTMLElement {
    const add = (condition: Condition): void => this.page.change({ where: [...view.where, condition] });
    return h('button', { type: 'button', class: 'toggle', 'aria-haspopup': 'dialog' }, [icon(ICONS.filter), 'Filter'], { click: () => openFilterDialog(this.paths(), add) });
  }

  private conditionChip(view: View, condition: Condition): HTMLElement {
    return chip(conditionText(condition), () => this.page.change({ where: view.where.filter((other) => other !== condition) }));
  }
}

/** Something that the page is about, with a way to let go of it. */
function chip(text: string, letGo: () => void): HTMLElement {
  return h('button', { type: 'button', class: 'chip', 'aria-label': `Stop filtering by ${text}`, title: text }, [h('span', { class: 'chip-text' }, text), icon(ICONS.close)], { click: letGo });
}

export function linkTo(view: View): string {
  const query = serialiseView(view);
  return new URL(query === '' ? './' : `./?${query}`, document.baseURI).href;
}
