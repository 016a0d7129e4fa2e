// A few lines for web pages: events go out in batches, survive reloads and offline hours, and are stored once.
//
//   <script type="module">
//     import { Kohorta } from './kohorta.js';
//     const kohorta = new Kohorta({ url: 'https://events.example.org', apiKey: 'a key with the scope ingest' });
//     kohorta.track('ana', 'page viewed', { path: location.pathname });
//   </script>
//
// What waits is kept in localStorage until the server has answered for it, so a page that is closed loses nothing: the next
// one sends it. An event's id is made when it happens; sent twice, it is still one event.

const QUERY = `mutation ($events: [IngestEventInput!]!) {
  ingestEvents(input: { events: $events }) { stored duplicates rejections { index userErrors { message } } }
}`;
const BATCH = 200;
const MOST_KEPT = 5000;

export class Kohorta {
  #url;
  #headers;
  #storage;
  #sending = false;
  #timer;
  #pause = 1000;

  constructor({ url, apiKey, name = 'kohorta' }) {
    this.#url = `${url.replace(/\/$/, '')}/graphql`;
    this.#headers = { 'content-type': 'application/json' };
    if (apiKey) this.#headers.authorization = `Bearer ${apiKey}`;
    this.#storage = `${name}.waiting`;
    addEventListener('online', () => this.flush());
    addEventListener('pagehide', () => this.flush());
    this.#later(0);
  }

  /** Remembers one event and sends it within a second. */
  track(userId, eventType, properties = {}) {
    const event = {
      eventId: crypto.randomUUID(),
      occurredAt: new Date().toISOString(),
      userId,
      eventType,
      properties,
    };
    this.#keep([...this.waiting(), event].slice(-MOST_KEPT));
    this.#later(1000);
  }

  /** The events that no server has answered for yet. */
  waiting() {
    return JSON.parse(localStorage.getItem(this.#storage) ?? '[]');
  }

  /** Sends what waits. */
  async flush() {
    if (this.#sending) return;
    this.#sending = true;
    try {
      for (let events = this.waiting().slice(0, BATCH); events.length > 0; events = this.waiting().slice(0, BATCH)) {
        if (!(await this.#send(events))) {
          this.#later(this.#pause * (0.5 + Math.random()));
          this.#pause = Math.min(this.#pause * 2, 60_000);
          return;
        }
        this.#pause = 1000;
        const done = new Set(events.map((event) => event.eventId));
        this.#keep(this.waiting().filter((event) => !done.has(event.eventId)));
      }
    } finally {
      this.#sending = false;
    }
  }

  /** Whether the server has answered for these events, be it that it will never take them. */
  async #send(events) {
    try {
      const response = await fetch(this.#url, {
        method: 'POST',
        headers: this.#headers,
        body: JSON.stringify({ query: QUERY, variables: { events } }),
        // Lets the request outlive the page. Browsers take 64 KiB of such bodies, and one batch may be more.
        keepalive: JSON.stringify(events).length < 60_000,
      });
      const answer = await response.json();
      for (const rejection of answer.data?.ingestEvents?.rejections ?? []) {
        console.error('kohorta rejected', events[rejection.index], rejection.userErrors);
      }
      if (answer.data?.ingestEvents) return true;
      console.error('kohorta refused', answer.errors);
      return false;
    } catch {
      return false; // offline, or no server: they stay
    }
  }

  #keep(events) {
    localStorage.setItem(this.#storage, JSON.stringify(events));
  }

  #later(milliseconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), milliseconds);
  }
}
