// One hash over everything the build output depends on: file names and contents, in order of name.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const playground = join(dirname(fileURLToPath(import.meta.url)), '..');
export const distFolder = join(playground, 'dist');
export const hashFile = join(distFolder, 'sources.sha256');

const SOURCES = ['src', 'examples', 'public', 'index.html', 'graphiql.html', 'vite.config.ts', 'tsconfig.json', 'package-lock.json', 'scripts/pack-dist.mjs'];

export function sourcesHash() {
  const hash = createHash('sha256');
  for (const path of SOURCES.flatMap((name) => filesOf(join(playground, name))).sort()) {
    hash.update(`${relative(playground, path)}\0`);
    hash.update(readFileSync(path));
    hash.update('\0');
  }
  return hash.digest('hex');
}

/** The recorded hash, or null when nothing was built. */
export function recordedHash() {
  return existsSync(hashFile) ? readFileSync(hashFile, 'utf8').trim() : null;
}

function filesOf(path) {
  if (statSync(path).isFile()) return [path];
  return readdirSync(path).flatMap((name) => filesOf(join(path, name)));
}
