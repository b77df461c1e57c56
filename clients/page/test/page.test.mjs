// The page in a real Chromium, in front of the real gateway and a real NATS server.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { eventually } from '../../typescript/test/support/reading.mjs';
import { agent, COMPLETED, optimization, training } from './support/jobs.mjs';
import { Pages, picture } from './support/page.mjs';

let pages;
let deployment;
let page;
let number = 0;

before(async () => {
  pages = await Pages.start();
  ({ deployment } = pages);
});
after(() => pages?.stop());
afterEach(async () => {
  const sound = page;
  page = undefined;
  await sound?.context().close();
  sound?.assertIsSound();
});

const newJob = () => `job-${++number}`;
const open = async (address, options) => (page = await pages.open(address, options));
const openJob = (job, more = '', options) => open(`/?kind=optimization&job=${job}${more}`, options);
const text = (selector) => page.locator(selector).first().textContent();
const shows = (selector, wanted, what = `${selector} shows ${wanted}`) =>
  eventually(what, async () => (await page.locator(selector).allTextContents()).some((found) => (wanted instanceof RegExp ? wanted.test(found) : found.includes(wanted))));
const stateIs = (state) => eventually(`the state is ${state}`, async () => (await page.locator('.badge').getAttribute('data-state')) === state);
/** How many events the page has counted. */
const countIs = (count) =>
  eventually(`${count} events are counted`, async () => (await text('.facts > div:last-child dd')).replaceAll(/[ ,]/g, '').startsWith(String(count)));
const fact = (label) => text(`.facts div:has(dt:text-is("${label}")) dd`);
const scrolledBy = (pixels) => page.locator('.rows').evaluate((rows, pixels) => (rows.scrollTop += pixels), pixels);
const isAtEnd = () => page.locator('.rows').evaluate((rows) => rows.scrollHeight - rows.scrollTop - rows.clientHeight < 4);
const lastRow = () => page.locator('.row').last().getAttribute('data-id').then(Number);

test('the list shows jobs, filters them by kind and state, and finds them by name', async () => {
  const [done, failed, running] = [newJob(), newJob(), newJob()];
  await deployment.publish(done, [...optimization(3), COMPLETED]);
  await deployment.publish(failed, [...training(2), { eventType: 'job_failed', data: { error: 'out of memory' } }], { kind: 'training' });
  await deployment.publish(running, optimization(3, { total: 10 }));
  await open('/');
  const listed = () => page.locator('#jobs a').evaluateAll((rows) => rows.map((row) => row.dataset.job));
  const listIs = (...keys) => eventually(`the list is ${keys}`, async () => JSON.stringify(await listed()) === JSON.stringify(keys));
  const all = [`optimization/${running}`, `training/${failed}`, `optimization/${done}`];
  await listIs(...all);
  await page.getByRole('button', { name: 'Running' }).click();
  await listIs(all[0]);
  await page.getByRole('button', { name: 'Failed' }).click();
  await listIs(all[1]);
  assert.match(page.url(), /state=failed/);
  await page.getByRole('button', { name: 'All', exact: true }).click();
  await page.getByLabel('Kind').selectOption('optimization');
  await listIs(all[0], all[2]);
  await page.getByLabel('Kind').selectOption('');
  await page.getByLabel('Search jobs').fill(failed);
  await listIs(all[1]);
  await page.reload();
  await listIs(all[1]);
  assert.equal(await page.getByLabel('Search jobs').inputValue(), failed);
  await page.getByLabel('Search jobs').fill('');
  await listIs(...all);
  // What happens is pushed to the list: a new job, progress, an end.
  const late = newJob();
  await deployment.publish(late, optimization(1));
  await listIs(`optimization/${late}`, ...all);
  await deployment.publish(running, [COMPLETED]);
  await shows(`[data-job="${all[0]}"]`, 'succeeded');
  await picture(page, 'list');
});

test('a live job is shown as it goes on, to its end', async () => {
  const job = newJob();
  const events = optimization(40, { total: 50 });
  await deployment.publish(job, events.slice(0, 20));
  await openJob(job);
  await stateIs('live');
  await countIs(20);
  const stored = await deployment.publish(job, events.slice(20));
  await countIs(events.length);
  await shows('.badge', `#${stored.at(-1)}`);
  await shows('.badge', /last event (now|\d+ s ago) · #/);
  assert.match(await fact('Iteration'), /40 of 50/);
  const best = Math.max(...events.map(({ data }) => data.score ?? 0));
  assert.equal(Number.parseFloat(await fact('Best score')).toFixed(3), best.toFixed(3));
  assert.match(await page.locator('[role=img][aria-label^="Score"]').getAttribute('aria-label'), /40 points/);
  assert.equal(await page.getByRole('progressbar').getAttribute('aria-valuenow'), '80');
  assert.equal(await page.title(), `80 % · ${job} · live`);
  const icon = await page.locator('link[rel=icon]').getAttribute('href');
  assert.match(icon, /^data:image\/svg/);
  await deployment.publish(job, [COMPLETED]);
  await stateIs('ended');
  await shows('.status', 'succeeded');
  assert.equal(await page.title(), `${job} · succeeded`);
  assert.notEqual(await page.locator('link[rel=icon]').getAttribute('href'), icon);
  await shows('.spoken', `${job}: succeeded`);
});

test('stages have durations, and lead to their first event', async () => {
  const job = newJob();
  await deployment.publish(job, [...optimization(40), COMPLETED]);
  await openJob(job);
  await stateIs('ended');
  await shows('.stages', /propose\s*18 s/);
  await page.locator('.stages button', { hasText: 'select' }).click();
  await shows('.detail h3', 'iteration_completed');
  assert.match(await text('.detail pre'), /"stage": "select"/);
});

test('a filter by type stands in the address, and survives a reload', async () => {
  const job = newJob();
  await deployment.publish(job, optimization(30));
  await openJob(job);
  await countIs(34);
  await page.locator('.chip[data-type=log]').click();
  const types = () => page.locator('.row').evaluateAll((rows) => [...new Set(rows.map((row) => row.dataset.type))]);
  await eventually('only logs are shown', async () => String(await types()) === 'log');
  assert.match(page.url(), /[?&]type=log(&|$)/);
  await page.reload();
  await eventually('only logs are shown again', async () => String(await types()) === 'log' && (await page.locator('.row').count()) === 3);
});

test('a link to one event opens it and brings it into view', async () => {
  const job = newJob();
  const stored = await deployment.publish(job, optimization(400));
  await openJob(job, `&e=${stored[150]}`);
  await shows('.detail h3', `#${stored[150]}`);
  await eventually('its row is in view', async () => {
    const [row, rows] = [await page.locator(`[data-id="${stored[150]}"]`).boundingBox(), await page.locator('.rows').boundingBox()];
    return row && row.y >= rows.y && row.y + row.height <= rows.y + rows.height;
  });
  assert.equal(await page.locator(`[data-id="${stored[150]}"]`).getAttribute('aria-selected'), 'true');
  await picture(page, 'event');
  await page.getByLabel('Close the event').click();
  assert.doesNotMatch(page.url(), /[?&]e=/);
  await page.goto(`${pages.url}/?kind=optimization&job=${job}&e=1`);
  await shows('.detail', /No event of this job/);
});

test('an event is copied as JSON, curl, command line and link', async () => {
  const job = newJob();
  const stored = await deployment.publish(job, optimization(5));
  await openJob(job, `&e=${stored[2]}`, { permissions: ['clipboard-read', 'clipboard-write'] });
  await shows('.detail pre', '"eventType"');
  const copied = async (label) => {
    await page.locator('.copies button', { hasText: label }).click();
    await shows('.toast', `Copied: ${label}`);
    return page.evaluate(() => navigator.clipboard.readText());
  };
  assert.equal(JSON.parse(await copied('JSON')).id, stored[2]);
  assert.equal(await copied('CLI'), `jobwire tail ${job} --kind optimization --after ${stored[2] - 1}`);
  assert.match(await copied('link'), new RegExp(`[?&]e=${stored[2]}`));
  const address = /'(http[^']*)'$/.exec(await copied('curl'))[1];
  const answer = await (await fetch(address, { headers: { accept: 'application/json' } })).json();
  assert.deepEqual(answer.events.map(({ id }) => id), [stored[2]]);
});

test('the log follows until somebody scrolls up, counts what is new, and follows again at the end', async () => {
  const job = newJob();
  await deployment.publish(job, optimization(200));
  await openJob(job);
  await countIs(221);
  await shows('.following', 'following');
  await eventually('it is at the end', isAtEnd);
  await scrolledBy(-300);
  await page.locator('.follow').waitFor();
  const seen = await lastRow();
  await deployment.publish(job, [1, 2, 3].map((n) => ({ eventType: 'log', data: { message: `late ${n}` } })));
  await shows('.follow', '3 new events');
  assert.equal(await lastRow(), seen, 'what is being read stays where it is');
  await page.locator('.events').scrollIntoViewIfNeeded();
  await picture(page, 'paused');
  await page.locator('.follow').click();
  await eventually('it is at the end again', isAtEnd);
  const [newest] = await deployment.publish(job, [{ eventType: 'log', data: { message: 'and on' } }]);
  await eventually('it follows', async () => (await lastRow()) === newest);
  // Scrolling down by hand does the same.
  await scrolledBy(-300);
  await page.locator('.follow').waitFor();
  await scrolledBy(5_000);
  await shows('.following', 'following');
});

test('training losses are drawn together, other series when they are picked', async () => {
  const job = newJob();
  await deployment.publish(job, training(30, { total: 60 }), { kind: 'training' });
  await open(`/?kind=training&job=${job}`);
  await shows('.chart h3', 'Loss');
  await shows('.legend', /current_loss.*val_loss/);
  await page.getByRole('button', { name: 'accuracy' }).click();
  await shows('.picked h3', 'accuracy');
  assert.match(page.url(), /series=accuracy/);
  await page.getByRole('button', { name: 'Log scale' }).click();
  await picture(page, 'training');
});

test("an agent's steps are shown one below the other", async () => {
  const job = newJob();
  await deployment.publish(job, agent(4), { kind: 'agent' });
  await open(`/?kind=agent&job=${job}`, { colorScheme: 'dark' });
  const steps = () => page.locator('.steps li').evaluateAll((rows) => rows.map((row) => `${row.querySelector('.name').textContent} ${row.dataset.state}`));
  const stepsAre = (...wanted) => eventually(`the steps are ${wanted}`, async () => String(await steps()) === String(wanted));
  await stepsAre('entity extraction done', 'scam db done', 'exa search running');
  await picture(page, 'agent');
  await deployment.publish(job, [{ eventType: 'job_failed', data: { error: 'the search was refused' } }], { kind: 'agent' });
  await stepsAre('entity extraction done', 'scam db done', 'exa search failed');
  await shows('.failure', 'the search was refused');
});

test('several runs stand in one chart', async () => {
  const [one, other] = [newJob(), newJob()];
  await deployment.publish(one, optimization(60, { seed: 3 }));
  await deployment.publish(other, [...optimization(40, { seed: 8 }), COMPLETED]);
  await openJob(one);
  await page.locator('summary', { hasText: 'Compare' }).click();
  await page.getByLabel(other).check();
  await shows('.chart h3', 'Score, best so far of 2 runs');
  await shows('.legend', new RegExp(`${one}.*${other}`));
  assert.match(page.url(), new RegExp(`with=optimization/${other}`));
  await page.reload();
  await shows('.legend', new RegExp(`${one}.*${other}`));
  await picture(page, 'compare');
});

test('light and dark: as the system says, until somebody chooses', async () => {
  const job = newJob();
  await deployment.publish(job, optimization(20));
  await openJob(job, '', { colorScheme: 'dark' });
  await stateIs('live');
  const brightness = () => page.evaluate(() => Number(/\d+/.exec(getComputedStyle(document.documentElement).backgroundColor)[0]));
  assert.ok((await brightness()) < 60);
  await page.emulateMedia({ colorScheme: 'light' });
  await eventually('it is light', async () => (await brightness()) > 200);
  await page.getByLabel('Theme: system').click();
  await page.getByLabel('Theme: light').click();
  await eventually('it is dark', async () => (await brightness()) < 60);
  await page.reload();
  await stateIs('live');
  assert.ok((await brightness()) < 60, 'what was chosen stays');
});

test('everything is done with keys', async () => {
  const [one, other] = [newJob(), newJob()];
  const stored = await deployment.publish(one, optimization(50));
  await deployment.publish(other, optimization(5));
  await openJob(other);
  await stateIs('live');
  const press = (...keys) => keys.reduce((done, key) => done.then(() => page.keyboard.press(key)), Promise.resolve());
  await shows(`[data-job="optimization/${one}"]`, 'running');
  await press('j');
  await shows('h1', one);
  await press('k');
  await shows('h1', other);
  await press('/');
  await page.keyboard.type(one);
  await press('ArrowDown', 'Enter');
  await shows('h1', one);
  await countIs(stored.length);
  await press('e', 'ArrowUp');
  await shows('.detail h3', `#${stored.at(-1)}`);
  await press('ArrowUp', 'ArrowUp');
  await shows('.detail h3', `#${stored.at(-3)}`);
  assert.match(await page.locator('.rows').getAttribute('aria-activedescendant'), /^row-/);
  await press('Home');
  await shows('.detail h3', `#${stored[0]}`);
  await press('Escape');
  await eventually('the event is closed', async () => (await page.locator('.detail').count()) === 0);
  await press('f');
  await shows('.following', 'following');
  await press('?');
  await page.getByRole('dialog').waitFor();
  await picture(page, 'keys');
  await press('Escape');
  await eventually('the dialog is closed', async () => (await page.getByRole('dialog').count()) === 0);
});

test('a job that is not there appears with its first event', async () => {
  const job = newJob();
  await openJob(job);
  await shows('.notices', 'no such job, or not yet');
  await deployment.publish(job, optimization(3));
  await countIs(4);
  await stateIs('live');
  await eventually('nothing is said of it any more', async () => (await text('.notices')) === '');
});

test('what an event says is text, whatever it says', async () => {
  const job = newJob();
  const message = '<img src=x onerror="document.title=1"><script>document.title=1</script>';
  await deployment.publish(job, [{ eventType: 'log', stage: message, data: { message, error: message } }]);
  await openJob(job);
  await shows('.row .what', message);
  assert.equal(await page.locator('.job img, .job script').count(), 0);
});

test('on a phone there is the list, then the job, and nothing is wider than the screen', async () => {
  const job = newJob();
  await deployment.publish(job, optimization(60, { total: 80 }));
  await open('/', { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2 });
  await page.locator(`[data-job="optimization/${job}"]`).click();
  await stateIs('live');
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  await picture(page, 'phone', { fullPage: true });
  await page.getByLabel('All jobs').click();
  await page.locator(`[data-job="optimization/${job}"]`).waitFor();
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  await picture(page, 'phone-list');
});
