// Server-Sent Events where a WebSocket is impossible, and where it is not.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client } from 'jobwire';

import { eventually, ids, take, takeAll } from './support/reading.mjs';
import { event, scriptedGateway, WebSocket } from './support/scripted_gateway.mjs';

const backoff = { first: 1, most: 20 };
const json = (response, status, value, headers = {}) =>
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
const block = (event) => `id: ${event.id}\nevent: ${event.eventType}\ndata: ${JSON.stringify(event)}\n\n`;
const state = { lastEventId: 2, position: 2, epoch: 'e1', status: 'running', lastEvents: [event(2)] };

/** A gateway without WebSockets; `streams` answers each request for events, in turn. */
async function streaming(t, streams, states = () => state) {
  const queries = [];
  const gateway = await scriptedGateway(t, {
    refusesUpgrades: true,
    http(request, response) {
      const url = new URL(request.url, 'http://g');
      if (!url.pathname.endsWith('/events')) return json(response, 200, states());
      queries.push(url.search);
      const stream = streams.shift();
      if (!stream) return response.writeHead(204).end();
      stream(response);
    },
  });
  return Object.assign(gateway, { queries });
}

/** Pieces of text, as the network might cut them. */
const sends = (...pieces) => async (response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const piece of pieces) {
    response.write(piece);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  response.end();
};

test('without a WebSocket a job comes as a stream, cut anywhere', async (t) => {
  const text = ':\n\n' + block(event(1)) + block({ ...event(2), data: { text: 'ä€😀' } }) + block(event(3, 'job_completed'));
  const bytes = Buffer.from(text);
  const pieces = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, index) => bytes.subarray(index * 7, index * 7 + 7));
  const gateway = await streaming(t, [sends(...pieces)]);
  const states = [];
  const client = new Client({ url: gateway.url, transport: 'sse', backoff });
  const got = await takeAll(client.job('a').events({ onState: ({ state }) => states.push(state) }));
  assert.deepEqual(ids(got), [1, 2, 3]);
  assert.equal(got[1].data.text, 'ä€😀');
  assert.deepEqual(states, ['connecting', 'catching-up', 'live', 'ended']);
  assert.deepEqual(gateway.queries, ['?after=0&epoch=e1']);
});

test('where WebSockets are stopped but HTTP is not, the client changes over by itself', async (t) => {
  const gateway = await streaming(t, [sends(block(event(1)), block(event(2)), block(event(3, 'job_completed')))]);
  const client = new Client({ url: gateway.url, WebSocket, backoff });
  assert.deepEqual(ids(await takeAll(client.job('a').events())), [1, 2, 3]);
  assert.equal(gateway.upgrades, 2);
});

test('who insists on a WebSocket does not change over', async (t) => {
  const gateway = await streaming(t, []);
  const client = new Client({ url: gateway.url, WebSocket, transport: 'websocket', backoff });
  t.after(() => client.close());
  client.job('a').watch({});
  await eventually('it goes on trying', () => gateway.upgrades > 4);
  assert.deepEqual(gateway.queries, []);
});

test('a gateway that is only away is waited for, with a WebSocket', async (t) => {
  const { url } = await scriptedGateway(t);
  const port = new URL(url).port;
  const client = new Client({ url: 'http://127.0.0.1:1', WebSocket, backoff });
  const states = [];
  client.job('a').watch({ onState: (state) => states.push(state) });
  await eventually('it goes on trying', () => states.length > 5);
  assert.ok(states.slice(1).every(({ state }) => state === 'reconnecting'), port);
  client.close();
});

test('a stream that breaks is gone on from; what it says of coming back is kept to', async (t) => {
  const gateway = await streaming(t, [
    sends(block(event(1)), 'retry: 300\n\n'),
    sends(block(event(1)), block(event(2)), block(event(3, 'job_completed'))),
  ]);
  const states = [];
  const client = new Client({ url: gateway.url, transport: 'sse', backoff });
  const got = await takeAll(client.job('a').events({ onState: (state) => states.push(state) }));
  assert.deepEqual(ids(got), [1, 2, 3]);
  assert.deepEqual(gateway.queries, ['?after=0&epoch=e1', '?after=1&epoch=e1']);
  assert.equal(states.find(({ state }) => state === 'reconnecting').retryIn, 300);
});

test('gaps and new streams are told as over a WebSocket, from answers and within streams', async (t) => {
  const gap = { requestedAfter: 1, firstAvailable: 9, lastEventId: 10 };
  let epoch = 'e1';
  const gateway = await streaming(
    t,
    [
      (response) => json(response, 410, { error: 'gone', code: 'HISTORY_TRUNCATED', ...gap }),
      sends(block(event(9)), `event: error\ndata: {"error":"anew","code":"CURSOR_INVALID","epoch":"e2"}\n\n`),
      sends(block(event(1)), block(event(2, 'job_completed'))),
    ],
    () => ({ ...state, lastEventId: epoch === 'e1' ? 10 : 2, epoch }),
  );
  const client = new Client({ url: gateway.url, transport: 'sse', backoff });
  const events = client.job('a').events({ after: 1, epoch: 'e1' });
  assert.deepEqual(ids(await take(events, 2)), ['$gap', 9]);
  epoch = 'e2';
  assert.deepEqual(ids(await takeAll(events)), ['$reset', 1, 2]);
  assert.deepEqual(gateway.queries, ['?after=1&epoch=e1', '?after=8&epoch=e1', '?after=0&epoch=e2']);
});

test('a job that has ended is read to its end also with a cursor of another stream, in one go', async (t) => {
  const ended = { ...state, lastEvents: [event(2, 'job_completed')] };
  const gateway = await streaming(t, [sends(block(event(1)), block(event(2, 'job_completed')))], () => ended);
  const states = [];
  const client = new Client({ url: gateway.url, transport: 'sse', backoff });
  const reading = takeAll(client.job('a').events({ after: 500, epoch: 'old', onState: ({ state }) => states.push(state) }));
  assert.deepEqual(ids(await reading), ['$reset', 1, 2]);
  assert.ok(!states.includes('reconnecting'), states.join());
  assert.equal(states.at(-1), 'ended');
});

test('a refusal is one also after the job was found', async (t) => {
  const gateway = await streaming(t, [(response) => json(response, 403, { error: 'not yours', code: 'OF_A_LATER_VERSION' })]);
  const client = new Client({ url: gateway.url, transport: 'sse', backoff });
  await assert.rejects(takeAll(client.job('a').events()), { code: 'OF_A_LATER_VERSION' });
});

test('a job that is not there yet is waited for, if wanted', async (t) => {
  let asked = 0;
  const gateway = await scriptedGateway(t, {
    http(request, response) {
      if (request.url.includes('/events')) return sends(block(event(1, 'job_completed')))(response);
      // Each time the client asks once more itself.
      if (++asked <= 2) return json(response, 404, { error: 'Job not found', code: 'JOB_NOT_FOUND' });
      json(response, 200, { ...state, lastEventId: 1, position: 1, lastEvents: [event(1, 'job_completed')] });
    },
  });
  const client = new Client({ url: gateway.url, transport: 'sse', backoff });
  assert.deepEqual(ids(await takeAll(client.job('a').events({ waitForJob: true }))), [1]);
  assert.equal(asked, 3);
});

test('a job that has ended is said to have ended', async (t) => {
  const ended = { ...state, lastEventId: 7, position: 9, lastEvents: [event(1, 'job_started'), event(6, 'job_failed'), event(7, 'log')] };
  const gateway = await streaming(t, [], () => ended);
  const states = [];
  const client = new Client({ url: gateway.url, transport: 'sse', backoff });
  const onState = ({ state, reason }) => states.push(`${state} ${reason}`);
  assert.deepEqual(await takeAll(client.job('a').events({ after: 7, onState })), []);
  assert.equal(states.at(-1), 'ended failed');
});

test('a slow loop makes the stream end, and goes on with another', async (t) => {
  const all = Array.from({ length: 300 }, (_, index) => event(index + 1));
  const answer = (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const each of all) response.write(block(each));
  };
  const gateway = await streaming(t, Array(200).fill(answer), () => ({ ...state, lastEventId: 300 }));
  const client = new Client({ url: gateway.url, transport: 'sse', backoff });
  t.after(() => client.close());
  const got = [];
  for await (const { id } of client.job('a').events({ buffer: 1_500 })) {
    got.push(id);
    if (id === 300) break;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.deepEqual(got, all.map(({ id }) => id));
  assert.ok(gateway.queries.length > 3, `${gateway.queries.length} streams`);
});

for (const [status, code] of [[404, 'JOB_NOT_FOUND'], [403, 'FORBIDDEN'], [401, 'UNAUTHORIZED']]) {
  test(`${status} ends the watch with ${code}`, async (t) => {
    const gateway = await scriptedGateway(t, { http: (_request, response) => json(response, status, { error: 'No', code }) });
    const client = new Client({ url: gateway.url, transport: 'sse', backoff });
    await assert.rejects(takeAll(client.job('a').events()), { code, message: 'No' });
  });
}

test('a gateway that has no place is asked again when it says', async (t) => {
  let asked = 0;
  const gateway = await scriptedGateway(t, {
    http(_request, response) {
      asked++;
      json(response, 503, { error: 'Too many connections', code: 'LIMIT' }, { 'retry-after': '1' });
    },
  });
  const states = [];
  const client = new Client({ url: gateway.url, transport: 'sse', backoff });
  t.after(() => client.close());
  client.job('a').watch({ onState: (state) => states.push(state) });
  await eventually('it was told', () => states.length > 1);
  assert.deepEqual(states[1], { state: 'reconnecting', reason: 'Too many connections', retryIn: 1000 });
  await eventually('it comes back', () => asked > 1);
});
