// Finds where the stored events lie in time: whether there are any, and the newest day that has some.
// Used only when the chosen range is empty, so that the page can tell "no data at all" from "look elsewhere".

import { addDays, type LocalDate, type Range } from '../days';
import { ActiveUsers, TopEvents } from './generated';
import { ask } from './client';

const OLDEST_DAY: LocalDate = '1970-01-01';

/** Ranges of at most `maxRangeDays` days that together reach from `to` back to 1970, newest first. */
export function stretches(to: LocalDate, maxRangeDays: number): Range[] {
  const ranges: Range[] = [];
  for (let end = to; end >= OLDEST_DAY; ) {
    const start = addDays(end, 1 - maxRangeDays);
    const from = start < OLDEST_DAY ? OLDEST_DAY : start;
    ranges.push({ from, to: end });
    end = addDays(from, -1);
  }
  return ranges;
}

/** The newest day with an event, or null when nothing is stored. */
export async function newestDay(today: LocalDate, maxRangeDays: number, signal: AbortSignal): Promise<LocalDate | null> {
  for (const range of stretches(addDays(today, 1), maxRangeDays)) {
    const { topEvents } = await ask(TopEvents, { ...range, limit: 1, rankBy: 'EVENTS' }, signal);
    if (topEvents.totalEvents === 0) continue;
    const { dau } = await ask(ActiveUsers, { ...range, windowDays: 1 }, signal);
    const newest = dau.points.findLast((point) => point.users > 0);
    if (newest !== undefined) return newest.date;
  }
  return null;
}
