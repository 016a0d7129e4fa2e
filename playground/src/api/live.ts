// Live answers: subscriptions over one WebSocket, which is open only while somebody listens.
// A connection that breaks is tried again, slower each time; what the page shows meanwhile comes from its ordinary refresh.

import { createClient, type Client } from 'graphql-ws';
import { endpoint, type TypedDocument } from './client';
import { apiKey } from './key';

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;
/** Close codes after which the same attempt would fail again: not allowed to connect, not allowed to listen. */
const FINAL_CODES = new Set([4400, 4401, 4403]);

export interface Listener<Data> {
  readonly next: (data: Data) => void;
  /** Whether answers are coming in at this moment. */
  readonly connected: (isConnected: boolean) => void;
}

export class Live {
  private readonly client: Client;
  private readonly watchers = new Set<(isConnected: boolean) => void>();

  constructor() {
    this.client = createClient({
      url: endpoint().replace(/^http/, 'ws'),
      lazy: true,
      lazyCloseTimeout: 2_000,
      connectionParams: () => {
        const key = apiKey();
        return key === null ? {} : { authorization: `Bearer ${key}` };
      },
      retryAttempts: Number.MAX_SAFE_INTEGER,
      retryWait: (retries) => new Promise((resolve) => setTimeout(resolve, waitBefore(retries))),
      shouldRetry: (event) => !(event instanceof CloseEvent && FINAL_CODES.has(event.code)),
      on: {
        connected: () => this.tell(true),
        closed: () => this.tell(false),
      },
    });
  }

  /** Listens until the returned function is called. */
  listen<Data, Variables extends Record<string, unknown>>(document: TypedDocument<Data, Variables>, variables: Variables, listener: Listener<Data>): () => void {
    this.watchers.add(listener.connected);
    const stop = this.client.subscribe<Data>(
      { query: document.text, operationName: document.name, variables },
      {
        next: ({ data }) => {
          if (data) listener.next(data);
        },
        error: () => listener.connected(false),
        complete: () => listener.connected(false),
      },
    );
    return () => {
      this.watchers.delete(listener.connected);
      stop();
    };
  }

  private tell(isConnected: boolean): void {
    for (const watcher of this.watchers) watcher(isConnected);
  }
}

/** Milliseconds before an attempt: doubled each time, and spread so that many pages do not come back at once. */
function waitBefore(retries: number): number {
  return Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(retries, 10)) * (0.5 + Math.random() / 2);
}
