// ECharts with only what we draw: lines and stacked bars, as SVG, in the page's own colours.
// Arrow keys walk through the points; each is spoken.

import { BarChart, LineChart, type BarSeriesOption, type LineSeriesOption } from 'echarts/charts';
import { GridComponent, TooltipComponent, type GridComponentOption, type TooltipComponentOption } from 'echarts/components';
import { init, use, type ComposeOption, type ECharts } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import { speak } from '../ui/announce';
import { themeColour } from '../ui/theme';

use([BarChart, LineChart, GridComponent, TooltipComponent, SVGRenderer]);

export type ChartOption = ComposeOption<BarSeriesOption | LineSeriesOption | GridComponentOption | TooltipComponentOption>;

/** What a chart shows at one place of its horizontal axis. */
export interface Note {
  readonly title: string;
  readonly lines: readonly { readonly colour: string | null; readonly label: string; readonly value: string }[];
}

export class Chart {
  private chart: ECharts | null = null;
  private note: (index: number) => Note | null = () => null;
  /** What stands there: the same picture is not drawn again, so that a note being read stays. */
  private drawn = '';
  private length = 0;
  private current = -1;

  constructor(private readonly element: HTMLElement) {
    new ResizeObserver(() => {
      if (element.clientWidth > 0) this.chart?.resize(this.size());
    }).observe(element);
    element.tabIndex = 0;
    element.setAttribute('role', 'img');
    element.addEventListener('keydown', (event) => this.walk(event));
    element.addEventListener('blur', () => this.chart?.dispatchAction({ type: 'hideTip' }));
  }

  /** Draws. `length` is the number of places on the horizontal axis, `label` the picture in one sentence. */
  draw(option: ChartOption, length: number, label: string, note: (index: number) => Note | null): void {
    this.note = note;
    const key = JSON.stringify([option, label]);
    if (key === this.drawn) return;
    this.drawn = key;
    this.length = length;
    this.current = -1;
    this.element.setAttribute('aria-label', `${label} Arrow keys read the points.`);
    const isFirst = this.chart === null;
    const still = !isFirst || window.matchMedia('(prefers-reduced-motion: reduce)').matches;
    const tooltip: TooltipComponentOption = {
      trigger: 'axis',
      confine: true,
      backgroundColor: themeColour('--raised'),
      borderColor: themeColour('--line'),
      padding: [10, 12],
      textStyle: { color: themeColour('--ink'), fontSize: 12.5, fontFamily: 'inherit' },
      extraCssText: 'box-shadow: 0 6px 24px rgb(0 0 0 / 0.14); border-radius: 8px;',
      axisPointer: { type: 'line', lineStyle: { color: themeColour('--axis'), type: 'solid', width: 1 } },
      formatter: (parameters) => {
        const first = Array.isArray(parameters) ? parameters[0] : parameters;
        const found = first ? note(first.dataIndex) : null;
        return found ? noteElement(found) : '';
      },
    };
    this.chart ??= init(this.element, null, { renderer: 'svg', ...this.size() });
    this.chart.setOption(
      { animation: !still, animationDuration: 350, textStyle: { fontFamily: 'inherit' }, ...option, tooltip: { ...tooltip, ...(option.tooltip as TooltipComponentOption | undefined) } },
      { notMerge: true },
    );
  }

  /** A chart may be drawn while its page is still hidden; the observer corrects the size once it is seen. */
  private size(): { width: number; height: number } {
    return { width: this.element.clientWidth || 600, height: this.element.clientHeight || 200 };
  }

  private walk(event: KeyboardEvent): void {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -this.length, End: this.length }[event.key];
    if (step === undefined || this.length === 0) return;
    event.preventDefault();
    const start = this.current === -1 && step < 0 ? this.length : this.current;
    this.current = Math.min(this.length - 1, Math.max(0, start + step));
    this.chart?.dispatchAction({ type: 'showTip', seriesIndex: 0, dataIndex: this.current });
    const note = this.note(this.current);
    if (note) speak(`${note.title}: ${note.lines.map(({ label, value }) => `${label} ${value}`).join(', ')}`);
  }
}

function noteElement(note: Note): HTMLElement {
  const box = document.createElement('div');
  box.className = 'note';
  const title = document.createElement('strong');
  title.textContent = note.title;
  box.append(title);
  for (const line of note.lines) {
    const row = document.createElement('div');
    const dot = document.createElement('i');
    if (line.colour !== null) dot.style.background = line.colour;
    const label = document.createElement('span');
    label.textContent = line.label;
    const value = document.createElement('b');
    value.textContent = line.value;
    row.append(dot, label, value);
    box.append(row);
  }
  return box;
}

/** Labels of the horizontal axis; more would run into each other. */
const MOST_LABELS = 10;

type Single<Option> = Exclude<Option, readonly unknown[] | undefined>;

export interface Frame {
  readonly grid: GridComponentOption;
  readonly xAxis: Single<ChartOption['xAxis']>;
  readonly yAxis: Single<ChartOption['yAxis']>;
}

/** Axes in the page's colours: labels at the bottom, faint horizontal lines, nothing else. */
export function axes(labels: readonly string[], formatValue: (value: number) => string, options: { readonly gap: boolean }): Frame {
  const step = Math.max(1, Math.ceil(labels.length / MOST_LABELS));
  const label = { color: themeColour('--muted'), fontSize: 11.5, fontFamily: 'inherit' };
  return {
    grid: { left: 4, right: 12, top: 14, bottom: 4, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    xAxis: {
      type: 'category',
      data: [...labels],
      boundaryGap: options.gap,
      axisTick: { show: false },
      axisLine: { lineStyle: { color: themeColour('--line') } },
      axisLabel: { ...label, hideOverlap: true, margin: 10, interval: (index) => index % step === 0 },
    },
    yAxis: {
      type: 'value',
      min: 0,
      minInterval: 1,
      splitNumber: 4,
      axisLabel: { ...label, formatter: formatValue },
      splitLine: { lineStyle: { color: themeColour('--grid') } },
    },
  };
}
