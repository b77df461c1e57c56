// The page as a whole: its frame, what is shown, the keys, and what is said aloud.

import { useEffect, useRef, useState } from 'preact/hooks';

import { JobView } from './job.js';
import type { JobList } from './list.js';
import { addressOf, isSame, readRoute, routeTo, type JobName, type Route } from './route.js';
import { Run } from './run.js';
import type { Session } from './session.js';
import { listedJobs, Sidebar } from './sidebar.js';
import { showOnTab } from './tab.js';
import { applyTheme, chooseTheme, chosenTheme, onSystemTheme, type Theme } from './theme.js';
import { headline } from './words.js';

/** Renders follow each other by so much, however many events come; in milliseconds. */
const PACE = 80;
/** Screen readers are told of a new state no sooner after the last one. */
const SPEECH = 3_000;
const THEMES: Theme[] = ['system', 'light', 'dark'];

const KEYS: [key: string, effect: string][] = [
  ['/', 'search the jobs'],
  ['j, k', 'next job, previous job'],
  ['↑ ↓', 'in the list and in the log: walk'],
  ['e', 'go to the log'],
  ['f or End', 'follow the newest events'],
  ['t', 'system, light or dark'],
  ['Esc', 'close what is open'],
  ['?', 'these keys'],
];

/** Renders again when something has changed, at its own pace. */
function usePace(): [version: number, changed: () => void] {
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

function useRuns(route: Route, session: Session, changed: () => void, generation: number): [Run | undefined, Run[]] {
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

function SignIn({ session, problem, done }: { session: Session; problem: string; done(): void }) {
  return (
    <form
      class="sign-in"
      onSubmit={(event) => {
        event.preventDefault();
        const token = new FormData(event.currentTarget).get('token');
        session.signIn(String(token).trim());
        done();
      }}
    >
      <h1>This gateway asks for a token</h1>
      <p class="quiet">It stays in this tab and is gone when the tab is closed.</p>
      <label>
        Token
        <input name="token" type="password" required autocomplete="off" spellcheck={false} autofocus />
      </label>
      {session.token && (
        <p class="failure" role="alert">
          {problem}
        </p>
      )}
      <button type="submit" class="button strong">
        Open
      </button>
    </form>
  );
}

function Keys({ close }: { close(): void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current!.showModal(), []);
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="keys-title" onClick={(event) => event.target === dialog.current && dialog.current?.close()}>
      <h2 id="keys-title">Keys</h2>
      <dl>
        {KEYS.map(([key, effect]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{effect}</dd>
          </div>
        ))}
      </dl>
      <button type="button" class="button" onClick={() => dialog.current!.close()}>
        Close
      </button>
    </dialog>
  );
}

/** Says a state when it has changed, and not more often than somebody can listen. */
function useSpeech(text: string): string {
  const [said, say] = useState('');
  const last = useRef(0);
  useEffect(() => {
    const timer = setTimeout(() => {
      last.current = Date.now();
      say(text);
    }, Math.max(300, last.current + SPEECH - Date.now()));
    return () => clearTimeout(timer);
  }, [text]);
  return said;
}

export function App({ session, list, onListChanged }: { session: Session; list: JobList; onListChanged(call: () => void): void }) {
  const [, changed] = usePace();
  const [route, setRoute] = useState(readRoute);
  const [theme, setTheme] = useState(chosenTheme);
  const [isHelpOpen, openHelp] = useState(false);
  const [toast, setToast] = useState('');
  const [generation, setGeneration] = useState(0);
  const shownTheme = applyTheme(theme);
  const [run, compared] = useRuns(route, session, changed, generation);

  const show = (next: Route, how: 'push' | 'replace' = 'push') => {
    history[`${how}State`](null, '', addressOf(next));
    setRoute(next);
  };
  const tell = (sentence: string) => {
    setToast(sentence);
    setTimeout(() => setToast((shown) => (shown === sentence ? '' : shown)), 2500);
  };
  const cycleTheme = () => {
    const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
    chooseTheme(next);
    setTheme(next);
    tell(`Theme: ${next}`);
  };
  const signedIn = () => {
    setGeneration((generation) => generation + 1);
    list.restart();
  };

  useEffect(() => {
    onListChanged(changed);
    const timer = setInterval(changed, 1000);
    const popped = () => setRoute(readRoute());
    addEventListener('popstate', popped);
    onSystemTheme(changed);
    void list.refresh();
    return () => {
      clearInterval(timer);
      removeEventListener('popstate', popped);
    };
  }, []);

  const keys = useRef((_: KeyboardEvent) => {});
  keys.current = (event) => {
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
    if (event.key === 'Escape') {
      if (target.id === 'search') target.blur();
      else if (route.event !== undefined) show({ ...route, event: undefined }, 'replace');
      return;
    }
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) return;
    const jobs = listedJobs(list, route);
    const at = jobs.findIndex((job) => isSame(job, route.job));
    const open = (to: number) => jobs[to] && to !== at && show(routeTo(route, jobs[to]));
    const acts: Record<string, () => unknown> = {
      '/': () => document.querySelector<HTMLElement>('#search')?.focus(),
      j: () => open(Math.min(jobs.length - 1, at + 1)),
      k: () => open(Math.max(0, at - 1)),
      e: () => document.querySelector<HTMLElement>('.rows')?.focus(),
      f: () => document.querySelector<HTMLElement>('.follow')?.click(),
      t: cycleTheme,
      '?': () => openHelp(true),
    };
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  };
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => keys.current(event);
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);

  // On a wide screen something is shown at once; on a phone the list is.
  useEffect(() => {
    if (!route.job && list.jobs.length && matchMedia('(min-width: 54rem)').matches) show(routeTo(route, list.jobs[0]), 'replace');
  }, [list.jobs.length > 0, route.job]);

  const state = run && headline(run);
  useEffect(() => showOnTab(run, state?.tone ?? '', state?.word ?? ''));
  const said = useSpeech(run && state ? `${run.name.jobId}: ${state.word}` : '');
  const problem = list.problem?.status === 401 ? list.problem : run?.error?.code === 'UNAUTHORIZED' ? run.error : undefined;

  return (
    <div class={problem ? 'frame is-closed' : route.job ? 'frame has-job' : 'frame'}>
      <a class="skip" href="#title">
        Skip to the job
      </a>
      <header class="top">
        <a class="brand" href="/" onClick={(event) => (event.preventDefault(), show(routeTo(route, undefined)))}>
          <img src="/favicon.svg" alt="" width="24" height="24" />
          jobwire
        </a>
        <button type="button" class="icon" aria-label={`Theme: ${theme}`} aria-keyshortcuts="t" onClick={cycleTheme}>
          {theme === 'system' ? '◐' : theme === 'light' ? '☀' : '☾'}
        </button>
        <button type="button" class="icon" aria-label="Keys" aria-keyshortcuts="?" onClick={() => openHelp(true)}>
          ?
        </button>
        {session.token && (
          <button type="button" class="icon" aria-label="Forget the token" onClick={() => (session.signIn(undefined), signedIn())}>
            ⎋
          </button>
        )}
      </header>
      {problem ? (
        <main>
          <SignIn session={session} problem={problem.message} done={signedIn} />
        </main>
      ) : (
        <>
          <Sidebar list={list} route={route} show={show} />
          <main>
            {run ? (
              <JobView run={run} compared={compared} list={list} route={route} theme={shownTheme} isGuarded={!!session.token} show={show} tell={tell} />
            ) : (
              list.isRead && (
                <div class="welcome">
                  <h1>Nothing to watch yet</h1>
                  <p class="quiet">
                    A job appears here with its first event, published on <code>jobs.&lt;kind&gt;.&lt;jobId&gt;.&lt;eventType&gt;</code>
                  </p>
                </div>
              )
            )}
          </main>
        </>
      )}
      {isHelpOpen && <Keys close={() => openHelp(false)} />}
      <p class="spoken" role="status" aria-live="polite">
        {said}
      </p>
      <p class="toast" role="status" data-shown={toast !== ''}>
        {toast}
      </p>
    </div>
  );
}
