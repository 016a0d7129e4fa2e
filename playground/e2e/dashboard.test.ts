// The dashboard shows what the API says: every chart, every switch, every link.

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ActiveUsers, Retention, TopEvents, type ActiveUsersQuery, type RetentionQuery, type TopEventsQuery } from '../src/api/generated';
import { addDays, endOfUnit, startOfUnit } from '../src/days';
import { change, DARK, DESKTOP, expectAccessible, finish, launchBrowser, PHONE, settled, tableOf, visit, type Visit } from './browser';
import { last30, sampleEvents, send, today } from './data';
import { Server } from './server';

const MAX_COMPRESSED_BYTES = 350 * 1024;

let server: Server;
let browser: Browser;

beforeAll(async () => {
  server = await Server.start();
  browser = await launchBrowser();
  await send(server, sampleEvents(today()));
});

afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

async function open(query = '', options = DESKTOP): Promise<Visit> {
  const opened = await visit(browser, `${server.url}/${query}`, options);
  await settled(opened.page);
  return opened;
}

describe('every chart shows the numbers that the API returns', () => {
  test('active users, with weekly and monthly windows', async () => {
    const opened = await open('?lines=dau,wau,mau');
    const [dau, wau, mau] = await Promise.all([1, 7, 30].map((windowDays) => server.ask<ActiveUsersQuery>(ActiveUsers.text, { ...last30(), windowDays })));
    const expected = dau?.dau.points.map((point, index) => [point.date, String(point.users), String(wau?.dau.points[index]?.users), String(mau?.dau.points[index]?.users), point.complete ? 'yes' : 'no']);
    expect(await tableOf(opened.page, 'active-users')).toEqual(expected);
    expect(await opened.page.locator('#active-users svg path').count()).toBeGreaterThan(3);
    await finish(opened);
  });

  test('new and returning users, and the tile of new users', async () => {
    const opened = await open();
    const { dau } = await server.ask<ActiveUsersQuery>(ActiveUsers.text, { ...last30(), windowDays: 1 });
    const rows = await tableOf(opened.page, 'new-returning');
    expect(rows).toEqual(dau.points.map((point) => [point.date, String(point.newUsers), String(point.users - point.newUsers), String(point.users), point.complete ? 'yes' : 'no']));
    const joined = dau.points.reduce((sum, point) => sum + point.newUsers, 0);
    expect(await opened.page.getAttribute('#tile-new-users .tile-value', 'data-value')).toBe(String(joined));
    const yesterday = dau.points.at(-2)?.users;
    expect(await opened.page.getAttribute('#tile-daily .tile-value', 'data-value')).toBe(String(yesterday));
    await finish(opened);
  });

  test('weeks and months are distinct users of whole calendar periods', async () => {
    for (const unit of ['week', 'month'] as const) {
      const opened = await open(`?unit=${unit}&range=90`);
      const rows = await tableOf(opened.page, 'active-users');
      const start = startOfUnit(addDays(today(), -89), unit);
      expect(rows[0]?.[0]).toBe(start);
      for (const [day, users] of rows) {
        const to = endOfUnit(day ?? '', unit);
        const { topEvents } = await server.ask<TopEventsQuery>(TopEvents.text, { from: day, to, limit: 1, rankBy: 'EVENTS' });
        expect(users, `${unit} of ${day}`).toBe(String(topEvents.totalUsers));
      }
      await finish(opened);
    }
  });

  test('top events by events and by users', async () => {
    const opened = await open();
    for (const rankBy of ['EVENTS', 'USERS'] as const) {
      if (rankBy === 'USERS') await change(opened.page, () => opened.page.getByRole('button', { name: 'By users' }).click());
      const { topEvents } = await server.ask<TopEventsQuery>(TopEvents.text, { ...last30(), limit: 10, rankBy });
      const rows = await tableOf(opened.page, 'top-events');
      expect(rows.slice(0, 10).map((row) => row.slice(0, 3))).toEqual(topEvents.rows.map((row) => [row.eventType, String(row.events), String(row.users)]));
      expect(await opened.page.getAttribute('#tile-events .tile-value', 'data-value')).toBe(String(topEvents.totalEvents));
      const names = await opened.page.$$eval('.bars .bar-name', (found) => found.map((name) => name.textContent));
      expect(names).toEqual(topEvents.rows.map((row) => row.eventType));
    }
    await finish(opened);
  });

  test('retention, cell by cell, with start and return chosen', async () => {
    const opened = await open();
    const { page } = opened;
    await change(page, () => page.selectOption('#retention select[aria-label="Start"]', 'signup'));
    await change(page, () => page.selectOption('#retention select[aria-label="Return"]', 'page_view'));
    const variables = { ...last30(), period: 'DAY', periods: 14, startEvent: 'signup', returnEvent: 'page_view', entry: 'FIRST_EVER', criterion: 'ON' };
    const { retention } = await server.ask<RetentionQuery>(Retention.text, variables);
    for (const cohort of retention.cohorts.filter(({ size }) => size > 0)) {
      const begun = cohort.cells.filter((cell) => addDays(cohort.start, cell.index) <= today());
      const shown = await page.$$eval(`tr[data-cohort="${cohort.start}"] [data-retained]`, (cells) => cells.map((cell) => ({ retained: Number(cell.getAttribute('data-retained')), running: cell.classList.contains('running') })));
      expect(shown, cohort.start).toEqual(begun.map((cell) => ({ retained: cell.retained, running: !cell.complete })));
    }
    const sizes = (await tableOf(page, 'retention')).map((row) => row[1]);
    expect(sizes).toEqual(retention.cohorts.map(({ size }) => String(size)));
    await finish(opened);
  });
});

describe('links', () => {
  test('a link reproduces the view', async () => {
    const first = await open();
    const { page } = first;
    await change(page, () => page.getByRole('button', { name: '90 days' }).click());
    await change(page, () => page.getByRole('button', { name: 'Week', exact: true }).click());
    await change(page, () => page.getByRole('button', { name: 'Compare' }).click());
    await change(page, () => page.locator('.bars button[data-event="search"]').click());
    await change(page, () => page.selectOption('#retention select[aria-label="Count"]', 'ON_OR_AFTER'));
    expect(page.url()).toContain('range=90&unit=week&compare=1&event=search&start=search&criterion=on-or-after');
    const second = await open(`?${page.url().split('?')[1]}`);
    for (const card of ['active-users', 'new-returning', 'top-events', 'retention']) expect(await tableOf(second.page, card), card).toEqual(await tableOf(page, card));
    await page.goBack();
    await settled(page);
    expect(page.url()).not.toContain('criterion');
    await finish(second);
    await finish(first);
  });

  test('a copied link holds its days fast', async () => {
    const opened = await open('?range=7');
    await opened.page.getByRole('button', { name: 'Copy link' }).click();
    const copied = await opened.page.evaluate(() => navigator.clipboard.readText());
    expect(copied).toBe(`${server.url}/?from=${addDays(today(), -6)}&to=${today()}`);
    await finish(opened);
  });

  test('the query view leads to GraphiQL with the same question', async () => {
    const opened = await open();
    await opened.page.click('#retention button[title="Query view"]');
    const link = new URL((await opened.page.getAttribute('#retention a.button', 'href')) ?? '', server.url);
    expect(link.pathname).toBe('/graphiql');
    expect(link.searchParams.get('query')).toBe(Retention.text);
    expect(JSON.parse(link.searchParams.get('variables') ?? '')).toMatchObject(last30());
    await finish(opened);
  });

  test('every chart is copied as CSV', async () => {
    const opened = await open();
    await opened.page.getByRole('button', { name: 'Top events: copy as CSV' }).click();
    const csv = await opened.page.evaluate(() => navigator.clipboard.readText());
    const { topEvents } = await server.ask<TopEventsQuery>(TopEvents.text, { ...last30(), limit: 10, rankBy: 'EVENTS' });
    expect(csv.split('\r\n').slice(0, 2)).toEqual(['eventType,events,users,share', `${topEvents.rows[0]?.eventType},${topEvents.rows[0]?.events},${topEvents.rows[0]?.users},${topEvents.rows[0]?.share}`]);
    await finish(opened);
  });
});

describe('for everybody', () => {
  test('the focus stays where it was when the page changes', async () => {
    const opened = await open();
    const { page } = opened;
    const focused = () => page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent);
    for (const name of ['90 days', 'Weekly', 'Compare', 'By users']) {
      await page.getByRole('button', { name, exact: true }).focus();
      await change(page, () => page.keyboard.press('Enter'));
      expect(await focused()).toBe(name);
    }
    await page.focus('#retention select[aria-label="Start"]');
    await change(page, () => page.keyboard.press('ArrowDown'));
    expect(page.url()).toContain('start=');
    expect(await focused()).toBe('Start');
    await finish(opened);
  });

  test.each([['light', DESKTOP], ['dark', DARK], ['phone', PHONE]])('no serious accessibility fault: %s', async (_name, options) => {
    const opened = await open('?compare=1&lines=dau,wau', options);
    await expectAccessible(opened.page);
    await opened.page.click('#active-users button[title="Table view"]');
    await opened.page.click('#retention button[title="Query view"]');
    await expectAccessible(opened.page, { include: ['#active-users', '#retention'] });
    const width = await opened.page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    expect(width[0], 'nothing sticks out at the side').toBeLessThanOrEqual(width[1] ?? 0);
    await finish(opened);
  });

  test('arrow keys read the points of a chart aloud', async () => {
    const opened = await open();
    const { page } = opened;
    await page.focus('#active-users .plot');
    await page.keyboard.press('End');
    const { dau } = await server.ask<ActiveUsersQuery>(ActiveUsers.text, { ...last30(), windowDays: 1 });
    await page.waitForFunction(() => [...document.querySelectorAll('[role="status"]')].some((region) => region.textContent?.includes('so far')));
    expect(await page.locator('[role="status"].visually-hidden').textContent()).toContain(`Daily ${dau.points.at(-1)?.users}`);
    await finish(opened);
  });

  test('numbers follow the locale, and the time zone is named', async () => {
    const opened = await open('', { ...DESKTOP, locale: 'de-DE' });
    const value = Number(await opened.page.getAttribute('#tile-events .tile-value', 'data-value'));
    expect(await opened.page.textContent('#tile-events .tile-value')).toBe(new Intl.NumberFormat('de-DE').format(value));
    expect(await opened.page.textContent('.zone')).toBe('Days in UTC');
    await finish(opened);
  });

  test('the colours can be chosen and stay chosen', async () => {
    const opened = await open();
    const { page } = opened;
    const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const light = await background();
    await page.getByRole('button', { name: /^Colours/ }).click();
    await page.getByRole('button', { name: /^Colours/ }).click();
    expect(await background()).not.toBe(light);
    await page.reload();
    await settled(page);
    expect(await background()).not.toBe(light);
    await finish(opened);
  });
});

describe('when something is wrong', () => {
  test('the server goes away and comes back', async () => {
    const opened = await open();
    const { page } = opened;
    await server.pause();
    await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
    await page.waitForSelector('.notice.warning');
    expect(await page.textContent('.notice.warning')).toContain('does not answer');
    expect(await page.locator('#active-users .plot svg').count(), 'the old picture stays').toBe(1);
    await server.resume();
    await settled(page);
    expect(await page.locator('.notice.warning').count()).toBe(0);
    await opened.close();
  });

  test('a question that is refused says why, in its own card', async () => {
    const opened = await visit(browser, `${server.url}/?from=1990-01-01&to=2026-01-01`);
    await opened.page.waitForSelector('#active-users .error-text');
    expect(await opened.page.textContent('#active-users .error-text')).toContain('The server refused');
    await opened.close();
  });

  test('a key is asked for, kept for this tab and sent', async () => {
    const sent: (string | null)[] = [];
    const opened = await visit(browser, `${server.url}/graphiql`);
    const { page } = opened;
    await page.route('**/graphql', async (route) => {
      const authorization = await route.request().headerValue('authorization');
      sent.push(authorization);
      if (authorization === 'Bearer secret-key') return route.continue();
      const body = JSON.stringify({ errors: [{ message: 'an API key is needed', extensions: { code: 'UNAUTHENTICATED' } }] });
      return route.fulfill({ status: 401, contentType: 'application/json', body });
    });
    await page.goto(`${server.url}/`);
    await page.fill('#api-key', 'secret-key');
    await expectAccessible(page);
    await page.keyboard.press('Enter');
    await settled(page);
    expect(sent[0]).toBeNull();
    expect(sent.at(-1)).toBe('Bearer secret-key');
    expect(await page.evaluate(() => [sessionStorage.length, Object.values(localStorage).some((value) => String(value).includes('secret-key'))])).toEqual([1, false]);
    await opened.close();
  });

  test('a range without events leads to the newest ones', async () => {
    const opened = await open('?from=2001-01-01&to=2001-03-31');
    await change(opened.page, () => opened.page.getByRole('button', { name: 'Show the 90 days up to then' }).click());
    expect(opened.page.url()).toContain(`to=${today()}`);
    expect(await opened.page.locator('.notice').count()).toBe(0);
    await finish(opened);
  });
});

test('the dashboard stays small and comes from the server alone', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const sizes: Promise<number>[] = [];
  page.on('requestfinished', (request) => {
    if (request.method() === 'GET') sizes.push(request.sizes().then((size) => size.responseBodySize));
  });
  await page.goto(`${server.url}/`);
  await settled(page);
  const total = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  expect(total).toBeGreaterThan(50 * 1024);
  expect(total).toBeLessThan(MAX_COMPRESSED_BYTES);
  await context.close();
});
