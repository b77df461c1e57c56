// The token: asked for once however many want it, kept until it should be renewed.

/** Gets a token from the application; called again before it expires or when it was refused. */
export type TokenSource = string | (() => string | Promise<string>);

/** When a token that was got just now expires, in milliseconds since 1970; never, if it does not say. */
function expiryOf(token: string): number {
  try {
    const claims = token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/');
    return JSON.parse(atob(claims)).exp * 1000 || Infinity;
  } catch {
    return Infinity; // Not a JSON Web Token, so nothing is known.
  }
}

export class Tokens {
  /** When to get another one, in milliseconds since 1970. */
  renewAt = Infinity;
  #token: string | undefined;
  #asking: Promise<string> | undefined;
  #refusals = 0;

  constructor(readonly source?: TokenSource) {}

  /** The token to use now. */
  async get(): Promise<string | undefined> {
    const { source } = this;
    if (typeof source !== 'function') return source;
    if (this.#token !== undefined && Date.now() < this.renewAt) return this.#token;
    this.#asking ??= (async () => source())().finally(() => (this.#asking = undefined));
    const token = await this.#asking;
    if (token !== this.#token) {
      this.#token = token;
      const expiry = expiryOf(token);
      this.renewAt = expiry - Math.min(60_000, Math.max(0, expiry - Date.now()) / 5);
    }
    return token;
  }

  accepted(): void {
    this.#refusals = 0;
  }

  /** The gateway did not take it. Whether another attempt, with a new one, is worth making. */
  refused(): boolean {
    this.#token = undefined;
    return typeof this.source === 'function' && !this.#refusals++;
  }
}
