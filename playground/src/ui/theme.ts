// Light, dark, or as the system says. The choice is kept in local storage; colours live in styles.css.

import type { Theme } from '../shape/colour';

export type ThemeChoice = 'auto' | 'light' | 'dark';

const STORAGE_KEY = 'kohorta.theme';
const system = window.matchMedia('(prefers-color-scheme: dark)');
const listeners = new Set<() => void>();

export function themeChoice(): ThemeChoice {
  const stored = localStorage.getItem(STORAGE_KEY);
  return stored === 'light' || stored === 'dark' ? stored : 'auto';
}

export function currentTheme(): Theme {
  const choice = themeChoice();
  if (choice !== 'auto') return choice;
  return system.matches ? 'dark' : 'light';
}

export function chooseTheme(choice: ThemeChoice): void {
  if (choice === 'auto') localStorage.removeItem(STORAGE_KEY);
  else localStorage.setItem(STORAGE_KEY, choice);
  applyTheme();
  for (const listener of listeners) listener();
}

export function applyTheme(): void {
  const choice = themeChoice();
  if (choice === 'auto') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = choice;
}

/** Calls `listener` whenever the colours change; returns how to stop that. */
export function onThemeChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

system.addEventListener('change', () => {
  for (const listener of listeners) listener();
});

let probe: HTMLElement | null = null;

/** The present value of a colour of styles.css, such as `--ink`, for drawings that cannot use CSS. */
export function themeColour(name: string): string {
  if (probe === null) {
    probe = document.createElement('span');
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}
