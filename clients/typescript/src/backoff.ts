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

export class Backoff {
  #attempts = 0;
  #goodSince = 0;
  readonly #first: number;
  readonly #most: number;

  constructor({ first = 500, most = 30_000 }: BackoffOptions = {}) {
    this.#first = first;
    this.#most = most;
  }

  /** It works now. */
  good(): void {
    this.#goodSince ||= Date.now();
  }

  /** Milliseconds to wait now that it failed. */
  next(): number {
    if (this.#goodSince && Date.now() - this.#goodSince > STEADY) this.#attempts = 0;
    this.#goodSince = 0;
    return Math.random() * Math.min(this.#most, this.#first * 2 ** this.#attempts++);
  }
}
