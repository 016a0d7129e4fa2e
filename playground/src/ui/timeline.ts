// A user's timeline, in a panel at the side: who they are, when they came, everything they did, newest first.
// Older events are loaded on demand. The panel is part of the view: a link opens it.

import { ApiFailure, ask } from '../api/client';
import { UserTimeline, type UserTimelineQuery } from '../api/generated';
import type { Formatter } from '../format';
import { graphiqlLink } from './card';
import { fill, h, icon, ICONS, type Child } from './dom';

const PAGE_SIZE = 50;

type Person = NonNullable<UserTimelineQuery['user']>;
type TimelineEvent = Person['events']['nodes'][number];

export class Timeline {
  private userId: string | null = null;
  private timezone = 'UTC';
  private running = new AbortController();
  private cursor: string | null = null;
  private readonly title = h('h2', { id: 'timeline-title' });
  private readonly facts = h('p', { class: 'timeline-facts', role: 'status' });
  private readonly days = h('div', { class: 'timeline-days', tabindex: 0, role: 'region', 'aria-label': 'Events' });
  private readonly more = h('button', { type: 'button', class: 'button', hidden: true }, 'Load older events', { click: () => void this.load() });
  private readonly queryLink = h('a', { class: 'button' }, 'Open in GraphiQL');
  readonly element: HTMLDialogElement;

  constructor(
    private readonly format: Formatter,
    closed: () => void,
  ) {
    this.element = h('dialog', { class: 'timeline', 'aria-labelledby': 'timeline-title' }, [
      h('header', {}, [
        h('div', {}, [this.title, this.facts]),
        h('button', { type: 'button', class: 'quiet', 'aria-label': 'Close timeline' }, [icon(ICONS.close)], { click: () => this.element.close() }),
      ]),
      this.days,
      h('footer', {}, [this.more, this.queryLink]),
    ]);
    this.element.addEventListener('close', () => {
      this.running.abort();
      if (this.userId !== null) closed();
      this.userId = null;
    });
    // A click beside the panel closes it, as Escape does.
    this.element.addEventListener('click', (event) => {
      if (event.target === this.element) this.element.close();
    });
  }

  /** Opens for a user, stays open for the same one, closes for null. */
  show(userId: string | null, timezone: string): void {
    if (userId === this.userId) return;
    this.running.abort();
    this.running = new AbortController();
    this.userId = userId;
    this.timezone = timezone;
    this.cursor = null;
    if (userId === null) {
      this.element.close();
      return;
    }
    this.title.textContent = userId;
    this.facts.textContent = 'Loading…';
    fill(this.days, []);
    this.more.hidden = true;
    this.queryLink.href = graphiqlLink({ label: 'Timeline', text: UserTimeline.text, variables: this.variables(userId) });
    if (!this.element.open) this.element.showModal();
    void this.load();
  }

  private variables(userId: string): { userId: string; first: number; after: string | null } {
    return { userId, first: PAGE_SIZE, after: this.cursor };
  }

  private async load(): Promise<void> {
    const { userId } = this;
    const { signal } = this.running;
    if (userId === null) return;
    this.more.disabled = true;
    try {
      const { user } = await ask(UserTimeline, this.variables(userId), signal);
      if (user) this.draw(user);
      else this.facts.textContent = 'No events of this user are stored.';
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiFailure)) throw error;
      this.facts.textContent = `The timeline cannot be shown: ${error.message}`;
      this.more.textContent = 'Try again';
      this.more.hidden = false;
    } finally {
      this.more.disabled = false;
    }
  }

  private draw({ firstSeen, lastSeen, eventCount, events }: Person): void {
    const { format, timezone } = this;
    const day = (instant: string): string => format.dayOf(new Date(instant), timezone);
    this.facts.textContent = `${format.count(eventCount)} ${eventCount === 1 ? 'event' : 'events'}, first seen ${day(firstSeen)}, last seen ${day(lastSeen)}`;
    for (const event of events.nodes) this.add(event, day(event.occurredAt));
    this.cursor = events.pageInfo.endCursor ?? null;
    this.more.textContent = 'Load older events';
    this.more.hidden = !events.pageInfo.hasNextPage;
  }

  /** Adds an event below the heading of its day, which is made when the day is another one than above. */
  private add(event: TimelineEvent, day: string): void {
    let section = this.days.lastElementChild;
    if (section?.getAttribute('data-day') !== day) {
      section = h('section', { 'data-day': day }, [h('h3', {}, day), h('ol')]);
      this.days.append(section);
    }
    section.querySelector('ol')?.append(
      h('li', { 'data-event-id': event.eventId }, [
        h('time', { datetime: event.occurredAt }, this.format.timeIn(new Date(event.occurredAt), this.timezone)),
        h('div', {}, [h('strong', {}, event.eventType), propertyList(event.properties)]),
      ]),
    );
  }
}

function propertyList(properties: Readonly<Record<string, unknown>>): Child {
  const entries = Object.entries(properties);
  if (entries.length === 0) return null;
  return h(
    'dl',
    {},
    entries.flatMap(([key, value]) => [h('dt', {}, key), h('dd', {}, typeof value === 'string' ? value : JSON.stringify(value))]),
  );
}
