// Retention: the pooled curve above, the triangle of cohorts below, column under point.

import { Retention, TopEvents } from '../api/generated';
import { Chart, axes } from '../charts/chart';
import { comparisonRange, EVENT_CHOICES, retentionVariables } from '../questions';
import { retentionTable, roundTop, triangle, type Triangle } from '../shape/retention';
import type { DashboardCard, Page, Situation } from '../situation';
import { Card, type AskedQuery } from '../ui/card';
import { select, type Option } from '../ui/controls';
import { fill, h, keepingFocus } from '../ui/dom';
import { themeColour } from '../ui/theme';
import { DEFAULT_PERIODS, type View } from '../view';
import { legend, renderTriangle } from './triangle';

interface Picture {
  readonly situation: Situation;
  readonly triangle: Triangle;
  readonly before: Triangle | null;
}

const ANY = '';
const PERIOD_CHOICES = { day: [7, 14, 30], week: [4, 8, 12, 26], month: [3, 6, 12, 18] } as const;

export class RetentionCard implements DashboardCard {
  readonly frame: Card;
  private readonly place = h('div', { class: 'plot short' });
  private readonly grid = h('div', { class: 'triangle' });
  private readonly legend = h('div', { class: 'triangle-legend' });
  private readonly chart: Chart;
  private events: readonly string[] = [];
  private picture: Picture | null = null;
  private showsAll = false;
  private drawn = '';

  constructor(private readonly page: Page) {
    this.frame = new Card('retention', 'Retention', page.format);
    const scroller = h('div', { class: 'triangle-scroll', tabindex: 0, role: 'region', 'aria-label': 'Retention by cohort' }, [this.place, this.grid]);
    this.frame.chart.append(scroller, this.legend);
    this.chart = new Chart(this.place);
  }

  prepare({ view }: Situation): void {
    this.frame.describe(view.where.length === 0 ? sentence(view) : `${sentence(view)}. Filters by property do not apply here`);
    const { unit } = view;
    const periods = view.periods ?? DEFAULT_PERIODS[unit];
    const lengths = [...new Set([...PERIOD_CHOICES[unit], periods])].sort((a, b) => a - b);
    const event = (choose: (name: string | null) => void) => (name: string) => choose(name === ANY ? null : name);
    fill(this.frame.controls, [
      select('Start', this.eventOptions(view.startEvent), view.startEvent ?? ANY, event((startEvent) => this.page.change({ startEvent }))),
      select('Return', this.eventOptions(view.returnEvent), view.returnEvent ?? ANY, event((returnEvent) => this.page.change({ returnEvent }))),
      select('Enter', [{ value: 'FIRST_EVER', label: 'first time ever' }, { value: 'RECURRING', label: `every ${unit}` }], view.entry, (entry) => this.page.change({ entry })),
      select('Count', [{ value: 'ON', label: `on ${unit} N` }, { value: 'ON_OR_AFTER', label: `on or after ${unit} N` }], view.criterion, (criterion) => this.page.change({ criterion })),
      select('Follow', lengths.map((length) => ({ value: String(length), label: `${length} ${unit}s` })), String(periods), (length) =>
        this.page.change({ periods: Number(length) === DEFAULT_PERIODS[unit] ? null : Number(length) }),
      ),
    ]);
  }

  private eventOptions(chosen: string | null): Option<string>[] {
    const names = chosen === null || this.events.includes(chosen) ? this.events : [chosen, ...this.events];
    return [{ value: ANY, label: 'any event' }, ...names.map((name) => ({ value: name, label: name }))];
  }

  async load(situation: Situation): Promise<void> {
    const { view, range, today, ask } = situation;
    const variables = retentionVariables(range, view);
    const beforeVariables = retentionVariables(comparisonRange(view, today), view);
    const [answer, before, names] = await Promise.all([
      ask(Retention, variables),
      view.compare ? ask(Retention, beforeVariables) : null,
      ask(TopEvents, { ...range, limit: EVENT_CHOICES, rankBy: 'EVENTS', filter: null }),
    ]);
    this.offer(names.topEvents.rows.map((row) => row.eventType), situation);
    const queries: AskedQuery[] = [{ label: 'Retention', text: Retention.text, variables }];
    if (before) queries.push({ label: 'Period before', text: Retention.text, variables: beforeVariables });
    const cohorts = triangle(answer, view.unit, today);
    this.picture = { situation, triangle: cohorts, before: before && triangle(before, view.unit, today) };
    const table = retentionTable(cohorts);
    if (cohorts.users === 0) {
      this.frame.empty('Nobody entered a cohort in this range.', table, queries);
      return;
    }
    this.frame.ready(table, queries);
    const key = JSON.stringify([cohorts, before, view]);
    if (key !== this.drawn) this.redraw();
    this.drawn = key;
  }

  /** Rebuilds the selectors only when the choices changed, so that an open one is not torn away. */
  private offer(names: readonly string[], situation: Situation): void {
    if (names.join('\n') === this.events.join('\n')) return;
    this.events = names;
    keepingFocus(this.frame.controls, () => this.prepare(situation));
  }

  redraw(): void {
    if (this.picture === null) return;
    const { triangle: cohorts, situation } = this.picture;
    const { unit } = situation.view;
    const { format } = this.page;
    this.frame.chart.style.setProperty('--columns', String(cohorts.indexes.length));
    fill(this.grid, [
      renderTriangle(cohorts, unit, format, this.showsAll, () => {
        this.showsAll = true;
        this.redraw();
      }),
    ]);
    fill(this.legend, legend(cohorts, format));
    this.drawCurve(this.picture);
  }

  /** Index 0 is left out where it is everybody by definition: it would press the rest to the floor. */
  private drawCurve({ triangle: { pooled, indexes, startsWithEverybody }, before, situation }: Picture): void {
    const { format } = this.page;
    const { unit } = situation.view;
    const ink = themeColour('--series-1');
    const frame = axes(indexes.map(String), (value) => format.rate(value), { gap: true });
    const left = cssLength(this.frame.chart, '--label-columns');
    const rates = (averages: Triangle['pooled']): (number | '-')[] => averages.map(({ index, rate }) => (startsWithEverybody && index === 0 ? '-' : (rate ?? '-')));
    const shown = [...rates(pooled), ...(before ? rates(before.pooled) : [])].map((rate) => (rate === '-' ? 0 : rate));
    const top = roundTop(Math.max(...shown));
    this.chart.draw(
      {
        ...frame,
        grid: { left, right: 0, top: 24, bottom: 10 },
        xAxis: { ...frame.xAxis, show: false } as typeof frame.xAxis,
        yAxis: { ...frame.yAxis, minInterval: 0, max: top, interval: top / 2 } as typeof frame.yAxis,
        series: [
          ...(before ? [{ type: 'line' as const, name: 'Period before', data: rates(before.pooled), symbol: 'none', color: themeColour('--axis'), lineStyle: { width: 1.25 }, silent: true }] : []),
          {
            type: 'line',
            name: 'All cohorts',
            data: rates(pooled),
            symbol: 'circle',
            symbolSize: 5,
            color: ink,
            lineStyle: { width: 2.25 },
            areaStyle: { color: ink, opacity: 0.06 },
            silent: true,
          },
        ],
      },
      indexes.length,
      'Share of users who came back, all complete cohorts together.',
      (index) => {
        const average = pooled[index];
        if (!average) return null;
        const earlier = before?.pooled[index];
        return {
          title: `${unit === 'day' ? 'Day' : unit === 'week' ? 'Week' : 'Month'} ${average.index}`,
          lines: [
            { colour: ink, label: `${format.count(average.retained)} of ${format.count(average.size)} users`, value: format.exactRate(average.rate ?? null) },
            { colour: null, label: 'complete cohorts', value: format.count(average.cohorts) },
            ...(earlier ? [{ colour: themeColour('--axis'), label: 'period before', value: format.exactRate(earlier.rate ?? null) }] : []),
          ],
        };
      },
    );
  }
}

/** The question in words. */
function sentence(view: View): string {
  const { unit } = view;
  const start = view.startEvent ?? 'event';
  const who = view.entry === 'FIRST_EVER' ? `Users by the ${unit} of their first ${start} ever` : `Users by each ${unit} in which they had ${view.startEvent ?? 'any event'}`;
  const back = view.returnEvent === null ? 'came back' : `came back with ${view.returnEvent}`;
  return `${who}, and how many ${back} N ${unit}s later${view.criterion === 'ON' ? '' : ' or after that'}`;
}

function cssLength(element: Element, name: string): number {
  return Number.parseFloat(getComputedStyle(element).getPropertyValue(name)) || 0;
}
