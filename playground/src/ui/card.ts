// The frame around every chart: title, what it says, three ways to read it (chart, table, query),
// copy as CSV, and its loading, empty and error states. What is inside the chart is the card's own business.

import { toCsv, type Column, type Table, type TableValue } from '../shape/table';
import type { Formatter } from '../format';
import { copyText } from './announce';
import { fill, h, icon, ICONS, type Child } from './dom';

/** A question as it was asked, for the "query" view. */
export interface AskedQuery {
  readonly label: string;
  readonly text: string;
  readonly variables: unknown;
}

type Tab = 'chart' | 'table' | 'query';
const TABS: readonly { readonly tab: Tab; readonly label: string }[] = [
  { tab: 'chart', label: 'Chart' },
  { tab: 'table', label: 'Table' },
  { tab: 'query', label: 'Query' },
];

export class Card {
  readonly element: HTMLElement;
  /** Where a card puts its own switches; stays through reloads. */
  readonly controls = h('div', { class: 'card-controls' });
  /** The chart itself. */
  readonly chart = h('div', { class: 'card-chart' });
  private readonly subtitle = h('p', { class: 'card-subtitle' });
  private readonly message = h('div', { class: 'card-message', hidden: true });
  private readonly tablePane = h('div', { class: 'card-table', hidden: true, tabindex: 0, role: 'region' });
  private readonly queryPane = h('div', { class: 'card-query', hidden: true });
  private readonly tabButtons: HTMLButtonElement[];
  private readonly copyButton: HTMLButtonElement;
  private tab: Tab = 'chart';
  private table: Table | null = null;
  private queries: readonly AskedQuery[] = [];
  private hasData = false;
  private isEmpty = false;

  constructor(
    readonly id: string,
    private readonly title: string,
    private readonly format: Formatter,
  ) {
    const headingId = `${id}-title`;
    this.tabButtons = TABS.map(({ tab, label }) =>
      h('button', { type: 'button', 'aria-pressed': tab === 'chart' ? 'true' : 'false', title: `${label} view`, 'aria-label': `${title}: ${label.toLowerCase()} view` }, [icon(ICONS[tab])], {
        click: () => this.show(tab),
      }),
    );
    this.copyButton = h('button', { type: 'button', class: 'quiet', title: 'Copy as CSV', 'aria-label': `${title}: copy as CSV`, disabled: true }, [icon(ICONS.copy)], {
      click: () => {
        if (this.table) void copyText(toCsv(this.table), `${this.title} as CSV`);
      },
    });
    this.tablePane.setAttribute('aria-label', `${title} as a table`);
    this.element = h('section', { class: 'card', id, 'aria-labelledby': headingId }, [
      h('header', { class: 'card-header' }, [
        h('div', { class: 'card-heading' }, [h('h2', { id: headingId }, title), this.subtitle]),
        h('div', { class: 'card-tools' }, [
          h('div', { class: 'segmented icons', role: 'group', 'aria-label': `${title}: ways to read it` }, this.tabButtons),
          this.copyButton,
        ]),
      ]),
      this.controls,
      this.message,
      this.chart,
      this.tablePane,
      this.queryPane,
    ]);
    this.loading();
  }

  /** What the chart says, in a sentence. */
  describe(text: string): void {
    this.subtitle.textContent = text;
  }

  /** Before the first answer a skeleton; later the old picture stays, a little paler, until the new one is there. */
  loading(): void {
    this.element.setAttribute('aria-busy', 'true');
    this.element.classList.toggle('first-load', !this.hasData);
  }

  /** Shows an answer. The chart must be drawn already. */
  ready(table: Table, queries: readonly AskedQuery[]): void {
    this.answered(table, queries, false);
  }

  private answered(table: Table, queries: readonly AskedQuery[], isEmpty: boolean): void {
    this.settle();
    this.hasData = true;
    this.isEmpty = isEmpty;
    this.table = table;
    this.queries = queries;
    this.copyButton.disabled = false;
    this.show(this.tab);
  }

  /** Shows that there is nothing to draw. Table and query stay readable. */
  empty(text: string, table: Table, queries: readonly AskedQuery[]): void {
    fill(this.message, [h('p', {}, text)]);
    this.answered(table, queries, true);
  }

  /** Shows why there is no answer; an old picture is not left standing as if it were true. */
  failed(text: string, retry: () => void): void {
    this.settle();
    this.hasData = false;
    this.isEmpty = true;
    this.table = null;
    this.queries = [];
    this.tab = 'chart';
    this.copyButton.disabled = true;
    fill(this.message, [
      h('p', { class: 'error-text' }, text),
      h('button', { type: 'button', class: 'button' }, 'Try again', { click: retry }),
    ]);
    this.show('chart');
  }

  /** Stops the waiting without an answer, because the server is away: keeps what is there. */
  waiting(): void {
    this.element.removeAttribute('aria-busy');
  }

  private settle(): void {
    this.element.removeAttribute('aria-busy');
    this.element.classList.remove('first-load');
  }

  private show(tab: Tab): void {
    this.tab = tab;
    this.tabButtons.forEach((button, index) => button.setAttribute('aria-pressed', TABS[index]?.tab === tab ? 'true' : 'false'));
    this.chart.hidden = tab !== 'chart' || this.isEmpty;
    this.message.hidden = tab !== 'chart' || !this.isEmpty;
    this.tablePane.hidden = tab !== 'table';
    this.queryPane.hidden = tab !== 'query';
    if (tab === 'table') fill(this.tablePane, [this.table && renderTable(this.table, this.title, this.format)]);
    if (tab === 'query') fill(this.queryPane, this.queries.map(renderQuery));
  }
}

function renderTable(table: Table, caption: string, format: Formatter): HTMLElement {
  const numeric = (column: Column | undefined): string | null => (column?.kind === 'text' ? null : 'number');
  return h('table', { class: 'plain' }, [
    h('caption', { class: 'visually-hidden' }, caption),
    h('thead', {}, [h('tr', {}, table.columns.map((column) => h('th', { scope: 'col', class: numeric(column) }, column.label)))]),
    h(
      'tbody',
      {},
      table.rows.map((row) =>
        h(
          'tr',
          {},
          row.map((value, index) => h(index === 0 ? 'th' : 'td', { class: numeric(table.columns[index]), scope: index === 0 ? 'row' : null }, shown(value, table.columns[index], format))),
        ),
      ),
    ),
  ]);
}

function shown(value: TableValue, column: Column | undefined, format: Formatter): string {
  if (value === null) return '–';
  if (typeof value === 'string') return value;
  return column?.kind === 'rate' ? format.exactRate(value) : format.count(value);
}

/** Where GraphiQL opens with this query. */
export function graphiqlLink(query: AskedQuery): string {
  const parameters = new URLSearchParams({ query: query.text, variables: JSON.stringify(query.variables, null, 2) });
  return `graphiql?${parameters.toString()}`;
}

function renderQuery(query: AskedQuery): Child {
  const variables = JSON.stringify(query.variables, null, 2);
  return h('div', { class: 'query' }, [
    h('div', { class: 'query-head' }, [
      h('h3', {}, query.label),
      h('a', { class: 'button', href: graphiqlLink(query) }, 'Open in GraphiQL'),
      h('button', { type: 'button', class: 'button' }, 'Copy', { click: () => void copyText(`${query.text}\n# variables\n${variables.replaceAll(/^/gm, '# ')}\n`, 'Query') }),
    ]),
    h('div', { class: 'query-body' }, [
      h('pre', { tabindex: 0, 'aria-label': `${query.label}: query` }, query.text.trim()),
      h('pre', { tabindex: 0, 'aria-label': `${query.label}: variables` }, variables),
    ]),
  ]);
}
