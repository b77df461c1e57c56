// Which series are drawn: the goal of the job, those that were picked by hand, and other runs beside it.

import { useState } from 'preact/hooks';

import { Chart } from './chart.js';
import type { JobList } from './list.js';
import { Menu } from './menu.js';
import type { ChartLine } from './plot.js';
import { isSame, keyOf, MOST_COMPARED, type Route } from './route.js';
import type { Run } from './run.js';
import { Tour } from './tour.js';

interface Props {
  run: Run;
  compared: Run[];
  list: JobList;
  route: Route;
  theme: string;
  show(route: Route, how?: 'push' | 'replace'): void;
}

const COLOURS = ['line-0', 'line-1', 'line-2', 'line-3', 'line-4', 'line-5'];
const DASHES: (number[] | undefined)[] = [undefined, [8, 4], [2, 4], [12, 4, 2, 4], [5, 5], [1, 3]];
const toggled = <Thing,>(list: Thing[], thing: Thing) => (list.includes(thing) ? list.filter((other) => other !== thing) : [...list, thing]);

function titleOf(names: string[]): string {
  if (names.every((name) => /loss/i.test(name))) return 'Loss';
  const name = names[0]!.replaceAll('_', ' ');
  return name[0]!.toUpperCase() + name.slice(1);
}

/** The same series of several runs: the best so far of each. */
function comparison(name: string, runs: Run[]): ChartLine[] {
  return runs.flatMap((run, at) => {
    const series = run.history.series.get(name);
    if (!series?.xs.length) return [];
    return [{ label: run.name.jobId, series, colour: COLOURS[at % COLOURS.length]!, shows: 'best' as const, ...(DASHES[at] && { dash: DASHES[at] }) }];
  });
}

/** With the best so far where it is the goal of the job. */
function linesOf(run: Run, names: string[], isGoal: boolean): ChartLine[] {
  return names.flatMap((name, at) => {
    const series = run.history.series.get(name);
    return series ? [{ label: name, series, colour: COLOURS[at % COLOURS.length]!, shows: isGoal && names.length === 1 ? ('both' as const) : ('points' as const) }] : [];
  });
}

function Compare({ list, route, show }: Pick<Props, 'list' | 'route' | 'show'>) {
  const others = list.jobs
    .filter((job) => !isSame(job, route.job))
    .sort((one, other) => Number(other.kind === route.job!.kind) - Number(one.kind === route.job!.kind))
    .slice(0, 30);
  const isChosen = (job: { kind: string; jobId: string }) => route.compared.some((other) => isSame(other, job));
  return (
    <Menu label={route.compared.length ? `Compare (${route.compared.length})` : 'Compare'} description={`Runs to compare with, at most ${MOST_COMPARED}`}>
      {() => [
        ...others.map((job) => (
          <label key={keyOf(job)}>
            <input
              type="checkbox"
              checked={isChosen(job)}
              disabled={!isChosen(job) && route.compared.length >= MOST_COMPARED}
              onChange={() => show({ ...route, compared: isChosen(job) ? route.compared.filter((other) => !isSame(other, job)) : [...route.compared, { kind: job.kind, jobId: job.jobId }] }, 'replace')}
            />
            {job.jobId} <span class="quiet">{job.kind}</span>
          </label>
        )),
        !others.length && <p class="quiet">There is no other job yet.</p>,
      ]}
    </Menu>
  );
}

export function Charts({ run, compared, list, route, theme, show }: Props) {
  const [isLogarithmic, setLogarithmic] = useState(false);
  const { history } = run;
  const primary = history.primary;
  const isLoss = primary.length > 0 && primary.every((name) => /loss/i.test(name));
  const others = [...history.series.values()].filter(({ name, count }) => count > 1 && !primary.includes(name)).map(({ name }) => name);
  const picked = route.series.filter((name) => history.series.has(name) && !primary.includes(name));
  const isCounted = [...primary, ...picked].some((name) => history.series.get(name)!.isCounted);
  const axis = isCounted ? 'report' : run.name.kind === 'training' || isLoss ? 'epoch' : 'iteration';
  const isPositive = isLoss && primary.every((name) => history.series.get(name)!.ys.every((y) => y > 0));
  if (!primary.length && !others.length && !history.tour) return null;
  const runs = [run, ...compared];
  return (
    <section class="panel charts" aria-label="Charts">
      <div class="tools">
        {isPositive && (
          <button type="button" class="button" aria-pressed={isLogarithmic} onClick={() => setLogarithmic(!isLogarithmic)}>
            Log scale
          </button>
        )}
        {primary.length > 0 && <Compare list={list} route={route} show={show} />}
      </div>
      <div class="pictures">
        {primary.length > 0 &&
          (compared.length ? (
            <Chart title={`${titleOf([primary[0]!])}, best so far of ${runs.length} runs`} axis={axis} lines={comparison(primary[0]!, runs)} theme={theme} height={280} isLogarithmic={isLogarithmic && isPositive} />
          ) : (
            <Chart title={titleOf(primary)} axis={axis} lines={linesOf(run, primary, true)} theme={theme} height={280} isLogarithmic={isLogarithmic && isPositive} />
          ))}
        {history.tour && <Tour tour={history.tour} theme={theme} />}
      </div>
      {picked.length > 0 && (
        <div class="picked">
          {picked.map((name) => (
            <Chart key={name} title={name} axis={axis} lines={compared.length ? comparison(name, runs) : linesOf(run, [name], false)} theme={theme} height={180} />
          ))}
        </div>
      )}
      {others.length > 0 && (
        <div class="chips" role="group" aria-label="Other series">
          <span class="quiet">More series</span>
          {others.map((name) => (
            <button type="button" class="chip" key={name} aria-pressed={picked.includes(name)} onClick={() => show({ ...route, series: toggled(route.series, name) }, 'replace')}>
              {name}
            </button>
          ))}
        </div>
      )}
    </section>
  );
}
