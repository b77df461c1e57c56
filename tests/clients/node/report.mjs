// What a client was told to do, and what it tells of it: one JSON object a line.

import { Violation } from '../contract.mjs';

export const options = () => JSON.parse(process.argv[2]);

export const report = (fact) => console.log(JSON.stringify(fact));

/** Tells how it went and ends the process. */
export function finish(problem = null) {
  report({ verdict: problem === null ? 'ok' : 'failed', problem });
  process.exitCode = problem === null ? 0 : 1;
  // The output may be a pipe that has not taken everything yet.
  process.stdout.write('', () => process.exit());
}

/** Does something with what came, and gives up where the contract is violated. */
export function heed(work) {
  try {
    work();
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    finish(error.message);
  }
}
