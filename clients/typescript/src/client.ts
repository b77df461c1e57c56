// What an application sees: a client, its jobs, and the two ways to watch one.

import type { BackoffOptions } from './backoff.js';
import { Connection } from './connection.js';
import { isControl, type EventData, type GapEvent, type JobEvent, type ResetEvent } from './events.js';
import { JobwireError } from './failure.js';
import { memoryStore, type Cursor, type CursorStore } from './store.js';
import { tokensFrom, type TokenSource } from './tokens.js';
import { httpTo, type WebSocketConstructor } from './transport.js';
import { attempt, Watch, type Sink, type WatchTerms } from './watch.js';

export interface ClientOptions {
  /** Where the gateway is: `https://jobs.example.com`, also with a path. In a page: its own origin. */
  url?: string | URL;
  /** A token, or what gets one: called for connections, and again before the token expires. */
  token?: TokenSource | undefined;
  /** Keeps the places of watches with `resume: true`. Default: in memory. */
  store?: CursorStore;
  /** `auto`: a WebSocket; Server-Sent Events where there is none or something in between stops it. */
  transport?: 'auto' | 'websocket' | 'sse';
  /** For where there is no global one, such as `ws` in Node 20. */
  WebSocket?: WebSocketConstructor;
  fetch?: typeof globalThis.fetch;
  /** Kind of jobs that are named without one: `optimization`. */
  kind?: string;
  /** Path of the WebSocket below `url`: `/ws/optimization`. */
  path?: string;
  backoff?: BackoffOptions;
  /** Milliseconds without a message after which the other end is asked whether it is there: 20,000. */
  silence?: number;
  /** Milliseconds without a connection after which a watch is `stale`: 15,000. */
  staleAfter?: number;
}

export interface WatchOptions extends WatchTerms {
  signal?: AbortSignal | undefined;
  /** Go on at the place that the store has for this job, and keep it there. */
  resume?: boolean | undefined;
}

export interface IterationOptions extends WatchOptions {
  /** Characters of events that may wait for the loop: 1,048,576. Beyond, the rest is left at the gateway. */
  buffer?: number | undefined;
}

export interface Callbacks<Types = EventData> {
  /** Every event, in order. Also gaps and resets, unless they have a callback of their own. */
  onEvent?: ((event: JobEvent<Types>) => void) | undefined;
  onGap?: ((gap: GapEvent) => void) | undefined;
  onReset?: ((reset: ResetEvent) => void) | undefined;
  /** The watch was refused and is over. Without this callback the error is thrown where nobody catches it. */
  onError?: ((error: JobwireError) => void) | undefined;
}

/** A running watch with callbacks. */
export interface WatchHandle {
  /** Everything up to here was told. */
  readonly cursor: Cursor;
  close(): void;
}

/** What the parts of an iteration tell each other. */
interface Loop {
  over?: { error?: unknown };
  wake(): void;
}

const NAME = /^[\w-]{1,128}$/;

/** A job, to be watched any number of times. Making one does nothing yet. */
export class Job<Types = EventData> {
  readonly #store: CursorStore;
  readonly #open: Opener;

  /** Use `client.job()`. */
  constructor(
    readonly kind: string,
    readonly id: string,
    store: CursorStore,
    open: Opener,
  ) {
    this.#store = store;
    this.#open = open;
  }

  /**
   * The job's events. Ends when the job has ended; throws a `JobwireError` when it is refused, and the
   * signal's reason when it is aborted. An event counts as seen when the next is asked for.
   */
  events(options: IterationOptions = {}): AsyncGenerator<JobEvent<Types>, void, undefined> {
    const loop: Loop = { wake() {} };
    const events = this.#read(options, loop);
    const leave = events.return.bind(events);
    // By itself a generator hears of its end only when it does not wait for anything.
    events.return = (value) => {
      loop.over ??= {};
      loop.wake();
      return leave(value);
    };
    return events;
  }

  async *#read(options: IterationOptions, loop: Loop): AsyncGenerator<JobEvent<Types>, void, undefined> {
    const { signal, buffer = 1 << 20 } = options;
    const place = await this.#place(options);
    signal?.throwIfAborted();
    const queue: [event: JobEvent, size: number, cursor: Cursor][] = [];
    let waiting = 0;
    const end = (error: unknown) => {
      loop.over ??= { error };
      loop.wake();
    };
    const watch = this.#open(this, { ...options, ...place }, {
      take(event, size) {
        queue.push([event, size, watch.cursor]);
        return (waiting += size) < buffer;
      },
      flush: () => loop.wake(),
      end,
    });
    const abort = () => {
      queue.length = 0;
      end(signal!.reason);
    };
    signal?.addEventListener('abort', abort);
    let seen: Cursor | undefined;
    try {
      for (;;) {
        const next = queue.shift();
        if (next) {
          waiting -= next[1];
          seen = next[2];
          // More is to be had, and there is room for it.
          if (watch.parked && waiting < buffer / 2) watch.resume();
          yield next[0] as JobEvent<Types>;
        } else if (loop.over) {
          if (loop.over.error) throw loop.over.error;
          return;
        } else {
          this.#save(options, (seen = watch.cursor));
          await new Promise<void>((resolve) => (loop.wake = resolve));
        }
      }
    } finally {
      signal?.removeEventListener('abort', abort);
      this.#save(options, seen);
      watch.close();
    }
  }

  /** Calls back for each event, as it comes. Ends as `events` does, or by `close`. */
  watch(options: WatchOptions & Callbacks<Types>): WatchHandle {
    const { signal, onEvent, onGap, onReset, onError } = options;
    const control = { $gap: onGap, $reset: onReset, $malformed: undefined };
    let watch: Watch | undefined;
    let isClosed = signal?.aborted ?? false;
    const sink: Sink = {
      take(event) {
        const call = (isControl(event) && control[event.eventType]) || onEvent;
        attempt(() => call?.(event as never));
        return true;
      },
      flush: () => this.#save(options, watch?.cursor),
      end(error) {
        signal?.removeEventListener('abort', close);
        if (!error || isClosed || error.code === 'CLOSED') return;
        attempt(() => {
          if (!onError) throw error;
          onError(error);
        });
      },
    };
    const close = () => {
      isClosed = true;
      watch?.close();
    };
    const start = (place: Partial<Cursor>) => {
      if (!isClosed) watch = this.#open(this, { ...options, ...place }, sink);
    };
    signal?.addEventListener('abort', close);
    if (options.resume) void this.#place(options).then(start);
    else start({});
    return {
      get cursor() {
        return watch?.cursor ?? { after: null };
      },
      close,
    };
  }

  async #place({ resume }: WatchOptions): Promise<Partial<Cursor>> {
    return (resume && (await this.#store.get(`${this.kind}/${this.id}`))) || {};
  }

  #save({ resume }: WatchOptions, cursor: Cursor | undefined): void {
    if (resume && cursor) attempt(() => this.#store.set(`${this.kind}/${this.id}`, cursor));
  }
}

/** What a job gets of its client: a watch that reads. */
type Opener = (job: Job<any>, terms: WatchTerms, sink: Sink) => Watch;

/** One connection to a gateway, for any number of jobs. It is opened when something is watched. */
export class Client {
  readonly #connection: Connection;
  readonly #kind: string;
  readonly #store: CursorStore;
  readonly #staleAfter: number;

  constructor(options: ClientOptions = {}) {
    const { transport = 'auto', kind = 'optimization', path = '/ws/optimization' } = options;
    const WebSocket = transport === 'sse' ? undefined : (options.WebSocket ?? globalThis.WebSocket);
    if (transport === 'websocket' && !WebSocket) {
      throw new TypeError('No WebSocket here: pass one as WebSocket');
    }
    const url = new URL(options.url ?? '', globalThis.document?.baseURI);
    if (!/^(http|ws)s?:$/.test(url.protocol)) throw new TypeError(`url begins with http: or https:, not ${url.protocol}`);
    const base = url.href.replace(/^ws/, 'http').replace(/[?#].*/, '').replace(/\/$/, '');
    this.#kind = kind;
    this.#store = options.store ?? memoryStore();
    this.#staleAfter = options.staleAfter ?? 15_000;
    this.#connection = new Connection({
      http: httpTo(base, tokensFrom(options.token), options.fetch ?? globalThis.fetch),
      WebSocket,
      webSocketUrl: base.replace(/^http/, 'ws') + path + (options.kind ? `?kind=${kind}` : ''),
      mayFallBack: transport === 'auto',
      kind,
      silence: options.silence ?? 20_000,
      backoff: options.backoff ?? {},
    });
  }

  /** A job by its id, and its kind if that is not the client's. `Types`: what `data` holds, by type. */
  job<Types = EventData>(id: string, { kind = this.#kind }: { kind?: string | undefined } = {}): Job<Types> {
    if (!NAME.test(id) || !NAME.test(kind)) {
      throw new TypeError('Jobs and kinds are 1 to 128 of A-Z a-z 0-9 _ -');
    }
    return new Job(kind, id, this.#store, this.#open);
  }

  /** Ends every watch, with `CLOSED`, and the connection. */
  close(): void {
    this.#connection.close();
  }

  #open: Opener = ({ kind, id }, terms, sink) => {
    const subscription = this.#connection.subscription(kind, id);
    const watch = new Watch(terms, sink, this.#staleAfter, () => {
      if (watch.isOver) subscription.watches.delete(watch);
      subscription.sync();
    });
    subscription.watches.add(watch);
    subscription.sync();
    return watch;
  };
}
