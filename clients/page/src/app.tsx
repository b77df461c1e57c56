// The page as a whole: its frame, what is shown, the keys, and what is said aloud.

import { useEffect, useRef, useState } from 'preact/hooks';

import { JobView } from './job.js';
import { Keys, useKeys } from './keys.js';
import type { JobList } from './list.js';
import { addressOf, isSame, keyOf, readRoute, routeTo, type Route } from './route.js';
import { usePace, useRuns } from './runs.js';
import type { Session } from './session.js';
import { listedJobs, Sidebar } from './sidebar.js';
import { SignIn } from './sign_in.js';
import { showOnTab } from './tab.js';
import { applyTheme, chooseTheme, chosenTheme, onSystemTheme, type Theme } from './theme.js';
import { headline } from './words.js';

/** Screen readers are told of a new state no sooner after the last one. */
const SPEECH = 3_000;
type Show = (next: Route, how?: 'push' | 'replace') => void;

const THEMES: Theme[] = ['system', 'light', 'dark'];

/** What the address says, and a way to say something else. */
function useRoute(): [Route, Show] {
  const [route, setRoute] = useState(readRoute);
  useEffect(() => {
    const popped = () => setRoute(readRoute());
    addEventListener('popstate', popped);
    return () => removeEventListener('popstate', popped);
  }, []);
  const show: Show = (next, how = 'push') => {
    history[`${how}State`](null, '', addressOf(next));
    setRoute(next);
  };
  return [route, show];
}

/** A sentence that is shown for a moment. */
function useToast(): [string, (sentence: string) => void] {
  const [toast, setToast] = useState('');
  const tell = (sentence: string) => {
    setToast(sentence);
    setTimeout(() => setToast((shown) => (shown === sentence ? '' : shown)), 2500);
  };
  return [toast, tell];
}

function useTheme(tell: (sentence: string) => void, changed: () => void): [Theme, () => void] {
  const [theme, setTheme] = useState(chosenTheme);
  useEffect(() => onSystemTheme(changed), []);
  const cycle = () => {
    const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
    chooseTheme(next);
    setTheme(next);
    tell(`Theme: ${next}`);
  };
  return [theme, cycle];
}

function usePageKeys(list: JobList, route: Route, show: Show, cycleTheme: () => void, openHelp: () => void): void {
  const jobs = listedJobs(list, route);
  const at = jobs.findIndex((job) => isSame(job, route.job));
  const openAt = (to: number) => jobs[to] && to !== at && show(routeTo(route, jobs[to]));
  useKeys({
    Escape: () => route.event !== undefined && show({ ...route, event: undefined }, 'replace'),
    '/': () => document.querySelector<HTMLElement>('#search')?.focus(),
    j: () => openAt(Math.min(jobs.length - 1, at + 1)),
    k: () => openAt(Math.max(0, at - 1)),
    e: () => document.querySelector<HTMLElement>('.rows')?.focus(),
    f: () => document.querySelector<HTMLElement>('.follow')?.click(),
    t: cycleTheme,
    '?': openHelp,
  });
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

interface TopBarProps {
  theme: Theme;
  hasToken: boolean;
  home(): void;
  cycleTheme(): void;
  openHelp(): void;
  signOut(): void;
}

function TopBar({ theme, hasToken, home, cycleTheme, openHelp, signOut }: TopBarProps) {
  return (
    <header class="top">
      <a class="brand" href="/" onClick={(event) => (event.preventDefault(), home())}>
        <img src="/favicon.svg" alt="" width="24" height="24" />
        jobwire
      </a>
      <button type="button" class="icon" aria-label={`Theme: ${theme}`} aria-keyshortcuts="t" onClick={cycleTheme}>
        {theme === 'system' ? '◐' : theme === 'light' ? '☀' : '☾'}
      </button>
      <button type="button" class="icon" aria-label="Keys" aria-keyshortcuts="?" onClick={() => openHelp()}>
        ?
      </button>
      {hasToken && (
        <button type="button" class="icon" aria-label="Forget the token" onClick={() => signOut()}>
          ⎋
        </button>
      )}
    </header>
  );
}

const WELCOME = (
  <div class="welcome">
    <h1>Nothing to watch yet</h1>
    <p class="quiet">
      A job appears here with its first event, published on <code>jobs.&lt;kind&gt;.&lt;jobId&gt;.&lt;eventType&gt;</code>
    </p>
  </div>
);

export function App({ session, list, onListChanged }: { session: Session; list: JobList; onListChanged(call: () => void): void }) {
  const [, changed] = usePace();
  const [route, show] = useRoute();
  const [toast, tell] = useToast();
  const [theme, cycleTheme] = useTheme(tell, changed);
  const [isHelpOpen, openHelp] = useState(false);
  const [generation, setGeneration] = useState(0);
  const shownTheme = applyTheme(theme);
  const [run, compared] = useRuns(route, session, changed, generation);

  const signedIn = () => {
    setGeneration((generation) => generation + 1);
    list.restart();
  };

  useEffect(() => {
    onListChanged(changed);
    const timer = setInterval(changed, 1000);
    void list.refresh();
    return () => clearInterval(timer);
  }, []);

  usePageKeys(list, route, show, cycleTheme, () => openHelp(true));
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
      <TopBar theme={theme} hasToken={!!session.token} home={() => show(routeTo(route, undefined))} cycleTheme={cycleTheme} openHelp={() => openHelp(true)} signOut={() => (session.signIn(undefined), signedIn())} />
      {problem ? (
        <main>
          <SignIn session={session} problem={problem.message} done={signedIn} />
        </main>
      ) : (
        <>
          <Sidebar list={list} route={route} progress={run?.history.progress} show={show} />
          <main>
            {run ? (
              <JobView key={keyOf(run.name)} run={run} compared={compared} list={list} route={route} theme={shownTheme} isGuarded={!!session.token} show={show} tell={tell} />
            ) : (
              list.isRead && WELCOME
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
