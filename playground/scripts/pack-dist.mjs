// After `vite build`: replaces every file of dist by its gzip and records which sources it was built from.
// The server embeds the .gz files as they are.
import { readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { distFolder, hashFile, sourcesHash } from './sources-hash.mjs';

let total = 0;
for (const name of readdirSync(distFolder, { recursive: true })) {
  const path = join(distFolder, String(name));
  if (!statSync(path).isFile()) continue;
  const packed = gzipSync(readFileSync(path), { level: 9 });
  total += packed.length;
  writeFileSync(`${path}.gz`, packed);
  rmSync(path);
}
writeFileSync(hashFile, `${sourcesHash()}\n`);
console.log(`packed ${(total / 1024).toFixed(0)} KiB`);
