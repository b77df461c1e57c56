// The keys of the page: what they do, and the list of them.

import { useEffect, useRef } from 'preact/hooks';

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

type Acts = Record<string, () => unknown>;

function press(event: KeyboardEvent, acts: Acts): void {
  const target = event.target as HTMLElement;
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  const isWriting = /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);
  if (isWriting && event.key === 'Escape') target.blur();
  const act = acts[event.key];
  if (isWriting || !act) return;
  event.preventDefault();
  act();
}

/** Acts when a key is pressed, unless somebody writes or a dialog is open. */
export function useKeys(acts: Acts): void {
  const latest = useRef(acts);
  latest.current = acts;
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => press(event, latest.current);
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
}

export function Keys({ close }: { close(): void }) {
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
