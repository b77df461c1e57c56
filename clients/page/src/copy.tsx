// What can be copied: of a job or of one event, as a link, JSON, a request with curl, the command line.

import type { JobEvent } from '../../typescript/src/index.js';
import { Menu } from './menu.js';
import type { JobName } from './route.js';

/** Without a secure origin there is no clipboard but the old way. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    const isDone = document.execCommand('copy');
    area.remove();
    return isDone;
  }
}

/** The request for a job's events, or for one of them. A token is named, never told. */
export function curl({ kind, jobId }: JobName, id: number | undefined, isGuarded: boolean): string {
  const query = id === undefined ? '' : `?after=${id - 1}&limit=1`;
  const token = isGuarded ? ' -H "Authorization: Bearer $TOKEN"' : '';
  return `curl -H 'Accept: application/json'${token} '${location.origin}/api/v1/jobs/${kind}/${jobId}/events${query}'`;
}

export const commandLine = ({ kind, jobId }: JobName, id: number | undefined) =>
  `jobwire tail ${jobId} --kind ${kind}${id === undefined ? '' : ` --after ${id - 1}`}`;

export const json = (events: JobEvent | readonly JobEvent[]) => JSON.stringify(events, null, 2);

interface Choice {
  label: string;
  text(): string;
}

/** What can be copied of a job. */
export function CopyMenu({ choices, tell }: { choices: Choice[]; tell(sentence: string): void }) {
  return (
    <Menu label="Copy" description="Copy">
      {(close) =>
        choices.map(({ label, text }) => (
          <button
            type="button"
            key={label}
            onClick={async () => {
              tell((await copy(text())) ? `Copied: ${label}` : 'The browser did not let us copy');
              close();
            }}
          >
            {label}
          </button>
        ))
      }
    </Menu>
  );
}
