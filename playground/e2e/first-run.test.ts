// An empty database: the page says how to begin, and comes alive by itself.

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DARK, DESKTOP, expectAccessible, launchBrowser, PHONE, settled, visit } from './browser';
import { Server } from './server';

let server: Server;
let browser: Browser;

beforeAll(async () => {
  server = await Server.start();
  browser = await launchBrowser();
});

afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

test.each([['light', DESKTOP], ['dark', DARK], ['phone', PHONE]])('an empty database shows how to send the first event: %s', async (_name, options) => {
  const { page, faults, foreign, close } = await visit(browser, `${server.url}/`, options);
  await page.waitForSelector('.first-run');
  await expectAccessible(page);
  const width = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  expect(width[0]).toBeLessThanOrEqual(width[1] ?? 0);
  expect([faults, foreign]).toEqual([[], []]);
  await close();
});

test('the shown JavaScript works as it stands, and the page becomes the dashboard by itself', async () => {
  const { page, faults, close } = await visit(browser, `${server.url}/`);
  await page.waitForSelector('.first-run');
  const code = await page.locator('.way', { hasText: 'From JavaScript' }).locator('pre').textContent();
  await new Function(`return (async () => { ${code ?? ''} })()`)();
  await page.waitForSelector('.board:not([hidden])');
  await settled(page);
  expect(await page.getAttribute('#tile-events .tile-value', 'data-value')).toBe('1');
  expect(await page.locator('.first-run').count()).toBe(0);
  expect(faults).toEqual([]);
  await close();
});
