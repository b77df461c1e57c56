// What is committed is what the sources give, it is small, and the gateway serves just that.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { Deployment } from '../../typescript/test/support/real_gateway.mjs';
import { COMPRESSED, isUpToDate } from '../compress.mjs';

const committed = new URL('../../../src/http/ui', import.meta.url).pathname;
const build = new URL('../build', import.meta.url).pathname;
/** Bytes of the whole page, compressed. */
const MOST = 70_000;

test('the committed page is what its sources give', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'jobwire-page-'));
  try {
    await promisify(execFile)(build, [folder]);
    const names = (await readdir(folder)).sort();
    assert.deepEqual(names, (await readdir(committed)).sort());
    for (const name of names.filter((name) => !name.endsWith('.gz'))) {
      const [one, other] = await Promise.all([readFile(join(folder, name)), readFile(join(committed, name))]);
      assert.ok(one.equals(other), `${name} is not what clients/page/build makes of the sources: run it, and commit`);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  for (const name of COMPRESSED) assert.ok(isUpToDate(committed, name), `${name}.gz is old: run clients/page/build, and commit`);
});

test('the page is small', async (t) => {
  const sizes = await Promise.all(['index.html.gz', 'page.css.gz', 'page.js.gz', 'favicon.svg'].map(async (name) => (await readFile(join(committed, name))).length));
  const size = sizes.reduce((sum, size) => sum + size);
  t.diagnostic(`size of the page, compressed: ${size} bytes of at most ${MOST}`);
  assert.ok(size <= MOST, `${size} bytes`);
});

test('the gateway serves these files, compressed for who takes that, and allows no others', async () => {
  const deployment = await Deployment.start();
  try {
    for (const [path, name] of [['/', 'index.html'], ['/page.css', 'page.css'], ['/page.js', 'page.js'], ['/favicon.svg', 'favicon.svg']]) {
      const wanted = await readFile(join(committed, name), 'utf8');
      for (const encoding of ['gzip', 'identity']) {
        const answer = await fetch(deployment.url + path, { headers: { 'accept-encoding': encoding } });
        assert.equal(answer.status, 200);
        const isCompressed = encoding === 'gzip' && COMPRESSED.includes(name);
        assert.equal(answer.headers.get('content-encoding'), isCompressed ? 'gzip' : null, `${path} as ${encoding}`);
        assert.match(answer.headers.get('vary'), /accept-encoding/);
        assert.equal(await answer.text(), wanted, `${path}: the gateway was built with another page; cargo build`);
        const policy = answer.headers.get('content-security-policy');
        assert.match(policy, /default-src 'self';/);
        assert.doesNotMatch(policy, /unsafe|https?:|\*/);
      }
    }
  } finally {
    await deployment.stop();
  }
});
