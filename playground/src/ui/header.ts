// The bar at the top: name, the way to GraphiQL, whether the picture is fresh, time zone, theme, API key.

import { apiKey, rememberApiKey } from '../api/key';
import { fill, h, icon, ICONS } from './dom';
import { chooseTheme, themeChoice, type ThemeChoice } from './theme';

export type Freshness = 'loading' | 'live' | 'away';

const NEXT_THEME: Readonly<Record<ThemeChoice, ThemeChoice>> = { auto: 'light', light: 'dark', dark: 'auto' };
const THEME_ICON = { auto: ICONS.auto, light: ICONS.sun, dark: ICONS.moon } as const;
const THEME_WORDS: Readonly<Record<ThemeChoice, string>> = { auto: 'as the system', light: 'light', dark: 'dark' };

export class Header {
  private readonly freshness = h('span', { class: 'freshness loading', hidden: true });
  private readonly zone = h('span', { class: 'zone' });
  private readonly today = h('span', { class: 'today', hidden: true });
  private readonly themeButton = h('button', { type: 'button', class: 'quiet' }, [], { click: () => this.nextTheme() });
  private readonly keyButton: HTMLButtonElement;
  readonly element: HTMLElement;

  constructor(page: 'dashboard' | 'graphiql', openKeyDialog: () => void) {
    this.keyButton = h('button', { type: 'button', class: 'quiet', title: 'API key', 'aria-label': 'API key', hidden: apiKey() === null }, [icon(ICONS.key)], { click: openKeyDialog });
    this.element = h('header', { class: 'top' }, [
      h('a', { class: 'brand', href: './', 'aria-label': 'Kohorta dashboard' }, [brandMark(), h('span', {}, 'Kohorta')]),
      h('nav', { 'aria-label': 'Pages' }, [
        h('a', { href: './', 'aria-current': page === 'dashboard' ? 'page' : null }, 'Dashboard'),
        h('a', { href: 'graphiql', 'aria-current': page === 'graphiql' ? 'page' : null }, 'GraphiQL'),
      ]),
      h('div', { class: 'top-end' }, [this.today, this.freshness, this.zone, this.keyButton, this.themeButton]),
    ]);
    this.drawTheme();
  }

  show(freshness: Freshness, text: string): void {
    this.freshness.hidden = false;
    this.freshness.className = `freshness ${freshness}`;
    this.freshness.textContent = text;
  }

  /** How many users were active today, as it changes; null while nobody says so. */
  showToday(text: string | null): void {
    this.today.hidden = text === null;
    this.today.textContent = text ?? '';
  }

  showZone(timezone: string, offset: string, database: string, version: string): void {
    this.zone.textContent = timezone === 'UTC' ? 'Days in UTC' : `Days in ${timezone}`;
    this.zone.title = `All days are calendar days in ${timezone} (${offset}). Kohorta ${version} on ${database}.`;
  }

  showKeyButton(): void {
    this.keyButton.hidden = false;
  }

  private nextTheme(): void {
    chooseTheme(NEXT_THEME[themeChoice()]);
    this.drawTheme();
  }

  private drawTheme(): void {
    const choice = themeChoice();
    const label = `Colours: ${THEME_WORDS[choice]}`;
    this.themeButton.title = label;
    this.themeButton.setAttribute('aria-label', `${label}. Change`);
    fill(this.themeButton, [icon(THEME_ICON[choice])]);
  }
}

/** Four squares of a retention triangle. */
function brandMark(): HTMLElement {
  return h('span', { class: 'brand-mark', 'aria-hidden': 'true' }, [h('i'), h('i'), h('i'), h('i'), h('i'), h('i')]);
}

/** Asks for an API key. `saved` runs after one was remembered. */
export function openKeyDialog(reason: string | null, saved: () => void): void {
  if (document.querySelector('dialog.key-dialog') !== null) return;
  const field = h('input', { type: 'password', id: 'api-key', autocomplete: 'off', spellcheck: 'false', value: apiKey() ?? '' });
  const dialog = h('dialog', { class: 'key-dialog', 'aria-labelledby': 'key-title' }, [
    h('form', { method: 'dialog' }, [
      h('h2', { id: 'key-title' }, 'API key'),
      reason !== null && h('p', { class: 'error-text', role: 'alert' }, reason),
      h('p', {}, 'This server wants a key. It stays in this browser tab until you close it, and is sent to this server only.'),
      h('label', { for: 'api-key' }, 'Key'),
      field,
      h('div', { class: 'dialog-buttons' }, [
        h('button', { type: 'button', class: 'button' }, 'Cancel', { click: () => dialog.close() }),
        h('button', { type: 'submit', class: 'button primary', value: 'save' }, 'Use this key'),
      ]),
    ]),
  ]);
  dialog.addEventListener('close', () => {
    dialog.remove();
    if (dialog.returnValue !== 'save') return;
    rememberApiKey(field.value);
    saved();
  });
  document.body.append(dialog);
  dialog.showModal();
  field.focus();
}
