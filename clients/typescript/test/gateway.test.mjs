// The client against the real gateway and a real NATS server, and the faults that matter.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Client } from 'jobwire';

import { eventually, ids, take, takeAll, within } from './support/reading.mjs';
import { Deployment, sign } from './support/real_gateway.mjs';
import { WebSocket } from './support/scripted_gateway.mjs';

let number = 0;
const newJob = () => `job-${++number}`;
const progress = (n) => ({ eventType: 'progress', iteration: n, data: { progress: n / 1000 } });
const END = { eventType: 'job_completed', data: { finalScore: 0.9 } };
const backoff = { first: 50, most: 500 };

// At the same time: each has a gateway of its own.
describe('the real gateway', { concurrency: true }, () => {
  for (const transport of ['websocket', 'sse']) {
    describe(`over ${transport}`, { concurrency: false }, () => {
      let deployment;
      before(async () => (deployment = await Deployment.start()));
      after(() => deployment?.stop());

      const clientOf = (t, options = {}) => {
        const client = new Client({ url: deployment.url, transport, WebSocket, backoff, ...options });
        t.after(() => client.close());
        return client;
      };

      test('a job is told from its beginning to its end', async (t) => {
        const job = newJob();
        const stored = await deployment.publish(job, [{ eventType: 'job_started' }, progress(1)]);
        const states = [];
        const events = clientOf(t).job(job).events({ onState: ({ state }) => states.push(state) });
        const first = await take(events, 2);
        assert.deepEqual(ids(first), stored);
        assert.deepEqual([first[1].eventType, first[1].iteration, first[1].data], ['progress', 1, { progress: 0.001 }]);
        await eventually('it is live', () => states.at(-1) === 'live');
        stored.push(...(await deployment.publish(job, [progress(2), END])));
        assert.deepEqual(ids(await takeAll(events)), stored.slice(2));
        assert.deepEqual(states, ['connecting', 'catching-up', 'live', 'ended']);
      });

      test('whoever comes back gets what was missed, and after the end the end', async (t) => {
        const job = newJob();
        const stored = await deployment.publish(job, [{ eventType: 'job_started' }, progress(1), progress(2), END]);
        const resumed = await takeAll(clientOf(t).job(job).events({ after: stored[1] }));
        assert.deepEqual(ids(resumed), stored.slice(2));
        const states = [];
        const onState = ({ state, reason }) => states.push(`${state} ${reason}`);
        assert.deepEqual(await takeAll(clientOf(t).job(job).events({ after: stored[3], onState })), []);
        assert.equal(states.at(-1), 'ended completed');
      });

      test('only what happens from now on', async (t) => {
        const job = newJob();
        await deployment.publish(job, [{ eventType: 'job_started' }, progress(1)]);
        let isLive;
        const live = new Promise((resolve) => (isLive = resolve));
        const reading = takeAll(clientOf(t).job(job).events({ after: null, onState: ({ state }) => state === 'live' && isLive() }));
        await within('it is live', live);
        const stored = await deployment.publish(job, [progress(2), END]);
        assert.deepEqual(ids(await reading), stored);
      });

      test('a job that is not there', async (t) => {
        await assert.rejects(takeAll(clientOf(t).job('nowhere').events()), { code: 'JOB_NOT_FOUND' });
      });

      test('a cursor of another stream starts anew, and says so', async (t) => {
        const job = newJob();
        const stored = await deployment.publish(job, [progress(1), END]);
        const events = await takeAll(clientOf(t).job(job).events({ after: stored[0], epoch: 'ffffffffffffffff' }));
        assert.deepEqual(ids(events), ['$reset', ...stored]);
        assert.match(events[0].epoch, /^[0-9a-f]+$/);
      });

      test('what retention took is told as a gap, or ends the watch', async (t) => {
        const job = newJob();
        const stored = await deployment.publish(job, [1, 2, 3, 4].map(progress));
        await deployment.keepNewest(2);
        // Until then it has the others in memory, and nothing is missing.
        await deployment.kill();
        await deployment.startGateway();
        const after = stored[0];
        const events = clientOf(t).job(job).events({ after });
        const [gap, ...rest] = await take(events, 3);
        assert.deepEqual(gap, { eventType: '$gap', requestedAfter: after, firstAvailable: stored[2], lastEventId: stored[3] });
        assert.deepEqual(ids(rest), stored.slice(2));
        await events.return();
        const strict = takeAll(clientOf(t).job(job).events({ after, onTruncated: 'fail' }));
        await assert.rejects(strict, { code: 'HISTORY_TRUNCATED' });
      });

      test('a reader that is slow, with a small buffer, gets everything once', async (t) => {
        const job = newJob();
        const stored = [];
        for (let batch = 0; batch < 3; batch++) {
          stored.push(...(await deployment.publish(job, Array.from({ length: 1000 }, (_, index) => progress(index)))));
        }
        stored.push(...(await deployment.publish(job, [END])));
        const got = [];
        for await (const event of clientOf(t).job(job).events({ buffer: 20_000 })) {
          got.push(event.id);
          if (got.length % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
        }
        assert.deepEqual(got, stored);
      });

      test('a gateway that is killed again and again and started again loses nothing and repeats nothing', async (t) => {
        const job = newJob();
        const stored = await deployment.publish(job, [{ eventType: 'job_started' }]);
        const states = [];
        const watching = takeAll(clientOf(t).job(job).events({ onState: ({ state }) => states.push(state) }));
        const slow = (async () => {
          const got = [];
          for await (const event of clientOf(t).job(job).events({ buffer: 3_000 })) {
            got.push(event);
            await new Promise((resolve) => setTimeout(resolve, 1));
          }
          return got;
        })();
        for (let round = 0; round < 3; round++) {
          for (let batch = 0; batch < 5; batch++) {
            stored.push(...(await deployment.publish(job, Array.from({ length: 100 }, (_, index) => progress(index)))));
          }
          await eventually('it is live again', () => states.at(-1) === 'live');
          await (round === 1 ? deployment.drain() : deployment.kill());
          await deployment.startGateway();
        }
        stored.push(...(await deployment.publish(job, [END])));
        assert.deepEqual(ids(await within('the whole job', watching, 60_000)), stored);
        assert.deepEqual(ids(await within('the whole job, slowly', slow, 60_000)), stored);
        assert.ok(states.filter((state) => state === 'reconnecting').length >= 3, states.join());
        assert.equal(states.at(-1), 'ended');
      });

      test('a stream made anew under a watch is told, and gone on with', async (t) => {
        const job = newJob();
        const stored = await deployment.publish(job, [{ eventType: 'job_started' }, progress(1)]);
        const states = [];
        const events = clientOf(t).job(job).events({ onState: ({ state }) => states.push(state) });
        assert.deepEqual(ids(await take(events, 2)), stored);
        await eventually('it is live', () => states.at(-1) === 'live');
        await deployment.renewStream();
        const anew = await eventually('the gateway takes events again', () =>
          deployment.publish(job, [{ eventType: 'job_started' }]).catch(() => undefined),
        );
        anew.push(...(await deployment.publish(job, [progress(1), END])));
        assert.deepEqual(ids(await takeAll(events)), ['$reset', ...anew]);
      });
    });
  }

  describe('with tokens', () => {
    let deployment;
    before(async () => (deployment = await Deployment.start({ guarded: true })));
    after(() => deployment?.stop());

    const clientOf = (t, options) => {
      const client = new Client({ url: deployment.url, WebSocket, backoff, ...options });
      t.after(() => client.close());
      return client;
    };

    test('a connection outlives its tokens, because they are renewed on it', async (t) => {
      const job = newJob();
      const stored = await deployment.publish(job, [{ eventType: 'job_started' }]);
      let asked = 0;
      const states = [];
      const client = clientOf(t, { token: () => (asked++, sign(8)) });
      const reading = takeAll(client.job(job).events({ onState: ({ state }) => states.push(state) }));
      await new Promise((resolve) => setTimeout(resolve, 9_000));
      stored.push(...(await deployment.publish(job, [END])));
      assert.deepEqual(ids(await reading), stored);
      assert.ok(asked >= 2, `${asked} tokens were asked for`);
      assert.ok(!states.includes('reconnecting'), states.join());
    });

    for (const transport of ['websocket', 'sse']) {
      test(`a token of somebody else is refused, over ${transport}`, async (t) => {
        const job = newJob();
        await deployment.publish(job, [progress(1)]);
        const forged = takeAll(clientOf(t, { transport, token: `${sign(60).slice(0, -4)}AAAA` }).job(job).events());
        await assert.rejects(forged, { code: 'UNAUTHORIZED' });
        const narrow = sign(60, { watch: ['optimization/other'] });
        await assert.rejects(takeAll(clientOf(t, { transport, token: narrow }).job(job).events()), { code: 'FORBIDDEN' });
      });

      test(`an expired token is replaced and nothing is lost, over ${transport}`, async (t) => {
        const job = newJob();
        const stored = await deployment.publish(job, [{ eventType: 'job_started' }]);
        let asked = 0;
        // The client cannot see when this one expires: the end is the gateway's.
        const token = () => (asked++ ? sign(60) : sign(2, { watch: ['*/*'], exp: Math.floor(Date.now() / 1000) + 2 }));
        const client = clientOf(t, { transport, token: async () => token() });
        const events = client.job(job).events();
        assert.deepEqual(ids(await take(events, 1)), stored);
        await new Promise((resolve) => setTimeout(resolve, 3_000));
        const more = await deployment.publish(job, [progress(1), END]);
        assert.deepEqual(ids(await takeAll(events)), more);
        assert.ok(asked > 1);
      });
    }
  });
});
