// How long to wait before the next attempt: a random time below a bound that doubles ("full jitter"),
// so that many clients do not come back together.

export interface BackoffOptions {
  /** Bound of the first wait, in milliseconds: 500. */
  first?: number;
  /** Largest bound, in milliseconds: 30,000. */
  most?: number;
}

/** What lasted so long counts as having worked; shorter, and the waits go on growing. */
const STEADY = 10_000;

export interface Backoff {
  /** It works now. */
  good(): void;
  /** Milliseconds to wait now that it failed. */
  next(): number;
}

export function backOff({ first = 500, most = 30_000 }: BackoffOptions): Backoff {
  let attempts = 0;
  let goodSince = 0;
  return {
    good() {
      goodSince ||= Date.now();
    },
    next() {
      if (goodSince && Date.now() - goodSince > STEADY) attempts = 0;
      goodSince = 0;
      return Math.random() * Math.min(most, first * 2 ** attempts++);
    },
  };
}
