// What the types promise. Compiled by types.test.mjs, never run.

import { Client, type EventData, type JobEvent, type StoredEvent, type WatchState } from 'jobwire';
import { useJob } from 'jobwire/react';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const holds = <_ extends true>() => {};

export async function narrowing(client: Client) {
  for await (const event of client.job('a').events()) {
    switch (event.eventType) {
      case 'iteration_completed':
        holds<Equal<typeof event.id, number>>();
        event.data?.score?.toFixed(2);
        // @ts-expect-error a score is a number
        event.data?.score?.trim();
        break;
      case 'job_failed':
        event.data?.error?.trim();
        break;
      case '$gap':
        holds<Equal<typeof event.firstAvailable, number>>();
        // @ts-expect-error a gap has no data
        event.data;
        break;
      case '$reset':
        event.epoch.trim();
        break;
      default:
        // What is left is any other type, and never one of those above.
        event.eventType.toUpperCase();
        // @ts-expect-error a gap was dealt with
        event.firstAvailable;
    }
    if (event.eventType === 'progress') holds<Equal<typeof event, StoredEvent<'progress', EventData['progress']>>>();
    // @ts-expect-error a typing mistake is found
    if (event.eventType === 'progess') return;
    // @ts-expect-error not everything has an id
    event.id.toFixed();
  }
}

interface Mine extends EventData {
  epoch_done: { loss: number };
}

export function ownTypes(client: Client, event: JobEvent<Mine>) {
  if (event.eventType === 'epoch_done') event.data?.loss.toFixed(3);
  client.job<Mine>('a').watch({
    onEvent: (event) => event.eventType === 'epoch_done' && event.data?.loss.toFixed(),
    onGap: (gap) => gap.requestedAfter.toFixed(),
    // @ts-expect-error there is no such state
    onState: ({ state }: WatchState) => state === 'offline',
  });
  const { events } = useJob<Mine>(client, 'a');
  for (const event of events) if (event.eventType === 'epoch_done') event.data?.loss.toFixed();
}

export function options(client: Client) {
  // @ts-expect-error an id is a number
  client.job('a').events({ after: '7' });
  // @ts-expect-error there is no such way
  new Client({ url: 'http://g', transport: 'polling' });
  new Client({ url: 'http://g', token: () => 'a.b.c' });
  new Client({ url: 'http://g', token: async () => 'a.b.c' });
}
