// Title and icon of the browser's tab: how the job stands can be seen from another one.

import type { Run } from './run.js';

const COLOURS: Record<string, string> = { good: '#16a34a', busy: '#0284c7', warn: '#d97706', bad: '#dc2626', idle: '#64748b' };
let shownIcon = '';

/** A ring that fills with the progress, around a point in the colour of the state. */
function icon(tone: string, progress: number | undefined): string {
  const colour = COLOURS[tone] ?? COLOURS.idle;
  const length = 2 * Math.PI * 12;
  const arc = progress === undefined ? length : length * progress;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="12" fill="none" stroke="${colour}" stroke-opacity=".25" stroke-width="5"/>` +
    `<circle cx="16" cy="16" r="12" fill="none" stroke="${colour}" stroke-width="5" stroke-dasharray="${arc.toFixed(1)} 99" transform="rotate(-90 16 16)"/><circle cx="16" cy="16" r="5" fill="${colour}"/></svg>`
  );
}

export function showOnTab(run: Run | undefined, tone: string, word: string): void {
  const link = document.querySelector<HTMLLinkElement>('link[rel=icon]')!;
  if (!run) {
    document.title = 'Jobs · jobwire';
    if (shownIcon) link.href = '/favicon.svg';
    shownIcon = '';
    return;
  }
  const { progress, isOver } = run.history;
  const percent = progress === undefined || isOver ? undefined : Math.round(progress * 100);
  document.title = `${percent === undefined ? '' : `${percent} % · `}${run.name.jobId} · ${word}`;
  const drawn = icon(tone, percent === undefined ? undefined : percent / 100);
  if (drawn === shownIcon) return;
  shownIcon = drawn;
  link.href = `data:image/svg+xml,${encodeURIComponent(drawn)}`;
}
