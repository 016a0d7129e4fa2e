// `npm run generate`: writes src/api/generated.ts.
import { writeFileSync } from 'node:fs';
import { generatedFile, generatedTypes } from './generated-types.mjs';

writeFileSync(generatedFile, await generatedTypes());
console.log(`wrote ${generatedFile}`);
