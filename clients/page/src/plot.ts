// What uPlot is told: series as columns, gaps hatched, zooming by dragging.

import uPlot from 'uplot';

import type { Line, Series } from './series.js';
import { value, whole } from './text.js';
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

export interface Column {
  label: string;
  colour: string;
  isBest: boolean;
  isFaint: boolean;
  dash: number[] | undefined;
}

/** There is nothing between two iterations. */
const WHOLE_STEPS = Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

export type Range = [low: number, high: number];

export const columnsOf = (lines: ChartLine[]): Column[] =>
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

export function tableOf(line: Line, shows: ChartLine['shows']): uPlot.AlignedData {
  const columns = shows === 'both' ? [line.ys, line.best] : [shows === 'best' ? line.best : line.ys];
  return [apart(line.xs), ...columns] as uPlot.AlignedData;
}

export function wholeRange(lines: ChartLine[]): Range {
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
    ctx.textAlign = 'left';
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    const label = 'events missing';
    const isInside = ctx.measureText(label).width + 12 * devicePixelRatio < width;
    ctx.fillText(label, (isInside ? left : left + width) + 6 * devicePixelRatio, bbox.top + 14 * devicePixelRatio);
  }
  ctx.restore();
}

/** What a chart asks of who draws it, at any time. */
export interface Drawer {
  lines(): ChartLine[];
  range(): Range;
  zoom(range: Range): void;
  /** The mouse is at a place of the data, or nowhere. */
  point(index: number | null): void;
}

export function optionsOf(columns: Column[], size: { width: number; height: number }, isLogarithmic: boolean, drawer: Drawer): uPlot.Options {
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
      x: { time: false, range: () => drawer.range() },
      y: { distr: isLogarithmic ? 3 : 1 },
    },
    axes: [
      { ...axis, size: 34, gap: 8, incrs: WHOLE_STEPS, values: (_, splits) => splits.map(whole) },
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
      draw: [(chart) => drawGaps(chart, drawer.lines())],
      setCursor: [(chart) => drawer.point(chart.cursor.idx ?? null)],
      setSelect: [
        (chart) => {
          const { left, width } = chart.select;
          if (width > 4) drawer.zoom([chart.posToVal(left, 'x'), chart.posToVal(left + width, 'x')]);
          chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
    },
  };
}
