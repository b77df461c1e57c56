// What a job's events look like: one type for each event type, and three that the client itself adds
// where something is missing. Their names begin with "$", which no stored type can.

/** An event as it is stored. `id` only rises within a job, with gaps. */
export interface StoredEvent<Type extends string = string, Data = Record<string, unknown>> {
  readonly id: number;
  readonly eventType: Type;
  /** ISO 8601; the producer's time, else the time of storage. */
  readonly timestamp: string;
  readonly iteration?: number;
  /** The trace (W3C Trace Context) that it belongs to. */
  readonly traceparent?: string;
  readonly stage?: string;
  readonly data?: Data;
}

type Open<Fields> = Fields & { readonly [field: string]: unknown };

/** What `data` holds by event type. Producers decide: every field may be missing. */
export interface EventData {
  job_created: Open<{ config?: unknown }>;
  job_started: Open<{ promptId?: string; datasetId?: string; config?: unknown }>;
  iteration_completed: Open<{ score?: number }>;
  job_paused: Open<{ pausedAt?: string; currentIteration?: number }>;
  job_resumed: Open<{ resumedAt?: string; resumeFromIteration?: number }>;
  job_completed: Open<{ resultPromptId?: string; finalScore?: number; result?: unknown }>;
  job_failed: Open<{ error?: string; code?: string; errorStack?: string; willRetry?: boolean }>;
  job_cancelled: Open<{ cancelledAt?: string; finalIteration?: number }>;
  progress: Open<{ progress?: number; percent?: number; message?: string; tool?: string }>;
  log: Open<{ level?: string; message?: string }>;
}

/** Events between two ids may be gone: completeness cannot be shown. What there is follows. */
export interface GapEvent {
  readonly eventType: '$gap';
  /** The last id that was seen before the gap. */
  readonly requestedAfter: number;
  /** The first id that may still be there. */
  readonly firstAvailable: number;
  readonly lastEventId: number;
}

/** The stream was made anew: forget what is known of the job, ids start again. */
export interface ResetEvent {
  readonly eventType: '$reset';
  readonly epoch: string;
}

/** A stored message is no event; it is left out. */
export interface MalformedEvent {
  readonly eventType: '$malformed';
  readonly id: number;
}

export type ControlEvent = GapEvent | ResetEvent | MalformedEvent;

/**
 * An event type that is not in the list: any text. To the compiler it equals none of the list, so that a
 * comparison narrows; to compare with a type that is not in the list, add it to the list.
 */
export declare enum OtherType {
  any = '',
}

/** Everything that can come, told apart by `eventType`. `Types` maps types to what `data` holds. */
export type JobEvent<Types = EventData> =
  | { [Type in keyof Types & string]: StoredEvent<Type, Types[Type]> }[keyof Types & string]
  | StoredEvent<OtherType>
  | ControlEvent;

/** How a job ended. */
export type Outcome = 'completed' | 'failed' | 'cancelled';

const OUTCOMES: Record<string, Outcome> = {
  job_completed: 'completed',
  job_failed: 'failed',
  job_cancelled: 'cancelled',
};

/** The types that decide whether a job has ended. */
export const LIFE_CYCLE = [
  ...Object.keys(OUTCOMES),
  'job_created',
  'job_started',
  'job_paused',
  'job_resumed',
  'iteration_completed',
];

/** How the job ended with this event; undefined if it did not. */
export const outcomeOf = (event: StoredEvent): Outcome | undefined =>
  event.eventType === 'job_failed' && event.data?.willRetry === true
    ? undefined
    : OUTCOMES[event.eventType];

export const isControl = (event: { eventType: string }): event is ControlEvent =>
  event.eventType[0] === '$';
