// The log of events: only the rows in view exist. It follows the newest until somebody scrolls up.

import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

import type { History } from './history.js';
import { Filtered, idOf, placeOf, Row } from './rows.js';
import { plural, whole } from './text.js';

const SPARE_ROWS = 8;

interface Props {
  history: History;
  types: string[];
  selected: number | undefined;
  isLive: boolean;
  select(id: number | undefined): void;
}

/** Height of a row as the style sheet says, in pixels. */
const rowHeightOf = (element: HTMLElement) => Number.parseFloat(getComputedStyle(element).getPropertyValue('--row')) || 32;

/** What is in view of so many rows; and whether the newest are followed. */
function useView(count: number, history: History, types: string[], begins: boolean) {
  const scroller = useRef<HTMLDivElement>(null);
  /** Where it was scrolled to last: only up pauses, and what we do ourselves does not count. */
  const top = useRef(0);
  const forgotten = useRef(history.forgotten);
  const [view, setView] = useState({ top: 0, height: 400, rowHeight: 32 });
  const [isFollowing, follow] = useState(begins);
  const [seen, setSeen] = useState(0);
  const { rowHeight } = view;

  const pause = () => {
    if (!isFollowing) return;
    follow(false);
    setSeen(count);
  };
  const scrollTo = (pixels: number) => {
    const element = scroller.current!;
    element.scrollTop = pixels;
    top.current = element.scrollTop;
  };
  useLayoutEffect(() => {
    const element = scroller.current!;
    const observer = new ResizeObserver(() => setView((view) => ({ ...view, height: element.clientHeight, rowHeight: rowHeightOf(element) })));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    if (isFollowing) scrollTo(scroller.current!.scrollHeight);
    // The oldest rows went: what is being read stays where it is.
    else if (!types.length && history.forgotten !== forgotten.current) scrollTo(top.current - (history.forgotten - forgotten.current) * rowHeight);
    forgotten.current = history.forgotten;
  }, [count, isFollowing, rowHeight, view.height, types.join(), history.forgotten]);

  return {
    scroller,
    isFollowing,
    unread: isFollowing ? 0 : Math.max(0, count - seen),
    first: Math.max(0, Math.floor(view.top / rowHeight) - SPARE_ROWS),
    last: Math.min(count, Math.ceil((view.top + view.height) / rowHeight) + SPARE_ROWS),
    lastInView: Math.min(count, Math.ceil((view.top + view.height) / rowHeight)),
    page: Math.max(1, Math.floor(view.height / rowHeight) - 1),
    rowHeight,
    scrolled() {
      const element = scroller.current;
      if (!element) return;
      if (element.scrollHeight - element.scrollTop - element.clientHeight < 4) follow(true);
      else if (element.scrollTop < top.current - 1) pause();
      top.current = element.scrollTop;
      setView((view) => ({ ...view, top: element.scrollTop }));
    },
    resume() {
      follow(true);
      scrollTo(scroller.current!.scrollHeight);
    },
    /** Puts a row in the middle. */
    centre(at: number) {
      follow(false);
      setSeen(count);
      scrollTo(at * rowHeight - scroller.current!.clientHeight / 2);
      scroller.current!.closest('section')?.scrollIntoView({ block: 'nearest' });
    },
    /** Scrolls no further than a row needs to be seen. */
    reveal(at: number) {
      const element = scroller.current!;
      pause();
      if (at * rowHeight < element.scrollTop) scrollTo(at * rowHeight);
      const end = (at + 1) * rowHeight - element.clientHeight;
      if (end > element.scrollTop) scrollTo(end);
    },
  };
}

type View = ReturnType<typeof useView>;

/** Where a key leads from a row; undefined: nowhere. -1 stands for no row. */
function leadsTo(key: string, place: number, count: number, { lastInView, page }: View): number | undefined {
  const from = place < 0 ? lastInView : place;
  const steps: Record<string, number> = { ArrowUp: from - 1, ArrowDown: place < 0 ? from : from + 1, PageUp: from - page, PageDown: from + page, Home: 0 };
  const to = steps[key];
  return to === undefined ? undefined : Math.max(0, Math.min(count - 1, to));
}

export function Log({ history, types, selected, isLive, select }: Props) {
  const filtered = useRef<Filtered | undefined>(undefined);
  filtered.current ??= new Filtered();
  const events = filtered.current.of(history, types);
  const count = events.length;
  const view = useView(count, history, types, selected === undefined);
  const { first, last, rowHeight, unread } = view;
  const place = selected === undefined ? -1 : placeOf(events, selected);

  // A link to an event leads there once, when it has come.
  const wanted = useRef(selected);
  useEffect(() => {
    if (wanted.current === undefined || place < 0) return;
    wanted.current = undefined;
    view.centre(place);
  }, [count]);

  const pressed = (event: KeyboardEvent) => {
    const to = leadsTo(event.key, place, count, view);
    if (event.key === 'End') {
      select(undefined);
      view.resume();
    } else if (to !== undefined) {
      // Gaps cannot be opened: on to what is behind them.
      const id = idOf(events[to]) ?? idOf(events[to + Math.sign(to - place || 1)]);
      if (id !== undefined) select(id);
      view.reveal(to);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };

  return (
    <div class="log">
      <div
        ref={view.scroller}
        class="rows"
        role="listbox"
        tabIndex={0}
        aria-label={`Events, ${whole(count)}`}
        aria-activedescendant={place >= first && place < last ? `row-${place}` : undefined}
        onScroll={view.scrolled}
        onKeyDown={pressed}
      >
        <div class="height" role="none" style={{ height: `${count * rowHeight}px` }}>
          {events.slice(first, last).map((event, index) => (
            <Row key={first + index} event={event} at={first + index} count={count} height={rowHeight} isSelected={selected !== undefined && idOf(event) === selected} open={() => select(idOf(event))} />
          ))}
        </div>
        {!count && <p class="empty">{types.length ? 'No events of these types yet.' : 'No events yet.'}</p>}
      </div>
      {!view.isFollowing && (
        <button type="button" class="pill follow" onClick={view.resume} aria-label={`Follow the newest events${unread ? `, ${unread} new` : ''}`}>
          <span aria-hidden="true">↓</span> {unread ? `${plural(unread, 'new event')}` : isLive ? 'Follow' : 'To the end'}
        </button>
      )}
      {view.isFollowing && isLive && count > 0 && (
        <span class="following">
          <i /> following
        </span>
      )}
    </div>
  );
}
