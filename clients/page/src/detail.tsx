// One event, opened from the log or by a link to it.

import type { JobEvent } from '../../typescript/src/index.js';
import { commandLine, copy, curl, json } from './copy.js';
import type { JobName } from './route.js';
import { ago, date } from './text.js';

interface Props {
  job: JobName;
  id: number;
  event: JobEvent | undefined;
  isSearched: boolean;
  isGuarded: boolean;
  tell(sentence: string): void;
  close(): void;
}

export function Detail({ job, id, event, isSearched, isGuarded, tell, close }: Props) {
  const choices: [string, () => string][] = [
    ['JSON', () => json(event!)],
    ['curl', () => curl(job, id, isGuarded)],
    ['CLI', () => commandLine(job, id)],
    ['link', () => location.href],
  ];
  const time = event && 'timestamp' in event ? Date.parse(event.timestamp) : NaN;
  return (
    <aside class="detail" aria-label={`Event ${id}`}>
      <header>
        <h3>
          #{id} {event?.eventType}
        </h3>
        <button type="button" class="icon" aria-label="Close the event" onClick={close}>
          ✕
        </button>
      </header>
      {event ? (
        <>
          <p class="quiet">
            {date(time)} · {ago(time)}
          </p>
          <pre tabIndex={0}>{json(event)}</pre>
          <div class="copies" role="group" aria-label="Copy">
            <span class="quiet">Copy</span>
            {choices.map(([label, text]) => (
              <button type="button" class="button" key={label} onClick={async () => tell((await copy(text())) ? `Copied: ${label}` : 'The browser did not let us copy')}>
                {label}
              </button>
            ))}
          </div>
        </>
      ) : (
        <p class="empty">{isSearched ? 'Looking for this event …' : 'No event of this job has this id, or it is no longer stored or kept here.'}</p>
      )}
    </aside>
  );
}
