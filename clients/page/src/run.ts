// One job that is followed: its history and how the connection stands.

import type { JobwireError, WatchHandle, WatchState } from '../../typescript/src/index.js';
import { History } from './history.js';
import type { JobName } from './route.js';
import type { Session } from './session.js';

/** A job that is not there may appear. */
const ASK_AGAIN = 3_000;
/** "Caught up" is told for so long. */
const TOLD = 6_000;

export class Run {
  readonly history = new History();
  connection: WatchState = { state: 'connecting', reason: '' };
  error: JobwireError | undefined;
  /** When the next attempt to connect is made. */
  retryAt = 0;
  /** What was replayed after the last loss of the connection, and when that was over. */
  caughtUp: { events: number; isComplete: boolean; at: number } | undefined;
  #wasThere = false;
  #atLoss: { count: number; gaps: number; resets: number } | undefined;
  #watch: WatchHandle | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly name: JobName,
    session: Session,
    readonly changed: () => void,
    /** Only its series are wanted, for a comparison. */
    readonly isCompared: boolean,
  ) {
    this.#open(session);
  }

  #open(session: Session): void {
    const { kind, jobId } = this.name;
    // A job may vanish and come back: what is here already is not asked for again.
    const { after, epoch } = this.#watch?.cursor ?? { after: 0 };
    this.#watch = session.client.job(jobId, { kind }).watch({
      after,
      epoch,
      keepWatching: true,
      onEvent: (event) => {
        this.history.take(event);
        if (this.isCompared) this.history.events.length = 0;
        this.changed();
      },
      onState: (state) => this.#state(state),
      onError: (error) => {
        this.error = error;
        if (error.code === 'JOB_NOT_FOUND') this.#timer = setTimeout(() => this.#open(session), ASK_AGAIN);
        this.changed();
      },
    });
  }

  #state(state: WatchState): void {
    if (state.state === 'closed' && state.reason === 'CLOSED') return;
    const isLost = state.state === 'reconnecting' || state.state === 'stale';
    if (isLost && this.#wasThere) this.#atLoss ??= this.#place();
    if (isLost) this.retryAt = Date.now() + (state.retryIn ?? 0);
    if ((state.state === 'live' || state.state === 'ended') && this.#atLoss) {
      const { count, gaps, resets } = this.#atLoss;
      const isComplete = gaps === this.history.gaps && resets === this.history.resets;
      this.caughtUp = { events: this.history.count - count, isComplete, at: Date.now() };
      this.#atLoss = undefined;
      setTimeout(this.changed, TOLD + 100);
    }
    if (state.state === 'live' || state.state === 'ended' || state.state === 'catching-up') this.error = undefined;
    if (state.state === 'live' || state.state === 'ended') this.#wasThere = true;
    this.connection = state;
    this.changed();
  }

  #place() {
    const { count, gaps, resets } = this.history;
    return { count, gaps, resets };
  }

  get isCaughtUpNews(): boolean {
    return !!this.caughtUp && Date.now() - this.caughtUp.at < TOLD;
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#watch?.close();
  }
}
