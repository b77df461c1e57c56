// What a connection needs of a way to the gateway. Both ways speak the messages of docs/protocol.md:
// over a WebSocket they are what is sent, over Server-Sent Events they are made here.

import type { Tokens } from './tokens.js';

/** The part of the standard WebSocket that is used. */
export interface WebSocketLike {
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(): void;
}

export type WebSocketConstructor = new (url: string, protocols?: string[]) => WebSocketLike;

/** A message of the gateway; its fields are those of docs/protocol.md. */
export interface Message {
  readonly type: string;
  readonly [field: string]: any;
}

/** After `close` nothing is heard of it. */
export interface Transport {
  send(message: Message): void;
  /** Finds out whether the other end is still there, after a sleep or a change of network. */
  check(): void;
  close(): void;
}

/** Takes a message; `size`: its characters, as a measure of memory. */
export type Receiver = (message: Message, size: number) => void;

/** How to ask the gateway something over HTTP. */
export interface Http {
  readonly tokens: Tokens;
  /** Asks for a job's state, or with `rest` for what is below it. */
  get(kind: string, jobId: string, signal: AbortSignal, rest?: string, accept?: string): Promise<Response>;
  /** What `Retry-After` says, in milliseconds. */
  retryAfter(answer: Response): number | undefined;
}

export const httpTo = (base: string, tokens: Tokens, fetch: typeof globalThis.fetch): Http => ({
  tokens,
  async get(kind, jobId, signal, rest = '', accept = 'application/json') {
    const token = await tokens.get();
    const headers: Record<string, string> = { accept };
    if (token !== undefined) headers.authorization = `Bearer ${token}`;
    return fetch(`${base}/api/v1/jobs/${kind}/${jobId}${rest}`, { headers, signal, cache: 'no-store' });
  },
  retryAfter: (answer) => +answer.headers.get('retry-after')! * 1000 || undefined,
});
