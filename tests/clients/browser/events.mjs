// Follows a job with what every browser has for plain HTTP: fetch for the list, EventSource for
// the events. It runs in a page of the gateway's own origin.

import { OptimizationContract, isFinal } from './contract.mjs';

export async function watch({ job, types }, { report, heed, finish }) {
  const contract = new OptimizationContract(job);
  const { jobs } = await (await fetch('/api/v1/jobs')).json();
  if (!jobs.some(({ kind, jobId }) => kind === 'optimization' && jobId === job)) {
    finish(`the list of jobs does not have ${job}`);
    return;
  }

  const source = new EventSource(`/api/v1/jobs/optimization/${job}/events`);
  let newest = null;
  source.onopen = () => report({ open: true });
  for (const type of types) {
    source.addEventListener(type, ({ data, lastEventId }) => {
      report({ text: data });
      heed(() => {
        newest = JSON.parse(data);
        contract.event(newest);
        if (String(newest.id) !== lastEventId) finish(`${lastEventId} is not the id of ${data}`);
      });
    });
  }
  // After the final event the browser comes back once and is told that there is no more.
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED) return;
    finish(newest !== null && isFinal(newest) ? null : 'given up before the end');
  };
}
