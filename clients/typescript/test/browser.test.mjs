// Pages in a real Chromium, in front of the real gateway: the examples of the README, React in strict
// mode, Vue and the element, with the gateway killed under them.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { after, before, beforeEach, test } from 'node:test';

import { build, transform } from 'esbuild';
import { chromium } from 'playwright-core';

import { compileVue, placed, readmeBlock, scratch } from './support/readme.mjs';
import { eventually } from './support/reading.mjs';
import { Deployment } from './support/real_gateway.mjs';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--no-first-run'];
const END = { eventType: 'job_completed', data: {} };
const progress = (n) => ({ eventType: 'progress', data: { progress: n / 100, message: `round ${n}` } });
const rounds = (from, to) => Array.from({ length: to - from }, (_, index) => progress(from + index));

let deployment;
let browser;
let server;
let origin;
let page;
let sockets;
let number = 0;
/** What the server has besides dist/. */
const files = new Map();

before(async () => {
  deployment = await Deployment.start();
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  server = createServer(async (request, response) => {
    const name = new URL(request.url, 'http://page').pathname.slice(1).replace(/^node_modules\/jobwire\//, '');
    const isDist = /^dist\/\w+\.js$/.test(name);
    const text = isDist ? await readFile(new URL(`../${name}`, import.meta.url)) : files.get(name);
    if (text === undefined) return response.writeHead(name === 'favicon.ico' ? 204 : 404).end();
    response.writeHead(200, { 'content-type': name.endsWith('.html') ? 'text/html' : 'text/javascript' }).end(text);
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  origin = `http://127.0.0.1:${server.address().port}`;
});

after(async () => {
  await browser?.close();
  server?.close();
  await deployment?.stop();
});

beforeEach(async () => {
  await page?.close();
  page = await browser.newPage();
  sockets = 0;
  page.on('websocket', () => sockets++);
  page.on('pageerror', (error) => assert.fail(`an error in the page: ${error.message}`));
});

const newJob = () => `page-${++number}`;
const text = (selector) => page.locator(selector).first().textContent();
const shows = (selector, wanted) =>
  eventually(`${selector} shows ${wanted}`, async () => (await text(selector)).includes(wanted));
const shown = async (selector) => JSON.parse(await text(selector));

/** A page with a script that is bundled with everything it needs. */
async function open(name, source, extra, job) {
  const folder = await scratch(name);
  for (const [file, code] of Object.entries(extra)) await folder.write(file, placed(code, deployment.url, job));
  const entry = `entry.${source.split('.').at(-1)}`;
  await folder.write(entry, await readFile(new URL(`support/${source}`, import.meta.url), 'utf8'));
  const { outputFiles } = await build({
    entryPoints: [folder.path(entry)],
    bundle: true,
    write: false,
    format: 'esm',
    outdir: '/',
    jsx: 'automatic',
    // Development builds: only they have the strict mode.
    define: { 'process.env.NODE_ENV': '"development"', __VUE_OPTIONS_API__: 'true', __VUE_PROD_DEVTOOLS__: 'false', __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: 'false' },
    logLevel: 'error',
  });
  files.set(`${name}.js`, outputFiles[0].text);
  const scenario = JSON.stringify({ url: deployment.url, job });
  files.set(`${name}.html`, `<!doctype html><div id="root"></div><script>window.scenario = ${scenario}</script><script type="module" src="${name}.js"></script>`);
  await page.goto(`${origin}/${name}.html`);
}

test('the page of the README shows a whole job, also with the gateway killed in the middle', async () => {
  const job = newJob();
  const stored = await deployment.publish(job, rounds(0, 50));
  files.set('page.html', placed(await readmeBlock('page.html'), deployment.url, job));
  await page.goto(`${origin}/page.html`);
  await shows('#state', 'live');
  await deployment.kill();
  await shows('#state', 'reconnecting');
  await deployment.startGateway();
  stored.push(...(await deployment.publish(job, [...rounds(50, 80), END])));
  await shows('#state', 'ended');
  await shows('#log', 'job_completed');
  const ids = (await text('#log')).match(/^#\d+/gm).map((id) => Number(id.slice(1)));
  assert.deepEqual(ids, stored);
  assert.equal(await page.locator('#bar').evaluate((bar) => bar.value), 0.79);
});

test('React in strict mode shows every event once, over one connection for each client, through a restart', async () => {
  const job = newJob();
  const stored = await deployment.publish(job, [{ eventType: 'job_started' }, ...rounds(0, 400)]);
  await open('react', 'react_page.jsx', { 'progress.tsx': await readmeBlock('progress.tsx') }, job);
  await eventually('it is live', () => page.locator('#one[data-state=live]').count());
  await eventually('both show all', async () => (await shown('#one')).length === stored.length && (await shown('#two')).length === stored.length);
  assert.deepEqual(await shown('#one'), stored);
  assert.equal(sockets, 2, 'one for our client, one for that of the example');
  const renders = await page.evaluate(() => window.renders);
  assert.ok(renders < 60, `${renders} renderings for ${stored.length} events`);
  await deployment.drain();
  await deployment.startGateway();
  stored.push(...(await deployment.publish(job, rounds(40, 60))));
  // One of two is unmounted and mounted again, while events come.
  await page.click('#toggle');
  stored.push(...(await deployment.publish(job, rounds(60, 70))));
  await page.click('#toggle');
  stored.push(...(await deployment.publish(job, [END])));
  for (const name of ['#one', '#two']) {
    await eventually(`${name} has ended`, () => page.locator(`${name}[data-state=ended]`).count());
    assert.deepEqual(await shown(name), stored);
  }
  await shows('h1', `${job}: succeeded, ended`);
  await shows('section p', `last event: #${stored.at(-1)} job_completed`);
});

test('React goes over to another job, and tells of one that is not there', async () => {
  const job = newJob();
  await deployment.publish(job, rounds(0, 3));
  const other = await deployment.publish(`${job}-other`, rounds(0, 5));
  await open('react', 'react_page.jsx', { 'progress.tsx': await readmeBlock('progress.tsx') }, job);
  await eventually('the first is shown', async () => (await shown('#one')).length === 3);
  await page.click('#other');
  await eventually('the other is shown', async () => (await shown('#one')).length === 5);
  assert.deepEqual(await shown('#one'), other);
  await open('react', 'react_page.jsx', { 'progress.tsx': await readmeBlock('progress.tsx') }, 'nowhere');
  await shows('[role=alert]', 'Job not found');
});

test('Vue shows every event once, through a restart, and leaves the job when it is unmounted', async () => {
  const job = newJob();
  const stored = await deployment.publish(job, [{ eventType: 'job_started' }, ...rounds(0, 100)]);
  const { code } = await transform(compileVue(await readmeBlock('Progress.vue'), 'Progress'), { loader: 'ts' });
  await open('vue', 'vue_page.js', { 'Progress.vue.ts': code }, job);
  await eventually('all is shown', async () => (await shown('#one')).length === stored.length);
  await deployment.kill();
  await deployment.startGateway();
  stored.push(...(await deployment.publish(job, [...rounds(50, 60), END])));
  await eventually('it has ended', () => page.locator('#one[data-state=ended]').count());
  assert.deepEqual(await shown('#one'), stored);
  await shows('h1', `${job}: succeeded, ended`);
  const other = `${job}-other`;
  await deployment.publish(other, rounds(0, 5));
  await page.evaluate((other) => (window.id.value = other), other);
  await eventually('the other is shown', async () => (await shown('#one')).length === 5);
  await page.evaluate(() => (window.isThere.value = false));
  await eventually('it is gone', async () => (await page.locator('#one').count()) === 0);
});

test('the element shows how far a job is, for eyes and for screen readers', async () => {
  const job = newJob();
  await deployment.publish(job, [{ eventType: 'job_started' }, progress(37)]);
  files.set('element.html', placed(await readmeBlock('element.html'), deployment.url, job));
  await page.goto(`${origin}/element.html`);
  const bar = page.getByRole('progressbar', { name: 'Nightly build' });
  await eventually('it is at 37 %', async () => (await bar.getAttribute('aria-valuenow')) === '37');
  assert.equal(await page.getByRole('status').textContent(), 'live');
  assert.match(await text('job-progress [part=text]'), /^round 37 · #\d+$/);
  const style = await readmeBlock('element.css');
  await page.addStyleTag({ content: style });
  const look = await page.locator('job-progress [part=bar]').evaluate((part) => getComputedStyle(part).backgroundColor);
  assert.equal(look, 'rgb(102, 51, 153)');
  await deployment.publish(job, [{ eventType: 'job_failed', data: { error: 'no more disk' } }]);
  await shows('job-progress [part=badge]', 'failed');
  await page.evaluate(() => document.querySelector('job-progress').setAttribute('job', 'nowhere'));
  await shows('job-progress [part=badge]', 'not found');
});

test('a cursor in localStorage outlives a reload', async () => {
  const job = newJob();
  const stored = await deployment.publish(job, rounds(0, 4));
  files.set('resume.html', `<!doctype html><pre id="log"></pre><script type="module">
    import { Client, localStorageStore } from './dist/index.js';
    const client = new Client({ url: ${JSON.stringify(deployment.url)}, store: localStorageStore() });
    for await (const { id } of client.job(${JSON.stringify(job)}).events({ resume: true })) document.getElementById('log').textContent += id + ' ';
  </script>`);
  const log = async () => (await text('#log')).trim().split(' ').filter(Boolean).map(Number);
  await page.goto(`${origin}/resume.html`);
  await eventually('all is shown', async () => (await log()).length === 4);
  stored.push(...(await deployment.publish(job, rounds(4, 6))));
  await eventually('more is shown', async () => (await log()).length === 6);
  await page.reload();
  const more = await deployment.publish(job, rounds(6, 8));
  await eventually('only what is new is shown', async () => (await log()).length === 2);
  assert.deepEqual(await log(), more);
});
