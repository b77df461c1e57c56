// The log of events: only the rows in view exist. It follows the newest until somebody scrolls up.

import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

import { isControl } from '../../typescript/src/events.js';
import type { JobEvent } from '../../typescript/src/index.js';
import type { History } from './history.js';
import { clock, date, plural, summary, whole } from './text.js';

const SPARE_ROWS = 8;

interface Props {
  history: History;
  types: string[];
  selected: number | undefined;
  isLive: boolean;
  select(id: number | undefined): void;
}

/** The events of some types, kept up to date by looking only at what is new. */
class Filtered {
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

const idOf = (event: JobEvent | undefined) => (event && 'id' in event ? event.id : undefined);

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

function Row({ event, at, count, height, isSelected, open }: { event: JobEvent; at: number; count: number; height: number; isSelected: boolean; open(): void }) {
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

export function Log({ history, types, selected, isLive, select }: Props) {
  const filtered = useRef<Filtered | undefined>(undefined);
  filtered.current ??= new Filtered();
  const events = filtered.current.of(history, types);
  const scroller = useRef<HTMLDivElement>(null);
  const top = useRef(0);
  const [view, setView] = useState({ top: 0, height: 400, rowHeight: 32 });
  const [isFollowing, follow] = useState(selected === undefined);
  const [seen, setSeen] = useState(0);
  const wanted = useRef(selected);
  const forgotten = useRef(history.forgotten);
  const { rowHeight } = view;
  const count = events.length;

  /** Puts an event in the middle. */
  const reveal = (at: number) => {
    const element = scroller.current!;
    follow(false);
    setSeen(count);
    element.scrollTop = top.current = Math.max(0, at * rowHeight - element.clientHeight / 2);
  };
  const resume = () => {
    follow(true);
    const element = scroller.current!;
    element.scrollTop = top.current = element.scrollHeight;
  };

  useLayoutEffect(() => {
    const element = scroller.current!;
    const measure = () => {
      const height = Number.parseFloat(getComputedStyle(element).getPropertyValue('--row')) || 32;
      setView((view) => ({ ...view, height: element.clientHeight, rowHeight: height }));
    };
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    const element = scroller.current!;
    if (isFollowing) {
      element.scrollTop = element.scrollHeight;
      top.current = element.scrollTop;
    } else if (history.forgotten !== forgotten.current && !types.length) {
      // The oldest rows went: what is being read stays where it is.
      element.scrollTop = top.current -= (history.forgotten - forgotten.current) * rowHeight;
    }
    forgotten.current = history.forgotten;
  }, [count, isFollowing, rowHeight, view.height, types.join(), history.forgotten]);
  useEffect(() => {
    if (wanted.current === undefined) return;
    const at = placeOf(events, wanted.current);
    if (at < 0) return;
    wanted.current = undefined;
    reveal(at);
    scroller.current!.closest('section')?.scrollIntoView({ block: 'nearest' });
  }, [count]);

  const scrolled = () => {
    const element = scroller.current!;
    const isAtEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 4;
    if (isAtEnd) follow(true);
    else if (element.scrollTop < top.current - 1 && isFollowing) {
      follow(false);
      setSeen(count);
    }
    top.current = element.scrollTop;
    setView((view) => ({ ...view, top: element.scrollTop }));
  };

  const place = selected === undefined ? -1 : placeOf(events, selected);
  const move = (to: number) => {
    const at = Math.max(0, Math.min(count - 1, to));
    const id = idOf(events[at]) ?? idOf(events[at + Math.sign(to - place || 1)]);
    if (id === undefined) return;
    select(id);
    const element = scroller.current!;
    follow(false);
    setSeen((seen) => (isFollowing ? count : seen));
    if (at * rowHeight < element.scrollTop) element.scrollTop = at * rowHeight;
    if ((at + 1) * rowHeight > element.scrollTop + element.clientHeight) element.scrollTop = (at + 1) * rowHeight - element.clientHeight;
    top.current = element.scrollTop;
  };
  const pressed = (event: KeyboardEvent) => {
    const page = Math.max(1, Math.floor(view.height / rowHeight) - 1);
    const from = place < 0 ? Math.min(count, Math.ceil((view.top + view.height) / rowHeight)) : place;
    const steps: Record<string, number> = { ArrowUp: from - 1, ArrowDown: place < 0 ? from : from + 1, PageUp: from - page, PageDown: from + page, Home: 0 };
    if (event.key === 'End') {
      select(undefined);
      resume();
    } else if (event.key in steps) move(steps[event.key]!);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  const first = Math.max(0, Math.floor(view.top / rowHeight) - SPARE_ROWS);
  const last = Math.min(count, Math.ceil((view.top + view.height) / rowHeight) + SPARE_ROWS);
  const unread = isFollowing ? 0 : Math.max(0, count - seen);
  return (
    <div class="log">
      <div
        ref={scroller}
        class="rows"
        role="listbox"
        tabIndex={0}
        aria-label={`Events, ${whole(count)}`}
        aria-activedescendant={place >= first && place < last ? `row-${place}` : undefined}
        onScroll={scrolled}
        onKeyDown={pressed}
      >
        <div class="height" role="none" style={{ height: `${count * rowHeight}px` }}>
          {events.slice(first, last).map((event, index) => (
            <Row key={first + index} event={event} at={first + index} count={count} height={rowHeight} isSelected={selected !== undefined && idOf(event) === selected} open={() => select(idOf(event))} />
          ))}
        </div>
        {!count && <p class="empty">{types.length ? 'No events of these types yet.' : 'No events yet.'}</p>}
      </div>
      {!isFollowing && (
        <button type="button" class="pill follow" onClick={resume} aria-label={`Follow the newest events${unread ? `, ${unread} new` : ''}`}>
          <span aria-hidden="true">↓</span> {unread ? `${plural(unread, 'new event')}` : isLive ? 'Follow' : 'To the end'}
        </button>
      )}
      {isFollowing && isLive && count > 0 && (
        <span class="following">
          <i /> following
        </span>
      )}
    </div>
  );
}
