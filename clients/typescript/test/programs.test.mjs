// Programs of their own: the examples for Node, and the runner of scenarios.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';

import { placed, readmeBlock, scratch } from './support/readme.mjs';
import { within } from './support/reading.mjs';
import { Deployment, sign } from './support/real_gateway.mjs';

const END = { eventType: 'job_failed', data: { error: 'x' } };
const progress = (n) => ({ eventType: 'progress', data: { n } });
let deployment;
let guarded;
before(async () => ([deployment, guarded] = await Promise.all([Deployment.start(), Deployment.start({ guarded: true })])));
after(() => Promise.all([deployment?.stop(), guarded?.stop()]));

async function run(...parameters) {
  const child = spawn(process.execPath, parameters, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let complaint = '';
  child.stdout.on('data', (text) => (output += text));
  child.stderr.on('data', (text) => (complaint += text));
  const [code] = await within('the program ends', once(child, 'close'));
  return { code, output, complaint };
}

async function play(scenario) {
  const defaults = { url: deployment.url, kind: 'optimization', after: 0, epoch: null, onTruncated: 'earliest', token: null, transport: 'websocket', idleSeconds: 0, until: 'end' };
  const { code, output, complaint } = await run(new URL('scenario.mjs', import.meta.url).pathname, JSON.stringify({ ...defaults, ...scenario }));
  const lines = output.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));
  return { code, lines, complaint, ids: lines.flatMap(({ event }) => event?.id ?? []), states: lines.flatMap(({ state }) => state ?? []) };
}

test('the examples for Node run as they are, and end by themselves', async () => {
  const folder = await scratch('node');
  await deployment.publish('example', [progress(1), END]);
  for (const [name, expected] of [['watch.mjs', /progress { n: 1 }\njob_failed { error: 'x' }\nthe job has ended\n/], ['with-ws.mjs', /^$/]]) {
    await folder.write(name, placed(await readmeBlock(name), deployment.url, 'example'));
    const { code, output, complaint } = await run(folder.path(name));
    assert.equal(code, 0, complaint);
    assert.match(output, expected);
  }
});

for (const transport of ['websocket', 'sse']) {
  test(`a scenario to the end of a job, over ${transport}`, async () => {
    const job = `scenario-${transport}`;
    const stored = await deployment.publish(job, [progress(1), progress(2), END]);
    const { code, lines, ids, states } = await play({ job, transport, after: stored[0] });
    assert.equal(code, 0);
    assert.deepEqual(ids, stored.slice(1));
    assert.deepEqual(states, ['connecting', 'catching-up', 'ended']);
    const { epoch } = lines.at(-1).done;
    assert.deepEqual(lines.at(-1), { done: { outcome: 'failed', lastEventId: stored[2], epoch } });
    assert.match(epoch, /^[0-9a-f]+$/);
    const other = await play({ job, transport, after: stored[0], epoch: 'ffff' });
    assert.deepEqual(other.lines.find(({ reset }) => reset), { reset: { epoch } });
    assert.deepEqual(other.ids, stored);
  });

  test(`scenarios that end otherwise, over ${transport}`, async () => {
    const job = `until-${transport}`;
    const stored = await deployment.publish(job, [progress(1), progress(2), progress(3)]);
    const until = await play({ job, transport, until: { id: stored[1] }, idleSeconds: 0.1 });
    assert.deepEqual([until.code, until.ids], [0, stored.slice(0, 2)]);
    assert.deepEqual(until.lines.at(-1).done.lastEventId, stored[1]);
    const timed = await play({ job, transport, until: { seconds: 1 } });
    assert.deepEqual([timed.code, timed.ids, timed.lines.at(-1).done.outcome], [0, stored, null]);
    const live = await play({ job, transport, after: null, until: { seconds: 1 } });
    assert.deepEqual([live.code, live.ids], [0, []]);
    const missing = await play({ job: 'nowhere', transport });
    assert.equal(missing.code, 1);
    assert.equal(missing.lines.find(({ error }) => error).error.code, 'JOB_NOT_FOUND');
  });
}

test('a scenario with a token in a file', async () => {
  const [id] = await guarded.publish('secret', [END]);
  const folder = await scratch('token');
  await writeFile(folder.path('token'), `${sign(60)}\n`);
  const allowed = await play({ url: guarded.url, job: 'secret', token: { file: folder.path('token') } });
  assert.deepEqual([allowed.code, allowed.ids], [0, [id]]);
  const refused = await play({ url: guarded.url, job: 'secret' });
  assert.equal(refused.code, 1);
  assert.equal(refused.lines.find(({ error }) => error).error.code, 'UNAUTHORIZED');
});

test('a scenario that is none says what is wrong', async () => {
  const { code, complaint } = await play({ job: 'a', transport: 'pigeon' });
  assert.equal(code, 2);
  assert.match(complaint, /"websocket" or "sse"/);
});
