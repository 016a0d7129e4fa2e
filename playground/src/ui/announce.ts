// One polite voice for screen readers, and the same words as a short-lived note on screen.

import { h } from './dom';

const region = h('div', { class: 'toast', role: 'status', 'aria-live': 'polite' });
const spoken = h('div', { class: 'visually-hidden', role: 'status', 'aria-live': 'polite' });
let timer: number | undefined;

export function mountAnnouncer(): void {
  document.body.append(region, spoken);
}

/** Shows a note for a moment; screen readers speak it. */
export function announce(text: string): void {
  window.clearTimeout(timer);
  region.textContent = text;
  region.classList.add('shown');
  timer = window.setTimeout(() => {
    region.classList.remove('shown');
    region.textContent = '';
  }, 3000);
}

/** For screen readers only. */
export function speak(text: string): void {
  spoken.textContent = text;
}

/** Copies a text and says so. Without permission for the clipboard, falls back to a selected field. */
export async function copyText(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyBySelection(text);
  }
  announce(`${what} copied`);
}

function copyBySelection(text: string): void {
  const field = h('textarea', { class: 'visually-hidden', 'aria-hidden': 'true', tabindex: -1 });
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand('copy');
  field.remove();
}
