// A job as a Vue composable.

import { getCurrentInstance, onMounted, onScopeDispose, shallowRef, toValue, watch, type MaybeRefOrGetter, type ShallowRef } from 'vue';

import type { Client } from './client.js';
import type { EventData } from './events.js';
import { snapshots, type JobSnapshot, type SnapshotOptions } from './snapshot.js';

export type { JobSnapshot, JobStatus } from './snapshot.js';

export interface UseJobOptions extends SnapshotOptions {
  kind?: MaybeRefOrGetter<string | undefined>;
}

/** Watches a job while the component is mounted, or while the scope lasts. Without an id, nothing. */
export function useJob<Types = EventData>(
  client: Client,
  id: MaybeRefOrGetter<string | null | undefined>,
  { kind, ...options }: UseJobOptions = {},
): Readonly<ShallowRef<JobSnapshot<Types>>> {
  const snapshot = shallowRef(snapshots<Types>(undefined, options).get());
  let stop = () => {};
  const start = () =>
    watch(
      () => [toValue(id), toValue(kind)] as const,
      ([id, kind]) => {
        stop();
        const source = snapshots<Types>(id ? client.job<Types>(id, { kind }) : undefined, options);
        snapshot.value = source.get();
        stop = source.subscribe(() => (snapshot.value = source.get()));
      },
      { immediate: true },
    );
  // On a server nothing is mounted, and nothing is opened.
  if (getCurrentInstance()) onMounted(start);
  else start();
  onScopeDispose(() => stop());
  return snapshot;
}
