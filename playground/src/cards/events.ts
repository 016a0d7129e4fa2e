// The latest events of everything that the page is about, as they arrive; a click on a user opens their timeline.

import { EventAdded, Events, type EventAddedSubscription } from '../api/generated';
import type { Live } from '../api/live';
import { eventsVariables, filterOf, LATEST_EVENTS } from '../questions';
import { eventsTable, propertiesLine, propertyPaths, withArrivals, type EventRow } from '../shape/events';
import type { DashboardCard, Page, Situation } from '../situation';
import { Card, type AskedQuery } from '../ui/card';
import { fill, h, keepingFocus } from '../ui/dom';

/** How often arrivals are drawn: more would only flicker. */
const DRAW_MS = 250;
/** How many names of properties the filter suggests. */
const MOST_PATHS = 100;

export class EventsCard implements DashboardCard {
  readonly frame: Card;
  private readonly list = h('ol', { class: 'events' });
  private readonly pulse = h('span', { class: 'pulse', hidden: true });
  private rows: EventRow[] = [];
  private arrived: EventRow[] = [];
  private queries: readonly AskedQuery[] = [];
  private followed: string | null = null;
  private stop: (() => void) | null = null;
  private timer: number | undefined;
  private timezone = 'UTC';

  constructor(
    private readonly page: Page,
    private readonly live: Live,
  ) {
    this.frame = new Card('events', 'Latest events', page.format);
    this.frame.chart.append(this.list);
    this.frame.controls.append(this.pulse);
  }

  /** Names of properties that the present events have. */
  paths(): (readonly string[])[] {
    return propertyPaths(this.rows, MOST_PATHS);
  }

  prepare(_situation: Situation): void {
    this.frame.describe('As they are stored; click a user for all that they did');
  }

  async load(situation: Situation): Promise<void> {
    const variables = eventsVariables(situation.view);
    this.timezone = situation.timezone;
    this.follow(situation);
    const { events } = await situation.ask(Events, variables);
    this.queries = [
      { label: 'Latest events', text: Events.text, variables },
      { label: 'Each new one', text: EventAdded.text, variables: { filter: variables.filter } },
    ];
    this.rows = withArrivals(this.arrived, events.nodes, LATEST_EVENTS);
    this.arrived = [];
    this.draw();
  }

  /** Stops listening, because nobody looks. */
  rest(): void {
    this.stop?.();
    this.stop = null;
    this.followed = null;
  }

  redraw(): void {
    // Colours come from the style sheet alone.
  }

  /** Listens for what the view is about; a subscription that already does is left alone. */
  private follow({ view }: Situation): void {
    const filter = filterOf(view);
    const key = JSON.stringify(filter);
    if (key === this.followed) return;
    this.rest();
    this.followed = key;
    this.rows = [];
    this.arrived = [];
    this.stop = this.live.listen(EventAdded, { filter }, {
      next: ({ eventAdded }) => this.arrives(eventAdded),
      connected: (isConnected) => this.showPulse(isConnected),
    });
  }

  private showPulse(isConnected: boolean): void {
    this.pulse.hidden = !isConnected;
    this.pulse.textContent = 'Live';
  }

  private arrives(event: EventAddedSubscription['eventAdded']): void {
    this.showPulse(true);
    this.arrived.push(event);
    this.page.arrived();
    if (this.arrived.length > LATEST_EVENTS) this.arrived = withArrivals(this.arrived, [], LATEST_EVENTS);
    this.timer ??= window.setTimeout(() => {
      this.timer = undefined;
      this.rows = withArrivals(this.arrived, this.rows, LATEST_EVENTS);
      this.arrived = [];
      this.draw();
    }, DRAW_MS);
  }

  private draw(): void {
    const table = eventsTable(this.rows);
    if (this.rows.length === 0) {
      this.frame.empty('No events of this kind yet.', table, this.queries);
      return;
    }
    keepingFocus(this.list, () => fill(this.list, this.rows.map((row) => this.row(row))));
    this.frame.ready(table, this.queries);
  }

  private row(row: EventRow): HTMLElement {
    const { userId } = row.user;
    const properties = propertiesLine(row.properties);
    return h('li', { 'data-event-id': row.eventId }, [
      h('time', { datetime: row.occurredAt }, this.page.format.moment(new Date(row.occurredAt), this.timezone)),
      h('span', { class: 'event-type' }, row.eventType),
      h('button', { type: 'button', class: 'user', 'aria-label': `Timeline of ${userId}` }, userId, { click: () => this.page.change({ user: userId }) }),
      h('span', { class: 'properties', 'data-tip': properties === '' ? null : `Properties\n${properties}` }, properties),
    ]);
  }
}
