// Pages of a real Chromium in front of a real gateway.

import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';

import { chromium } from 'playwright-core';

import { Deployment } from '../../../typescript/test/support/real_gateway.mjs';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--no-first-run'];
const built = new URL('../../../../src/http/ui/', import.meta.url);
const pictures = new URL('../../.screenshots/', import.meta.url);

const MEDIA_TYPES = { html: 'text/html', css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml' };

export class Pages {
  static async start(options) {
    const pages = new Pages();
    pages.deployment = await Deployment.start(options);
    pages.browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
    return pages;
  }

  /** A page at an address; whatever goes wrong in it fails the test, foreign requests too. */
  async open(address, { colorScheme = 'light', viewport = { width: 1360, height: 900 }, ...more } = {}) {
    const context = await this.browser.newContext({ colorScheme, viewport, ...more });
    const page = await context.newPage();
    const problems = [];
    page.on('pageerror', (error) => problems.push(`an error in the page: ${error.message}\n${error.stack}`));
    page.on('console', (message) => {
      if (message.type() === 'error' && /Content.Security|Refused to/i.test(message.text())) problems.push(message.text());
    });
    page.on('request', (request) => {
      if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(this.deployment.url)) problems.push(`a request to ${request.url()}`);
    });
    page.assertIsSound = () => assert.deepEqual(problems, []);
    if (process.env.PAGE_FROM_FILES) await this.#serveFiles(page);
    await page.goto(this.deployment.url + address);
    return page;
  }

  /** What was built last, in place of what the gateway was built with: for work on the page alone. */
  async #serveFiles(page) {
    const policy = /const POLICY: &str = "([^"]*)"/.exec(await readFile(new URL('../page.rs', built), 'utf8'))[1].replaceAll(/\\\s*/g, '');
    for (const name of ['', 'page.css', 'page.js', 'favicon.svg']) {
      const file = name || 'index.html';
      await page.route(
        (url) => url.pathname === `/${name}` && url.protocol === 'http:',
        async (route) => {
          if (!['document', 'stylesheet', 'script', 'image', 'other'].includes(route.request().resourceType())) return route.fallback();
          const headers = { 'content-type': MEDIA_TYPES[file.split('.').at(-1)], 'content-security-policy': policy };
          await route.fulfill({ body: await readFile(new URL(file, built)), headers });
        },
      );
    }
  }

  async stop() {
    await this.browser?.close();
    await this.deployment?.stop();
  }
}

/** A picture of what is shown, for people to look at; only where they are asked for. */
export async function picture(page, name, options = {}) {
  if (!process.env.PAGE_SCREENSHOTS) return;
  await mkdir(pictures, { recursive: true });
  await page.screenshot({ path: new URL(`${name}.png`, pictures).pathname, ...options });
}
