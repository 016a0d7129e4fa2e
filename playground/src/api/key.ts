// The API key, where the server wants one. It stays in this tab's session storage and goes nowhere but
// into the Authorization header of our own requests.

const STORAGE_KEY = 'kohorta.api-key';

export function apiKey(): string | null {
  return sessionStorage.getItem(STORAGE_KEY);
}

/** Remembers a key until the tab closes; an empty one forgets it. */
export function rememberApiKey(key: string): void {
  const trimmed = key.trim();
  if (trimmed === '') sessionStorage.removeItem(STORAGE_KEY);
  else sessionStorage.setItem(STORAGE_KEY, trimmed);
}
