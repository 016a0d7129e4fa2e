// `npm run check:dist`: fails unless dist was built from the sources as they are now.
import { recordedHash, sourcesHash } from './sources-hash.mjs';

const recorded = recordedHash();
if (recorded !== sourcesHash()) {
  console.error(
    recorded === null
      ? 'playground/dist is missing: run `npm run build` in playground/ and commit the result'
      : 'playground/dist was not built from the present sources: run `npm run build` in playground/ and commit the result',
  );
  process.exit(1);
}
console.log('playground/dist is built from the present sources');
