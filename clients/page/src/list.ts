// The list of jobs: which there are is asked for, what the running ones do is pushed.

import type { JobEvent, WatchHandle } from '../../typescript/src/index.js';
import { History, type Status } from './history.js';
import { keyOf, type JobName } from './route.js';
import { Refused, type Session } from './session.js';

export interface ListedJob extends JobName {
  status: Status;
  lastEventId: number;
  lastEventAt: string;
  progress?: number | undefined;
}

interface Answer {
  jobs: ListedJob[];
  next: string | null;
}

/** Asked for new jobs so often, in milliseconds. */
const PERIOD = 2_000;
/** Jobs whose events are pushed to the list. */
const MOST_PUSHED = 40;
const PUSHED_TYPES = ['job_created', 'job_started', 'job_paused', 'job_resumed', 'job_completed', 'job_failed', 'job_cancelled', 'iteration_completed', 'progress'];

export const isOver = (status: Status) => status === 'succeeded' || status === 'failed' || status === 'stopped';

/** What was pushed of a job since the list was read. */
interface Pushed {
  watch: WatchHandle;
  history: History;
}

export class JobList {
  jobs: ListedJob[] = [];
  isRead = false;
  /** Why the list cannot be read; the status is 401 where a token is wanted. */
  problem: Refused | undefined;
  #next: string | null = null;
  #older: ListedJob[] = [];
  #isLonger = false;
  readonly #pushed = new Map<string, Pushed>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly session: Session,
    readonly changed: () => void,
  ) {
    document.addEventListener('visibilitychange', () => document.hidden || this.refresh());
  }

  get hasMore(): boolean {
    return this.#next !== null;
  }

  /** Reads it now, and from now on again and again. */
  refresh = async (): Promise<void> => {
    clearTimeout(this.#timer);
    if (!document.hidden || !this.isRead) await this.#read();
    clearTimeout(this.#timer);
    if (this.problem?.status !== 401) this.#timer = setTimeout(this.refresh, PERIOD);
  };

  async #read(): Promise<void> {
    try {
      const { jobs, next } = await this.session.get<Answer>('/api/v1/jobs');
      if (!this.#isLonger) this.#next = next;
      this.problem = undefined;
      this.isRead = true;
      this.#take(jobs);
    } catch (error) {
      this.problem = error instanceof Refused ? error : new Refused(0, 'The gateway is out of reach');
    }
    this.changed();
  }

  /** Reads further back. */
  more = async (): Promise<void> => {
    if (this.#next === null) return;
    try {
      const { jobs, next } = await this.session.get<Answer>(`/api/v1/jobs?cursor=${encodeURIComponent(this.#next)}`);
      this.#next = next;
      this.#isLonger = true;
      this.#older.push(...jobs);
      this.#take(this.jobs);
    } catch {
      // The button is still there.
    }
    this.changed();
  };

  #take(newest: ListedJob[]): void {
    const listed = new Map<string, ListedJob>();
    for (const job of [...newest, ...this.#older]) if (!listed.has(keyOf(job))) listed.set(keyOf(job), job);
    this.jobs = [...listed.values()];
    this.#follow();
    for (const [key, { history }] of this.#pushed) this.#merge(listed.get(key), history);
  }

  #follow(): void {
    const wanted = new Set(this.jobs.filter(({ status }) => !isOver(status)).slice(0, MOST_PUSHED).map(keyOf));
    for (const [key, { watch }] of this.#pushed) {
      if (wanted.has(key)) continue;
      watch.close();
      this.#pushed.delete(key);
    }
    for (const job of this.jobs) {
      const key = keyOf(job);
      if (wanted.has(key) && !this.#pushed.has(key)) this.#pushed.set(key, this.#push(job));
    }
  }

  /** The last two events of the listed one, and what follows: nothing of a long history. */
  #push(job: ListedJob): Pushed {
    const history = new History();
    const watch = this.session.client.job(job.jobId, { kind: job.kind }).watch({
      after: Math.max(0, job.lastEventId - 1),
      types: PUSHED_TYPES,
      keepWatching: true,
      onEvent: (event: JobEvent) => {
        history.take(event);
        history.events.length = 0;
        this.#merge(this.jobs.find((listed) => keyOf(listed) === keyOf(job)), history);
        this.changed();
      },
      onGap: () => {},
      onError: () => {},
    });
    return { watch, history };
  }

  #merge(job: ListedJob | undefined, { lastId, lastTime, status, progress }: History): void {
    if (!job) return;
    job.progress = progress;
    if (lastId < job.lastEventId) return;
    job.lastEventId = lastId;
    if (status !== 'unknown') job.status = status;
    if (!Number.isNaN(lastTime)) job.lastEventAt = new Date(lastTime).toISOString();
  }

  /** After a change of token: everything anew. */
  restart(): void {
    for (const { watch } of this.#pushed.values()) watch.close();
    this.#pushed.clear();
    this.#older = [];
    this.#isLonger = false;
    void this.refresh();
  }
}
