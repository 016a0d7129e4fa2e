// What we ask must fit the schema that the server publishes.

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildSchema, getVariableValues, Kind, parse, validate, type OperationDefinitionNode } from 'graphql';
import { describe, expect, test } from 'vitest';
import { examplesOf, fillIn } from '../src/graphiql/examples';

const playground = join(import.meta.dirname, '..');
const schemaFile = process.env['KOHORTA_SCHEMA'] ?? join(playground, '..', 'schema.graphql');
const schema = buildSchema(readFileSync(schemaFile, 'utf8'));
const blanks = { today: '2026-11-22', eventId: '4f0c9a3e-3a67-4a53-9d5b-6c2f4f1f3a10' };

function filesOf(extension: string): Record<string, string> {
  const folder = join(playground, 'examples');
  const names = readdirSync(folder).filter((name) => name.endsWith(extension));
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
}

const queries = filesOf('.graphql');
const variables = filesOf('.json');

describe('examples', () => {
  test('each query has its variables and no variables are left over', () => {
    const names = (files: object, extension: string) => Object.keys(files).map((name) => name.replace(extension, '')).sort();
    expect(names(queries, '.graphql')).toEqual(names(variables, '.json'));
  });

  test.each(Object.keys(queries))('%s fits the schema, and so do its variables', (name) => {
    const document = parse(queries[name] ?? '');
    expect(validate(schema, document).map((fault) => fault.message)).toEqual([]);
    const operation = document.definitions.find((node): node is OperationDefinitionNode => node.kind === Kind.OPERATION_DEFINITION);
    const text = fillIn(variables[name.replace('.graphql', '.json')] ?? '', blanks);
    const { errors } = getVariableValues(schema, operation?.variableDefinitions ?? [], JSON.parse(text) as Record<string, unknown>);
    expect(errors?.map((fault) => fault.message) ?? []).toEqual([]);
  });

  test('they tell their story in order, with one and the same event id', () => {
    const tabs = examplesOf(queries, variables, blanks);
    expect(tabs.map((tab) => /(mutation|query|subscription) (\w+)/.exec(tab.query)?.[2])).toEqual(['SendAnEvent', 'SendItAgain', 'WhoWasActive', 'WhatHappenedMost', 'WhoCameBack', 'WhatDidTheyDo', 'WatchItLive']);
    expect(tabs[0]?.variables).toBe(tabs[1]?.variables);
    expect(tabs[0]?.variables).toContain(blanks.eventId);
    expect(JSON.parse(tabs[2]?.variables ?? '')).toEqual({ from: '2026-11-16', to: '2026-11-22' });
  });

  test('a misspelt blank is an error', () => {
    expect(() => fillIn('{{tomorrow}}', blanks)).toThrow('unknown blank');
  });
});

test('the generated types are those of the present schema and queries', () => {
  execFileSync(process.execPath, [join(playground, 'scripts', 'generate-types.mjs'), '--check'], { stdio: 'pipe' });
});
