// Tokens: asked for once, renewed on the connection, and what happens when they are refused.

import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import { Client } from 'jobwire';

import { fakeSockets, settle } from './support/fake_socket.mjs';
import { takeAll } from './support/reading.mjs';
import { scriptedGateway, WebSocket } from './support/scripted_gateway.mjs';

const NOW = 1_800_000_000_000;

/** A token that expires in so many seconds; only its form matters here. */
const token = (name, seconds, now = Date.now()) =>
  `${name}.${Buffer.from(JSON.stringify({ exp: now / 1000 + seconds })).toString('base64url')}.signature`;

function timed(t) {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: NOW });
  mock.method(Math, 'random', () => 0.5);
  t.after(() => {
    mock.timers.reset();
    mock.restoreAll();
  });
  return fakeSockets();
}

async function pass(milliseconds) {
  mock.timers.tick(milliseconds);
  await settle();
}

const refused = () => Promise.reject(new TypeError('fetch failed'));

test('a token travels as the second subprotocol', async (t) => {
  const gateway = await scriptedGateway(t);
  const client = new Client({ url: gateway.url, WebSocket, token: 'a.b.c' });
  t.after(() => client.close());
  const reading = takeAll(client.job('a').events());
  const peer = await gateway.accept();
  assert.equal(peer.protocols, 'Bearer,a.b.c');
  await peer.subscribed(0);
  peer.end('a', 1);
  await reading;
});

test('it is renewed on the connection before it expires, again and again', async (t) => {
  const { FakeSocket, sockets } = timed(t);
  let asked = 0;
  const client = new Client({ url: 'http://g', WebSocket: FakeSocket, token: () => token(`t${++asked}`, 3600) });
  client.job('a').watch({});
  await settle();
  sockets[0].open();
  await settle();
  sockets[0].subscribed();
  const keepAlive = async (milliseconds) => {
    for (; milliseconds > 0; milliseconds -= 10_000) {
      sockets[0].say({ type: 'pong' });
      await pass(10_000);
    }
  };
  await keepAlive(3_530_000);
  assert.equal(asked, 1);
  await keepAlive(20_000);
  const renewals = () => sockets[0].sent.filter(({ type }) => type === 'auth').map(({ token }) => token.split('.')[0]);
  assert.deepEqual(renewals(), ['t2']);
  sockets[0].say({ type: 'authenticated' });
  await keepAlive(3_550_000);
  assert.deepEqual(renewals(), ['t2', 't3']);
  assert.equal(sockets.length, 1);
  client.close();
});

test('a callback that goes on giving a token that hardly lasts is asked less and less often', async (t) => {
  const { FakeSocket, sockets } = timed(t);
  const asked = [];
  const source = () => {
    asked.push((Date.now() - NOW) / 1000);
    return token(`t${asked.length}`, 0.5);
  };
  const client = new Client({ url: 'http://g', WebSocket: FakeSocket, token: source });
  client.job('a').watch({});
  await settle();
  sockets[0].open();
  await settle();
  sockets[0].subscribed();
  for (let second = 0; second < 100; second++) {
    sockets[0].say({ type: 'pong' });
    await pass(1_000);
  }
  assert.deepEqual(asked, [0, 1, 3, 7, 15, 31, 61, 91]);
  assert.equal(sockets[0].sent.filter(({ type }) => type === 'auth').length, 7);
  client.close();
});

test('a failing token callback ends nothing: the old token is used as long as it lasts', async (t) => {
  const { FakeSocket, sockets } = timed(t);
  let asked = 0;
  const source = async () => {
    if (++asked > 1) throw new Error('the identity provider is away');
    return token('t', 100);
  };
  const states = [];
  const client = new Client({ url: 'http://g', WebSocket: FakeSocket, token: source, fetch: refused });
  client.job('a').watch({ onState: (state) => states.push(state) });
  await settle();
  sockets[0].open();
  await settle();
  sockets[0].subscribed();
  for (let second = 0; second < 99; second += 3) {
    sockets[0].say({ type: 'pong' });
    await pass(3_000);
  }
  assert.ok(asked > 1);
  assert.equal(states.at(-1).state, 'live');
  sockets[0].end(4001, 'the token has expired');
  await pass(250);
  assert.deepEqual([states.at(-1).state, states.at(-1).reason], ['reconnecting', 'the identity provider is away']);
  client.close();
});

test('whoever wants a token while one is being got waits for the same', async (t) => {
  const gateway = await scriptedGateway(t, {
    http: (request, response) => response.writeHead(404, { 'content-type': 'application/json' }).end('{"code":"JOB_NOT_FOUND","error":"no"}'),
  });
  let asked = 0;
  let give;
  const client = new Client({
    url: gateway.url,
    transport: 'sse',
    // The first is no good any more when it comes: each of the three jobs wants another.
    token: () => (asked++ ? new Promise((resolve) => (give = () => resolve('a.b.c'))) : token('old', -10)),
  });
  t.after(() => client.close());
  const readings = ['a', 'b', 'c'].map((id) => takeAll(client.job(id).events()));
  while (!give) await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(asked, 2);
  give();
  await Promise.allSettled(readings);
  assert.equal(asked, 2);
  assert.ok(gateway.requests.length >= 3);
  assert.ok(gateway.requests.every(({ authorization }) => authorization === 'Bearer a.b.c'));
});

test('an expired token is followed by a new one, and nothing is lost', async (t) => {
  const gateway = await scriptedGateway(t);
  let asked = 0;
  const client = new Client({ url: gateway.url, WebSocket, token: () => token(`t${++asked}`, 600), backoff: { first: 1 } });
  t.after(() => client.close());
  const reading = takeAll(client.job('a').events());
  const first = await gateway.accept();
  await first.subscribed(0);
  first.live('a', 1);
  first.close(4001, 'the token has expired');
  const second = await gateway.accept();
  assert.match(second.protocols, /^Bearer,t2\./);
  assert.equal((await second.subscribed(1)).afterEventId, 1);
  second.end('a', 2);
  assert.equal((await reading).length, 2);
});

test('a fixed token that has expired ends the watch', async (t) => {
  const gateway = await scriptedGateway(t);
  const client = new Client({ url: gateway.url, WebSocket, token: 'a.b.c' });
  t.after(() => client.close());
  const reading = takeAll(client.job('a').events());
  const first = await gateway.accept();
  await first.subscribed(0);
  first.close(4001, 'the token has expired');
  await assert.rejects(reading, { code: 'UNAUTHORIZED', message: 'the token has expired' });
});

for (const [what, source, asks] of [
  ['a fixed token ends the watch at once', 'a.b.c', 1],
  ['a token callback is asked once more, and then the watch ends', () => 'a.b.c', 2],
]) {
  test(`where the gateway refuses it, ${what}`, async (t) => {
    const gateway = await scriptedGateway(t, {
      refusesUpgrades: true,
      http: (request, response) =>
        response.writeHead(401, { 'content-type': 'application/json' }).end('{"error":"The signature is wrong","code":"UNAUTHORIZED"}'),
    });
    let asked = 0;
    const token = typeof source === 'string' ? source : () => (asked++, source());
    const client = new Client({ url: gateway.url, WebSocket, token, backoff: { first: 1 } });
    await assert.rejects(takeAll(client.job('a').events()), { code: 'UNAUTHORIZED', message: 'The signature is wrong' });
    if (typeof source !== 'string') assert.equal(asked, asks);
    assert.equal(gateway.upgrades, asks);
  });
}

test('a renewed token that allows less ends the watches that it does not allow', async (t) => {
  const gateway = await scriptedGateway(t);
  const client = new Client({ url: gateway.url, WebSocket, token: 'a.b.c' });
  t.after(() => client.close());
  const reading = takeAll(client.job('a').events());
  const peer = await gateway.accept();
  await peer.subscribed(0);
  peer.send({ type: 'error', jobId: 'a', code: 'FORBIDDEN', error: 'The token does not allow this job' });
  await assert.rejects(reading, { code: 'FORBIDDEN' });
});
