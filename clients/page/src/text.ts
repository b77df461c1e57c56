// How numbers, times and events are told in words.

import type { JobEvent } from '../../typescript/src/index.js';

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const clockFormat = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
const dayFormat = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

export const whole = (value: number) => grouped.format(value);

/** A measured value: as many digits as tell it apart, no more. */
export function value(number: number): string {
  if (Number.isInteger(number) && Math.abs(number) < 1e9) return grouped.format(number);
  const size = Math.abs(number);
  if (size !== 0 && (size < 1e-3 || size >= 1e9)) return number.toExponential(2);
  const text = number.toLocaleString('en', { maximumSignificantDigits: size >= 1000 ? 6 : 4 });
  // 0.99996 is not 1.
  return /[.]/.test(text) ? text : number.toLocaleString('en', { maximumSignificantDigits: 7 });
}

/** A length of time, in milliseconds. */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

/** How long ago. Clocks differ: never less than now. */
export function ago(time: number, now = Date.now()): string {
  const seconds = Math.max(0, Math.floor((now - time) / 1000));
  if (Number.isNaN(seconds)) return '';
  if (seconds < 1) return 'now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

export const clock = (time: number) => (Number.isNaN(time) ? '' : clockFormat.format(time));
export const date = (time: number) => (Number.isNaN(time) ? '' : dayFormat.format(time));

export const plural = (count: number, one: string, many = `${one}s`) => `${whole(count)} ${count === 1 ? one : many}`;

const isObject = (thing: unknown): thing is Record<string, unknown> =>
  typeof thing === 'object' && thing !== null && !Array.isArray(thing);

function plain(fields: Record<string, unknown>): string[] {
  return Object.entries(fields).flatMap(([name, field]) => {
    if (isObject(field)) return plain(field);
    if (typeof field === 'number') return [`${name} ${value(field)}`];
    if (typeof field === 'boolean') return field ? [name] : [];
    return typeof field === 'string' && field ? [`${name} ${field}`] : [];
  });
}

/** One line for any event: its message first, then its plain values. */
export function summary(event: JobEvent): string {
  if (event.eventType === '$gap') return 'Events may be missing here: they are no longer stored';
  if (event.eventType === '$reset') return 'The stream was made anew: ids start again';
  if (event.eventType === '$malformed') return 'A stored message that is no event was left out';
  const { iteration, stage } = event;
  const { message, error, ...rest } = (isObject(event.data) ? event.data : {}) as Record<string, unknown>;
  const parts = [message, error].filter((part): part is string => typeof part === 'string' && part !== '');
  if (stage) parts.unshift(stage);
  if (iteration !== undefined) parts.unshift(`iteration ${whole(iteration)}`);
  return [...parts, ...plain(rest)].join(' · ').slice(0, 400);
}
