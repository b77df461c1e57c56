// Runs one client in its page, and hands on what it tells.

import { Violation } from './contract.mjs';

export async function run(dialect, options) {
  const report = (fact) => window.tell(JSON.stringify(fact));
  let isFinished = false;
  const finish = (problem = null) => {
    if (isFinished) return;
    isFinished = true;
    report({ verdict: problem === null ? 'ok' : 'failed', problem });
  };
  const heed = (work) => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      finish(error.message);
    }
  };
  const client = await import(`./${dialect}.mjs`);
  client.watch(options, { report, heed, finish });
}
