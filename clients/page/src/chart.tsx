// A chart of one or more series over the same axis: reduced to what the pixels can show, with gaps
// drawn, and zoomed by dragging.

import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';

import type { Line, Series } from './series.js';
import { plural, value, whole } from './text.js';
import { colour } from './theme.js';

export interface ChartLine {
  label: string;
  series: Series;
  /** Name of a colour in the style sheet. */
  colour: string;
  /** The points, the best so far, or both with the points behind. */
  shows: 'points' | 'best' | 'both';
  dash?: number[];
}

interface Props {
  title: string;
  axis: string;
  lines: ChartLine[];
  theme: string;
  height: number;
  isLogarithmic?: boolean;
}

interface Column {
  label: string;
  colour: string;
  isBest: boolean;
  isFaint: boolean;
  dash: number[] | undefined;
}

type Range = [low: number, high: number];

const columnsOf = (lines: ChartLine[]): Column[] =>
  lines.flatMap(({ label, colour, shows, dash }) => {
    const points = { label, colour, isBest: false, isFaint: shows === 'both', dash };
    const best = { label: shows === 'both' ? 'best so far' : label, colour, isBest: true, isFaint: false, dash };
    return shows === 'both' ? [points, best] : [shows === 'best' ? best : points];
  });

/** Places that are equal are moved apart by what nobody sees: tables are joined by them. */
function apart(xs: number[]): number[] {
  for (let at = 1; at < xs.length; at++) {
    if (xs[at]! <= xs[at - 1]!) xs[at] = xs[at - 1]! + 1e-9 * Math.max(1, Math.abs(xs[at - 1]!));
  }
  return xs;
}

function tableOf(line: Line, shows: ChartLine['shows']): uPlot.AlignedData {
  const columns = shows === 'both' ? [line.ys, line.best] : [shows === 'best' ? line.best : line.ys];
  return [apart(line.xs), ...columns] as uPlot.AlignedData;
}

function wholeRange(lines: ChartLine[]): Range {
  const low = Math.min(...lines.map(({ series }) => series.xs[0] ?? Infinity));
  const high = Math.max(...lines.map(({ series }) => series.xs.at(-1) ?? -Infinity));
  if (low > high) return [0, 1];
  return low === high ? [low - 1, high + 1] : [low, high];
}

function drawGaps(chart: uPlot, lines: ChartLine[]): void {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const [from, to] of lines.flatMap(({ series }) => series.gapPlaces())) {
    const left = chart.valToPos(from, 'x', true);
    const width = Math.max(6 * devicePixelRatio, chart.valToPos(to, 'x', true) - left);
    ctx.fillStyle = `${colour('warn')}22`;
    ctx.fillRect(left, bbox.top, width, bbox.height);
    ctx.strokeStyle = `${colour('warn')}66`;
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    for (let x = left - bbox.height; x < left + width; x += 9 * devicePixelRatio) {
      ctx.moveTo(Math.max(left, x), bbox.top + bbox.height - Math.max(0, left - x));
      const end = Math.min(x + bbox.height, left + width);
      ctx.lineTo(end, bbox.top + bbox.height - (end - x));
    }
    ctx.stroke();
    ctx.fillStyle = colour('warn');
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    const label = 'events missing';
    const isInside = ctx.measureText(label).width + 12 * devicePixelRatio < width;
    ctx.fillText(label, (isInside ? left : left + width) + 6 * devicePixelRatio, bbox.top + 14 * devicePixelRatio);
  }
  ctx.restore();
}

function optionsOf(columns: Column[], size: { width: number; height: number }, props: () => Props, range: () => Range, zoom: (range: Range) => void, point: (index: number | null) => void): uPlot.Options {
  const axis: uPlot.Axis = {
    stroke: colour('quiet'),
    font: '12px system-ui, sans-serif',
    grid: { stroke: colour('grid'), width: 1 },
    ticks: { show: false },
  };
  const stepped = uPlot.paths.stepped!({ align: 1 });
  return {
    ...size,
    padding: [12, 16, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
    scales: {
      x: { time: false, range: () => range() },
      y: { distr: props().isLogarithmic ? 3 : 1 },
    },
    axes: [
      { ...axis, size: 34, gap: 8, values: (_, splits) => splits.map((split) => (Number.isInteger(split) ? whole(split) : '')) },
      { ...axis, size: 58, gap: 8, values: (_, splits) => splits.map((split) => (split === null ? '' : value(split))) },
    ],
    series: [
      {},
      ...columns.map(({ label, colour: name, isBest, isFaint, dash }): uPlot.Series => ({
        label,
        stroke: isFaint ? `${colour(name)}66` : colour(name),
        width: isFaint ? 1.25 : 2,
        points: { size: 5, ...(isBest && { show: false }) },
        ...(dash && { dash }),
        ...(isBest && { paths: stepped }),
      })),
    ],
    hooks: {
      draw: [(chart) => drawGaps(chart, props().lines)],
      setCursor: [(chart) => point(chart.cursor.idx ?? null)],
      setSelect: [
        (chart) => {
          const { left, width } = chart.select;
          if (width > 4) zoom([chart.posToVal(left, 'x'), chart.posToVal(left + width, 'x')]);
          chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
    },
  };
}

export function Chart(props: Props) {
  const { lines, title, axis, theme, height, isLogarithmic } = props;
  const holder = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLSpanElement>(null);
  const chart = useRef<uPlot | undefined>(undefined);
  const latest = useRef({ props, range: [0, 1] as Range });
  const [zoomed, zoom] = useState<Range>();
  const [width, setWidth] = useState(0);
  const columns = columnsOf(lines);
  const shape = JSON.stringify([columns, theme, isLogarithmic]);
  const range = zoomed ?? wholeRange(lines);
  latest.current = { props, range };
  const drawn = lines.map(({ series }) => series.line(...range, Math.max(100, width - 74)));
  const points = drawn.reduce((sum, line) => sum + line.points, 0);
  const shown = drawn.reduce((sum, line) => sum + line.xs.length, 0);
  const isReduced = drawn.some((line) => line.isReduced) || lines.some(({ series }) => series.isThinned);

  const read = (index: number | null) => {
    if (!readout.current || !chart.current) return;
    const { data } = chart.current;
    const x = index === null ? undefined : data[0][index];
    const parts = columnsOf(latest.current.props.lines).map(({ label }, at) => {
      const y = index === null ? undefined : data[at + 1]?.[index];
      return typeof y === 'number' ? `${label} ${value(y)}` : '';
    });
    readout.current.textContent = x === undefined ? '' : [`${latest.current.props.axis} ${whole(x)}`, ...parts.filter(Boolean)].join(' · ');
  };

  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    observer.observe(holder.current!);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (!width) return;
    const made = optionsOf(columns, { width, height }, () => latest.current.props, () => latest.current.range, zoom, read);
    chart.current = new uPlot(made, [[]] as never, holder.current!);
    return () => {
      chart.current?.destroy();
      chart.current = undefined;
    };
  }, [shape, width > 0]);
  useEffect(() => {
    if (width) chart.current?.setSize({ width, height });
  }, [width, height]);
  useEffect(() => {
    const tables = drawn.map((line, at) => tableOf(line, lines[at]!.shows));
    chart.current?.setData(tables.length === 1 ? tables[0]! : uPlot.join(tables));
  });

  const told = lines.map(({ label, series }) => {
    const best = series.bestSoFar === undefined ? '' : `, best ${value(series.bestSoFar)}`;
    return `${label}: ${plural(series.count, 'point')}, last ${series.last === undefined ? 'none' : value(series.last)}${best}`;
  });
  return (
    <figure class="chart">
      <figcaption>
        <h3>{title}</h3>
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
        <span class="readout" ref={readout} aria-hidden="true" />
        {zoomed && (
          <button type="button" class="plain small" onClick={() => zoom(undefined)}>
            Show all
          </button>
        )}
      </figcaption>
      <div ref={holder} class="canvas" style={{ height: `${height}px` }} role="img" aria-label={`${title} over ${axis}. ${told.join('. ')}`} onDblClick={() => zoom(undefined)} />
      <p class="note">
        <span>{axis}</span>
        {isReduced && (
          <span class="reduced">
            {whole(points)} points drawn as {whole(shown)}: the lowest and the highest of each pixel
          </span>
        )}
      </p>
    </figure>
  );
}
