// Polls a training run until it has ended, where no WebSocket gets through.

import { TrainingResourceContract } from '../contract.mjs';
import { finish, heed, options, report } from './report.mjs';

const { address, job, pollEvery = 2_000 } = options();
const contract = new TrainingResourceContract(job);

async function poll() {
  const answer = await fetch(`http://${address}/api/v1/training-jobs/${job}`);
  if (answer.status !== 200) return finish(`the answer is ${answer.status}`);
  const text = await answer.text();
  report({ text });
  heed(() => {
    contract.receive(text);
    if (contract.isFinal) finish();
    else setTimeout(poll, pollEvery);
  });
}

await poll();
