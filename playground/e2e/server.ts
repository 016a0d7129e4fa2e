// The real server, on a free port with a database of its own in a temporary folder.

import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const BINARY = process.env['KOHORTA_BIN'] ?? join(import.meta.dirname, '..', '..', 'target', 'debug', 'kohorta');
const START_TIMEOUT_MS = 60_000;

export interface GraphQLAnswer<Data> {
  readonly data: Data;
  readonly errors?: readonly { readonly message: string }[];
}

export class Server {
  private constructor(
    private readonly folder: string,
    private process: ChildProcess,
    readonly url: string,
  ) {}

  static async start(): Promise<Server> {
    if (!existsSync(BINARY)) throw new Error(`${BINARY} is missing: run \`cargo build\`, or name another with KOHORTA_BIN`);
    const folder = mkdtempSync(join(tmpdir(), 'kohorta-e2e-'));
    const { child, url } = await launch(folder, '127.0.0.1:0');
    return new Server(folder, child, url);
  }

  /** Stops the process and keeps the database. */
  async pause(): Promise<void> {
    await stopped(this.process);
  }

  /** Starts it again at the same address. */
  async resume(): Promise<void> {
    this.process = (await launch(this.folder, new URL(this.url).host)).child;
  }

  async stop(): Promise<void> {
    await stopped(this.process);
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Asks the API directly, past the page. */
  async ask<Data>(query: string, variables: object = {}): Promise<Data> {
    const response = await fetch(`${this.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify({ query, variables }),
    });
    const answer = (await response.json()) as GraphQLAnswer<Data>;
    if (answer.errors) throw new Error(answer.errors.map((error) => error.message).join('; '));
    return answer.data;
  }
}

async function launch(folder: string, listen: string): Promise<{ child: ChildProcess; url: string }> {
  const child = spawn(BINARY, ['--listen', listen, '--database-url', `sqlite://${join(folder, 'events.db')}`], { stdio: ['ignore', 'ignore', 'pipe'] });
  const lines: string[] = [];
  const url = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the server did not start:\n${lines.join('\n')}`)), START_TIMEOUT_MS);
    child.once('exit', (code) => reject(new Error(`the server ended with ${code}:\n${lines.join('\n')}`)));
    if (child.stderr === null) return;
    createInterface(child.stderr).on('line', (line) => {
      lines.push(line);
      const found = /listening.*?(http:\/\/127\.0\.0\.1:\d+)/.exec(line);
      if (found?.[1] === undefined) return;
      clearTimeout(timer);
      resolve(found[1]);
    });
  });
  return { child, url };
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await gone;
}
