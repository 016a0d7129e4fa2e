// Runs the example against a server of its own (KOHORTA_BIN, by default the debug build) and compares what it says.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const program = resolve(process.env.KOHORTA_BIN ?? join(here, '../../target/debug/kohorta'));
const folder = mkdtempSync(join(tmpdir(), 'kohorta-example-'));
const server = spawn(program, ['--listen', '127.0.0.1:0'], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
try {
  let url;
  for await (const line of createInterface({ input: server.stderr })) {
    url = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0];
    if (url) break;
  }
  assert.ok(url, 'the server does not start');
  const said = execFileSync('node', [join(here, 'dist/main.js')], { env: { ...process.env, KOHORTA_URL: url }, encoding: 'utf8' });
  assert.equal(said, `3 stored, 1 sent twice
event 4 rejected: eventType must not be empty
2026-03-01: 1 active, 1 new
2026-03-02: 2 active, 1 new
login: 2 events by 2 users
signup: 1 events by 1 users
`);
  console.log('the example says what it should');
} finally {
  server.kill('SIGKILL');
  rmSync(folder, { recursive: true });
}
