// The runs that are followed as the address says, and when the page is rendered for them.

import { useRef, useState } from 'preact/hooks';

import { isSame, type JobName, type Route } from './route.js';
import { Run } from './run.js';
import type { Session } from './session.js';

/** Renders follow each other by so much, however many events come; in milliseconds. */
const PACE = 80;

/** Renders again when something has changed, at its own pace. */
export function usePace(): [version: number, changed: () => void] {
  const [version, render] = useState(0);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const changed = useRef(() => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      render((version) => version + 1);
    }, PACE);
  });
  return [version, changed.current];
}

/** The run that is shown, and those that it is compared with; anew with each generation. */
export function useRuns(route: Route, session: Session, changed: () => void, generation: number): [Run | undefined, Run[]] {
  const runs = useRef<Run[]>([]);
  const wanted = route.job ? [route.job, ...route.compared.filter((job) => !isSame(job, route.job))] : [];
  const basis = useRef(generation);
  const serves = (run: Run, job: JobName, at: number) => isSame(job, run.name) && run.isCompared === at > 0;
  const kept = runs.current.filter((run) => basis.current === generation && wanted.some((job, at) => serves(run, job, at)));
  for (const run of runs.current) if (!kept.includes(run)) run.close();
  basis.current = generation;
  runs.current = wanted.map((job, at) => kept.find((run) => serves(run, job, at)) ?? new Run(job, session, changed, at > 0));
  return [runs.current[0], runs.current.slice(1)];
}
