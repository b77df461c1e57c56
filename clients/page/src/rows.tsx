// The events of the log: which are in it, where one is, and how it is shown.

import { isControl } from '../../typescript/src/events.js';
import type { JobEvent } from '../../typescript/src/index.js';
import type { History } from './history.js';
import { clock, date, summary } from './text.js';

/** The events of some types, kept up to date by looking only at what is new. */
export class Filtered {
  events: JobEvent[] = [];
  #read = 0;
  #basis: unknown;

  of(history: History, types: string[]): JobEvent[] {
    const { events, generation } = history;
    const basis = `${generation} ${types.join()}`;
    if (this.#basis !== basis || this.#read > events.length) {
      this.#basis = basis;
      this.#read = 0;
      this.events = [];
    }
    if (!types.length) return events;
    for (; this.#read < events.length; this.#read++) {
      const event = events[this.#read]!;
      if (isControl(event) || types.includes(event.eventType)) this.events.push(event);
    }
    return this.events;
  }
}

/** Gaps have none. */
export const idOf = (event: JobEvent | undefined) => (event && 'id' in event ? event.id : undefined);

/** Where the event with this id is; -1: it is not there. Gaps have no id, so they are passed over. */
export function placeOf(events: readonly JobEvent[], id: number): number {
  let low = 0;
  let high = events.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    let at = middle;
    while (at > low && idOf(events[at]) === undefined) at--;
    const found = idOf(events[at]);
    if (found === id) return at;
    if (found !== undefined && found > id) high = at - 1;
    else low = middle + 1;
  }
  return -1;
}

function tone({ eventType }: JobEvent): string | undefined {
  if (eventType === 'job_failed' || eventType === '$malformed') return 'bad';
  if (eventType === 'job_completed') return 'good';
  if (eventType === '$gap' || eventType === '$reset' || eventType === 'job_cancelled') return 'warn';
  return eventType.startsWith('job_') ? 'busy' : undefined;
}

export function Row({ event, at, count, height, isSelected, open }: { event: JobEvent; at: number; count: number; height: number; isSelected: boolean; open(): void }) {
  const id = idOf(event);
  const time = 'timestamp' in event ? Date.parse(event.timestamp) : NaN;
  const isGap = event.eventType === '$gap';
  return (
    <div
      id={`row-${at}`}
      class={isControl(event) ? 'row control' : 'row'}
      role="option"
      aria-selected={isSelected}
      aria-posinset={at + 1}
      aria-setsize={count}
      data-id={id}
      data-type={event.eventType}
      data-tone={tone(event)}
      style={{ transform: `translateY(${at * height}px)`, height: `${height}px` }}
      onClick={open}
    >
      <span class="id">{id === undefined ? (isGap ? 'gap' : '') : `#${id}`}</span>
      <span class="time" title={date(time)}>
        {clock(time)}
      </span>
      <span class="type">{isGap ? `#${event.requestedAfter} … #${event.firstAvailable}` : event.eventType.replace('$', '')}</span>
      <span class="what">{summary(event)}</span>
    </div>
  );
}
