// The form for a condition on a property: name, test, value; what does not fit is said at the form.

import { conditionText, makeCondition, parsePath, takesValue, TESTS, type Condition, type Test } from '../filter';
import { h } from './dom';

const WORDS: Readonly<Record<Test, string>> = {
  '=': 'is',
  '!=': 'is another than',
  '>': 'is greater than',
  '>=': 'is at least',
  '<': 'is less than',
  '<=': 'is at most',
  contains: 'contains',
  'starts with': 'starts with',
  exists: 'exists',
  'is missing': 'is missing',
};

/** Opens the form; `add` gets a condition that makes sense. `paths` are suggested as names. */
export function openFilterDialog(paths: readonly (readonly string[])[], add: (condition: Condition) => void): void {
  if (document.querySelector('dialog.filter-dialog') !== null) return;
  const names = h(
    'datalist',
    { id: 'filter-names' },
    paths.map((path) => h('option', { value: conditionText({ path, test: 'exists', value: null }).replace(/ exists$/, '') })),
  );
  const name = h('input', { type: 'text', id: 'filter-name', list: 'filter-names', placeholder: 'plan', autocomplete: 'off', spellcheck: 'false' });
  const test = h('select', { id: 'filter-test' }, TESTS.map((each) => h('option', { value: each }, WORDS[each])));
  const value = h('input', { type: 'text', id: 'filter-value', placeholder: 'pro', autocomplete: 'off', spellcheck: 'false', 'aria-describedby': 'filter-hint' });
  const fault = h('p', { class: 'error-text', role: 'alert', hidden: true });
  const chosen = (): Test => TESTS.find((each) => each === test.value) ?? '=';
  test.addEventListener('change', () => {
    value.disabled = !takesValue(chosen());
  });
  const form = h('form', { method: 'dialog' }, [
    h('h2', { id: 'filter-title' }, 'Filter by property'),
    h('label', { for: 'filter-name' }, 'Property'),
    name,
    names,
    h('label', { for: 'filter-test' }, 'Test'),
    test,
    h('label', { for: 'filter-value' }, 'Value'),
    value,
    h('p', { id: 'filter-hint', class: 'hint' }, '5 is a number, "5" a text. Dots lead into nested properties, as in cart.total.'),
    fault,
    h('div', { class: 'dialog-buttons' }, [
      h('button', { type: 'button', class: 'button' }, 'Cancel', { click: () => dialog.close() }),
      h('button', { type: 'submit', class: 'button primary' }, 'Add filter'),
    ]),
  ]);
  const dialog = h('dialog', { class: 'key-dialog filter-dialog', 'aria-labelledby': 'filter-title' }, [form]);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const made = makeCondition(parsePath(name.value) ?? [], chosen(), value.value);
    if (typeof made === 'string') {
      fault.textContent = made;
      fault.hidden = false;
      return;
    }
    dialog.close();
    add(made);
  });
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  name.focus();
}
