// What the client says to a gateway and what it makes of the answers, over a real WebSocket.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, JobwireError, memoryStore } from 'jobwire';

import { eventually, ids, take, takeAll, within } from './support/reading.mjs';
import { event, scriptedGateway, WebSocket } from './support/scripted_gateway.mjs';

/** A client that comes back quickly. */
function clientOf(test, { url }, options = {}) {
  const client = new Client({ url, WebSocket, transport: 'websocket', backoff: { first: 1, most: 5 }, ...options });
  test.after(() => client.close());
  return client;
}

test('history, live events and the end of a job come in order, and the loop ends', async (t) => {
  const gateway = await scriptedGateway(t);
  const states = [];
  const events = clientOf(t, gateway).job('a').events({ onState: ({ state }) => states.push(state) });
  const reading = takeAll(events);
  const peer = await gateway.accept();
  assert.equal(peer.url, '/ws/optimization');
  assert.deepEqual(await peer.subscribed(3), { type: 'subscribe', kind: 'optimization', jobId: 'a', afterEventId: 0, position: true });
  peer.history('a', 1, 3);
  peer.send({ type: 'position', jobId: 'a', id: 3, caughtUp: true });
  peer.live('a', 5);
  peer.end('a', 8);
  const got = await reading;
  assert.deepEqual(ids(got), [1, 3, 5, 8]);
  assert.deepEqual(got[0], event(1));
  assert.deepEqual(states, ['connecting', 'catching-up', 'live', 'ended']);
  assert.equal((await peer.next()).type, 'unsubscribe');
  await within('an idle connection is closed', peer.closed);
});

test('a connection that breaks in a replay is gone on from, without a loss or a repetition', async (t) => {
  const gateway = await scriptedGateway(t);
  const reading = takeAll(clientOf(t, gateway).job('a').events());
  const first = await gateway.accept();
  await first.subscribed(9);
  first.history('a', 1, 2, 4);
  await new Promise((resolve) => setTimeout(resolve, 50));
  first.drop();
  const second = await gateway.accept();
  const again = await second.subscribed(9);
  assert.equal(again.afterEventId, 4);
  assert.equal(again.epoch, 'e1');
  second.history('a', 2, 4, 7);
  second.history('a', 7, 9);
  second.live('a', 9, 11);
  second.end('a', 12);
  assert.deepEqual(ids(await reading), [1, 2, 4, 7, 9, 11, 12]);
});

test('a gap is an event of its own, where it is', async (t) => {
  const gateway = await scriptedGateway(t);
  const events = clientOf(t, gateway).job('a').events({ after: 40, epoch: 'e1' });
  const reading = take(events, 3);
  const peer = await gateway.accept();
  const request = await peer.subscribed(1850);
  assert.equal(request.afterEventId, 40);
  const gap = { requestedAfter: 40, firstAvailable: 1200, lastEventId: 1850 };
  peer.send({ type: 'error', jobId: 'a', code: 'HISTORY_TRUNCATED', error: 'gone', ...gap });
  peer.history('a', 1200, 1850);
  assert.deepEqual(await reading, [{ eventType: '$gap', ...gap }, event(1200), event(1850)]);
  await events.return();
});

test('a gap is told once, also if the connection breaks before anything came after it', async (t) => {
  const gateway = await scriptedGateway(t);
  const reading = takeAll(clientOf(t, gateway).job('a').events({ after: 40, epoch: 'e1' }));
  const gap = { requestedAfter: 40, firstAvailable: 1200, lastEventId: 1850 };
  const first = await gateway.accept();
  await first.subscribed(1850);
  first.send({ type: 'error', jobId: 'a', code: 'HISTORY_TRUNCATED', error: 'gone', ...gap });
  await new Promise((resolve) => setTimeout(resolve, 50));
  first.drop();
  const second = await gateway.accept();
  assert.equal((await second.subscribed(1850)).afterEventId, 1199);
  // As if there were another gateway behind, which does not know better.
  second.send({ type: 'error', jobId: 'a', code: 'HISTORY_TRUNCATED', error: 'gone', ...gap });
  second.end('a', 1850);
  assert.deepEqual((await reading).map(({ eventType }) => eventType), ['$gap', 'job_completed']);
});

test('whoever wants all or nothing gets an error instead of a gap', async (t) => {
  const gateway = await scriptedGateway(t);
  const reading = takeAll(clientOf(t, gateway).job('a').events({ after: 40, onTruncated: 'fail' }));
  const peer = await gateway.accept();
  await peer.subscribed(1850);
  const gap = { requestedAfter: 40, firstAvailable: 1200, lastEventId: 1850 };
  peer.send({ type: 'error', jobId: 'a', code: 'HISTORY_TRUNCATED', error: 'gone', ...gap });
  peer.history('a', 1200);
  await assert.rejects(reading, (error) => {
    assert.ok(error instanceof JobwireError);
    assert.equal(error.code, 'HISTORY_TRUNCATED');
    assert.deepEqual(error.details, gap);
    return true;
  });
});

test('a stream that was made anew is told before its events, whose ids start again', async (t) => {
  const gateway = await scriptedGateway(t);
  const reading = takeAll(clientOf(t, gateway).job('a').events({ after: 500, epoch: 'old' }));
  const peer = await gateway.accept();
  assert.equal((await peer.subscribed(2)).epoch, 'old');
  peer.send({ type: 'error', jobId: 'a', code: 'CURSOR_INVALID', error: 'another', epoch: 'e1' });
  peer.history('a', 1, 2);
  peer.send({ type: 'position', jobId: 'a', id: 2, caughtUp: true });
  peer.end('a', 3);
  const got = await reading;
  assert.deepEqual(ids(got), ['$reset', 1, 2, 3]);
  assert.equal(got[0].epoch, 'e1');
});

test('a stream made anew while it is watched starts the job again, and the new epoch is used', async (t) => {
  const gateway = await scriptedGateway(t);
  const events = clientOf(t, gateway).job('a').events();
  const reading = take(events, 4);
  const first = await gateway.accept();
  await first.subscribed(7);
  first.history('a', 7);
  first.send({ type: 'error', jobId: 'a', code: 'CURSOR_INVALID', error: 'anew', epoch: 'e2' });
  first.history('a', 1);
  await new Promise((resolve) => setTimeout(resolve, 50));
  first.drop();
  const second = await gateway.accept();
  const again = await second.subscribed(2, { epoch: 'e2' });
  assert.deepEqual([again.afterEventId, again.epoch], [1, 'e2']);
  second.live('a', 2);
  assert.deepEqual(ids(await reading), [7, '$reset', 1, 2]);
  await events.return();
});

test('another epoch is noticed also from the beginning, where the gateway has nothing to object to', async (t) => {
  const gateway = await scriptedGateway(t);
  const reading = takeAll(clientOf(t, gateway).job('a').events({ after: 0, epoch: 'old' }));
  const peer = await gateway.accept();
  await peer.subscribed(1);
  peer.history('a', 1);
  peer.end('a', 2);
  assert.deepEqual(ids(await reading), ['$reset', 1, 2]);
});

test('a stored message that is no event is told with its id', async (t) => {
  const gateway = await scriptedGateway(t);
  const reading = takeAll(clientOf(t, gateway).job('a').events());
  const peer = await gateway.accept();
  await peer.subscribed(0);
  peer.send({ type: 'error', jobId: 'a', code: 'EVENT_MALFORMED', error: 'no event', id: 4 });
  peer.end('a', 5);
  const got = await reading;
  assert.deepEqual(got[0], { eventType: '$malformed', id: 4 });
  assert.deepEqual(ids(got), [4, 5]);
});

test('many jobs share one connection', async (t) => {
  const gateway = await scriptedGateway(t);
  const client = clientOf(t, gateway);
  const readings = ['a', 'b', 'c'].map((id) => takeAll(client.job(id, { kind: id === 'c' ? 'training' : undefined }).events()));
  const peer = await gateway.accept();
  for (const id of ['a', 'b']) assert.equal((await peer.subscribed(0)).jobId, id);
  assert.equal((await peer.subscribed(0, { kind: 'training' })).kind, 'training');
  peer.live('b', 1);
  peer.live('a', 2);
  peer.end('a', 3);
  peer.end('b', 4);
  peer.send({ type: 'event', jobId: 'c', kind: 'training', event: event(5, 'job_failed') });
  assert.deepEqual((await Promise.all(readings)).map(ids), [[2, 3], [1, 4], [5]]);
  assert.equal(gateway.upgrades, 1);
});

test('two watches of one job share its subscription, each from its own place', async (t) => {
  const gateway = await scriptedGateway(t);
  const client = clientOf(t, gateway);
  const early = takeAll(client.job('a').events());
  const peer = await gateway.accept();
  await peer.subscribed(2);
  peer.history('a', 1, 2);
  peer.send({ type: 'position', jobId: 'a', id: 2, caughtUp: true });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const late = takeAll(client.job('a').events());
  const liveOnly = takeAll(client.job('a').events({ after: null }));
  assert.equal((await peer.next()).afterEventId, 0);
  // Of the old subscription; whoever came later must not have it before what lies ahead of it.
  peer.live('a', 3);
  peer.send({ type: 'subscribed', jobId: 'a', lastEventId: 3, firstEventId: 1, epoch: 'e1' });
  peer.history('a', 1, 2, 3);
  peer.live('a', 4);
  peer.end('a', 5);
  assert.deepEqual((await Promise.all([early, late, liveOnly])).map(ids), [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [4, 5]]);
});

test('a watch that shares a subscription from the beginning is told of what it lost', async (t) => {
  const gateway = await scriptedGateway(t);
  const client = clientOf(t, gateway);
  const resumed = take(client.job('a').events({ after: 50, epoch: 'e1' }), 2);
  const whole = take(client.job('a').events(), 1);
  const peer = await gateway.accept();
  assert.equal((await peer.subscribed(90, { firstEventId: 80 })).afterEventId, 0);
  peer.history('a', 80);
  assert.deepEqual(ids(await resumed), ['$gap', 80]);
  assert.deepEqual(ids(await whole), [80]);
});

test('only the wanted types are asked for and delivered, and the end is noticed all the same', async (t) => {
  const gateway = await scriptedGateway(t);
  const reading = takeAll(clientOf(t, gateway).job('a').events({ types: ['log'] }));
  const peer = await gateway.accept();
  const { eventTypes } = await peer.subscribed(0);
  assert.ok(eventTypes.includes('log') && eventTypes.includes('job_failed') && !eventTypes.includes('progress'));
  peer.send({ type: 'event', jobId: 'a', event: event(1, 'log') });
  peer.send({ type: 'event', jobId: 'a', event: event(2, 'job_started') });
  peer.end('a', 3);
  assert.deepEqual(ids(await reading), [1]);
});

test('a failure that will be retried is not the end, nor is an old ending in the history', async (t) => {
  const gateway = await scriptedGateway(t);
  const reading = takeAll(clientOf(t, gateway).job('a').events());
  const peer = await gateway.accept();
  await peer.subscribed(3);
  peer.send({ type: 'replay', jobId: 'a', data: [event(1, 'job_completed'), event(2, 'job_started'), event(3)] });
  peer.send({ type: 'event', jobId: 'a', event: event(4, 'job_failed', { willRetry: true }) });
  peer.send({ type: 'event', jobId: 'a', event: event(5, 'job_failed', { error: 'x' }) });
  assert.deepEqual(ids(await reading), [1, 2, 3, 4, 5]);
});

test('whoever has seen the end already is told that the job has ended', async (t) => {
  const gateway = await scriptedGateway(t);
  const states = [];
  const reading = takeAll(clientOf(t, gateway).job('a').events({ after: 9, onState: (state) => states.push(state) }));
  const peer = await gateway.accept();
  await peer.subscribed(9);
  peer.send({ type: 'position', jobId: 'a', id: 20, caughtUp: true });
  assert.deepEqual(await peer.next(), { type: 'replay', kind: 'optimization', jobId: 'a', afterEventId: 8 });
  peer.send({ type: 'replay', jobId: 'a', data: [event(9, 'job_cancelled')] });
  assert.deepEqual(await reading, []);
  assert.deepEqual(states.at(-1), { state: 'ended', reason: 'cancelled', retryIn: undefined });
});

test('who keeps watching stays after the end, and sees the job run again', async (t) => {
  const gateway = await scriptedGateway(t);
  const states = [];
  const events = clientOf(t, gateway).job('a').events({ keepWatching: true, onState: ({ state }) => states.push(state) });
  const reading = take(events, 2);
  const peer = await gateway.accept();
  await peer.subscribed(0);
  peer.end('a', 1);
  peer.send({ type: 'event', jobId: 'a', event: event(2, 'job_started') });
  assert.deepEqual(ids(await reading), [1, 2]);
  assert.deepEqual(states, ['connecting', 'live', 'ended', 'live']);
  await events.return();
});

for (const code of ['JOB_NOT_FOUND', 'FORBIDDEN', 'LIMIT', 'SOMETHING_NEW']) {
  test(`a watch that is refused with ${code} ends with that, and the others go on`, async (t) => {
    const gateway = await scriptedGateway(t);
    const client = clientOf(t, gateway);
    const refused = takeAll(client.job('a').events());
    const other = takeAll(client.job('b').events());
    const peer = await gateway.accept();
    assert.equal((await peer.next()).jobId, 'a');
    peer.send({ type: 'error', jobId: 'a', code, error: 'No' });
    await peer.subscribed(0);
    await assert.rejects(refused, { name: 'JobwireError', code, message: 'No' });
    peer.end('b', 1);
    assert.deepEqual(ids(await other), [1]);
    assert.equal(gateway.upgrades, 1);
  });
}

test('while NATS is away the job is asked for again, on the same connection', async (t) => {
  const gateway = await scriptedGateway(t);
  const states = [];
  const reading = takeAll(clientOf(t, gateway).job('a').events({ onState: ({ state, reason }) => states.push(`${state}: ${reason}`) }));
  const peer = await gateway.accept();
  await peer.next();
  peer.send({ type: 'error', jobId: 'a', code: 'UNAVAILABLE', error: 'The event store does not answer' });
  await peer.subscribed(0);
  peer.end('a', 1);
  assert.deepEqual(ids(await reading), [1]);
  assert.ok(states.includes('reconnecting: The event store does not answer'), states.join());
  assert.equal(gateway.upgrades, 1);
});

test('a job that is not there yet is waited for by whoever wants that, and refused to others', async (t) => {
  const gateway = await scriptedGateway(t);
  const job = clientOf(t, gateway).job('a');
  const states = [];
  const waiting = takeAll(job.events({ waitForJob: true, onState: ({ state }) => states.push(state) }));
  const refused = takeAll(job.events());
  const peer = await gateway.accept();
  await peer.next();
  peer.send({ type: 'error', jobId: 'a', code: 'JOB_NOT_FOUND', error: 'Job not found' });
  await assert.rejects(refused, { code: 'JOB_NOT_FOUND' });
  await peer.next();
  peer.send({ type: 'error', jobId: 'a', code: 'JOB_NOT_FOUND', error: 'Job not found' });
  await peer.subscribed(0);
  peer.end('a', 1);
  assert.deepEqual(ids(await waiting), [1]);
  assert.deepEqual(states, ['connecting', 'live', 'ended']);
  assert.equal(gateway.upgrades, 1);
});

test('a code that is not known ends a watch only before it was subscribed', async (t) => {
  const gateway = await scriptedGateway(t);
  const client = clientOf(t, gateway);
  const reading = takeAll(client.job('a').events());
  const peer = await gateway.accept();
  await peer.subscribed(0);
  peer.send({ type: 'error', jobId: 'a', code: 'TOMORROW', error: 'Of a later version' });
  peer.end('a', 1);
  assert.deepEqual(ids(await reading), [1]);
  const refused = takeAll(client.job('b').events());
  while ((await peer.next()).jobId !== 'b');
  peer.send({ type: 'error', jobId: 'b', code: 'TOMORROW', error: 'Of a later version' });
  await assert.rejects(refused, { code: 'TOMORROW' });
});

for (const text of ['no JSON', 'null', '{"type":"event","jobId":"a"}', '{"type":"replay","jobId":"a","data":[{"id":2,"eventType":"x"},null]}']) {
  test(`after a message that cannot be read the client comes back: ${text}`, async (t) => {
    const gateway = await scriptedGateway(t);
    const reading = takeAll(clientOf(t, gateway).job('a').events());
    const first = await gateway.accept();
    await first.subscribed(0);
    first.live('a', 1);
    first.socket.send(text);
    const second = await gateway.accept();
    const { afterEventId } = await second.subscribed(1);
    second.live('a', 2);
    second.end('a', 3);
    assert.deepEqual(ids(await reading), [1, 2, 3]);
    assert.equal(afterEventId, text.includes('"id":2') ? 2 : 1);
  });
}

test('an event without an id takes nobody its place', async (t) => {
  const gateway = await scriptedGateway(t);
  const reading = takeAll(clientOf(t, gateway).job('a').events());
  const peer = await gateway.accept();
  await peer.subscribed(0);
  peer.live('a', 5);
  peer.send({ type: 'event', jobId: 'a', event: { eventType: 'progress' } });
  peer.live('a', 5, 6);
  peer.end('a', 7);
  assert.deepEqual(ids(await reading), [5, 6, 7]);
});

test('a slow loop leaves events at the gateway, and gets every one of them once', async (t) => {
  const gateway = await scriptedGateway(t);
  const total = 400;
  const events = clientOf(t, gateway).job('a').events({ buffer: 2_000 });
  const reading = (async () => {
    const got = [];
    for await (const event of events) {
      got.push(event.id);
      if (got.length % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return got;
  })();
  const peer = await gateway.accept();
  let subscribes = 0;
  let overshoot = 0;
  (async () => {
    for (;;) {
      const request = await peer.next();
      if (request.type !== 'subscribe') continue;
      subscribes++;
      peer.send({ type: 'subscribed', jobId: 'a', lastEventId: total, epoch: 'e1' });
      const rest = Array.from({ length: total - request.afterEventId }, (_, index) => event(request.afterEventId + index + 1));
      overshoot = Math.max(overshoot, rest.length);
      for (let at = 0; at < rest.length; at += 10) peer.send({ type: 'replay', jobId: 'a', data: rest.slice(at, at + 10) });
      peer.end('a', total + 1);
    }
  })();
  const got = await within('everything is read', reading);
  assert.deepEqual(got, Array.from({ length: total + 1 }, (_, index) => index + 1));
  assert.ok(subscribes > 5, `the client asked ${subscribes} times`);
});

test('a loop that does not read holds no more than its bound', async (t) => {
  const gateway = await scriptedGateway(t);
  const events = clientOf(t, gateway).job('a').events({ buffer: 100_000 });
  const first = take(events, 1);
  const peer = await gateway.accept();
  await peer.subscribed(1e6);
  const large = 'x'.repeat(9_000);
  for (let id = 1; id <= 100; id++) peer.send({ type: 'replay', jobId: 'a', data: [event(id, 'log', { large })] });
  await first;
  // It has unsubscribed by itself, and does not ask again before it has read.
  assert.equal((await within('it unsubscribes', peer.next())).type, 'unsubscribe');
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(peer.waiting, 0);
  await take(events, 6);
  const { afterEventId } = await within('it asks again', peer.next());
  assert.ok(afterEventId >= 10 && afterEventId <= 13, `it held events up to ${afterEventId}`);
  await events.return();
});

test('a fast watch of the same job is not held up by a slow one', async (t) => {
  const gateway = await scriptedGateway(t);
  const client = clientOf(t, gateway);
  const slow = client.job('a').events({ buffer: 1 });
  const first = take(slow, 1);
  const fast = takeAll(client.job('a').events());
  const peer = await gateway.accept();
  await peer.subscribed(0);
  peer.live('a', 1, 2, 3);
  peer.end('a', 4);
  assert.deepEqual(ids(await fast), [1, 2, 3, 4]);
  assert.deepEqual(ids(await first), [1]);
  await slow.return();
});

test('an aborted loop throws the reason of its signal, and leaves the job', async (t) => {
  const gateway = await scriptedGateway(t);
  const abort = new AbortController();
  const reading = takeAll(clientOf(t, gateway).job('a').events({ signal: abort.signal }));
  const peer = await gateway.accept();
  await peer.subscribed(0);
  abort.abort(new Error('enough'));
  await assert.rejects(reading, { message: 'enough' });
  assert.equal((await peer.next()).type, 'unsubscribe');
  const late = clientOf(t, gateway).job('a').events({ signal: abort.signal });
  await assert.rejects(late.next(), { message: 'enough' });
});

test('a loop that is left leaves the job, also while it waits', async (t) => {
  const gateway = await scriptedGateway(t);
  const events = clientOf(t, gateway).job('a').events();
  const waiting = events.next();
  const peer = await gateway.accept();
  await peer.subscribed(0);
  await within('the loop ends', events.return());
  assert.deepEqual(await waiting, { done: true, value: undefined });
  assert.equal((await peer.next()).type, 'unsubscribe');
});

test('a client that is closed ends every watch, and its connection', async (t) => {
  const gateway = await scriptedGateway(t);
  const client = clientOf(t, gateway);
  const reading = takeAll(client.job('a').events());
  const peer = await gateway.accept();
  await peer.subscribed(0);
  client.close();
  await assert.rejects(reading, { code: 'CLOSED' });
  await within('the connection ends', peer.closed);
});

test('callbacks are told everything, each kind to its own', async (t) => {
  const gateway = await scriptedGateway(t);
  const told = [];
  const handle = clientOf(t, gateway).job('a').watch({
    after: 5,
    epoch: 'e1',
    onEvent: (event) => told.push(event.id ?? event.eventType),
    onGap: (gap) => told.push(`gap to ${gap.firstAvailable}`),
    onState: ({ state }) => told.push(state),
  });
  const peer = await gateway.accept();
  await peer.subscribed(10);
  peer.send({ type: 'error', jobId: 'a', code: 'HISTORY_TRUNCATED', error: '', requestedAfter: 5, firstAvailable: 9, lastEventId: 10 });
  peer.history('a', 9, 10);
  peer.send({ type: 'error', jobId: 'a', code: 'CURSOR_INVALID', error: '', epoch: 'e2' });
  peer.send({ type: 'replay', jobId: 'a', data: [event(1)] });
  await eventually('all is told', () => told.includes(1));
  assert.deepEqual(handle.cursor, { after: 1, epoch: 'e2' });
  peer.send({ type: 'position', jobId: 'a', id: 4, caughtUp: true });
  peer.end('a', 6);
  await eventually('the end is told', () => told.at(-1) === 'ended');
  assert.deepEqual(told, ['connecting', 'catching-up', 'gap to 9', 9, 10, 'live', '$reset', 'catching-up', 1, 'live', 6, 'ended']);
});

test('an error in a callback reaches the application, and the watch goes on', async (t) => {
  const gateway = await scriptedGateway(t);
  const told = [];
  const thrown = new Promise((resolve) => {
    process.setUncaughtExceptionCaptureCallback(resolve);
  });
  t.after(() => process.setUncaughtExceptionCaptureCallback(null));
  clientOf(t, gateway).job('a').watch({
    onEvent({ id }) {
      told.push(id);
      if (id === 1) throw new Error('mine');
    },
  });
  const peer = await gateway.accept();
  await peer.subscribed(0);
  peer.live('a', 1);
  peer.end('a', 2);
  assert.equal((await within('the error', thrown)).message, 'mine');
  await eventually('the watch goes on', () => told.length === 2);
});

test('a refusal is told to onError', async (t) => {
  const gateway = await scriptedGateway(t);
  const refusal = new Promise((onError) => clientOf(t, gateway).job('a').watch({ onError }));
  const peer = await gateway.accept();
  await peer.next();
  peer.send({ type: 'error', jobId: 'a', code: 'JOB_NOT_FOUND', error: 'Job not found' });
  assert.equal((await within('the refusal', refusal)).code, 'JOB_NOT_FOUND');
});

test('an error of a store reaches the application, and costs no connection', async (t) => {
  const gateway = await scriptedGateway(t);
  const thrown = new Promise((resolve) => {
    process.setUncaughtExceptionCaptureCallback(resolve);
  });
  t.after(() => process.setUncaughtExceptionCaptureCallback(null));
  const store = {
    get: () => undefined,
    set() {
      throw new Error('full');
    },
  };
  const told = [];
  clientOf(t, gateway, { store }).job('a').watch({ resume: true, onEvent: ({ id }) => told.push(id) });
  const peer = await gateway.accept();
  await peer.subscribed(0);
  peer.live('a', 1);
  peer.end('a', 2);
  assert.equal((await within('the error', thrown)).message, 'full');
  await eventually('the watch goes on', () => told.length === 2);
  assert.equal(gateway.upgrades, 1);
});

test('with resume the place is kept in the store, and gone on from', async (t) => {
  const gateway = await scriptedGateway(t);
  const store = memoryStore();
  const events = clientOf(t, gateway, { store }).job('a').events({ resume: true });
  const reading = take(events, 2);
  const first = await gateway.accept();
  assert.equal((await first.subscribed(3)).afterEventId, 0);
  first.history('a', 1, 2, 3);
  await reading;
  // The third was not asked for, so it was not seen.
  await events.return();
  assert.deepEqual(store.get('optimization/a'), { after: 2, epoch: 'e1' });
  const rest = takeAll(clientOf(t, gateway, { store }).job('a').events({ resume: true }));
  const second = await gateway.accept();
  const request = await second.subscribed(3);
  assert.deepEqual([request.afterEventId, request.epoch], [2, 'e1']);
  second.history('a', 3);
  second.send({ type: 'position', jobId: 'a', id: 70, caughtUp: true });
  await eventually('a position is a place, too', () => store.get('optimization/a').after === 70);
  second.end('a', 71);
  assert.deepEqual(ids(await rest), [3, 71]);
});

test('names that no job can have are refused at once', () => {
  const client = new Client({ url: 'http://127.0.0.1:1', WebSocket });
  for (const id of ['', 'a.b', 'a b', '*', 'x'.repeat(129)]) assert.throws(() => client.job(id), TypeError);
  assert.throws(() => client.job('a', { kind: '>' }), TypeError);
  assert.throws(() => new Client({ url: 'localhost:8080' }), /http: or https:/);
});

test('without a WebSocket a client that insists on one says so', () => {
  const before = globalThis.WebSocket;
  delete globalThis.WebSocket;
  try {
    assert.throws(() => new Client({ url: 'http://127.0.0.1:1', transport: 'websocket' }), /WebSocket/);
  } finally {
    if (before) globalThis.WebSocket = before;
  }
});
