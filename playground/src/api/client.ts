// The GraphQL client: one function that asks, and errors that say what the page can do about them.

import { apiKey } from './key';

/** A query's text with the types of its answer and variables. */
export interface TypedDocument<Data, Variables> {
  readonly name: string;
  readonly text: string;
  /** Never set: carries the types. */
  readonly types?: (variables: Variables) => Data;
}

/**
 * - `unreachable`: nobody answers; asking again later may help.
 * - `unavailable`: the server answers but cannot work now; asking again later may help.
 * - `unauthenticated`: an API key is missing or wrong.
 * - `refused`: the question cannot be answered as asked.
 */
export type FailureKind = 'unreachable' | 'unavailable' | 'unauthenticated' | 'refused';

export class ApiFailure extends Error {
  constructor(
    readonly kind: FailureKind,
    message: string,
    readonly requestId: string | null = null,
  ) {
    super(message);
    this.name = 'ApiFailure';
  }
}

const TIMEOUT_MS = 30_000;
const TEMPORARY_CODES = new Set(['UNAVAILABLE', 'TIMEOUT', 'OVERLOADED', 'RATE_LIMITED']);

interface GraphQLAnswer<Data> {
  readonly data?: Data | null;
  readonly errors?: readonly { readonly message: string; readonly extensions?: Record<string, unknown> }[];
}

export function endpoint(): string {
  return new URL('graphql', document.baseURI).href;
}

/** Asks one query. Throws `ApiFailure`, or the signal's reason when aborted. */
export async function ask<Data, Variables>(
  query: TypedDocument<Data, Variables>,
  variables: Variables,
  signal: AbortSignal,
): Promise<Data> {
  const response = await send(query, variables, signal);
  const answer = await readAnswer<Data>(response);
  const failure = failureIn(response.status, answer);
  if (failure !== null) throw failure;
  if (!answer?.data) throw new ApiFailure('unavailable', `the server answered ${response.status} without data`);
  return answer.data;
}

async function send<Data, Variables>(query: TypedDocument<Data, Variables>, variables: Variables, signal: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    accept: 'application/graphql-response+json, application/json',
  };
  const key = apiKey();
  if (key !== null) headers['authorization'] = `Bearer ${key}`;
  try {
    return await fetch(endpoint(), {
      method: 'POST',
      headers,
      body: JSON.stringify({ query: query.text, variables, operationName: query.name }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ApiFailure('unreachable', 'the server does not answer');
  }
}

async function readAnswer<Data>(response: Response): Promise<GraphQLAnswer<Data> | null> {
  try {
    return (await response.json()) as GraphQLAnswer<Data>;
  } catch {
    return null;
  }
}

/** What went wrong, or null when the answer is good. Exported for its tests. */
export function failureIn(status: number, answer: GraphQLAnswer<unknown> | null): ApiFailure | null {
  const error = answer?.errors?.[0];
  const code = error?.extensions?.['code'];
  const id = error?.extensions?.['requestId'];
  const requestId = typeof id === 'string' ? id : null;
  if (status === 401 || code === 'UNAUTHENTICATED') return new ApiFailure('unauthenticated', error?.message ?? 'an API key is needed', requestId);
  if (typeof code === 'string' && TEMPORARY_CODES.has(code)) return new ApiFailure('unavailable', error?.message ?? code, requestId);
  if (error !== undefined) return new ApiFailure('refused', error.message, requestId);
  if (status === 502 || status === 503 || status === 504) return new ApiFailure('unreachable', `the server answered ${status}`);
  if (answer === null) return new ApiFailure('unavailable', `the server answered ${status} without JSON`);
  return null;
}
