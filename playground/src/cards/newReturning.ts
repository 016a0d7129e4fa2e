// New against returning users, stacked. New is the first event in all stored history, not in the range.

import { axes, Chart, type Note } from '../charts/chart';
import { newReturningTable, type ActivePeriod } from '../shape/activeUsers';
import type { DashboardCard, Page, Situation } from '../situation';
import { Card } from '../ui/card';
import { fill, h } from '../ui/dom';
import { themeColour } from '../ui/theme';
import { askActivity, UNIT_TITLES } from './activity';

interface Picture {
  readonly situation: Situation;
  readonly periods: readonly ActivePeriod[];
}

export class NewReturningCard implements DashboardCard {
  readonly frame: Card;
  private readonly chart: Chart;
  private picture: Picture | null = null;

  constructor(private readonly page: Page) {
    this.frame = new Card('new-returning', 'New and returning', page.format);
    const place = h('div', { class: 'plot' });
    this.frame.chart.append(place);
    this.chart = new Chart(place);
    fill(this.frame.controls, [
      h('span', { class: 'legend' }, [h('i', { class: 'swatch new' }), 'New']),
      h('span', { class: 'legend' }, [h('i', { class: 'swatch returning' }), 'Returning']),
    ]);
  }

  prepare({ view }: Situation): void {
    this.frame.describe(`Active users by ${view.unit}; new means the first event ever`);
  }

  async load(situation: Situation): Promise<void> {
    const { periods, query } = await askActivity(situation, situation.range, UNIT_TITLES[situation.view.unit]);
    this.picture = { situation, periods };
    const table = newReturningTable(periods);
    if (periods.every(({ users }) => users === 0)) {
      this.frame.empty('Nobody was active in this range.', table, [query]);
      return;
    }
    this.frame.ready(table, [query]);
    this.redraw();
  }

  redraw(): void {
    if (this.picture === null) return;
    const { periods, situation } = this.picture;
    const { format } = this.page;
    const bars = (name: string, colour: string, value: (point: ActivePeriod) => number) => ({
      name,
      type: 'bar' as const,
      stack: 'users',
      color: themeColour(colour),
      barMaxWidth: 40,
      barCategoryGap: '28%',
      silent: true,
      data: periods.map((point) => ({ value: value(point), itemStyle: { opacity: point.complete ? 1 : 0.5 } })),
    });
    this.chart.draw(
      {
        ...axes(periods.map((point) => format.periodShort(point.start, situation.view.unit)), (value) => format.compact(value), { gap: true }),
        series: [
          bars('Returning', '--series-returning', (point) => point.returningUsers),
          bars('New', '--series-new', (point) => point.newUsers),
        ],
      },
      periods.length,
      this.summary(periods),
      (index) => this.note(index),
    );
  }

  private summary(periods: readonly ActivePeriod[]): string {
    const { format } = this.page;
    const total = periods.reduce((sum, point) => sum + point.newUsers, 0);
    return `New and returning users: ${format.count(total)} new users in all.`;
  }

  private note(index: number): Note | null {
    const point = this.picture?.periods[index];
    if (!this.picture || !point) return null;
    const { format } = this.page;
    return {
      title: `${format.period(point.start, this.picture.situation.view.unit)}${point.complete ? '' : ' (so far)'}`,
      lines: [
        { colour: themeColour('--series-new'), label: 'New', value: format.count(point.newUsers) },
        { colour: themeColour('--series-returning'), label: 'Returning', value: format.count(point.returningUsers) },
        { colour: null, label: 'Active', value: format.count(point.users) },
      ],
    };
  }
}
