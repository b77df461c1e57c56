// A job as a React hook.

import { useMemo, useSyncExternalStore } from 'react';

import type { Client } from './client.js';
import type { EventData } from './events.js';
import { snapshots, type JobSnapshot, type SnapshotOptions } from './snapshot.js';

export type { JobSnapshot, JobStatus } from './snapshot.js';

export interface UseJobOptions extends SnapshotOptions {
  kind?: string | undefined;
}

/** Watches a job while the component is there. Without an id, nothing. Make the client outside of it. */
export function useJob<Types = EventData>(
  client: Client,
  id: string | null | undefined,
  { kind, after, keep }: UseJobOptions = {},
): JobSnapshot<Types> {
  const source = useMemo(
    () => snapshots<Types>(id ? client.job<Types>(id, { kind }) : undefined, { after, keep }),
    [client, id, kind, after, keep],
  );
  return useSyncExternalStore(source.subscribe, source.get, source.get);
}
