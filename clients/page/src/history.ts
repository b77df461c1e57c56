// What a job's events say, taken one by one: log, status, series, stages. Nothing here grows without
// a bound, and what was left out is counted.

import type { JobEvent } from '../../typescript/src/index.js';
import { Series } from './series.js';

export type Status = 'pending' | 'running' | 'paused' | 'succeeded' | 'failed' | 'stopped' | 'unknown';

const STATUS_AFTER: Record<string, Status> = {
  job_created: 'pending',
  job_started: 'running',
  iteration_completed: 'running',
  job_paused: 'paused',
  job_resumed: 'running',
  job_completed: 'succeeded',
  job_failed: 'failed',
  job_cancelled: 'stopped',
};

/** Events kept for the log. */
export const MOST_EVENTS = 200_000;
const MOST_SERIES = 64;
const MOST_STAGES = 1_000;
/** Numbers that say where the job is; they have a place of their own on the page. */
const PLACES = /^(progress|percent|iteration|(total_?|current_?)(iterations?|epochs?|steps?|candidates?)|heartbeat)$/i;

export interface Stage {
  name: string;
  tool: string;
  message: string;
  firstId: number;
  begin: number;
  /** Time of its last event, or of the next stage's first. */
  end: number;
  isOver: boolean;
  isFailed: boolean;
  events: number;
}

export interface Tour {
  places: [number, number][];
  order: number[];
  length: number | undefined;
}

const isObject = (thing: unknown): thing is Record<string, unknown> =>
  typeof thing === 'object' && thing !== null && !Array.isArray(thing);
const finite = (thing: unknown): number | undefined =>
  typeof thing === 'number' && Number.isFinite(thing) ? thing : undefined;

export class History {
  /** The newest, at most `MOST_EVENTS`; gaps stand where they are. */
  events: JobEvent[] = [];
  /** Events that came, and how many of them are not kept. */
  count = 0;
  forgotten = 0;
  gaps = 0;
  resets = 0;
  /** The first iteration that is known, where nothing is known of the job's beginning. */
  begunAt: number | undefined;
  malformed = 0;
  status: Status = 'unknown';
  progress: number | undefined;
  iteration: number | undefined;
  total: number | undefined;
  error = '';
  lastId = 0;
  firstTime = NaN;
  lastTime = NaN;
  readonly series = new Map<string, Series>();
  readonly types = new Map<string, number>();
  readonly stages: Stage[] = [];
  tour: Tour | undefined;
  /** Raised by every change of `events` but those at its end. */
  generation = 0;
  #places: [number, number][] = [];

  clear(): void {
    const { generation, resets } = this;
    for (const things of [this.series, this.types]) things.clear();
    this.stages.length = 0;
    this.#places = [];
    const { series: _, types: __, stages: ___, ...empty } = new History();
    Object.assign(this, empty, { generation: generation + 1, resets: resets + 1 });
  }

  take(event: JobEvent): void {
    if (event.eventType === '$reset') this.clear();
    this.events.push(event);
    if (this.events.length > MOST_EVENTS + MOST_EVENTS / 10) {
      this.forgotten += this.events.length - MOST_EVENTS;
      this.events = this.events.slice(-MOST_EVENTS);
      this.generation++;
    }
    if (event.eventType === '$gap') {
      this.gaps++;
      for (const series of this.series.values()) series.gap();
    } else if (event.eventType === '$malformed') this.malformed++;
    else if (event.eventType !== '$reset') this.#takeStored(event as never);
  }

  #takeStored(event: { id: number; eventType: string; timestamp: string; iteration?: number; stage?: string; data?: unknown }): void {
    const { id, eventType, stage } = event;
    const data = isObject(event.data) ? event.data : {};
    const time = Date.parse(event.timestamp);
    this.count++;
    this.lastId = id;
    if (this.count === 1 && finite(event.iteration)! > 1) this.begunAt = event.iteration;
    if (Number.isNaN(this.firstTime)) this.firstTime = time;
    if (!Number.isNaN(time)) this.lastTime = time;
    if (this.types.size < 500 || this.types.has(eventType)) this.types.set(eventType, (this.types.get(eventType) ?? 0) + 1);
    this.#takeLife(eventType, data);
    this.#takePlace(finite(event.iteration) ?? finite(data.current_epoch), data);
    if (typeof stage === 'string' && stage) this.#takeStage(stage, id, time, data);
    else if (this.stages.length) this.#continueStage(time);
    this.#takeNumbers(finite(event.iteration) ?? finite(data.current_epoch), data);
    this.#takeTour(data);
  }

  #takeLife(eventType: string, data: Record<string, unknown>): void {
    const isRetried = eventType === 'job_failed' && data.willRetry === true;
    this.status = isRetried ? 'pending' : (STATUS_AFTER[eventType] ?? (this.status === 'unknown' ? 'running' : this.status));
    if (isRetried || eventType === 'job_started' || eventType === 'job_resumed') {
      for (const series of this.series.values()) series.restart();
      this.error = '';
    }
    if (eventType === 'job_failed') this.error = String(data.error ?? data.message ?? '');
    if (this.isOver) {
      const last = this.stages.at(-1);
      if (last) Object.assign(last, { isOver: true, isFailed: this.status === 'failed' });
      if (this.status === 'succeeded') this.progress = 1;
    }
  }

  get isOver(): boolean {
    return this.status === 'succeeded' || this.status === 'failed' || this.status === 'stopped';
  }

  #takePlace(iteration: number | undefined, data: Record<string, unknown>): void {
    if (iteration !== undefined) this.iteration = iteration;
    const config = isObject(data.config) ? data.config : {};
    this.total = finite(data.totalIterations) ?? finite(data.total_epochs) ?? finite(config.iterations) ?? this.total;
    const percent = finite(data.percent);
    const told = finite(data.progress) ?? (percent === undefined ? undefined : percent / 100);
    const counted = iteration !== undefined && this.total ? iteration / this.total : undefined;
    const fraction = told ?? counted;
    if (fraction !== undefined) this.progress = Math.min(1, Math.max(0, fraction));
  }

  #takeStage(name: string, id: number, time: number, data: Record<string, unknown>): void {
    const tool = typeof data.tool === 'string' ? data.tool : '';
    const message = typeof data.message === 'string' ? data.message : '';
    const last = this.stages.at(-1);
    if (last && last.name === name && last.tool === (tool || last.tool)) {
      Object.assign(last, { end: time, message: message || last.message, events: last.events + 1 });
      last.isFailed ||= data.error === true;
      return;
    }
    if (last) Object.assign(last, { end: time, isOver: true });
    this.stages.push({ name, tool, message, firstId: id, begin: time, end: time, isOver: this.isOver, isFailed: data.error === true, events: 1 });
    if (this.stages.length > MOST_STAGES) this.stages.shift();
  }

  #continueStage(time: number): void {
    const last = this.stages.at(-1)!;
    if (!last.isOver || this.isOver) last.end = time;
  }

  #takeNumbers(iteration: number | undefined, data: Record<string, unknown>): void {
    const add = (name: string, fields: Record<string, unknown>, depth: number) => {
      for (const [key, field] of Object.entries(fields)) {
        if (key === 'config' || (depth === 0 && PLACES.test(key))) continue;
        if (isObject(field) && depth < 2) add(`${name}${key}.`, field, depth + 1);
        else if (typeof field === 'number' && Number.isFinite(field)) this.#addPoint(name + key, iteration, field);
      }
    };
    add('', data, 0);
  }

  #addPoint(name: string, iteration: number | undefined, y: number): void {
    let series = this.series.get(name);
    if (!series) {
      if (this.series.size >= MOST_SERIES) return;
      this.series.set(name, (series = new Series(name)));
    }
    series.add(iteration ?? (series.xs.at(-1) ?? 0) + 1, y);
  }

  #takeTour(data: Record<string, unknown>): void {
    const config = isObject(data.config) ? data.config : {};
    const isPlace = (place: unknown): place is [number, number] =>
      Array.isArray(place) && finite(place[0]) !== undefined && finite(place[1]) !== undefined;
    if (Array.isArray(config.places) && config.places.every(isPlace)) this.#places = config.places;
    const { tour } = data;
    if (!Array.isArray(tour) || tour.length < 2 || !this.#places.length) return;
    this.tour = { places: this.#places, order: tour.filter((place) => this.#places[place as number]), length: finite(data.length) };
  }

  /** What to show first: the score, else the losses, else whatever looks like a goal. */
  get primary(): string[] {
    const names = [...this.series.values()].filter(({ count }) => count > 1).map(({ name }) => name);
    if (names.includes('score')) return ['score'];
    const losses = names.filter((name) => /loss/i.test(name));
    if (losses.length) return losses.slice(0, 4);
    const goal = names.find((name) => /score|reward|accuracy|objective|metric/i.test(name));
    return goal ? [goal] : [];
  }
}
