// One watcher of one job: its place, what is a duplicate, and in which state it is.
//
// A watch is a position, not a queue: `last` says up to where it has everything. Whatever happens to
// connections, it goes on from there.

import { isControl, LIFE_CYCLE, outcomeOf, type JobEvent, type Outcome, type StoredEvent } from './events.js';
import { JobwireError } from './failure.js';
import type { Cursor } from './store.js';

/**
 * - `connecting`: nothing was heard yet.
 * - `catching-up`: what was missed is coming.
 * - `live`: everything is there.
 * - `reconnecting`: the connection was lost a short time ago.
 * - `stale`: it has been lost for longer; what is shown may be old.
 * - `ended`: the job has ended; the reason is its outcome.
 * - `closed`: the watch is over; the reason is a code.
 */
export type WatchStateName = 'connecting' | 'catching-up' | 'live' | 'reconnecting' | 'stale' | 'ended' | 'closed';

export interface WatchState {
  readonly state: WatchStateName;
  /** Why, for people; the outcome of a job that has ended, the code of a watch that is over. */
  readonly reason: string;
  /** Milliseconds until the next attempt, if one is waited for. */
  readonly retryIn?: number | undefined;
}

export interface WatchTerms {
  /** Go on after this id. 0, the default: from the beginning. null: only what happens from now on. */
  after?: number | null | undefined;
  /** The stream that `after` belongs to, as it stands in a cursor. */
  epoch?: string | undefined;
  /** Only these types. `$gap`, `$reset` and `$malformed` come in any case. */
  types?: readonly string[] | undefined;
  /** `fail`: where history is gone, end with `HISTORY_TRUNCATED` instead of a `$gap`. */
  onTruncated?: 'earliest' | 'fail' | undefined;
  /** Do not stop when the job has ended: it may be run again. */
  keepWatching?: boolean | undefined;
  /** Wait for a job that is not there yet, instead of ending with `JOB_NOT_FOUND`. */
  waitForJob?: boolean | undefined;
  /** Each change of state. */
  onState?: ((state: WatchState) => void) | undefined;
}

/** Where a watch puts what it gets. */
export interface Sink {
  /** False: no more for now; the event is taken, those that follow must wait. */
  take(event: JobEvent, size: number): boolean;
  /** A message was read to its end, or the place moved without an event. */
  flush(): void;
  end(error?: JobwireError): void;
}

/** An error in a callback is the application's: it must neither get lost nor break the connection. */
export function attempt(call: () => void): void {
  try {
    call();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

export class Watch {
  /** Every event up to here was taken. Undefined: only what happens from now on. */
  last: number | undefined;
  epoch: string | undefined;
  /** Whether what comes for the job now goes on from its place. */
  active = false;
  /** Whether its reader has enough for now. */
  parked = false;
  isOver = false;
  /** Id of the newest event that tells of the job's life; 0: none was seen. */
  lifeCycleId = 0;

  #outcome: Outcome | undefined;
  /** Who has reached this id is live. */
  #boundary = Infinity;
  #told = '';
  #isEnded = false;
  /** Why the connection is lost. */
  #reason = '';
  #isStale = false;
  #staleTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly terms: WatchTerms,
    readonly sink: Sink,
    readonly staleAfter: number,
    /** Called when it wants something else of its subscription, or nothing any more. */
    readonly changed: () => void,
  ) {
    this.last = terms.after === null ? undefined : (terms.after ?? 0);
    this.epoch = terms.epoch;
    this.#tell('connecting', 'opening');
  }

  get cursor(): Cursor {
    return { after: this.last ?? null, epoch: this.epoch };
  }

  /** The gateway has answered: events after `last` follow. */
  begin(lastEventId: number, epoch: string): void {
    this.last ??= lastEventId;
    this.epoch ??= epoch;
    this.#boundary = lastEventId;
    this.#settle();
  }

  take(event: StoredEvent, size: number): void {
    if (!this.active) return;
    const { types } = this.terms;
    if (event.id > this.lifeCycleId && LIFE_CYCLE.includes(event.eventType)) {
      this.lifeCycleId = event.id;
      this.#outcome = outcomeOf(event);
    }
    // Also where there is no id: without one there would be no place to go on from.
    if (!(event.id > this.last!)) return;
    this.last = event.id;
    if (!types || isControl(event) || types.includes(event.eventType)) this.#put(event as JobEvent, size);
  }

  #put(event: JobEvent, size: number): void {
    if (this.isOver || this.sink.take(event, size)) return;
    this.parked = true;
    this.active = false;
    this.sink.flush();
    this.#tell('catching-up', 'slow reader');
  }

  /** Its reader wants more again. */
  resume(): void {
    this.parked = false;
    this.changed();
  }

  /** The end of a message, and of a whole history if `upTo` says so. */
  flush(upTo?: number): void {
    if (!this.active) return;
    if (upTo !== undefined) {
      this.last = Math.max(this.last!, upTo);
      this.#boundary = Math.min(this.#boundary, this.last);
    }
    this.sink.flush();
    this.#settle();
  }

  gap(requestedAfter: number, firstAvailable: number, lastEventId: number): void {
    if (this.last! >= firstAvailable - 1) return;
    const gap = { requestedAfter: Math.max(requestedAfter, this.last!), firstAvailable, lastEventId };
    if (this.terms.onTruncated === 'fail') {
      this.close(new JobwireError('HISTORY_TRUNCATED', 'Events may be gone', gap));
    } else {
      // Whoever comes back from before it would be told of it again.
      this.last = firstAvailable - 1;
      this.#put({ eventType: '$gap', ...gap }, 0);
    }
  }

  /** The stream was made anew. */
  reset(epoch: string): void {
    this.last = this.lifeCycleId = 0;
    this.epoch = epoch;
    this.#boundary = Infinity;
    this.#outcome = undefined;
    this.#put({ eventType: '$reset', epoch }, 0);
  }

  /** The connection is lost; it is tried again in so many milliseconds. */
  lost(reason: string, retryIn: number): void {
    this.active = false;
    if (this.#isEnded) return; // There is nothing to be missed.
    this.#reason = reason;
    this.#staleTimer ??= setTimeout(() => {
      this.#isStale = true;
      this.#tell('stale', this.#reason);
    }, this.staleAfter);
    this.#tell(this.#isStale ? 'stale' : 'reconnecting', reason, retryIn);
  }

  /** The watch is over: with an error, or because the job has ended or nobody wants it any more. */
  close(error?: JobwireError): void {
    if (this.isOver) return;
    this.isOver = true;
    this.active = false;
    this.#isFresh();
    if (error || !this.#isEnded) this.#tell('closed', error?.code ?? 'CLOSED');
    this.sink.end(error);
    this.changed();
  }

  #isFresh(): void {
    clearTimeout(this.#staleTimer);
    this.#staleTimer = undefined;
    this.#isStale = false;
  }

  #settle(): void {
    if (this.isOver) return;
    this.#isFresh();
    if (this.last! < this.#boundary) return this.#tell('catching-up', 'history');
    if (!this.#outcome) return this.#tell('live', 'up to date');
    this.#tell('ended', this.#outcome);
    if (!this.terms.keepWatching) this.close();
  }

  #tell(state: WatchStateName, reason: string, retryIn?: number): void {
    const told = state + reason + retryIn;
    if (this.#told === told) return;
    this.#told = told;
    this.#isEnded = state === 'ended';
    attempt(() => this.terms.onState?.({ state, reason, retryIn }));
  }
}
