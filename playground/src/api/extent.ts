// Where the stored events end in time. Used only when the chosen range is empty, so that the page can tell
// "no data at all" from "look elsewhere".

import { dayIn, type LocalDate } from '../days';
import { ask } from './client';
import { NewestEvent } from './generated';

/** The newest day with an event, or null when nothing is stored. */
export async function newestDay(timezone: string, signal: AbortSignal): Promise<LocalDate | null> {
  const { events } = await ask(NewestEvent, {}, signal);
  const [newest] = events.nodes;
  return newest === undefined ? null : dayIn(timezone, new Date(newest.occurredAt));
}
