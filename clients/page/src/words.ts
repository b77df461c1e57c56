// One word and one tone for each state, used by badges, rows and the tab alike.

import type { WatchStateName } from '../../typescript/src/index.js';
import type { Status } from './history.js';
import type { Run } from './run.js';

export type Tone = 'good' | 'busy' | 'warn' | 'bad' | 'idle';

export const STATUS_TONE: Record<Status, Tone> = {
  pending: 'idle',
  running: 'busy',
  paused: 'warn',
  succeeded: 'good',
  failed: 'bad',
  stopped: 'idle',
  unknown: 'idle',
};

const CONNECTION: Record<WatchStateName, [word: string, tone: Tone]> = {
  connecting: ['connecting', 'idle'],
  'catching-up': ['catching up', 'busy'],
  live: ['live', 'good'],
  reconnecting: ['reconnecting', 'warn'],
  stale: ['stale', 'bad'],
  ended: ['ended', 'idle'],
  closed: ['closed', 'bad'],
};

export function connectionOf({ connection, error }: Run): { word: string; tone: Tone } {
  if (error?.code === 'JOB_NOT_FOUND') return { word: 'waiting for the job', tone: 'warn' };
  const [word, tone] = CONNECTION[connection.state];
  return { word, tone };
}

/** How the tab and the live region call a job: what matters most of connection and status. */
export function headline(run: Run): { word: string; tone: Tone } {
  const { status, isOver } = run.history;
  const connection = connectionOf(run);
  if (connection.word === 'ended' || (isOver && connection.word === 'live')) return { word: status, tone: STATUS_TONE[status] };
  if (connection.word === 'live') return { word: status === 'running' ? 'live' : status, tone: status === 'running' ? 'good' : STATUS_TONE[status] };
  return connection;
}
