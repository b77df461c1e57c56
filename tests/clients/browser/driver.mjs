// Runs clients in pages of one Chromium without a window. Each line of the standard input is a
// JSON object that asks for a client: its name, dialect, options, and whether its page is to be of
// the gateway's own origin. Ends with the standard input.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { chromium } from 'playwright-core';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** The clients' files, at an origin that is not the gateway's but is allowed there. */
async function serveFiles(port) {
  const server = createServer(async (request, response) => {
    const name = request.url.slice(1);
    if (!/^[a-z_]+\.(mjs|html)$/.test(name)) return response.writeHead(404).end();
    const file = new URL(name === 'contract.mjs' ? '../contract.mjs' : name, import.meta.url);
    const type = name.endsWith('.html') ? 'text/html' : 'text/javascript';
    const headers = { 'Content-Type': type, 'Access-Control-Allow-Origin': '*' };
    response.writeHead(200, headers).end(await readFile(file));
  });
  await new Promise((listening) => server.listen(port, '127.0.0.1', listening));
  return { server, origin: `http://127.0.0.1:${port}` };
}

async function open(context, origin, { name, dialect, options, isOwnOrigin }) {
  const tell = (fact) => console.log(JSON.stringify({ client: name, ...fact }));
  const fail = (problem) => tell({ verdict: 'failed', problem });
  try {
    const page = await context.newPage();
    page.on('pageerror', (error) => fail(`an error in the page: ${error.message}`));
    await page.exposeFunction('tell', (fact) => tell(JSON.parse(fact)));
    await page.goto(isOwnOrigin ? `http://${options.address}/api/v1/jobs` : `${origin}/page.html`);
    await page.evaluate(
      async ([base, dialect, options]) => {
        const { run } = await import(`${base}/page.mjs`);
        await run(dialect, options);
      },
      [origin, dialect, options],
    );
  } catch (error) {
    fail(`the page cannot be opened: ${error.message}`);
  }
}

// Who asked may be gone before everything is told; the end of the input says so too.
process.stdout.on('error', () => {});

const profile = await mkdtemp(join(tmpdir(), 'field-browser-'));
const [executablePath, port] = process.argv.slice(2);
const { server, origin } = await serveFiles(Number(port));
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  args: FLAGS,
});
for await (const line of createInterface({ input: process.stdin })) {
  // Several at once: nobody waits for another's page.
  open(context, origin, JSON.parse(line));
}
await context.close();
server.close();
await rm(profile, { recursive: true, force: true });
