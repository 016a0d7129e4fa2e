// Active users: per day with trailing weekly and monthly users on demand, or per calendar week or month.
// What has not ended is dashed; the period before is a thin grey line.

import type { LineSeriesOption } from 'echarts/charts';
import { axes, Chart, type Note } from '../charts/chart';
import { activeUsersTable, type ActivePeriod, type NamedSeries } from '../shape/activeUsers';
import { comparisonRange } from '../questions';
import type { DashboardCard, Page, Situation } from '../situation';
import { Card, type AskedQuery } from '../ui/card';
import { fill, h } from '../ui/dom';
import { toggle } from '../ui/controls';
import { themeColour } from '../ui/theme';
import { LINES, type Line, type View } from '../view';
import { askActivity, askLine, UNIT_TITLES, type Activity } from './activity';

interface DrawnLine extends NamedSeries {
  readonly colour: string;
  readonly emphasis: 'main' | 'plain' | 'before';
}

interface Picture {
  readonly situation: Situation;
  readonly lines: readonly DrawnLine[];
}

const LINE_NAMES: Readonly<Record<Line, string>> = { dau: 'Daily', wau: 'Weekly', mau: 'Monthly' };
const LINE_HINTS: Readonly<Record<Line, string>> = { dau: 'Users of the day', wau: 'Users of the 7 days up to the day', mau: 'Users of the 30 days up to the day' };
const LINE_COLOURS: Readonly<Record<Line, string>> = { dau: '--series-1', wau: '--series-2', mau: '--series-3' };

export class ActiveUsersCard implements DashboardCard {
  readonly frame: Card;
  private readonly chart: Chart;
  private picture: Picture | null = null;

  constructor(private readonly page: Page) {
    this.frame = new Card('active-users', 'Active users', page.format);
    const place = h('div', { class: 'plot tall' });
    this.frame.chart.append(place);
    this.chart = new Chart(place);
  }

  prepare({ view }: Situation): void {
    this.frame.describe(
      view.unit === 'day' ? 'Distinct users with at least one event' : `Distinct users of each calendar ${view.unit}, whole ${view.unit}s`,
    );
    fill(this.frame.controls, [
      ...(view.unit === 'day' ? LINES.map((line) => this.lineToggle(view, line)) : []),
      view.compare && h('span', { class: 'legend' }, [h('i', { class: 'swatch before' }), view.unit === 'day' ? 'Daily, period before' : 'Period before']),
    ]);
  }

  private lineToggle(view: View, line: Line): HTMLElement {
    const on = view.lines.includes(line);
    const swatch = h('i', { class: `swatch ${line}` });
    const button = toggle(LINE_NAMES[line], on, () => {
      const lines = LINES.filter((other) => (other === line ? !on : view.lines.includes(other)));
      this.page.change({ lines: lines.length > 0 ? lines : ['dau'] });
    }, swatch);
    button.title = LINE_HINTS[line];
    return button;
  }

  async load(situation: Situation): Promise<void> {
    const { view, range } = situation;
    const before = view.compare ? askActivity(situation, comparisonRange(view, situation.today), 'Period before') : null;
    const main: [Line, Promise<Activity>][] =
      view.unit === 'day'
        ? view.lines.map((line) => [line, askLine(situation, range, line, `${LINE_NAMES[line]} active users`)])
        : [['dau', askActivity(situation, range, UNIT_TITLES[view.unit])]];
    const [answers, earlier] = await Promise.all([Promise.all(main.map(([, answer]) => answer)), before]);
    const lines: DrawnLine[] = answers.map(({ periods }, index) => {
      const line = main[index]?.[0] ?? 'dau';
      const label = view.unit === 'day' ? LINE_NAMES[line] : 'Active users';
      return { label, field: view.unit === 'day' ? line : 'users', periods, colour: LINE_COLOURS[line], emphasis: index === 0 ? 'main' : 'plain' };
    });
    if (earlier) lines.push({ label: 'Period before', field: 'users_before', periods: earlier.periods, colour: '--axis', emphasis: 'before' });
    const queries: AskedQuery[] = [...answers, ...(earlier ? [earlier] : [])].map(({ query }) => query);
    this.picture = { situation, lines };
    const table = activeUsersTable(lines);
    if (lines.every(({ periods }) => periods.every(({ users }) => users === 0))) {
      this.frame.empty('Nobody was active in this range.', table, queries);
      return;
    }
    this.frame.ready(table, queries);
    this.redraw();
  }

  redraw(): void {
    if (this.picture === null) return;
    const { situation, lines } = this.picture;
    const { format } = this.page;
    const { unit } = situation.view;
    const main = lines[0]?.periods ?? [];
    const labels = main.map((point) => format.periodShort(point.start, unit));
    const series = lines.flatMap((line) => lineSeries(line, main.length, situation.today));
    this.chart.draw(
      { ...axes(labels, (value) => format.compact(value), { gap: false }), series },
      main.length,
      this.summary(main),
      (index) => this.note(index),
    );
  }

  private summary(points: readonly ActivePeriod[]): string {
    const title = UNIT_TITLES[this.picture?.situation.view.unit ?? 'day'];
    const full = points.filter((point) => point.complete);
    const last = full.at(-1);
    if (!last) return `${title}.`;
    const { format } = this.page;
    const values = full.map((point) => point.users);
    const bounds = `between ${format.count(Math.min(...values))} and ${format.count(Math.max(...values))}`;
    return `${title}: ${bounds}, last ${format.count(last.users)}.`;
  }

  private note(index: number): Note | null {
    const point = this.picture?.lines[0]?.periods[index];
    if (!this.picture || !point) return null;
    const { format } = this.page;
    const { unit } = this.picture.situation.view;
    return {
      title: `${format.period(point.start, unit)}${point.complete ? '' : ' (so far)'}`,
      lines: this.picture.lines.flatMap((line) => {
        const own = line.periods[index];
        if (!own) return [];
        const label = line.emphasis === 'before' ? format.period(own.start, unit) : line.label;
        return [{ colour: themeColour(line.colour), label, value: format.count(own.users) }];
      }),
    };
  }
}

/** A solid line up to the last complete period and a dashed one from there; nothing for periods that have not begun. */
function lineSeries(line: DrawnLine, length: number, today: string): LineSeriesOption[] {
  const colour = themeColour(line.colour);
  const points = line.periods.slice(0, length);
  const lastComplete = points.findLastIndex((point) => point.complete);
  const known = points.map((point) => (point.start <= today ? point.users : '-'));
  const width = line.emphasis === 'main' ? 2.25 : line.emphasis === 'plain' ? 2 : 1.25;
  const shared = { type: 'line' as const, symbol: 'circle', color: colour, emphasis: { disabled: true }, silent: true, z: line.emphasis === 'main' ? 4 : 3 };
  const solid: LineSeriesOption = {
    ...shared,
    name: line.label,
    data: known.map((value, index) => (line.emphasis === 'before' || index <= lastComplete ? value : '-')),
    showSymbol: lastComplete === 0,
    symbolSize: 6,
    lineStyle: { width, color: colour },
    ...(line.emphasis === 'main' ? { areaStyle: { color: colour, opacity: 0.07 } } : {}),
  };
  if (line.emphasis === 'before' || lastComplete === points.length - 1) return [solid];
  const dashed: LineSeriesOption = {
    ...shared,
    name: `${line.label} so far`,
    data: known.map((value, index) => (index < lastComplete ? '-' : index === lastComplete ? value : { value, symbolSize: 7 })),
    showSymbol: true,
    symbolSize: (_value, parameters) => (parameters.dataIndex === lastComplete ? 0 : 7),
    itemStyle: { color: themeColour('--surface'), borderColor: colour, borderWidth: 1.75 },
    lineStyle: { width, color: colour, type: [4, 4] },
  };
  return [solid, dashed];
}
