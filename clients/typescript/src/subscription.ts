// One job on the connection, for however many watches of it. The gateway has one subscription for it;
// it begins at the place of the watch that is furthest behind, and the others drop what they had.

import { backOff, type Backoff, type BackoffOptions } from './backoff.js';
import { LIFE_CYCLE, type StoredEvent } from './events.js';
import { JobwireError } from './failure.js';
import type { Message } from './transport.js';
import type { Watch } from './watch.js';

/** The most types that a subscribe may name. */
const MOST_TYPES = 64;
/** A job that is waited for is asked for again within this time, in milliseconds; each time the gateway waits, too. */
const ABSENCE = 2_000;

export interface Link {
  readonly isOpen: boolean;
  readonly backoff: BackoffOptions;
  /** Does nothing while it is not open. */
  send(message: Message): void;
  /** Nobody watches this job any more. */
  forget(subscription: Subscription): void;
}

export class Subscription {
  readonly watches = new Set<Watch>();
  readonly #backoff: Backoff;
  /** Whether the gateway sends events of this job, as far as we have told it. */
  #isOn = false;
  /** Whether an answer to a subscribe is due. None is sent meanwhile: answers name no request. */
  #isPending = false;
  #isHinted = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** What was asked for, and for whom. */
  #after: number | undefined;
  #epoch: string | undefined;
  #joined: Watch[] = [];

  constructor(
    readonly kind: string,
    readonly jobId: string,
    readonly key: string,
    readonly link: Link,
  ) {
    this.#backoff = backOff(link.backoff);
  }

  /** Brings the gateway to what the watches want, once all of them have said so. */
  sync(): void {
    queueMicrotask(() => this.#sync());
  }

  #sync(): void {
    if (this.#isPending) return;
    const reading = [...this.watches].filter((watch) => !watch.parked);
    if (!reading.length && this.#isOn) {
      this.#send('unsubscribe');
      this.#isOn = false;
    }
    if (!this.watches.size) {
      clearTimeout(this.#timer);
      return this.link.forget(this);
    }
    if (!this.link.isOpen || this.#timer || reading.every((watch) => watch.active)) return;
    this.#subscribe(reading);
  }

  #subscribe(reading: Watch[]): void {
    const [furthest] = reading
      .filter((watch) => watch.last !== undefined)
      .sort((one, other) => one.last! - other.last!);
    // Wherever the gateway cannot leave out the rest, the watches do.
    const types = [...new Set([...LIFE_CYCLE, ...reading.flatMap(({ terms }) => terms.types ?? [])])];
    const isFiltered = types.length <= MOST_TYPES && reading.every(({ terms }) => terms.types);
    this.#after = furthest?.last;
    this.#epoch = this.#after ? furthest!.epoch : undefined;
    this.#joined = reading;
    this.#isPending = true;
    this.#isOn = true;
    this.#send('subscribe', {
      afterEventId: this.#after,
      epoch: this.#epoch,
      eventTypes: isFiltered ? types : undefined,
      position: true,
    });
  }

  #send(type: string, fields = {}): void {
    this.link.send({ type, kind: this.kind, jobId: this.jobId, ...fields });
  }

  /** The connection is lost, or this job's part of it. */
  lost(reason: string, retryIn: number): void {
    this.#isPending = this.#isOn = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const watch of this.watches) if (!watch.parked) watch.lost(reason, retryIn);
    this.sync();
  }

  /** Does not wait any longer for the next attempt, unless the gateway said for how long. */
  wake(): void {
    if (!this.#isHinted) this.#awake();
  }

  #awake(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.sync();
  }

  receive(message: Message, size: number): void {
    switch (message.type) {
      case 'subscribed':
        return this.#subscribed(message);
      case 'replay':
      case 'event':
        return this.#take(message.data ?? [message.event], size);
      case 'position':
        return this.watches.forEach((watch) => watch.flush(message.id));
      case 'error':
        return this.#error(message);
    }
  }

  #take(events: StoredEvent[], size: number): void {
    for (const watch of this.watches) {
      for (const event of events) watch.take(event, size / events.length);
      watch.flush();
    }
    this.sync();
  }

  #subscribed({ lastEventId, firstEventId, epoch }: Message): void {
    this.#isPending = false;
    this.#backoff.good();
    const isForeign = this.#epoch !== undefined && this.#epoch !== epoch;
    for (const watch of this.#joined) {
      if (watch.isOver || watch.parked) continue;
      watch.active = true;
      if (watch.epoch !== undefined && watch.epoch !== epoch) {
        // Another stream than this watch had. The gateway tells, unless it could not know.
        if (isForeign) continue;
        watch.reset(epoch);
        if (this.#after) watch.active = false;
      } else if (this.#after === 0 && watch.last && firstEventId > watch.last) {
        // From the beginning there are no gaps for the gateway. For this watch there may be one.
        watch.gap(watch.last, firstEventId, lastEventId);
      }
      if (watch.active) watch.begin(lastEventId, epoch);
    }
    if (lastEventId && this.#joined.some((watch) => !watch.lifeCycleId && watch.last! >= lastEventId)) {
      // Nothing of the job will come, so its newest event must tell whether it has ended.
      this.#send('replay', { afterEventId: lastEventId - 1 });
    }
    this.sync();
  }

  #error(told: Message): void {
    const { code, error, id } = told;
    if (code === 'HISTORY_TRUNCATED') {
      this.#each((watch) => watch.gap(told.requestedAfter, told.firstAvailable, told.lastEventId));
    } else if (code === 'CURSOR_INVALID') this.#reset(told.epoch);
    else if (code === 'EVENT_MALFORMED') this.#take([{ id, eventType: '$malformed' } as never], 0);
    else if (code === 'UNAVAILABLE') this.#retry(error, told.retry);
    // Otherwise it concerns the question for the newest event, or something that we do not know.
    else if (told.isFinal || code === 'FORBIDDEN' || (this.#isPending && code !== 'NOT_SUBSCRIBED')) {
      this.#refused(code, error);
    }
    this.sync();
  }

  #refused(code: string, message: string): void {
    this.#isPending = this.#isOn = false;
    const mayAppear = code === 'JOB_NOT_FOUND';
    for (const watch of this.watches) {
      if (!watch.parked && !(mayAppear && watch.terms.waitForJob)) watch.close(new JobwireError(code, message));
    }
    if (mayAppear && this.watches.size) this.#timer = setTimeout(() => this.#awake(), Math.random() * ABSENCE);
  }

  #each(act: (watch: Watch) => void): void {
    for (const watch of this.watches) {
      if (!watch.active) continue;
      act(watch);
      watch.flush();
    }
  }

  #reset(epoch: string): void {
    const wasForeign = this.#epoch !== epoch;
    this.#each((watch) => {
      // The place that the gateway refused may have been that of another watch.
      if (!wasForeign || watch.epoch !== epoch) watch.reset(epoch);
    });
    this.#after = 0;
    this.#epoch = epoch;
  }

  #retry(reason: string, hint?: number): void {
    const delay = hint ?? this.#backoff.next();
    this.lost(reason, delay);
    this.#isHinted = hint !== undefined;
    this.#timer = setTimeout(() => this.#awake(), delay);
  }
}
