// GraphiQL on its own page: the examples tell their story, and links carry a query.

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { expectAccessible, launchBrowser, visit } from './browser';
import { send } from './data';
import { Server } from './server';

const EDITOR_DELAY_MS = 700;

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

/** Runs a tab. GraphiQL reads the operation's name from the editor a moment after the tab has changed. */
async function run(page: Page, tab: string): Promise<string> {
  await page.getByRole('tab', { name: tab }).click();
  await page.waitForFunction((name) => document.querySelector('.graphiql-query-editor')?.textContent?.replaceAll(/\s/g, '').includes(name), tab);
  await page.waitForTimeout(EDITOR_DELAY_MS);
  const answered = page.waitForResponse((response) => response.url().endsWith('/graphql') && (response.request().postData() ?? '').includes(tab));
  await page.getByRole('button', { name: /Execute query/ }).click();
  return (await answered).text();
}

test('the first visit tells the story: stored, duplicate, counted', async () => {
  const { page, faults, foreign, close } = await visit(browser, `${server.url}/graphiql`);
  await page.waitForSelector('.graphiql-query-editor .view-line');
  const tabs = await page.getByRole('tab').allTextContents();
  const story = ['SendAnEvent', 'SendItAgain', 'WhoWasActive', 'WhatHappenedMost', 'WhoCameBack', 'WhatDidTheyDo', 'WatchItLive'];
  // Behind a name stands that of its icon, as the minifier left it.
  expect(tabs.slice(0, 7).map((tab, index) => tab.startsWith(story[index] ?? '?'))).toEqual(story.map(() => true));
  expect(await run(page, 'SendAnEvent')).toContain('STORED');
  expect(await run(page, 'SendItAgain')).toContain('DUPLICATE');
  const active = JSON.parse(await run(page, 'WhoWasActive')) as { data: { dau: { points: { users: number }[] } } };
  expect(active.data.dau.points.reduce((sum, point) => sum + point.users, 0)).toBe(1);
  expect(await run(page, 'WhatHappenedMost')).toContain('signup');
  expect(await run(page, 'WhoCameBack')).toContain('cohorts');
  const events = JSON.parse(await run(page, 'WhatDidTheyDo')) as { data: { events: { nodes: { user: { eventCount: number } }[] } } };
  expect(events.data.events.nodes.map(({ user }) => user.eventCount)).toEqual([1]);
  await expectAccessible(page, { exclude: ['.graphiql-container'] });
  expect([faults, foreign]).toEqual([[], []]);
  await close();
});

test('the documentation explorer knows the schema', async () => {
  const { page, close } = await visit(browser, `${server.url}/graphiql`);
  await page.getByRole('button', { name: /Documentation Explorer/ }).click();
  await page.waitForSelector('.graphiql-doc-explorer-content a');
  expect(await page.locator('.graphiql-doc-explorer-content').textContent()).toContain('Query');
  await close();
});

test('a link opens with its query and variables', async () => {
  const link = new URLSearchParams({ query: 'query Linked($limit: Int!) { topEvents(from: "2026-01-01", to: "2026-01-02", limit: $limit) { totalEvents } }', variables: '{ "limit": 3 }' });
  const { page, faults, close } = await visit(browser, `${server.url}/graphiql?${link}`);
  await page.waitForSelector('.graphiql-query-editor .view-line');
  expect(await run(page, 'Linked')).toContain('totalEvents');
  expect(faults).toEqual([]);
  await close();
});

test('a subscription shows events as they are stored', async () => {
  const { page, faults, close } = await visit(browser, `${server.url}/graphiql`);
  await page.waitForSelector('.graphiql-query-editor .view-line');
  await page.getByRole('tab', { name: 'WatchItLive' }).click();
  await page.waitForFunction(() => document.querySelector('.graphiql-query-editor')?.textContent?.replaceAll(/\s/g, '').includes('WatchItLive'));
  await page.waitForTimeout(EDITOR_DELAY_MS);
  const opened = page.waitForEvent('websocket');
  await page.getByRole('button', { name: /Execute query/ }).click();
  await opened;
  // The subscription begins a moment after the socket does, and says nothing until something happens.
  for (let number = 0; (await page.locator('.result-window').textContent())?.includes('grace') !== true; number += 1) {
    await send(server, [{ eventId: crypto.randomUUID(), userId: 'grace', eventType: 'signup' }]);
    await page.waitForTimeout(200);
    expect(number, 'an event arrives').toBeLessThan(100);
  }
  expect(faults).toEqual([]);
  await close();
});
