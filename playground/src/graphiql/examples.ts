// The tabs of a first visit: the files of examples/, in the order of their names, with their blanks filled in.

import { addDays, type LocalDate } from '../days';

export interface Example {
  readonly query: string;
  readonly variables: string;
}

export interface Blanks {
  readonly today: LocalDate;
  /** The same in every example, so that sending the event again is a duplicate. */
  readonly eventId: string;
}

/** Replaces `{{eventId}}`, `{{today}}` and `{{today-N}}`. An unknown blank is an error. */
export function fillIn(text: string, { today, eventId }: Blanks): string {
  return text.replaceAll(/\{\{(.*?)\}\}/g, (_whole, blank: string) => {
    if (blank === 'eventId') return eventId;
    const days = /^today(?:-(\d+))?$/.exec(blank);
    if (days === null) throw new Error(`unknown blank {{${blank}}}: use eventId, today or today-N`);
    return addDays(today, -Number(days[1] ?? 0));
  });
}

/** Pairs each `name.graphql` with its `name.json`. Keys are file paths. */
export function examplesOf(queries: Readonly<Record<string, string>>, variables: Readonly<Record<string, string>>, blanks: Blanks): Example[] {
  return Object.keys(queries)
    .sort()
    .map((path) => ({
      query: queries[path] ?? '',
      variables: fillIn(variables[path.replace('.graphql', '.json')] ?? '{}', blanks).trim(),
    }));
}
