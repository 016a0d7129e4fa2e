// `npm run generate`: writes src/api/generated.ts. With --check it only says whether that would change it.
import { readFileSync, writeFileSync } from 'node:fs';
import { generatedFile, generatedTypes } from './generated-types.mjs';

const text = await generatedTypes();
if (!process.argv.includes('--check')) writeFileSync(generatedFile, text);
else if (readFileSync(generatedFile, 'utf8') !== text) {
  console.error('src/api/generated.ts does not fit schema.graphql and src/queries: run `npm run generate` in playground/');
  process.exit(1);
}
