// What a card needs to know to ask its questions and to draw itself. Made anew for every refresh.

import type { TypedDocument } from './api/client';
import type { LocalDate, Range } from './days';
import type { Formatter } from './format';
import type { Card } from './ui/card';
import type { View } from './view';

export interface Situation {
  readonly view: View;
  readonly range: Range;
  /** Today in the reporting time zone. */
  readonly today: LocalDate;
  readonly timezone: string;
  /** Asks once per refresh, however many cards ask the same. */
  readonly ask: <Data, Variables>(query: TypedDocument<Data, Variables>, variables: Variables) => Promise<Data>;
}

/** What a card may do to the page. */
export interface Page {
  readonly format: Formatter;
  /** Changes the view: the address follows, the cards load again. */
  change(patch: Partial<View>): void;
  /** Says that an event of the page's kind was just stored: the charts follow soon. */
  arrived(): void;
}

export interface DashboardCard {
  readonly frame: Card;
  /** Brings the card's switches in line with the view; before any answer. */
  prepare(situation: Situation): void;
  /** Asks and draws. Throws what `ask` throws. */
  load(situation: Situation): Promise<void>;
  /** Draws the last answer again, in the present colours. */
  redraw(): void;
}
