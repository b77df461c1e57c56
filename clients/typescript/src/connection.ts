// The one connection of a client: opened when something is watched, tried again when it is lost, closed
// when nothing is watched any more.

import { backOff, type Backoff, type BackoffOptions } from './backoff.js';
import { JobwireError } from './failure.js';
import { openSocket } from './socket.js';
import { Subscription, type Link } from './subscription.js';
import type { Http, Message, Transport, WebSocketConstructor } from './transport.js';

/** It is kept for so long after the last watch: pages often watch the next moment again. */
const LINGER = 1_000;
/** No wait is longer, whatever is asked for: longer ones cannot be set, and would be over at once. */
const LONGEST = 2 ** 31 - 1;
/** A refused opening is looked into for so long. */
const LOOK = 5_000;
/** Tokens are asked for again not before the first of these times, and at the latest after the other. */
const SOON = 1_000;
const RARELY = 30_000;
/** So many openings must fail while HTTP works, before something in between is taken to stop WebSockets. */
const BLOCKED = 2;

export interface ConnectionOptions {
  readonly http: Http;
  /** Undefined: none is there, or none is wanted. */
  readonly WebSocket: WebSocketConstructor | undefined;
  readonly webSocketUrl: string;
  readonly mayFallBack: boolean;
  readonly kind: string;
  readonly silence: number;
  readonly backoff: BackoffOptions;
}

export class Connection implements Link {
  isOpen = false;
  readonly backoff: BackoffOptions;
  readonly #options: ConnectionOptions;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #backoff: Backoff;
  #transport: Transport | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #renewal: ReturnType<typeof setTimeout> | undefined;
  /** Counts connections, so that what an old one still has to say is recognised. */
  #attempt = 0;
  #pause = SOON / 2;
  #isActive = false;
  #isHinted = false;
  /** How often WebSockets seemed to be stopped. Never, once one was open. */
  #blocked: number;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.backoff = options.backoff;
    this.#backoff = backOff(options.backoff);
    this.#blocked = options.mayFallBack ? 0 : -Infinity;
  }

  /** The subscription of a job; the connection is opened if this is the first. */
  subscription(kind: string, jobId: string): Subscription {
    const key = `${kind}/${jobId}`;
    let subscription = this.#subscriptions.get(key);
    if (!subscription) this.#subscriptions.set(key, (subscription = new Subscription(kind, jobId, key, this)));
    if (!this.#isActive) {
      this.#isActive = true;
      this.#listen('addEventListener');
      void this.#connect();
    }
    return subscription;
  }

  send(message: Message): void {
    if (this.isOpen) this.#transport!.send(message);
  }

  forget(subscription: Subscription): void {
    const { key } = subscription;
    // There may be another one for the job by now.
    if (this.#subscriptions.get(key) === subscription) this.#subscriptions.delete(key);
    if (this.#isActive) setTimeout(() => this.#subscriptions.size || this.close(), LINGER);
  }

  /** Ends everything. */
  close(error = new JobwireError('CLOSED', 'Closed')): void {
    this.#isActive = false;
    this.#leave();
    clearTimeout(this.#timer);
    this.#listen('removeEventListener');
    for (const { watches } of this.#subscriptions.values()) watches.forEach((watch) => watch.close(error));
    this.#subscriptions.clear();
  }

  #leave(): void {
    this.#attempt++;
    this.isOpen = false;
    clearTimeout(this.#renewal);
    this.#transport?.close();
    this.#transport = undefined;
  }

  async #connect(): Promise<void> {
    const attempt = ++this.#attempt;
    const { http, WebSocket, webSocketUrl, silence } = this.#options;
    this.#timer = undefined;
    try {
      const token = await http.tokens.get();
      const mode = WebSocket && this.#blocked < BLOCKED ? undefined : await import('./streams.js');
      if (attempt !== this.#attempt) return;
      if (mode) {
        this.#transport = mode.openStreams(http, this.#receive);
        this.#opened();
      } else {
        this.#transport = openSocket(WebSocket!, webSocketUrl, token, silence, {
          open: () => {
            this.#blocked = -Infinity;
            this.#opened();
          },
          message: this.#receive,
          close: (code, reason) => void this.#closed(code, reason),
        });
      }
    } catch (error) {
      if (attempt === this.#attempt) this.#lost((error as Error).message);
    }
  }

  #opened(): void {
    this.isOpen = true;
    this.#options.http.tokens.accepted();
    this.#renewLater();
    for (const subscription of this.#subscriptions.values()) subscription.sync();
  }

  #receive = (message: Message, size: number): void => {
    this.#backoff.good();
    const { kind = this.#options.kind, jobId } = message;
    this.#subscriptions.get(`${kind}/${jobId}`)?.receive(message, size);
  };

  async #closed(code: number, reason: string): Promise<void> {
    const { tokens } = this.#options.http;
    const wasOpen = this.isOpen;
    this.#leave();
    if (!wasOpen) return this.#couldNotOpen(reason);
    if (code === 4001 && !tokens.refused()) return this.close(new JobwireError('UNAUTHORIZED', reason));
    // The reason is when to come back.
    if (code === 1012 && reason && +reason >= 0) return this.#lost('The gateway restarts', +reason);
    // 1013: not at once, and more slowly each time.
    this.#lost(reason || `Closed with ${code}`, undefined, code === 1013 ? 1000 : 0);
  }

  /** A browser does not say why a WebSocket cannot be opened. The same server over HTTP does. */
  async #couldNotOpen(reason: string): Promise<void> {
    const attempt = this.#attempt;
    const { http } = this.#options;
    const [first] = this.#subscriptions.values();
    const answer =
      first && (await http.get(first.kind, first.jobId, AbortSignal.timeout(LOOK)).catch(() => undefined));
    const told = await answer?.json().catch(() => undefined);
    if (attempt !== this.#attempt) return;
    const status = answer?.status ?? 0;
    if (status === 403 || (status === 401 && !http.tokens.refused())) {
      return this.close(new JobwireError(told?.code ?? 'REFUSED', told?.error ?? `HTTP ${status}`));
    }
    if (status && status < 429 && status !== 401) this.#blocked++;
    this.#lost(told?.error ?? (reason || 'The gateway is out of reach'), answer && http.retryAfter(answer));
  }

  #lost(reason: string, hint?: number, least = 0): void {
    const delay = Math.min(hint ?? least + this.#backoff.next(), LONGEST);
    this.#isHinted = hint !== undefined;
    for (const subscription of this.#subscriptions.values()) subscription.lost(reason, delay);
    this.#timer = setTimeout(() => void this.#connect(), delay);
  }

  /** A token is replaced on the connection before it expires. */
  #renewLater(): void {
    const { tokens } = this.#options.http;
    const left = tokens.renewAt() - Date.now();
    // Whoever gives one that is as good as expired is asked again, but less and less often.
    this.#pause = left > SOON ? SOON / 2 : Math.min(this.#pause * 2, RARELY);
    const delay = Math.max(this.#pause, left);
    if (delay > LONGEST) return;
    this.#renewal = setTimeout(async () => {
      const attempt = this.#attempt;
      const token = await tokens.get().catch(() => undefined);
      if (attempt !== this.#attempt) return;
      if (token !== undefined) this.send({ type: 'auth', token });
      this.#renewLater();
    }, delay);
  }

  /** The network is back, or somebody looks again: the moment to try, unless the gateway named another. */
  #wake = (): void => {
    if (globalThis.document?.visibilityState === 'hidden') return;
    if (this.isOpen) {
      this.#transport!.check();
      for (const subscription of this.#subscriptions.values()) subscription.wake();
    } else if (this.#timer && !this.#isHinted) {
      clearTimeout(this.#timer);
      void this.#connect();
    }
  };

  #listen(act: 'addEventListener' | 'removeEventListener'): void {
    globalThis[act]?.('online', this.#wake);
    globalThis.document?.[act]('visibilitychange', this.#wake);
  }
}
