// A client of twenty lines: a document knows its variables and its answer, so both are checked when this is compiled.

/** The text of an operation; what it takes and gives exists for the compiler only. */
export type TypedDocument<Result, Variables> = string & { result: Result; variables: Variables };

interface Answer<Result> {
  data?: Result;
  errors?: { message: string; extensions?: { retryable?: boolean } }[];
}

export class Kohorta {
  constructor(
    private readonly url: string,
    private readonly apiKey?: string,
  ) {}

  /** The answer to an operation; tries again, with growing pauses, as long as the server says that this may help. */
  async ask<Result, Variables>(document: TypedDocument<Result, Variables>, variables: Variables): Promise<Result> {
    for (let pause = 1_000; ; pause = Math.min(pause * 2, 60_000)) {
      const answer = await this.send<Result>(document, variables);
      if (answer?.data && !answer.errors) return answer.data;
      const fatal = answer?.errors?.find((error) => !error.extensions?.retryable);
      if (fatal) throw new Error(fatal.message);
      await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random())));
    }
  }

  private async send<Result>(query: string, variables: unknown): Promise<Answer<Result> | undefined> {
    const headers: Record<string, string> = { 'content-type': 'application/json' };
    if (this.apiKey) headers['authorization'] = `Bearer ${this.apiKey}`;
    const request = { method: 'POST', headers, body: JSON.stringify({ query, variables }) };
    try {
      const response = await fetch(`${this.url}/graphql`, request);
      return (await response.json()) as Answer<Result>;
    } catch {
      return undefined; // no server, or an answer that is not its own
    }
  }
}
