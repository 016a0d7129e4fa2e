// What stands instead of, or above, the charts: the server is away, the range is empty, nothing is stored yet.

import type { Formatter } from '../format';
import { addDays, type LocalDate } from '../days';
import type { RangeChoice } from '../view';
import { copyText } from './announce';
import { h } from './dom';
import { endpoint } from '../api/client';

export function awayNotice(text: string): HTMLElement {
  return h('div', { class: 'notice warning', role: 'alert' }, [h('strong', {}, text), h('span', {}, 'Trying again by itself. What you see is from before.')]);
}

/** The range is empty but others are not. */
export function elsewhereNotice(newest: LocalDate, format: Formatter, go: (range: RangeChoice) => void): HTMLElement {
  return h('div', { class: 'notice', role: 'status' }, [
    h('strong', {}, 'No events in this range.'),
    h('span', {}, `The newest event is from ${format.fullDay(newest)}.`),
    h('button', { type: 'button', class: 'button' }, 'Show the 90 days up to then', {
      click: () => go({ kind: 'custom', from: addDays(newest, -89), to: newest }),
    }),
  ]);
}

/** Events there are in plenty, but none that pass the filter. */
export function nothingPassesNotice(letGo: () => void): HTMLElement {
  return h('div', { class: 'notice', role: 'status' }, [
    h('strong', {}, 'No event in this range passes the filter.'),
    h('button', { type: 'button', class: 'button' }, 'Remove the filter', { click: letGo }),
  ]);
}

interface Way {
  readonly title: string;
  readonly hint: string;
  readonly code: string;
}

function ways(url: string, today: LocalDate): readonly Way[] {
  const mutation = 'mutation ($event: IngestEventInput!) { ingestEvent(input: $event) { status } }';
  return [
    {
      title: 'From a terminal',
      hint: 'curl is enough. Send it twice with an eventId and it is still counted once.',
      code: `curl ${url} \\\n  -H 'content-type: application/json' \\\n  -d '{\n    "query": "${mutation}",\n    "variables": {\n      "event": { "userId": "ada", "eventType": "signup" }\n    }\n  }'`,
    },
    {
      title: 'From JavaScript',
      hint: 'In Node, Deno or Bun, or a page of the same origin. No library needed.',
      code: `await fetch('${url}', {\n  method: 'POST',\n  headers: { 'content-type': 'application/json' },\n  body: JSON.stringify({\n    query: \`mutation ($event: IngestEventInput!) {\n      ingestEvent(input: $event) { status }\n    }\`,\n    variables: { event: { userId: 'ada', eventType: 'signup' } },\n  }),\n});`,
    },
    {
      title: 'Test data, or your own files',
      hint: 'Ninety days of a busy product. The same command imports your CSV and NDJSON files; --database-url (or DATABASE_URL) names the database of this server.',
      code: `kohorta-import generate --events 200000 --start ${addDays(today, -90)} --output events.csv.gz\nkohorta-import events.csv.gz`,
    },
  ];
}

/** The first screen of an empty database. */
export function firstRun(today: LocalDate): HTMLElement {
  return h('section', { class: 'first-run', 'aria-labelledby': 'first-run-title' }, [
    h('div', { class: 'first-run-head' }, [
      h('h1', { id: 'first-run-title' }, 'Send the first event'),
      h('p', {}, 'Kohorta is running and has nothing to show yet. As soon as an event arrives, this page turns into your dashboard by itself.'),
      h('p', { class: 'waiting', role: 'status' }, 'Listening for events'),
    ]),
    h(
      'div',
      { class: 'ways' },
      ways(endpoint(), today).map((way) =>
        h('article', { class: 'way' }, [
          h('header', {}, [
            h('h2', {}, way.title),
            h('button', { type: 'button', class: 'button', 'aria-label': `Copy: ${way.title}` }, 'Copy', { click: () => void copyText(way.code, way.title) }),
          ]),
          h('p', {}, way.hint),
          h('pre', { tabindex: 0, 'aria-label': way.title }, way.code),
        ]),
      ),
    ),
    h('p', { class: 'first-run-foot' }, ['Or try every question and mutation by hand in ', h('a', { href: 'graphiql' }, 'GraphiQL'), ', with examples ready to run.']),
  ]);
}
