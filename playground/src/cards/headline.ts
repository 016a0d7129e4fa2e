// The numbers that are read first: one tile each, with the change and what it is compared with.

import { Headline, HeadlineEvents } from '../api/generated';
import { headlineVariables } from '../questions';
import { headline, type Headline as Numbers, type HeadlineNumber } from '../shape/headline';
import type { Page, Situation } from '../situation';
import { fill, h, type Child } from '../ui/dom';

interface Tile {
  readonly id: string;
  readonly label: string;
  readonly number: HeadlineNumber;
  readonly comparedWith: string;
  readonly note: string | null;
}

export class HeadlineRow {
  readonly element = h('section', { class: 'tiles', 'aria-label': 'Headline numbers', 'aria-busy': 'true' });

  /** What stands there, so that the same numbers are not drawn again under the reader's pointer. */
  private drawn = '';

  constructor(private readonly page: Page) {
    fill(this.element, Array.from({ length: 5 }, () => h('div', { class: 'tile skeleton' })));
  }

  /** Asks and draws; returns how many events the range has. */
  async load(situation: Situation): Promise<number> {
    const variables = headlineVariables(situation.range, situation.today, situation.view);
    const [users, events] = await Promise.all([situation.ask(Headline, variables), situation.ask(HeadlineEvents, variables)]);
    const answer = { ...users, ...events };
    const numbers = headline(answer, variables);
    const key = JSON.stringify([numbers, situation.range]);
    if (key !== this.drawn || this.element.hidden) this.draw(numbers, situation);
    this.drawn = key;
    return answer.events.totalEvents;
  }

  hide(): void {
    this.element.hidden = true;
    this.element.removeAttribute('aria-busy');
  }

  private draw(numbers: Numbers, { range }: Situation): void {
    const { format } = this.page;
    const day = format.weekday(numbers.lastDay);
    const days = numbers.lastDay < range.to ? 'full days' : 'days';
    const before = `the same number of ${days} before`;
    const tiles: Tile[] = [
      {
        id: 'daily',
        label: `Daily users · ${day}`,
        number: numbers.daily,
        comparedWith: 'the same weekday a week before',
        note: numbers.soFarToday === null ? `${format.count(numbers.daily.before ?? 0)} a week before` : `${format.count(numbers.soFarToday)} today so far`,
      },
      { id: 'weekly', label: 'Weekly users', number: numbers.weekly, comparedWith: 'the 7 days before', note: `7 days to ${format.day(numbers.lastDay)}` },
      {
        id: 'monthly',
        label: 'Monthly users',
        number: numbers.monthly,
        comparedWith: 'the 30 days before',
        note: numbers.stickiness === null ? `30 days to ${format.day(numbers.lastDay)}` : `${format.rate(numbers.stickiness)} of them on ${day}`,
      },
      { id: 'new-users', label: 'New users', number: numbers.newUsers, comparedWith: before, note: format.range(range.from, range.to) },
      {
        id: 'events',
        label: 'Events',
        number: numbers.events,
        comparedWith: before,
        note: numbers.eventsPerUser === null ? null : `${format.ratio(numbers.eventsPerUser)} per active user`,
      },
    ];
    fill(this.element, tiles.map((tile) => this.tile(tile)));
    this.element.hidden = false;
    this.element.removeAttribute('aria-busy');
  }

  private tile({ id, label, number, comparedWith, note }: Tile): HTMLElement {
    const { format } = this.page;
    return h('div', { class: 'tile', id: `tile-${id}` }, [
      h('h2', {}, label),
      h('div', { class: 'tile-line' }, [
        h('span', { class: 'tile-value', 'data-value': number.value, title: format.count(number.value) }, format.count(number.value)),
        this.change(number, comparedWith),
      ]),
      h('p', {}, note ?? ' '),
    ]);
  }

  private change({ change, before }: HeadlineNumber, comparedWith: string): Child {
    const { format } = this.page;
    if (change === null) return null;
    const direction = change > 0.0005 ? 'up' : change < -0.0005 ? 'down' : 'flat';
    const arrow = { up: '↑', down: '↓', flat: '=' }[direction];
    return h('span', { class: `change ${direction}`, 'data-tip': `${format.change(change)}\nagainst ${comparedWith} (${format.count(before ?? 0)})` }, [
      h('span', { 'aria-hidden': 'true' }, `${arrow} ${format.size(change)}`),
      h('span', { class: 'visually-hidden' }, `${format.change(change)} against ${comparedWith}`),
    ]);
  }
}
