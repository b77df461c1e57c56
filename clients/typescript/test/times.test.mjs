// When the client does what: back-off, hints, silence, staleness, wake-ups. Timers and sockets are the
// test's own.

import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';

import { Client } from 'jobwire';

import { fakeSockets, settle } from './support/fake_socket.mjs';

let states;
let sockets;
let options;

beforeEach((t) => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_800_000_000_000 });
  const { FakeSocket, sockets: made } = fakeSockets();
  states = [];
  sockets = made;
  options = {
    url: 'http://gateway',
    WebSocket: FakeSocket,
    transport: 'websocket',
    fetch: () => Promise.reject(new TypeError('fetch failed')),
  };
});

test.afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

const randomly = (value) => mock.method(Math, 'random', () => value);

/** Watches a job and notes its states. */
async function watching(more = {}) {
  const client = new Client({ ...options, ...more });
  client.job('a').watch({ onState: (state) => states.push(state), onError: (error) => states.push(error.code) });
  await settle();
  return client;
}

async function pass(milliseconds) {
  mock.timers.tick(milliseconds);
  await settle();
}

test('each wait is a random part of a bound that doubles, up to half a minute', async () => {
  randomly(0.5);
  await watching();
  const waits = [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000];
  for (const [index, wait] of waits.entries()) {
    sockets.at(-1).end();
    await settle();
    assert.equal(states.findLast(({ retryIn }) => retryIn !== undefined).retryIn, wait);
    await pass(wait - 1);
    assert.equal(sockets.length, index + 1, 'not before its time');
    await pass(1);
    assert.equal(sockets.length, index + 2);
  }
});

test('waits go from nothing to the whole bound', async () => {
  const random = randomly(0);
  await watching();
  sockets[0].end();
  await settle();
  assert.equal(states.at(-1).retryIn, 0);
  await pass(0);
  random.mock.mockImplementation(() => 0.999);
  sockets[1].end();
  await settle();
  assert.equal(states.at(-1).retryIn, 999);
});

test('a connection that lasted begins with short waits again, one that did not goes on with longer ones', async () => {
  randomly(0.5);
  await watching();
  for (const wait of [250, 500, 1_000]) {
    sockets.at(-1).open();
    await settle();
    sockets.at(-1).subscribed();
    await pass(2_000);
    sockets.at(-1).end();
    assert.equal(states.at(-1).retryIn, wait);
    await pass(wait);
  }
  sockets.at(-1).open();
  await settle();
  sockets.at(-1).subscribed();
  await pass(11_000);
  sockets.at(-1).end();
  assert.equal(states.at(-1).retryIn, 250);
});

test('a gateway that restarts says when to come back', async () => {
  await watching();
  sockets[0].open();
  await settle();
  sockets[0].subscribed();
  sockets[0].end(1012, '1234');
  assert.deepEqual(states.at(-1), { state: 'reconnecting', reason: 'The gateway restarts', retryIn: 1234 });
  await pass(1233);
  assert.equal(sockets.length, 1);
  await pass(1);
  assert.equal(sockets.length, 2);
});

test('a restart without a time is an ordinary loss', async () => {
  randomly(0.5);
  await watching();
  sockets[0].open();
  await settle();
  sockets[0].end(1012, '');
  assert.deepEqual(states.at(-1), { state: 'reconnecting', reason: 'Closed with 1012', retryIn: 250 });
});

test('a limit is not tried again at once', async () => {
  randomly(0);
  await watching();
  sockets[0].open();
  await settle();
  sockets[0].end(1013, 'Too many connections from this address');
  assert.deepEqual(states.at(-1), { state: 'reconnecting', reason: 'Too many connections from this address', retryIn: 1000 });
});

test('a busy gateway that cannot be opened is given the time it asks for', async () => {
  const answer = new Response('{"error":"The gateway stops","code":"DRAINING"}', { status: 503, headers: { 'retry-after': '7' } });
  await watching({ fetch: async () => answer });
  sockets[0].end();
  await settle();
  await settle();
  assert.deepEqual(states.at(-1), { state: 'reconnecting', reason: 'The gateway stops', retryIn: 7000 });
});

test('what was lost for a while is stale, and live again when it is back', async () => {
  randomly(0.5);
  await watching();
  sockets[0].open();
  await settle();
  sockets[0].subscribed();
  assert.equal(states.at(-1).state, 'live');
  sockets[0].end(1011, 'the gateway failed');
  assert.equal(states.at(-1).state, 'reconnecting');
  await pass(250);
  await pass(14_749);
  assert.equal(states.at(-1).state, 'reconnecting');
  await pass(1);
  assert.deepEqual(states.at(-1), { state: 'stale', reason: 'The gateway does not answer', retryIn: undefined });
  await pass(500);
  sockets.at(-1).open();
  await settle();
  sockets.at(-1).subscribed();
  assert.equal(states.at(-1).state, 'live');
});

test('a connection that falls silent is asked, and given up if it does not answer', async () => {
  await watching();
  sockets[0].open();
  await settle();
  sockets[0].subscribed();
  const pings = () => sockets[0].sent.filter(({ type }) => type === 'ping').length;
  await pass(20_000);
  await pass(19_999);
  assert.equal(pings(), 0);
  await pass(1);
  assert.equal(pings(), 1);
  sockets[0].say({ type: 'pong' });
  await pass(10_000);
  assert.equal(states.at(-1).state, 'live');
  await pass(20_000);
  assert.equal(pings(), 2);
  await pass(9_999);
  assert.equal(states.at(-1).state, 'live');
  await pass(1);
  assert.deepEqual([states.at(-1).state, states.at(-1).reason], ['reconnecting', 'The gateway does not answer']);
  assert.ok(sockets[0].isClosed);
  sockets[0].say({ type: 'event', jobId: 'a', event: { id: 9, eventType: 'progress' } });
  assert.equal(states.at(-1).state, 'reconnecting', 'the dead connection is not listened to');
});

test('messages are a sign of life', async () => {
  await watching();
  sockets[0].open();
  await settle();
  sockets[0].subscribed();
  for (let second = 0; second < 300; second++) {
    sockets[0].say({ type: 'pong' });
    await pass(1_000);
  }
  assert.equal(sockets[0].sent.filter(({ type }) => type === 'ping').length, 0);
  assert.equal(states.at(-1).state, 'live');
});

test('an opening that is never answered is given up', async () => {
  randomly(0.5);
  await watching();
  await pass(10_000);
  assert.equal(states.at(-1).reason, 'The gateway does not answer');
  await pass(250);
  assert.equal(sockets.length, 2);
});

/** What a browser has, and Node has not. */
function page(t) {
  const window = new EventTarget();
  const document = Object.assign(new EventTarget(), { visibilityState: 'visible', baseURI: 'http://page/' });
  const names = { addEventListener: window.addEventListener.bind(window), removeEventListener: window.removeEventListener.bind(window), document };
  Object.assign(globalThis, names);
  t.after(() => {
    for (const name in names) delete globalThis[name];
  });
  return { window, document };
}

for (const [what, wake] of [
  ['the network is back', ({ window }) => window.dispatchEvent(new Event('online'))],
  ['the page is looked at again', ({ document }) => document.dispatchEvent(new Event('visibilitychange'))],
]) {
  test(`when ${what} a wait is cut short, but not one that the gateway asked for`, async (t) => {
    const browser = page(t);
    randomly(0.9);
    await watching();
    sockets[0].end();
    await settle();
    wake(browser);
    await settle();
    assert.equal(sockets.length, 2);
    sockets[1].open();
    sockets[1].end(1012, '5000');
    wake(browser);
    await settle();
    assert.equal(sockets.length, 2);
    await pass(5_000);
    assert.equal(sockets.length, 3);
  });

  test(`when ${what} an open connection is asked whether it is still there`, async (t) => {
    const browser = page(t);
    await watching();
    sockets[0].open();
    await settle();
    sockets[0].subscribed();
    wake(browser);
    assert.equal(sockets[0].sent.at(-1).type, 'ping');
    await pass(5_000);
    assert.equal(states.at(-1).state, 'reconnecting');
  });
}

test('a page that is hidden wakes nobody', async (t) => {
  const browser = page(t);
  randomly(0.9);
  await watching();
  sockets[0].end();
  await settle();
  browser.document.visibilityState = 'hidden';
  browser.document.dispatchEvent(new Event('visibilitychange'));
  await settle();
  assert.equal(sockets.length, 1);
});

test('a job left and watched again the next moment keeps its connection, and later it is closed', async () => {
  const client = new Client(options);
  const first = client.job('a').watch({});
  await settle();
  sockets[0].open();
  await settle();
  sockets[0].subscribed();
  first.close();
  await settle();
  await pass(500);
  const second = client.job('a').watch({});
  await settle();
  await pass(5_000);
  assert.equal(sockets.length, 1);
  assert.ok(!sockets[0].isClosed);
  assert.deepEqual(sockets[0].sent.map(({ type }) => type), ['subscribe', 'unsubscribe', 'subscribe']);
  sockets[0].subscribed();
  second.close();
  await settle();
  await pass(1_000);
  assert.ok(sockets[0].isClosed);
});
