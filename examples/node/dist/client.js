// A client of twenty lines: a document knows its variables and its answer, so both are checked when this is compiled.
export class Kohorta {
    url;
    apiKey;
    constructor(url, apiKey) {
        this.url = url;
        this.apiKey = apiKey;
    }
    /** The answer to an operation; tries again, with growing pauses, as long as the server says that this may help. */
    async ask(document, variables) {
        for (let pause = 1_000;; pause = Math.min(pause * 2, 60_000)) {
            const answer = await this.send(document, variables);
            if (answer?.data && !answer.errors)
                return answer.data;
            const fatal = answer?.errors?.find((error) => !error.extensions?.retryable);
            if (fatal)
                throw new Error(fatal.message);
            await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random())));
        }
    }
    async send(query, variables) {
        const headers = { 'content-type': 'application/json' };
        if (this.apiKey)
            headers['authorization'] = `Bearer ${this.apiKey}`;
        const request = { method: 'POST', headers, body: JSON.stringify({ query, variables }) };
        try {
            const response = await fetch(`${this.url}/graphql`, request);
            return (await response.json());
        }
        catch {
            return undefined; // no server, or an answer that is not its own
        }
    }
}
