// Pages of a real Chromium in front of a real gateway.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';

import { chromium } from 'playwright-core';

import { Deployment } from '../../../typescript/test/support/real_gateway.mjs';
import { serveFiles } from './files.mjs';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--no-first-run'];
const pictures = new URL('../../.screenshots/', import.meta.url);

export class Pages {
  static async start(options) {
    const pages = new Pages();
    pages.deployment = await Deployment.start(options);
    if (process.env.PAGE_FROM_FILES) pages.files = await serveFiles(pages.deployment.port);
    pages.url = pages.files ? `http://127.0.0.1:${pages.files.address().port}` : pages.deployment.url;
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
      if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(this.url)) problems.push(`a request to ${request.url()}`);
    });
    page.assertIsSound = () => assert.deepEqual(problems, []);
    await page.goto(this.url + address);
    return page;
  }

  async stop() {
    await this.browser?.close();
    this.files?.closeAllConnections();
    this.files?.close();
    await this.deployment?.stop();
  }
}

/** A picture of what is shown, for people to look at; only where they are asked for. */
export async function picture(page, name, options = {}) {
  if (!process.env.PAGE_SCREENSHOTS) return;
  await mkdir(pictures, { recursive: true });
  await page.screenshot({ path: new URL(`${name}.png`, pictures).pathname, ...options });
}
