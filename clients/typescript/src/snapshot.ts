// A job as something to draw: what happened so far, folded into one object that is replaced whenever it
// changes. Shared by React, Vue and the element.

import type { Job } from './client.js';
import type { JobEvent, StoredEvent } from './events.js';
import type { JobwireError } from './failure.js';
import type { WatchState } from './watch.js';

export type JobStatus = 'unknown' | 'pending' | 'running' | 'paused' | 'succeeded' | 'failed' | 'stopped';

export interface JobSnapshot<Types = any> {
  /** The newest events, oldest first, with gaps where they are; at most `keep`. */
  readonly events: readonly JobEvent<Types>[];
  /** The newest event. */
  readonly last: StoredEvent | undefined;
  /** How the job stands. */
  readonly status: JobStatus;
  /** Fraction done, 0 to 1, if any event told it. */
  readonly progress: number | undefined;
  /** How the connection stands, and why. */
  readonly connection: WatchState;
  /** How many gaps there were since the beginning. */
  readonly gaps: number;
  /** Why the watch is over, if it was refused. */
  readonly error: JobwireError | undefined;
}

export interface SnapshotOptions {
  /** Go on after this id; null: only what happens from now on. Default: from the beginning. */
  after?: number | null | undefined;
  /** How many of the newest events are kept: 1,000. */
  keep?: number | undefined;
}

export interface SnapshotSource<Types = any> {
  /** Watches from the first listener to the last; then goes on where it was. */
  subscribe: (listener: () => void) => () => void;
  get: () => JobSnapshot<Types>;
}

const STATUS: Record<string, JobStatus> = {
  job_created: 'pending',
  job_started: 'running',
  job_resumed: 'running',
  iteration_completed: 'running',
  job_paused: 'paused',
  job_completed: 'succeeded',
  job_cancelled: 'stopped',
};

/** Changes are told at most so often, in milliseconds: once a frame. */
const FRAME = 16;

const NOTHING: JobSnapshot = {
  events: [],
  last: undefined,
  status: 'unknown',
  progress: undefined,
  connection: { state: 'connecting', reason: 'opening' },
  gaps: 0,
  error: undefined,
};

const number = (value: unknown) => (typeof value === 'number' ? value : undefined);

export function snapshots<Types>(job: Job<Types> | undefined, { after, keep = 1000 }: SnapshotOptions): SnapshotSource<Types> {
  let snapshot = NOTHING;
  let state = { ...NOTHING, connection: NOTHING.connection };
  let events: JobEvent<any>[] = [];
  let total: number | undefined;
  let place: { after?: number | null | undefined; epoch?: string | undefined } = { after };
  let handle: ReturnType<Job['watch']> | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const listeners = new Set<() => void>();

  function changed() {
    timer ??= setTimeout(() => {
      timer = undefined;
      snapshot = { ...state, events: events.slice(-keep) };
      for (const listener of [...listeners]) listener();
    }, FRAME);
  }

  function fold(event: StoredEvent) {
    const data: Record<string, any> = event.data ?? {};
    const { eventType } = event;
    const isFailure = eventType === 'job_failed';
    total = number(data.totalIterations ?? data.total_epochs ?? data.config?.iterations) ?? total;
    const done = event.iteration ?? data.current_epoch;
    const told = number(data.progress) ?? (number(data.percent) ?? NaN) / 100;
    const counted = told >= 0 ? told : done / total!;
    state = {
      ...state,
      last: event,
      status: isFailure ? (data.willRetry === true ? 'pending' : 'failed') : (STATUS[eventType] ?? state.status),
      progress: eventType === 'job_completed' ? 1 : counted >= 0 ? Math.min(1, counted) : state.progress,
    };
  }

  function take(event: JobEvent<any>) {
    if (event.eventType === '$reset') {
      events = [];
      total = undefined;
      state = { ...NOTHING, connection: state.connection };
    }
    if (event.eventType === '$gap') state = { ...state, gaps: state.gaps + 1 };
    if (event.eventType[0] !== '$') fold(event as StoredEvent);
    events.push(event);
    // Now and then, so that it costs nothing for each event.
    if (events.length > 2 * keep + 100) events = events.slice(-keep);
    changed();
  }

  function start() {
    handle = job?.watch({
      ...place,
      onEvent: take as never,
      onState(connection) {
        if (connection.reason === 'CLOSED' && !handle) return;
        state = { ...state, connection, error: undefined };
        changed();
      },
      onError(error) {
        state = { ...state, error };
        changed();
      },
    });
  }

  function stop() {
    const was = handle;
    if (was) place = was.cursor.after === null ? place : was.cursor;
    handle = undefined;
    was?.close();
  }

  return {
    subscribe(listener) {
      listeners.add(listener);
      if (listeners.size === 1) start();
      return () => {
        if (listeners.delete(listener) && !listeners.size) stop();
      };
    },
    get: () => snapshot,
  };
}
