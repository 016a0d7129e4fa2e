// A headless Chromium that remembers everything a page should not do.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import { expect } from 'vitest';

const EXECUTABLE = process.env['KOHORTA_CHROMIUM'] ?? '/usr/bin/chromium';
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
/** Patience for a machine that builds something else meanwhile. */
const TIMEOUT_MS = 60_000;
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export async function launchBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: EXECUTABLE, args: FLAGS });
}

export interface Visit {
  readonly page: Page;
  /** Requests to any other place than the server. */
  readonly foreign: string[];
  /** Errors in the console, uncaught errors, blocked by the policy. */
  readonly faults: string[];
  close(): Promise<void>;
}

export const DESKTOP: BrowserContextOptions = { viewport: { width: 1360, height: 900 }, colorScheme: 'light' };
export const DARK: BrowserContextOptions = { viewport: { width: 1360, height: 900 }, colorScheme: 'dark' };
export const PHONE: BrowserContextOptions = { viewport: { width: 390, height: 844 }, colorScheme: 'light', hasTouch: true };

/** Opens a page in a fresh profile. */
export async function visit(browser: Browser, url: string, options: BrowserContextOptions = DESKTOP): Promise<Visit> {
  const context = await browser.newContext({ locale: 'en-GB', reducedMotion: 'reduce', permissions: ['clipboard-read', 'clipboard-write'], ...options });
  context.setDefaultTimeout(TIMEOUT_MS);
  const page = await context.newPage();
  const { origin } = new URL(url);
  const foreign: string[] = [];
  const faults: string[] = [];
  page.on('request', (request) => {
    const at = new URL(request.url());
    if (at.origin !== origin && !['data:', 'blob:'].includes(at.protocol)) foreign.push(request.url());
  });
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(message.text());
  });
  page.on('pageerror', (error) => faults.push(String(error)));
  await page.goto(url);
  return { page, foreign, faults, close: () => context.close() };
}

/** The dashboard once all cards have their answers. */
export async function settled(page: Page): Promise<void> {
  await page.waitForSelector('.freshness.live');
  await page.waitForFunction(() => document.querySelectorAll('[aria-busy="true"]').length === 0);
}

/** Does something to the dashboard and waits for all answers. */
export async function change(page: Page, action: () => Promise<unknown>): Promise<void> {
  await action();
  await settled(page);
}

/** Ends a visit in which nothing was asked for from elsewhere and nothing went wrong. */
export async function finish({ foreign, faults, close }: Visit): Promise<void> {
  expect(foreign).toEqual([]);
  expect(faults).toEqual([]);
  await close();
}

interface AxeResult {
  readonly violations: readonly { readonly id: string; readonly impact: string | null; readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[] }[];
}

/** What of a page is examined. */
interface Scope {
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
}

/** Fails on any serious or critical accessibility fault. */
export async function expectAccessible(page: Page, { include = ['html'], exclude = [] }: Scope = {}): Promise<void> {
  await page.evaluate(AXE);
  const result = await page.evaluate(
    async (context) => (window as unknown as { axe: { run(context: object, options: object): Promise<AxeResult> } }).axe.run(context, { resultTypes: ['violations'] }),
    { include: include.map((selector) => [selector]), exclude: exclude.map((selector) => [selector]) },
  );
  const serious = result.violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  expect(serious.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => `${node.html} ${node.failureSummary ?? ''}`).join(' | ')}`)).toEqual([]);
}

/** The rows of a card's table view, as text without the signs between thousands. */
export async function tableOf(page: Page, card: string): Promise<string[][]> {
  await page.click(`#${card} button[title="Table view"]`);
  const rows = await page.$$eval(`#${card} .plain tbody tr`, (found) => found.map((row) => [...row.children].map((cell) => (cell.textContent ?? '').replaceAll(/[,\s]/g, ''))));
  await page.click(`#${card} button[title="Chart view"]`);
  return rows;
}
