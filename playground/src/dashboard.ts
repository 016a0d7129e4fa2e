// The page: keeps the view in the address, asks all cards to load, and keeps the picture fresh.
// One refresh runs at a time; a newer one aborts the older. Whether the server is there is decided here alone.

import { ApiFailure, ask, type FailureKind, type TypedDocument } from './api/client';
import { newestDay } from './api/extent';
import { ActiveToday, ServerInfo, type ServerInfoQuery } from './api/generated';
import { Live } from './api/live';
import { ActiveUsersCard } from './cards/activeUsers';
import { EventsCard } from './cards/events';
import { HeadlineRow } from './cards/headline';
import { NewReturningCard } from './cards/newReturning';
import { RetentionCard } from './cards/retention';
import { TopEventsCard } from './cards/topEvents';
import { dayIn, type LocalDate } from './days';
import { Formatter, readersLocale, utcOffset } from './format';
import type { DashboardCard, Page, Situation } from './situation';
import { fill, h, keepingFocus } from './ui/dom';
import { Header, openKeyDialog } from './ui/header';
import { awayNotice, elsewhereNotice, firstRun, nothingPassesNotice } from './ui/notice';
import { onThemeChange } from './ui/theme';
import { Timeline } from './ui/timeline';
import { linkTo, Toolbar } from './ui/toolbar';
import { parseView, rangeOf, serialiseView, withoutEvent, type View } from './view';

/** How often a fresh picture is asked for while the page is visible and its range contains today. */
const REFRESH_MS = 15_000;
/** How soon the charts follow an event that was just stored. */
const FOLLOW_MS = 3_000;
/** How often an empty database is looked at. */
const FIRST_RUN_MS = 2_000;
/** How often a server that is away is tried. */
const AWAY_MS = 2_000;

type Info = ServerInfoQuery['serverInfo'];

export class Dashboard implements Page {
  readonly format = new Formatter(readersLocale(navigator.languages));
  private view: View = parseView(location.search);
  private info: Info | null = null;
  private running = new AbortController();
  private timer: number | undefined;
  private isAway = false;
  private isEmpty = false;
  /** The view that the cards' switches show; they are left alone while it stays, or an open list would be torn away. */
  private preparedView: string | null = null;
  private readonly header = new Header('dashboard', () => this.askForKey(null));
  private readonly notices = h('div', { class: 'notices' });
  private readonly live = new Live();
  private readonly latest = new EventsCard(this, this.live);
  private readonly timeline = new Timeline(this.format, () => this.change({ user: null }));
  private readonly toolbar = new Toolbar(this, () => this.latest.paths());
  private readonly headline = new HeadlineRow(this);
  private readonly cards: readonly DashboardCard[] = [new ActiveUsersCard(this), new TopEventsCard(this), new NewReturningCard(this), new RetentionCard(this), this.latest];
  private stopToday: (() => void) | null = null;
  private followTimer: number | undefined;
  private readonly board: HTMLElement;
  private readonly welcome = h('div', { hidden: true });

  constructor(root: HTMLElement) {
    this.board = h('div', { class: 'board' }, [
      h('h1', { class: 'visually-hidden' }, 'Dashboard'),
      this.toolbar.element,
      this.headline.element,
      h('div', { class: 'grid' }, this.cards.map(({ frame }) => frame.element)),
    ]);
    fill(root, [this.header.element, h('main', { id: 'main' }, [this.notices, this.welcome, this.board]), this.timeline.element]);
    window.addEventListener('popstate', () => {
      this.view = parseView(location.search);
      void this.refresh();
    });
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') void this.refresh();
      else this.rest();
    });
    onThemeChange(() => {
      for (const card of this.cards) card.redraw();
    });
  }

  change(patch: Partial<View>): void {
    this.view = { ...this.view, ...patch };
    history.pushState(null, '', linkTo(this.view));
    if (this.info !== null) this.prepare(this.situation(this.info, this.running.signal));
    void this.refresh();
  }

  arrived(): void {
    if (this.info === null || rangeOf(this.view, dayIn(this.info.timezone, new Date())).to < dayIn(this.info.timezone, new Date())) return;
    this.followTimer ??= window.setTimeout(() => {
      this.followTimer = undefined;
      void this.tick();
    }, FOLLOW_MS);
  }

  /** A page that nobody sees listens to nothing. */
  private rest(): void {
    this.latest.rest();
    this.stopToday?.();
    this.stopToday = null;
  }

  private listenToToday(): void {
    this.stopToday ??= this.live.listen(ActiveToday, {}, {
      next: ({ activeToday }) => this.header.showToday(`${this.format.count(activeToday.users)} active today`),
      connected: (isConnected) => {
        if (!isConnected) this.header.showToday(null);
      },
    });
  }

  /** Brings everything up to date, then plans the next time. */
  async refresh(): Promise<void> {
    this.running.abort();
    const { signal } = (this.running = new AbortController());
    window.clearTimeout(this.timer);
    let next = REFRESH_MS;
    try {
      next = await this.load(signal);
    } catch (error) {
      if (signal.aborted) return;
      next = this.failed(error);
    }
    if (!signal.aborted) this.timer = window.setTimeout(() => void this.tick(), next);
  }

  /** A hidden page asks nothing; it catches up when it is seen again. */
  private async tick(): Promise<void> {
    if (document.visibilityState === 'visible') await this.refresh();
  }

  private async load(signal: AbortSignal): Promise<number> {
    this.info ??= (await ask(ServerInfo, {}, signal)).serverInfo;
    const { timezone, database, version } = this.info;
    this.header.showZone(timezone, utcOffset(timezone, new Date()), database, version);
    const situation = this.situation(this.info, signal);
    if (this.isEmpty && (await this.explainEmptiness(situation, signal))) return this.fresh('Waiting for events', FIRST_RUN_MS);
    this.prepare(situation);
    this.listenToToday();
    this.timeline.show(situation.view.user, timezone);
    const events = await this.loadAll(situation);
    this.isEmpty = events === 0 && (await this.explainEmptiness(situation, signal));
    if (events !== 0) fill(this.notices, []);
    this.setWelcome(this.isEmpty, situation.today);
    if (this.isEmpty) return this.fresh('Waiting for events', FIRST_RUN_MS);
    return this.fresh(`Updated ${this.format.time(new Date())}`, REFRESH_MS);
  }

  private fresh(text: string, next: number): number {
    if (this.isAway) fill(this.notices, []);
    this.isAway = false;
    this.header.show('live', text);
    return next;
  }

  /** Brings all switches in line with the view and marks the cards as busy. */
  private prepare(situation: Situation): void {
    this.toolbar.draw(situation);
    const view = serialiseView(situation.view);
    for (const card of this.cards) {
      if (view !== this.preparedView) keepingFocus(card.frame.controls, () => card.prepare(situation));
      card.frame.loading();
    }
    this.preparedView = view;
  }

  /** Loads headline and cards side by side. What one card is refused stays in that card. */
  private async loadAll(situation: Situation): Promise<number> {
    const jobs = this.cards.map((card) => this.loadCard(card, situation));
    const [events] = await Promise.all([this.loadHeadline(situation), ...jobs]);
    return events;
  }

  /** The number of events in range; -1 where the server refuses to count them, as the cards will say. */
  private async loadHeadline(situation: Situation): Promise<number> {
    try {
      return await this.headline.load(situation);
    } catch (error) {
      if (!(error instanceof ApiFailure) || error.kind !== 'refused') throw error;
      this.headline.hide();
      return -1;
    }
  }

  private async loadCard(card: DashboardCard, situation: Situation): Promise<void> {
    try {
      await card.load(situation);
    } catch (error) {
      if (!(error instanceof ApiFailure) || error.kind !== 'refused') throw error;
      const id = error.requestId === null ? '' : ` (request ${error.requestId})`;
      card.frame.failed(`The server refused this question: ${error.message}${id}`, () => void this.refresh());
    }
  }

  /** With no events in range: true when none are stored at all, else says where they are. */
  private async explainEmptiness({ view, timezone }: Situation, signal: AbortSignal): Promise<boolean> {
    const newest = await newestDay(timezone, signal);
    if (newest === null) {
      fill(this.notices, []);
      return true;
    }
    if (view.event !== null || view.where.length > 0) {
      fill(this.notices, [nothingPassesNotice(() => this.change({ ...withoutEvent(view), where: [] }))]);
      return false;
    }
    fill(this.notices, [elsewhereNotice(newest, this.format, (range) => this.change({ range }))]);
    return false;
  }

  private setWelcome(isEmpty: boolean, today: LocalDate): void {
    if (isEmpty && this.welcome.childElementCount === 0) fill(this.welcome, [firstRun(today)]);
    this.welcome.hidden = !isEmpty;
    this.board.hidden = isEmpty;
    if (!isEmpty) fill(this.welcome, []);
  }

  private situation(info: Info, signal: AbortSignal): Situation {
    const today = dayIn(info.timezone, new Date());
    const asked = new Map<string, Promise<unknown>>();
    const askOnce = <Data, Variables>(query: TypedDocument<Data, Variables>, variables: Variables): Promise<Data> => {
      const key = `${query.name} ${JSON.stringify(variables)}`;
      const answer = (asked.get(key) as Promise<Data> | undefined) ?? ask(query, variables, signal);
      asked.set(key, answer);
      return answer;
    };
    return { view: this.view, range: rangeOf(this.view, today), today, timezone: info.timezone, ask: askOnce };
  }

  private failed(error: unknown): number {
    const failure = error instanceof ApiFailure ? error : null;
    if (failure === null) throw error;
    for (const card of this.cards) card.frame.waiting();
    if (failure.kind === 'unauthenticated') {
      this.header.show('away', 'Key needed');
      this.askForKey(failure.message);
      return REFRESH_MS;
    }
    const words: Readonly<Record<FailureKind, string>> = {
      unreachable: 'The server does not answer.',
      unavailable: 'The server answers, but cannot work right now.',
      unauthenticated: '',
      refused: `The server refused: ${failure.message}`,
    };
    if (!this.isAway) fill(this.notices, [awayNotice(words[failure.kind])]);
    this.isAway = true;
    this.info = null;
    this.header.show('away', 'Server away');
    return AWAY_MS;
  }

  private askForKey(reason: string | null): void {
    this.header.showKeyButton();
    openKeyDialog(reason, () => void this.refresh());
  }
}
