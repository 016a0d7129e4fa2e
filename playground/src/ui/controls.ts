// Small form controls: a group of buttons of which one is pressed, and a labelled select.

import { h, type Child } from './dom';

export interface Option<Value> {
  readonly value: Value;
  readonly label: string;
}

/** Buttons in a row; exactly one is pressed. */
export function segmented<Value extends string>(
  label: string,
  options: readonly Option<Value>[],
  chosen: Value,
  choose: (value: Value) => void,
): HTMLElement {
  const buttons = options.map((option) =>
    h('button', { type: 'button', 'aria-pressed': option.value === chosen ? 'true' : 'false' }, option.label, {
      click: () => choose(option.value),
    }),
  );
  return h('div', { class: 'segmented', role: 'group', 'aria-label': label }, buttons);
}

export function select<Value extends string>(
  label: string,
  options: readonly Option<Value>[],
  chosen: Value,
  choose: (value: Value) => void,
): HTMLElement {
  const field = h(
    'select',
    { 'aria-label': label },
    options.map((option) => h('option', { value: option.value, selected: option.value === chosen }, option.label)),
    {
      change: () => {
        const option = options.find(({ value }) => value === field.value);
        if (option) choose(option.value);
      },
    },
  );
  return h('label', { class: 'field' }, [h('span', {}, label), field]);
}

export function toggle(label: string, on: boolean, change: (on: boolean) => void, extra: Child = null): HTMLElement {
  return h('button', { type: 'button', class: 'toggle', 'aria-pressed': on ? 'true' : 'false' }, [extra, label], {
    click: () => change(!on),
  });
}
