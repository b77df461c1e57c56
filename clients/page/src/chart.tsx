// A chart of one or more series over the same axis, reduced to what its pixels can show.

import type { RefObject } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';

import { columnsOf, optionsOf, tableOf, wholeRange, type ChartLine, type Column, type Range } from './plot.js';
import { plural, value, whole } from './text.js';

/** Pixels beside the plot, for the axis and the edge. */
const AXES = 74;

interface Props {
  title: string;
  axis: string;
  lines: ChartLine[];
  theme: string;
  height: number;
  isLogarithmic?: boolean;
}

/** What the readout says of a place in the data. */
function readoutOf({ axis, lines }: Props, data: uPlot.AlignedData, index: number | null): string {
  const x = index === null ? undefined : data[0][index];
  if (index === null || x === undefined) return '';
  const parts = columnsOf(lines).map(({ label }, at) => {
    const y = data[at + 1]?.[index];
    return typeof y === 'number' ? `${label} ${value(y)}` : '';
  });
  return [`${axis} ${whole(x)}`, ...parts.filter(Boolean)].join(' · ');
}

/** The width of an element, as it changes. */
function useWidth(element: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    observer.observe(element.current!);
    return () => observer.disconnect();
  }, []);
  return width;
}

/** A plot in the holder: made anew when its shape changes, and otherwise given new data. */
function usePlot(props: Props, holder: RefObject<HTMLElement | null>, readout: RefObject<HTMLElement | null>, range: Range, zoom: (range: Range) => void) {
  const { lines, theme, height, isLogarithmic = false } = props;
  const width = useWidth(holder);
  const plot = useRef<uPlot | undefined>(undefined);
  const latest = useRef({ props, range });
  latest.current = { props, range };
  const columns = columnsOf(lines);
  useEffect(() => {
    if (!width) return;
    const options = optionsOf(columns, { width, height }, isLogarithmic, {
      lines: () => latest.current.props.lines,
      range: () => latest.current.range,
      zoom,
      point(index) {
        if (plot.current && readout.current) readout.current.textContent = readoutOf(latest.current.props, plot.current.data, index);
      },
    });
    plot.current = new uPlot(options, [[]] as never, holder.current!);
    return () => {
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, [JSON.stringify([columns, theme, isLogarithmic]), width > 0]);
  useEffect(() => {
    if (width) plot.current?.setSize({ width, height });
  }, [width, height]);
  const drawn = lines.map(({ series }) => series.line(...range, Math.max(100, width - AXES)));
  useEffect(() => {
    const tables = drawn.map((line, at) => tableOf(line, lines[at]!.shows));
    plot.current?.setData(tables.length === 1 ? tables[0]! : uPlot.join(tables));
  });
  return drawn;
}

function Legend({ columns }: { columns: Column[] }) {
  return (
    <ul class="legend">
      {columns.map((column) => (
        <li key={column.label + column.isBest}>
          <svg width="18" height="8" aria-hidden="true">
            <line x1="0" x2="18" y1="4" y2="4" stroke={`var(--${column.colour})`} stroke-opacity={column.isFaint ? 0.45 : 1} stroke-width="2.5" stroke-dasharray={column.dash?.join(' ')} />
          </svg>
          {column.label}
        </li>
      ))}
    </ul>
  );
}

function told({ label, series }: ChartLine): string {
  const best = series.bestSoFar === undefined ? '' : `, best ${value(series.bestSoFar)}`;
  return `${label}: ${plural(series.count, 'point')}, last ${series.last === undefined ? 'none' : value(series.last)}${best}`;
}

export function Chart(props: Props) {
  const { lines, title, axis, height } = props;
  const holder = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLSpanElement>(null);
  const [zoomed, zoom] = useState<Range>();
  const drawn = usePlot(props, holder, readout, zoomed ?? wholeRange(lines), zoom);
  const columns = columnsOf(lines);
  const isReduced = drawn.some((line) => line.isReduced) || lines.some(({ series }) => series.isThinned);
  const points = zoomed ? drawn.map((line) => line.points) : lines.map(({ series }) => series.count);
  const sum = (numbers: number[]) => whole(numbers.reduce((all, one) => all + one, 0));
  // A single line has its name in the title.
  const legend = columns.length === 1 && columns[0]!.label === title ? [] : columns;
  return (
    <figure class="chart">
      <figcaption>
        <h3>{title}</h3>
        <Legend columns={legend} />
        <span class="readout" ref={readout} aria-hidden="true" />
        {zoomed && (
          <button type="button" class="plain small" onClick={() => zoom(undefined)}>
            Show all
          </button>
        )}
      </figcaption>
      <div ref={holder} class="canvas" style={{ height: `${height}px` }} role="img" aria-label={`${title} over ${axis}. ${lines.map(told).join('. ')}`} onDblClick={() => zoom(undefined)} />
      <p class="note">
        <span>{axis}</span>
        {isReduced && (
          <span class="reduced">
            {sum(points)} points drawn as {sum(drawn.map(({ xs }) => xs.length))}: the lowest and the highest of each pixel
          </span>
        )}
      </p>
    </figure>
  );
}
