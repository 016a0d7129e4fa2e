// Turns the schema and src/queries/*.graphql into the text of src/api/generated.ts:
// one type per operation and one typed document beside it. Pure: reads files, writes none.
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { codegen } from '@graphql-codegen/core';
import * as operations from '@graphql-codegen/typescript-operations';
import { buildSchema, parse, validate } from 'graphql';

export const playground = join(dirname(fileURLToPath(import.meta.url)), '..');
export const schemaFile = process.env.KOHORTA_SCHEMA ?? join(playground, '..', 'schema.graphql');
export const generatedFile = join(playground, 'src', 'api', 'generated.ts');

const scalars = {
  Count: 'number',
  LocalDate: 'string',
  DateTime: 'string',
  TimeZone: 'string',
  UUID: 'string',
  JSON: 'unknown',
  JSONObject: 'Record<string, unknown>',
};

/** The text that src/api/generated.ts should have. Throws when a query does not fit the schema. */
export async function generatedTypes() {
  const schemaText = readFileSync(schemaFile, 'utf8');
  const schema = buildSchema(schemaText);
  const folder = join(playground, 'src', 'queries');
  const names = readdirSync(folder).filter((name) => name.endsWith('.graphql')).sort();
  const documents = names.map((name) => {
    const rawSDL = readFileSync(join(folder, name), 'utf8');
    const document = parse(rawSDL);
    const faults = validate(schema, document);
    if (faults.length > 0) throw new Error(`${name}: ${faults.map((fault) => fault.message).join('; ')}`);
    return { location: name, document, rawSDL };
  });
  const types = await codegen({
    filename: 'generated.ts',
    schema: parse(schemaText),
    schemaAst: schema,
    documents,
    config: { scalars, strictScalars: false, enumsAsTypes: true, skipTypename: true, immutableTypes: true },
    plugins: [{ operations: {} }],
    pluginMap: { operations },
  });
  const constants = documents.map(({ location, document, rawSDL }) => {
    const name = location.replace('.graphql', '');
    const kind = document.definitions.some((node) => node.operation === 'subscription') ? 'Subscription' : 'Query';
    return `export const ${name}: TypedDocument<${name}${kind}, ${name}${kind}Variables> = {\n  name: '${name}',\n  text: ${JSON.stringify(rawSDL)},\n};\n`;
  });
  return [
    '// Generated from schema.graphql and src/queries by `npm run generate`. Do not edit.',
    "import type { TypedDocument } from './client';",
    '',
    types.trim(),
    '',
    ...constants,
  ].join('\n');
}
