// One job: how it stands, its charts, what it went through, and every event.

import { Charts } from './charts.js';
import { commandLine, CopyMenu, curl, json } from './copy.js';
import { Detail } from './detail.js';
import type { JobList } from './list.js';
import { Log } from './log.js';
import { keyOf, type Route } from './route.js';
import { placeOf } from './rows.js';
import type { Run } from './run.js';
import { Stages, Steps } from './stages.js';
import { ago, date, duration, plural, value, whole } from './text.js';
import { connectionOf, STATUS_TONE } from './words.js';

interface Props {
  run: Run;
  compared: Run[];
  list: JobList;
  route: Route;
  theme: string;
  isGuarded: boolean;
  show(route: Route, how?: 'push' | 'replace'): void;
  tell(sentence: string): void;
}

function Badge({ run }: { run: Run }) {
  const { word, tone } = connectionOf(run);
  const { history } = run;
  return (
    <p class="badge" data-tone={tone} data-state={run.connection.state}>
      <i class="dot" data-tone={tone} />
      <strong>{word}</strong>
      {history.lastId > 0 && (
        <span class="quiet">
          last event {ago(history.lastTime)} · #{history.lastId}
        </span>
      )}
    </p>
  );
}

/** What a watcher has to know about completeness: losses, gaps, refusals. */
function Notices({ run }: { run: Run }) {
  const { history, connection, error } = run;
  const notices: [tone: string, text: string][] = [];
  if (error?.code === 'JOB_NOT_FOUND') notices.push(['warn', 'There is no such job, or not yet. It appears here with its first event.']);
  else if (error) notices.push(['bad', `${error.message} (${error.code})`]);
  if (connection.state === 'reconnecting' || connection.state === 'stale') {
    const wait = Math.ceil((run.retryAt - Date.now()) / 1000);
    const next = wait > 0 ? `Trying again in ${wait} s.` : 'Trying again now.';
    const old = connection.state === 'stale' ? 'What you see is old. ' : '';
    notices.push([connection.state === 'stale' ? 'bad' : 'warn', `The connection is lost. ${old}${next} What happens meanwhile comes afterwards.`]);
  } else if (run.isCaughtUpNews) {
    const { events, isComplete } = run.caughtUp!;
    if (isComplete) notices.push(['good', events ? `Connected again and caught up: ${plural(events, 'event')} replayed, none missing.` : 'Connected again: nothing was missed.']);
  }
  if (history.resets) notices.push(['warn', 'The stream was made anew while you watched: what you see is the new one.']);
  if (history.begunAt !== undefined) notices.push(['idle', `The history begins with iteration ${whole(history.begunAt)}: what was before may no longer be stored.`]);
  if (history.gaps) notices.push(['warn', `${plural(history.gaps, 'gap')}: some events are no longer stored. The place is marked in the log and in the charts.`]);
  if (history.malformed) notices.push(['warn', `${plural(history.malformed, 'stored message')} could not be read and ${history.malformed === 1 ? 'is' : 'are'} marked in the log.`]);
  if (history.forgotten) notices.push(['idle', `The log shows the newest ${whole(history.events.length)} of ${whole(history.count)} events; the charts have all of them.`]);
  return (
    <ul class="notices">
      {notices.map(([tone, text]) => (
        <li key={text.slice(0, 20)} data-tone={tone}>
          {text}
        </li>
      ))}
    </ul>
  );
}

function Facts({ run }: { run: Run }) {
  const { history } = run;
  const [name = ''] = history.primary;
  const series = history.series.get(name);
  const end = history.isOver || run.connection.state === 'stale' ? history.lastTime : Date.now();
  const percent = history.progress === undefined ? undefined : Math.round(history.progress * 100);
  const facts: [label: string, fact: string, note?: string][] = [];
  if (percent !== undefined) facts.push(['Progress', `${percent} %`]);
  if (history.iteration !== undefined) facts.push([run.name.kind === 'training' ? 'Epoch' : 'Iteration', whole(history.iteration), history.total ? `of ${whole(history.total)}` : '']);
  if (series?.bestSoFar !== undefined) facts.push([`Best ${name.replaceAll('_', ' ')}`, value(series.bestSoFar), `now ${value(series.last!)}`]);
  if (!Number.isNaN(history.firstTime)) facts.push([history.isOver ? 'Took' : 'Running for', duration(end - history.firstTime), '']);
  facts.push(['Events', whole(history.count), history.gaps ? 'not complete' : '']);
  return (
    <dl class="facts">
      {facts.map(([label, fact, note]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>
            {fact} {note && <small>{note}</small>}
          </dd>
        </div>
      ))}
    </dl>
  );
}

function TypeFilter({ run, route, show }: Pick<Props, 'run' | 'route' | 'show'>) {
  const types = [...run.history.types].sort(([, one], [, other]) => other - one).slice(0, 12);
  for (const type of route.types) if (!types.some(([known]) => known === type)) types.push([type, 0]);
  if (types.length < 2 && !route.types.length) return null;
  const choose = (type: string) => show({ ...route, types: route.types.includes(type) ? route.types.filter((other) => other !== type) : [...route.types, type] }, 'replace');
  return (
    <div class="chips" role="group" aria-label="Event types">
      <button type="button" class="chip" aria-pressed={!route.types.length} onClick={() => show({ ...route, types: [] }, 'replace')}>
        all
      </button>
      {types.map(([type, count]) => (
        <button type="button" class="chip" key={type} aria-pressed={route.types.includes(type)} data-type={type} onClick={() => choose(type)}>
          {type} <span class="quiet">{whole(count)}</span>
        </button>
      ))}
    </div>
  );
}

function Head({ run, route, isGuarded, show, tell }: Pick<Props, 'run' | 'route' | 'isGuarded' | 'show' | 'tell'>) {
  const { history, name } = run;
  const choices = [
    { label: 'Link', text: () => location.href },
    { label: `Events as JSON (${whole(history.events.length)})`, text: () => json(history.events) },
    { label: 'curl', text: () => curl(name, undefined, isGuarded) },
    { label: 'Command line', text: () => commandLine(name, undefined) },
  ];
  return (
    <header class="head">
      <div class="names">
        <a class="back" href="/" aria-label="All jobs" onClick={(event) => (event.preventDefault(), show({ ...route, job: undefined }))}>
          ←
        </a>
        <div>
          <p class="quiet kind">{name.kind}</p>
          <div class="title">
            <h1 id="title" tabIndex={-1}>
              {name.jobId}
            </h1>
            {history.status !== 'unknown' && (
              <span class="status" data-tone={STATUS_TONE[history.status]}>
                {history.status}
              </span>
            )}
          </div>
        </div>
      </div>
      <div class="actions">
        <Badge run={run} />
        <CopyMenu choices={choices} tell={tell} />
      </div>
    </header>
  );
}

export function JobView({ run, compared, list, route, theme, isGuarded, show, tell }: Props) {
  const { history, name } = run;
  const isLive = !history.isOver && run.connection.state === 'live';
  const isAgent = name.kind === 'agent' || history.stages.some(({ tool }) => tool);
  const openEvent = (event: number | undefined) => show({ ...route, event }, 'replace');
  const place = route.event === undefined ? -1 : placeOf(history.events, route.event);
  const isOneStage = history.stages.length < 2;
  return (
    <article class="job" aria-labelledby="title">
      <Head run={run} route={route} isGuarded={isGuarded} show={show} tell={tell} />
      {history.progress !== undefined && (
        <div class="progress" role="progressbar" aria-label="Progress" aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(history.progress * 100)} data-tone={STATUS_TONE[history.status]}>
          <span style={{ width: `${history.progress * 100}%` }} />
        </div>
      )}
      <Notices run={run} />
      {history.error && <p class="failure">{history.error}</p>}
      <Facts run={run} />
      {isAgent && history.stages.length > 0 && <Steps history={history} isLive={isLive} open={openEvent} />}
      <Charts run={run} compared={compared} list={list} route={route} theme={theme} show={show} />
      {!isAgent && !isOneStage && <Stages history={history} isLive={isLive} open={openEvent} />}
      <section class="panel events" aria-labelledby="events-title">
        <div class="bar">
          <h2 id="events-title">Events</h2>
          <TypeFilter run={run} route={route} show={show} />
          <span class="quiet since">{!Number.isNaN(history.firstTime) && `since ${date(history.firstTime)}`}</span>
        </div>
        <div class={route.event === undefined ? 'reader' : 'reader split'} style={{ '--count': Math.min(history.events.length, 100) }}>
          <Log key={keyOf(name)} history={history} types={route.types} selected={route.event} isLive={isLive} select={openEvent} />
          {route.event !== undefined && (
            <Detail
              job={name}
              id={route.event}
              event={history.events[place]}
              isSearched={run.connection.state === 'connecting' || run.connection.state === 'catching-up'}
              isGuarded={isGuarded}
              tell={tell}
              close={() => {
                openEvent(undefined);
                document.querySelector<HTMLElement>('.rows')?.focus();
              }}
            />
          )}
        </div>
      </section>
    </article>
  );
}
