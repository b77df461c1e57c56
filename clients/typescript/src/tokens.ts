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

export interface Tokens {
  /** The token to use now. */
  get(): Promise<string | undefined>;
  /** When to get another one, in milliseconds since 1970. */
  renewAt(): number;
  /** The gateway took it. */
  accepted(): void;
  /** The gateway did not take it. Whether another attempt, with a new one, is worth making. */
  refused(): boolean;
}

export function tokensFrom(source: TokenSource | undefined): Tokens {
  const isRenewable = typeof source === 'function';
  let token = isRenewable ? undefined : source;
  let renewAt = Infinity;
  let asking: Promise<string> | undefined;
  let refusals = 0;
  return {
    async get() {
      if (!isRenewable || (token !== undefined && Date.now() < renewAt)) return token;
      asking ??= (async () => source())().finally(() => (asking = undefined));
      const fresh = await asking;
      if (fresh !== token) {
        token = fresh;
        const expiry = expiryOf(fresh);
        renewAt = expiry - Math.min(60_000, Math.max(0, expiry - Date.now()) / 5);
      }
      return fresh;
    },
    renewAt: () => renewAt,
    accepted() {
      refusals = 0;
    },
    refused() {
      if (isRenewable) token = undefined;
      return isRenewable && !refusals++;
    },
  };
}
