// The page while things go wrong around it: the gateway killed, stopped and back, history gone, a token
// that is wanted, and more events than fit a screen.

import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';

import { eventually } from '../../typescript/test/support/reading.mjs';
import { sign } from '../../typescript/test/support/real_gateway.mjs';
import { COMPLETED, optimization } from './support/jobs.mjs';
import { publishToNats } from './support/nats.mjs';
import { Pages, picture } from './support/page.mjs';

const MANY = 100_000;

let pages;
let page;

/** Each has a gateway of its own. */
async function start(options) {
  pages = await Pages.start(options);
  return pages.deployment;
}
afterEach(async () => {
  await page?.context().close();
  await pages?.stop();
  page?.assertIsSound();
  page = pages = undefined;
});

const text = (selector) => page.locator(selector).first().textContent();
const shows = (selector, wanted) =>
  eventually(`${selector} shows ${wanted}`, async () => (await page.locator(selector).allTextContents()).some((found) => (wanted instanceof RegExp ? wanted.test(found) : found.includes(wanted))));
const stateIs = (state) => eventually(`the state is ${state}`, async () => (await page.locator('.badge').getAttribute('data-state')) === state);
const count = async () => Number((await text('.facts > div:last-child dd')).replaceAll(',', '').match(/\d+/)[0]);
const countIs = (wanted) => eventually(`${wanted} events are counted`, async () => (await count()) === wanted);

/** What the gateway says is stored of a job. */
async function stored(url, job) {
  const ids = [];
  for (let after = 0, isOver = false; !isOver; ) {
    const answer = await fetch(`${url}/api/v1/jobs/optimization/${job}/events?after=${after}&limit=1000`, { headers: { accept: 'application/json' } });
    const told = await answer.json();
    ids.push(...told.events.map(({ id }) => id));
    after = told.position;
    isOver = told.caughtUp;
  }
  return ids;
}

test('the gateway is killed and started again in the middle of a run: the page stays right', { timeout: 120_000 }, async () => {
  const deployment = await start();
  const events = optimization(300, { total: 300 });
  await deployment.publish('run', events.slice(0, 100));
  page = await pages.open('/?kind=optimization&job=run');
  await stateIs('live');
  await countIs(100);
  for (let from = 100; from < 300; from += 100) {
    await deployment.kill();
    await stateIs('reconnecting');
    await shows('.notices', /Trying again/);
    assert.match(await page.title(), /run · reconnecting/);
    if (from === 100) await picture(page, 'reconnecting');
    // The job goes on meanwhile.
    await publishToNats(deployment.natsUrl, 'run', events.slice(from, from + 60));
    await deployment.startGateway();
    await stateIs('live');
    await shows('.notices', 'caught up: 60 events replayed, none missing');
    if (from === 100) await picture(page, 'caught-up');
    await deployment.publish('run', events.slice(from + 60, from + 100));
    await countIs(from + 100);
  }
  // Stopped as an operator does, the page is told when to come back.
  await deployment.drain();
  await stateIs('reconnecting');
  await deployment.startGateway();
  await deployment.publish('run', [...events.slice(300), COMPLETED]);
  await stateIs('ended');
  const ids = await stored(pages.deployment.url, 'run');
  assert.equal(ids.length, events.length + 1);
  await countIs(ids.length);
  assert.equal(await page.locator('.rows').getAttribute('aria-label'), `Events, ${ids.length}`);
  // Every id once, in order, nothing else.
  const shown = await page.locator('.rows').evaluate(async (rows) => {
    const found = new Set();
    for (let top = 0; top <= rows.scrollHeight; top += rows.clientHeight / 2) {
      rows.scrollTop = top;
      await new Promise((next) => setTimeout(next, 60));
      for (const row of rows.querySelectorAll('.row')) found.add(Number(row.dataset.id));
    }
    return [...found];
  });
  assert.deepEqual(shown.sort((one, other) => one - other), ids);
});

test('while the connection stays lost the page says that it is old', { timeout: 60_000 }, async () => {
  const deployment = await start();
  await deployment.publish('run', optimization(50, { total: 80 }));
  page = await pages.open('/?kind=optimization&job=run');
  await stateIs('live');
  await deployment.kill();
  await stateIs('reconnecting');
  // After 15 s, which is all the patience there is otherwise.
  await page.locator('.badge[data-state=stale]').waitFor({ timeout: 40_000 });
  await shows('.notices', 'What you see is old');
  await picture(page, 'stale');
});

test('a gap is told and drawn where it is', { timeout: 60_000 }, async () => {
  const deployment = await start();
  const events = optimization(200).filter(({ eventType }) => eventType === 'iteration_completed');
  const ids = await deployment.publish('run', events.slice(0, 60));
  page = await pages.open('/?kind=optimization&job=run');
  await stateIs('live');
  await countIs(60);
  await deployment.kill();
  await stateIs('reconnecting');
  await publishToNats(deployment.natsUrl, 'run', events.slice(60));
  await deployment.keepNewest(80);
  await deployment.startGateway();
  await stateIs('live');
  await shows('.notices', '1 gap: some events are no longer stored');
  await countIs(140);
  assert.match(await text('.facts > div:last-child'), /not complete/);
  assert.doesNotMatch(await text('.notices'), /none missing|nothing was missed/, 'no more is said than is known');
  const rows = page.locator('.rows');
  await rows.evaluate((rows) => (rows.scrollTop = 55 * 32));
  await shows('.row[data-type="$gap"]', `#${ids.at(-1)} … #`);
  const place = await page.locator('.row[data-type="$gap"]').getAttribute('aria-posinset');
  assert.equal(place, '61');
  await picture(page, 'gap');
  await page.locator('.events').scrollIntoViewIfNeeded();
  await picture(page, 'gap-log');
  // Hatched in the chart: points of the colour that warns.
  const warned = await page.locator('.chart canvas').first().evaluate((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let found = 0;
    for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 0 && data[at] > 130 && data[at + 2] < 60) found++;
    return found;
  });
  assert.ok(warned > 100, `${warned} points are hatched`);
});

test('a history whose beginning is gone says so, and a stream made anew too', { timeout: 60_000 }, async () => {
  const deployment = await start();
  await deployment.publish('run', optimization(100).slice(1));
  await deployment.keepNewest(30);
  // What it holds in memory would still be told.
  await deployment.kill();
  await deployment.startGateway();
  page = await pages.open('/?kind=optimization&job=run');
  await stateIs('live');
  await countIs(30);
  await shows('.notices', /The history begins with iteration \d\d: what was before may no longer be stored/);
  await deployment.renewStream();
  await deployment.publish('run', optimization(5));
  await shows('.notices', 'The stream was made anew');
  await countIs(6);
  assert.match(await page.locator('[role=img][aria-label^="Score"]').getAttribute('aria-label'), /5 points/);
});

test('reports in no order are counted, and cost no more than others', { timeout: 60_000 }, async () => {
  const deployment = await start();
  // Two workers, one after the other, each with iterations of its own.
  const half = 15_000;
  const events = Array.from({ length: 2 * half }, (_, at) => ({ eventType: 'iteration_completed', iteration: at % half, data: { score: at / 2 / half } }));
  await publishToNats(deployment.natsUrl, 'run', events);
  page = await pages.open('/?kind=optimization&job=run');
  await countIs(events.length);
  await stateIs('live');
  await shows('.chart .note', 'report');
  await shows('.reduced', '30,000 points drawn as');
});

test('where a token is wanted, one is asked for, and kept only in this tab', { timeout: 60_000 }, async () => {
  const deployment = await start({ guarded: true });
  await deployment.publish('run', optimization(30));
  page = await pages.open('/?kind=optimization&job=run');
  await shows('h1', 'asks for a token');
  await picture(page, 'token');
  await page.getByRole('textbox', { name: 'Token' }).fill('not a token');
  await page.getByRole('button', { name: 'Open' }).click();
  await page.getByRole('alert').waitFor();
  const token = sign(600);
  await page.getByRole('textbox', { name: 'Token' }).fill(token);
  await page.getByRole('button', { name: 'Open' }).click();
  await stateIs('live');
  await countIs(34);
  assert.doesNotMatch(page.url(), new RegExp(token.slice(0, 10)));
  const kept = await page.evaluate(() => [Object.values(sessionStorage), Object.values(localStorage), document.cookie]);
  assert.deepEqual(kept, [[token], [], '']);
  await page.reload();
  await stateIs('live');
  await page.getByLabel('Forget the token').click();
  await shows('h1', 'asks for a token');
  // One that expires while the job is watched.
  await page.getByRole('textbox', { name: 'Token' }).fill(sign(5));
  await page.getByRole('button', { name: 'Open' }).click();
  await stateIs('live');
  await page.getByRole('alert').waitFor();
  await page.getByRole('textbox', { name: 'Token' }).fill(sign(600));
  await page.getByRole('button', { name: 'Open' }).click();
  await stateIs('live');
  await countIs(34);
});

test('where the browser keeps nothing, the page works all the same', { timeout: 60_000 }, async () => {
  const deployment = await start();
  await deployment.publish('run', optimization(3));
  page = await pages.open('/favicon.svg');
  await page.addInitScript(() => {
    for (const name of ['localStorage', 'sessionStorage']) {
      Object.defineProperty(window, name, { get: () => { throw new DOMException('no', 'SecurityError'); } });
    }
  });
  await page.goto(`${pages.url}/?kind=optimization&job=run`);
  await stateIs('live');
  await page.keyboard.press('t');
  await shows('.toast', 'Theme: light');
});

test(`${MANY} events stay fluid`, { timeout: 240_000 }, async (t) => {
  const deployment = await start();
  const events = Array.from({ length: MANY }, (_, at) => ({
    eventType: 'iteration_completed',
    iteration: at,
    stage: ['propose', 'evaluate', 'select'][Math.floor(at / 20_000) % 3],
    data: { score: 1 - 1 / (1 + at / 9_000) - ((at * 7919) % 1000) / 5_000, temperature: Math.exp(-at / 30_000) },
  }));
  await publishToNats(deployment.natsUrl, 'run', events);
  await eventually('all is stored', async () => (await (await fetch(`${deployment.url}/api/v1/jobs/optimization/run`)).json()).lastEventId === MANY);
  page = await pages.open('/favicon.svg');
  await page.addInitScript(() => {
    window.frames_ = [];
    let before = performance.now();
    const frame = (now) => {
      window.frames_.push(now - before);
      before = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  const begun = Date.now();
  await page.goto(`${pages.url}/?kind=optimization&job=run`);
  const end = Date.now() + 100_000;
  while ((await page.locator('.badge').getAttribute('data-state', { timeout: 30_000 })) !== 'live' && Date.now() < end) await page.waitForTimeout(50);
  await stateIs('live');
  const loaded = Date.now() - begun;
  const frames = async (what) => {
    const times = (await page.evaluate(() => window.frames_.splice(0))).sort((one, other) => one - other);
    const at = (part) => Math.round(times[Math.floor((times.length - 1) * part)]);
    const found = { half: at(0.5), most: at(0.95), longest: at(1), count: times.length };
    t.diagnostic(`size of frames, ${what}: median ${found.half} ms, 95 % ${found.most} ms, longest ${found.longest} ms, of ${found.count}`);
    return found;
  };
  await countIs(MANY);
  t.diagnostic(`size of the wait for ${MANY} events: ${loaded} ms`);
  const whileLoading = await frames('while 100,000 events come');
  assert.ok((await page.locator('.row').count()) < 120, 'only what is in view exists');
  assert.match(await text('.reduced'), /100,000 points drawn as [\d,]+: the lowest and the highest of each pixel/);
  await picture(page, 'many');
  await page.evaluate(() => window.frames_.splice(0));
  await page.locator('.rows').evaluate(async (rows) => {
    for (let step = 0; step < 120; step++) {
      rows.scrollTop = ((step * 37) % 120) * (rows.scrollHeight / 120);
      await new Promise((next) => requestAnimationFrame(next));
    }
  });
  const whileScrolling = await frames('scrolling');
  for (let round = 0; round < 20; round++) {
    await publishToNats(deployment.natsUrl, 'run', Array.from({ length: 25 }, (_, at) => ({ ...events[at], iteration: MANY + round * 25 + at })));
    await page.waitForTimeout(80);
  }
  await countIs(MANY + 500);
  const whileLive = await frames('live');
  // Generous: the machine may be busy with much else.
  assert.ok(whileLoading.longest < 2_000, 'the page answers while history comes');
  assert.ok(whileScrolling.half < 100, 'scrolling is fluid');
  assert.ok(whileLive.half < 100, 'it is fluid while events come');
  assert.ok(loaded < 60_000, 'history comes in time');
});
