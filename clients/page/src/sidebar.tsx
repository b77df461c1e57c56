// The list of jobs: live, searched, filtered by kind and state, walked through with the arrow keys.

import { STATUS_TONE } from './words.js';
import { isOver, type JobList, type ListedJob } from './list.js';
import { addressOf, isSame, keyOf, nameOf, routeTo, type JobName, type Route } from './route.js';
import { ago, plural, whole } from './text.js';

const STATES: [state: string, label: string][] = [
  ['', 'All'],
  ['running', 'Running'],
  ['ended', 'Ended'],
  ['failed', 'Failed'],
];

interface Props {
  list: JobList;
  route: Route;
  /** How far the job is that is shown. */
  progress: number | undefined;
  show(route: Route, how?: 'push' | 'replace'): void;
}

function isWanted(job: ListedJob, { search, listedKind, listedState }: Route): boolean {
  if (listedKind && job.kind !== listedKind) return false;
  if (listedState === 'running' && isOver(job.status)) return false;
  if (listedState === 'ended' && !isOver(job.status)) return false;
  if (listedState === 'failed' && job.status !== 'failed') return false;
  return keyOf(job).toLowerCase().includes(search.trim().toLowerCase());
}

export const listedJobs = (list: JobList, route: Route) => list.jobs.filter((job) => isWanted(job, route));

/** What the search names, if it names a job that is not in the list. */
function unlisted({ search, listedKind }: Route): JobName | undefined {
  const text = search.trim();
  return nameOf(text.includes('/') ? text : `${listedKind || 'optimization'}/${text}`);
}

function walk(event: KeyboardEvent): void {
  const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
  if (!step) return;
  const rows = [...document.querySelectorAll<HTMLElement>('#jobs a')];
  const at = rows.indexOf(document.activeElement as HTMLElement);
  rows[Math.max(0, Math.min(rows.length - 1, at + step))]?.focus();
  event.preventDefault();
}

function JobRow({ job, progress, isShown, href, open }: { job: ListedJob; progress: number | undefined; isShown: boolean; href: string; open(): void }) {
  const percent = progress === undefined || isOver(job.status) ? undefined : Math.round(progress * 100);
  return (
    <li>
      <a
        href={href}
        aria-current={isShown ? 'page' : undefined}
        data-job={keyOf(job)}
        onClick={(event) => {
          if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
          event.preventDefault();
          open();
        }}
      >
        <i class="dot" data-tone={STATUS_TONE[job.status]} />
        <span class="name">{job.jobId}</span>
        <span class="quiet time">{ago(Date.parse(job.lastEventAt))}</span>
        <span class="quiet about">
          {job.kind}
          {job.status !== 'unknown' && ` · ${job.status}`}
          {percent !== undefined && ` · ${percent} %`}
        </span>
        {percent !== undefined && (
          <span class="bar" aria-hidden="true">
            <span style={{ width: `${percent}%` }} />
          </span>
        )}
      </a>
    </li>
  );
}

export function Sidebar({ list, route, progress, show }: Props) {
  const kinds = [...new Set([...list.jobs.map(({ kind }) => kind), ...(route.listedKind ? [route.listedKind] : [])])].sort();
  const jobs = listedJobs(list, route);
  const other = jobs.length ? undefined : unlisted(route);
  const running = list.jobs.filter(({ status }) => !isOver(status)).length;
  return (
    <nav class="sidebar" aria-label="Jobs" onKeyDown={walk}>
      <div class="search">
        <input
          id="search"
          type="search"
          placeholder="Search jobs"
          aria-label="Search jobs"
          aria-keyshortcuts="/"
          value={route.search}
          onInput={(event) => show({ ...route, search: event.currentTarget.value }, 'replace')}
        />
        {kinds.length > 1 && (
          <select aria-label="Kind" value={route.listedKind} onChange={(event) => show({ ...route, listedKind: event.currentTarget.value }, 'replace')}>
            <option value="">All kinds</option>
            {kinds.map((kind) => (
              <option key={kind} value={kind}>
                {kind}
              </option>
            ))}
          </select>
        )}
        <div class="segments" role="group" aria-label="State">
          {STATES.map(([state, label]) => (
            <button type="button" key={state} aria-pressed={route.listedState === state} onClick={() => show({ ...route, listedState: state }, 'replace')}>
              {label}
            </button>
          ))}
        </div>
      </div>
      <ul id="jobs">
        {jobs.map((job) => (
          <JobRow key={keyOf(job)} job={job} progress={job.progress ?? (isSame(job, route.job) ? progress : undefined)} isShown={isSame(job, route.job)} href={addressOf(routeTo(route, job))} open={() => show(routeTo(route, job))} />
        ))}
      </ul>
      {list.isRead && !jobs.length && (
        <p class="empty">
          {list.jobs.length || route.search ? 'No such job here.' : 'No jobs yet. One appears with its first event.'}
          {other && route.search && (
            <button type="button" class="plain" onClick={() => show(routeTo(route, other))}>
              Open {keyOf(other)}
            </button>
          )}
        </p>
      )}
      {list.hasMore && (
        <button type="button" class="plain more" onClick={list.more}>
          Older jobs
        </button>
      )}
      <p class="quiet count">
        {list.problem ? `The list cannot be read: ${list.problem.message}. Trying again.` : list.isRead ? `${plural(list.jobs.length, 'job')}, ${whole(running)} not ended` : 'Looking for jobs …'}
      </p>
    </nav>
  );
}
