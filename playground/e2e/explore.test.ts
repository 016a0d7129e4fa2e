// Filters, the latest events as they arrive, a user's timeline: what a reader explores with.

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ActiveUsers, Events, TopEvents, UserTimeline, type ActiveUsersQuery, type EventFilter, type EventsQuery, type TopEventsQuery, type UserTimelineQuery } from '../src/api/generated';
import { change, DESKTOP, expectAccessible, finish, launchBrowser, PHONE, settled, tableOf, visit, type Visit } from './browser';
import { last30, sampleEvents, send, today } from './data';
import { Server } from './server';

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

const isPro: EventFilter = { property: { path: ['plan'], is: { eq: 'pro' } } };

/** The page's tables are what the API says under this filter. */
async function expectFiltered(page: Page, filter: EventFilter, listFilter: EventFilter | null): Promise<void> {
  const { dau } = await server.ask<ActiveUsersQuery>(ActiveUsers.text, { ...last30(), windowDays: 1, filter });
  expect(await tableOf(page, 'active-users')).toEqual(dau.points.map((point) => [point.date, String(point.users), point.complete ? 'yes' : 'no']));
  const newUsers = dau.points.reduce((sum, point) => sum + point.newUsers, 0);
  expect(await page.getAttribute('#tile-new-users .tile-value', 'data-value')).toBe(String(newUsers));
  const { topEvents } = await server.ask<TopEventsQuery>(TopEvents.text, { ...last30(), limit: 10, rankBy: 'EVENTS', filter: listFilter });
  const rows = await tableOf(page, 'top-events');
  expect(rows.slice(0, topEvents.rows.length).map((row) => row.slice(0, 3))).toEqual(topEvents.rows.map((row) => [row.eventType, String(row.events), String(row.users)]));
  const all = await server.ask<TopEventsQuery>(TopEvents.text, { ...last30(), limit: 1, rankBy: 'EVENTS', filter });
  expect(await page.getAttribute('#tile-events .tile-value', 'data-value')).toBe(String(all.topEvents.totalEvents));
  const { events } = await server.ask<EventsQuery>(Events.text, { first: 20, filter });
  const shown = await page.$$eval('#events li', (found) => found.map((row) => row.getAttribute('data-event-id')));
  expect(shown).toEqual(events.nodes.map(({ eventId }) => eventId));
}

async function addFilter(page: Page, name: string, test: string, value: string): Promise<void> {
  await page.getByRole('button', { name: 'Filter', exact: true }).click();
  await page.fill('#filter-name', name);
  await page.selectOption('#filter-test', test);
  if (value !== '') await page.fill('#filter-value', value);
  await page.getByRole('button', { name: 'Add filter' }).click();
}

describe('filters', () => {
  test('a click on an event makes the page about it, a second click lets go', async () => {
    const opened = await open();
    const { page } = opened;
    const bar = page.locator('.bars button[data-event="purchase"]');
    await change(page, () => bar.click());
    expect(await bar.getAttribute('aria-pressed')).toBe('true');
    expect(page.url()).toContain('event=purchase');
    await expectFiltered(page, { eventType: { eq: 'purchase' } }, null);
    expect(await page.inputValue('#retention select[aria-label="Start"]')).toBe('purchase');
    await change(page, () => page.getByRole('button', { name: 'Stop filtering by purchase' }).click());
    expect(await bar.getAttribute('aria-pressed')).toBe('false');
    expect(await page.inputValue('#retention select[aria-label="Start"]')).toBe('');
    await finish(opened);
  });

  test('a condition on a property narrows everything, and lives in the address', async () => {
    const opened = await open();
    const { page } = opened;
    await change(page, () => addFilter(page, 'plan', '=', 'pro'));
    await expectFiltered(page, isPro, isPro);
    await change(page, () => addFilter(page, 'cart.total', '>=', '100'));
    const both: EventFilter = { all: [isPro, { property: { path: ['cart', 'total'], is: { gte: 100 } } }] };
    await expectFiltered(page, both, both);
    const second = await open(`?${page.url().split('?')[1]}`);
    expect(await tableOf(second.page, 'active-users')).toEqual(await tableOf(page, 'active-users'));
    await change(page, () => page.getByRole('button', { name: 'Stop filtering by plan = "pro"' }).click());
    expect(page.url()).not.toContain('plan');
    await finish(second);
    await finish(opened);
  });

  test('a condition that makes no sense is said at the form', async () => {
    const opened = await open();
    const { page } = opened;
    await addFilter(page, 'cart.total', '>', 'much');
    expect(await page.textContent('.filter-dialog [role="alert"]')).toContain('compares numbers');
    expect(await page.$$eval('#filter-names option', (found) => found.map((each) => each.getAttribute('value')))).toEqual(['cart.total', 'plan']);
    await expectAccessible(page);
    await page.keyboard.press('Escape');
    expect(page.url()).not.toContain('where');
    await finish(opened);
  });

  test('where nothing passes, the page says so and offers the way back', async () => {
    const opened = await open(`?where=${encodeURIComponent('plan = "none"')}`);
    const { page } = opened;
    await page.waitForSelector('.notice');
    expect(await page.textContent('.notice')).toContain('passes the filter');
    await change(page, () => page.getByRole('button', { name: 'Remove the filter' }).click());
    expect(page.url()).not.toContain('where');
    await finish(opened);
  });
});

describe('live', () => {
  test('an event appears as it is stored, and the numbers follow by themselves', async () => {
    const opened = await open(`?where=${encodeURIComponent('plan = "pro"')}`);
    const { page } = opened;
    await page.waitForSelector('.pulse:not([hidden])');
    await page.waitForFunction(() => /\d active today/.test(document.querySelector('.today')?.textContent ?? ''));
    const before = Number(await page.getAttribute('#tile-events .tile-value', 'data-value'));
    const activeBefore = await page.textContent('.today');
    const eventId = crypto.randomUUID();
    await send(server, [
      { eventId, userId: 'live-user', eventType: 'signup', properties: { plan: 'pro' } },
      { eventId: crypto.randomUUID(), userId: 'other-user', eventType: 'signup', properties: { plan: 'free' } },
    ]);
    await page.waitForSelector(`#events li[data-event-id="${eventId}"]`);
    expect(await page.textContent('#events li:first-child')).toContain('live-user');
    expect(await page.locator('#events').textContent(), 'does not pass the filter').not.toContain('other-user');
    await page.waitForFunction((text) => document.querySelector('.today')?.textContent !== text, activeBefore);
    await page.waitForFunction((count) => document.querySelector('#tile-events .tile-value')?.getAttribute('data-value') === String(count), before + 1);
    await finish(opened);
  });
});

describe('a timeline', () => {
  test('a click on a user shows all that they did, newest first, older on demand', async () => {
    const busy = Array.from({ length: 120 }, (_, number) => ({
      eventId: `00000000-0000-4000-9000-${String(number).padStart(12, '0')}`,
      userId: 'busy user/ä',
      eventType: 'open',
      occurredAt: new Date(Date.parse(`${today()}T00:00:00Z`) - number * 3_600_000).toISOString(),
      properties: { number },
    }));
    await send(server, busy);
    const opened = await open(`?where=${encodeURIComponent('number exists')}`);
    const { page } = opened;
    await page.getByRole('button', { name: 'Timeline of busy user/ä' }).first().click();
    await page.waitForSelector('.timeline li');
    expect(page.url()).toContain('user=busy');
    const { user } = await server.ask<UserTimelineQuery>(UserTimeline.text, { userId: 'busy user/ä', first: 100, after: null });
    expect(await page.textContent('.timeline-facts')).toContain(`${user?.eventCount} events`);
    const ids = () => page.$$eval('.timeline li', (found) => found.map((row) => row.getAttribute('data-event-id')));
    expect(await ids()).toEqual(user?.events.nodes.slice(0, 50).map(({ eventId }) => eventId));
    await page.getByRole('button', { name: 'Load older events' }).click();
    await page.waitForFunction(() => document.querySelectorAll('.timeline li').length === 100);
    await page.getByRole('button', { name: 'Load older events' }).click();
    await page.waitForFunction(() => document.querySelectorAll('.timeline li').length === 120);
    expect(new Set(await ids()).size).toBe(120);
    expect(await page.locator('.timeline footer button').isHidden()).toBe(true);
    await expectAccessible(page);
    await page.keyboard.press('Escape');
    await settled(page);
    expect(page.url()).not.toContain('user=');
    await finish(opened);
  });

  test('a link opens it, and a user who is not there is said', async () => {
    const opened = await open('?user=user-1', PHONE);
    await opened.page.waitForSelector('.timeline[open] li');
    await expectAccessible(opened.page);
    await finish(opened);
    const nobody = await open('?user=nobody');
    await nobody.page.waitForFunction(() => document.querySelector('.timeline-facts')?.textContent?.includes('No events of this user'));
    await finish(nobody);
  });
});
