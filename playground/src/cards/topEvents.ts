// Top events: a bar per event type with events, users and share. A click picks the event for the page.

import { TopEvents } from '../api/generated';
import { comparisonRange, TOP_EVENTS_LIMIT, topEventsVariables } from '../questions';
import { topEventRows, topEventsTable, type TopEventRow } from '../shape/topEvents';
import type { DashboardCard, Page, Situation } from '../situation';
import { Card, type AskedQuery } from '../ui/card';
import { segmented } from '../ui/controls';
import { fill, h, keepingFocus, type Child } from '../ui/dom';
import { withEventPicked } from '../view';

const COMPARISON_LIMIT = 100;

export class TopEventsCard implements DashboardCard {
  readonly frame: Card;
  private readonly list = h('ol', { class: 'bars' });
  private drawn = '';
  private readonly total = h('p', { class: 'card-foot' });

  constructor(private readonly page: Page) {
    this.frame = new Card('top-events', 'Top events', page.format);
    this.frame.chart.append(this.list, this.total);
  }

  prepare({ view }: Situation): void {
    this.frame.describe('Click one and the page is about it');
    fill(this.frame.controls, [
      segmented('Rank by', [{ value: 'EVENTS', label: 'By events' }, { value: 'USERS', label: 'By users' }], view.rank, (rank) => this.page.change({ rank })),
    ]);
  }

  async load(situation: Situation): Promise<void> {
    const { view, range, ask } = situation;
    const variables = topEventsVariables(range, view, TOP_EVENTS_LIMIT);
    const beforeVariables = topEventsVariables(comparisonRange(view, situation.today), view, COMPARISON_LIMIT);
    const [answer, before] = await Promise.all([ask(TopEvents, variables), view.compare ? ask(TopEvents, beforeVariables) : null]);
    const queries: AskedQuery[] = [{ label: 'Top events', text: TopEvents.text, variables }];
    if (before) queries.push({ label: 'Period before', text: TopEvents.text, variables: beforeVariables });
    const rows = topEventRows(answer, before, view.rank);
    const { otherEvents, totalEvents, totalUsers } = answer.topEvents;
    const table = topEventsTable(rows, otherEvents);
    if (rows.length === 0) {
      this.frame.empty('No events in this range.', table, queries);
      return;
    }
    const { format } = this.page;
    const key = JSON.stringify([rows, view]);
    if (key !== this.drawn) keepingFocus(this.list, () => fill(this.list, rows.map((row) => this.row(row, situation))));
    this.drawn = key;
    const others = otherEvents > 0 ? ` · ${format.count(otherEvents)} in other types` : '';
    this.total.textContent = `${format.count(totalEvents)} events by ${format.count(totalUsers)} users${others}`;
    this.frame.ready(table, queries);
  }

  redraw(): void {
    // Colours come from the style sheet alone.
  }

  private row(row: TopEventRow, { view }: Situation): HTMLElement {
    const { format } = this.page;
    const picked = view.event === row.eventType;
    const bar = h('span', { class: 'bar' });
    bar.style.setProperty('--length', String(row.bar));
    const numbers = `${format.count(row.events)} events by ${format.count(row.users)} users, ${format.exactRate(row.share)} of all`;
    const button = h(
      'button',
      { type: 'button', 'aria-pressed': picked ? 'true' : 'false', 'data-event': row.eventType, 'data-tip': `${row.eventType}\n${numbers}` },
      [
        h('span', { class: 'bar-name' }, row.eventType),
        this.change(row),
        h('span', { class: 'bar-value', 'data-field': 'events' }, [format.compact(row.events), hidden(' events')]),
        h('span', { class: 'bar-users', 'data-field': 'users' }, `${format.compact(row.users)} users`),
        h('span', { class: 'bar-share' }, [format.rate(row.share), hidden(' of all events')]),
        h('span', { class: 'bar-track' }, [bar]),
      ],
      { click: () => this.page.change(withEventPicked(view, row.eventType)) },
    );
    return h('li', {}, [button]);
  }

  private change({ change }: TopEventRow): Child {
    if (change === null) return h('span', { class: 'no-change' });
    const direction = change > 0.0005 ? 'up' : change < -0.0005 ? 'down' : 'flat';
    return h('span', { class: `change ${direction}` }, this.page.format.change(change));
  }
}

function hidden(text: string): HTMLElement {
  return h('span', { class: 'visually-hidden' }, text);
}
