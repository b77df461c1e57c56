// A closed tour through places on a map, where a job tells one.

import { useEffect, useRef } from 'preact/hooks';

import type { Tour as TourData } from './history.js';
import { whole } from './text.js';
import { colour } from './theme.js';

const HEIGHT = 260;

function draw(canvas: HTMLCanvasElement, { places, order }: TourData): void {
  const ratio = devicePixelRatio;
  const width = canvas.clientWidth;
  canvas.width = width * ratio;
  canvas.height = HEIGHT * ratio;
  const pen = canvas.getContext('2d')!;
  pen.scale(ratio, ratio);
  const [xs, ys] = [places.map(([x]) => x), places.map(([, y]) => y)];
  const [left, right, bottom, top] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const scale = Math.min((width - 32) / (right - left || 1), (HEIGHT - 32) / (top - bottom || 1));
  const spots = places.map(([x, y]) => [width / 2 + (x - (left + right) / 2) * scale, HEIGHT / 2 - (y - (bottom + top) / 2) * scale] as const);
  pen.beginPath();
  for (const index of order) pen.lineTo(...spots[index]!);
  pen.closePath();
  pen.strokeStyle = colour('accent');
  pen.lineWidth = 2;
  pen.lineJoin = 'round';
  pen.stroke();
  pen.fillStyle = colour('text');
  pen.beginPath();
  for (const [x, y] of spots) pen.moveTo(x, y), pen.arc(x, y, 2.5, 0, 2 * Math.PI);
  pen.fill();
}

export function Tour({ tour, theme }: { tour: TourData; theme: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => draw(canvas.current!, tour), [tour, theme]);
  const length = tour.length === undefined ? '' : `length ${whole(tour.length)}`;
  return (
    <figure class="chart tour">
      <figcaption>
        <h3>Tour</h3>
        <span class="readout">{length}</span>
      </figcaption>
      <canvas ref={canvas} style={{ height: `${HEIGHT}px` }} role="img" aria-label={`Closed tour through ${tour.places.length} places, ${length}`} />
    </figure>
  );
}
