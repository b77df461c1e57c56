// How large the package is for those who load it, minified and compressed.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

const BOUNDS = { index: 5_120, streams: 1_500, react: 1_000, vue: 1_000, element: 2_500 };

const read = (file) => readFile(new URL(`../${file}`, import.meta.url), 'utf8');

/** As it is delivered, without the line that names the source map. */
async function sizeOf(name) {
  const code = (await read(`dist/${name}.js`)).replace(/\n\/\/# sourceMappingURL=.*\n$/, '\n');
  return gzipSync(code, { level: 9 }).length;
}

for (const [name, bound] of Object.entries(BOUNDS)) {
  test(`${name} has less than ${bound} bytes`, async (t) => {
    const size = await sizeOf(name);
    t.diagnostic(`size of ${name}: ${size} of ${bound} bytes`);
    assert.ok(size < bound, `${name} has ${size} bytes`);
  });
}

test('nothing is needed at run time, and each file brings along no more than it says', async () => {
  const { dependencies } = JSON.parse(await read('package.json'));
  assert.equal(dependencies, undefined);
  const imports = async (name) => [...(await read(`dist/${name}.js`)).matchAll(/(?:from|import\()\s*"([^"]+)"/g)].map(([, from]) => from);
  assert.deepEqual(await imports('index'), ['./streams.js']);
  assert.deepEqual(await imports('streams'), []);
  assert.deepEqual(await imports('react'), ['react']);
  assert.deepEqual(await imports('vue'), ['vue']);
  assert.deepEqual(await imports('element'), ['./index.js']);
});
