// The one connection of the page, and the token where the gateway wants one. The token stays in this
// tab: it is kept in sessionStorage and nowhere else.

import { Client } from '../../typescript/src/index.js';
import { Keeping } from './keeping.js';

const kept = new Keeping(() => sessionStorage, 'jobwire-token');

export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export class Session {
  token = kept.get();
  client = this.#connect();

  #connect(): Client {
    return new Client({ url: location.origin, token: this.token });
  }

  /** Goes on with another token, over a new connection. */
  signIn(token: string | undefined): void {
    this.token = token || undefined;
    kept.set(this.token);
    this.client.close();
    this.client = this.#connect();
  }

  async get<Answer>(path: string): Promise<Answer> {
    const headers: Record<string, string> = { accept: 'application/json' };
    if (this.token) headers.authorization = `Bearer ${this.token}`;
    const answer = await fetch(path, { headers, cache: 'no-store', signal: AbortSignal.timeout(10_000) });
    const told = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Refused(answer.status, told.error ?? `HTTP ${answer.status}`);
    return told as Answer;
  }
}
