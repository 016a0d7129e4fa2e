// Entry of the GraphiQL page: the current GraphiQL with our examples as first tabs, links that carry a query,
// and the API key of this browser tab where the server wants one.

import 'graphiql/setup-workers/vite';
import 'graphiql/style.css';
import '../base.css';
import './graphiql.css';
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { GraphiQL, HISTORY_PLUGIN } from 'graphiql';
import { createClient } from 'graphql-ws';
import { useEffect, useState, type ReactElement } from 'react';
import { createRoot } from 'react-dom/client';
import { endpoint } from '../api/client';
import { apiKey } from '../api/key';
import { dayIn } from '../days';
import { mountAnnouncer } from '../ui/announce';
import { Header, openKeyDialog } from '../ui/header';
import { applyTheme, currentTheme, onThemeChange } from '../ui/theme';
import { examplesOf, type Example } from './examples';

const EXAMPLE_QUERIES = import.meta.glob<string>('../../examples/*.graphql', { query: '?raw', import: 'default', eager: true });
const EXAMPLE_VARIABLES = import.meta.glob<string>('../../examples/*.json', { query: '?raw', import: 'default', eager: true });

/** What the variables editor takes for our scalars; it knows the built-in ones only. */
const SCALARS = {
  UUID: { type: 'string', format: 'uuid' },
  DateTime: { type: 'string' },
  LocalDate: { type: 'string' },
  TimeZone: { type: 'string' },
  JSONObject: { type: 'object' },
  JSON: {},
  Count: { type: 'integer', minimum: 0 },
};

/** A new key changes what the schema shows, so the page starts over. */
function askForKey(reason: string | null): void {
  header.showKeyButton();
  openKeyDialog(reason, () => location.reload());
}

function authorization(): Record<string, string> {
  const key = apiKey();
  return key === null ? {} : { authorization: `Bearer ${key}` };
}

async function fetchWithKey(input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const key = apiKey();
  if (key !== null && !headers.has('authorization')) headers.set('authorization', `Bearer ${key}`);
  const response = await fetch(input, { ...init, headers });
  if (response.status === 401) askForKey('The server did not accept the request without a valid key.');
  return response;
}

const fetcher = createGraphiQLFetcher({
  url: endpoint(),
  fetch: fetchWithKey,
  wsClient: createClient({ url: endpoint().replace(/^http/, 'ws'), lazy: true, connectionParams: authorization }),
});

/** Tabs for a browser that has none yet. */
function firstTabs(link: Example | null): Example[] {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const blanks = { today: dayIn(zone, new Date()), eventId: crypto.randomUUID?.() ?? fallbackUuid() };
  const examples = examplesOf(EXAMPLE_QUERIES, EXAMPLE_VARIABLES, blanks);
  return link === null ? examples : [link, ...examples];
}

/** `crypto.randomUUID` exists on secure origins only; a server reached by its plain address is none. */
function fallbackUuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, '$1-$2-$3-$4-$5');
}

/** The query that a link of the dashboard carries. */
function linkedQuery(): Example | null {
  const parameters = new URLSearchParams(location.search);
  const query = parameters.get('query');
  return query === null ? null : { query, variables: parameters.get('variables') ?? '' };
}

const link = linkedQuery();
const tabs = firstTabs(link);
const isFirstVisit = localStorage.getItem('graphiql:tabState') === null;
/** GraphiQL fills the editors from this; of its default tabs it would take the query alone. */
const opened = link ?? (isFirstVisit ? tabs[0] : undefined);

function Page(): ReactElement {
  const [theme, setTheme] = useState(currentTheme());
  useEffect(() => onThemeChange(() => setTheme(currentTheme())), []);
  return (
    <GraphiQL
      fetcher={fetcher}
      plugins={[HISTORY_PLUGIN]}
      defaultTabs={tabs}
      defaultEditorToolsVisibility="variables"
      forcedTheme={theme}
      customScalarSchemas={SCALARS}
      {...(opened === undefined ? {} : { initialQuery: opened.query, initialVariables: opened.variables })}
    >
      <GraphiQL.Logo>
        <span className="visually-hidden">GraphiQL</span>
      </GraphiQL.Logo>
    </GraphiQL>
  );
}

applyTheme();
const header = new Header('graphiql', () => askForKey(null));
mountAnnouncer();
const root = document.getElementById('root');
if (root === null) throw new Error('graphiql.html has no #root');
root.before(header.element);
createRoot(root).render(<Page />);
