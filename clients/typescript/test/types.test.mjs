// The types, and every example of the README that has some.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { transform } from 'esbuild';

import { compileVue, readmeBlocks, scratch } from './support/readme.mjs';

const here = new URL('../', import.meta.url).pathname;

/** Compiles a folder as an application would; what the compiler complains about. */
async function complaints(folder, files) {
  const compilerOptions = {
    target: 'ES2022',
    module: 'NodeNext',
    lib: ['ES2023', 'DOM', 'DOM.Iterable', 'DOM.AsyncIterable'],
    types: [],
    skipLibCheck: true,
    jsx: 'react-jsx',
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
  };
  await folder.write('tsconfig.json', JSON.stringify({ compilerOptions, files }));
  const compiler = `${here}node_modules/typescript/bin/tsc`;
  return promisify(execFile)(process.execPath, [compiler, '-p', folder.path('tsconfig.json')]).then(
    () => '',
    ({ stdout }) => stdout,
  );
}

test('events narrow by their type, mistakes are found, and the examples of the README compile', async () => {
  const folder = await scratch('types');
  // What must not compile is marked there, so that this also shows that the compiler finds mistakes.
  const files = [['types.ts', await readFile(new URL('types.ts', import.meta.url), 'utf8')]];
  for (const { language, file, code } of await readmeBlocks()) {
    if (language === 'vue') files.push([`${file}.ts`, compileVue(code, 'Progress', false)]);
    if (['ts', 'tsx'].includes(language)) files.push([file === 'types.ts' ? 'own_types.ts' : file, code]);
  }
  assert.ok(files.length >= 7, `${files.length} files`);
  for (const [name, text] of files) await folder.write(name, `${text}\nexport {};\n`);
  assert.equal(await complaints(folder, files.map(([name]) => name)), '');
});

test('every example of the README is checked or run', async () => {
  for (const { language, file, code } of await readmeBlocks()) {
    // Without a language: commands.
    if (!language) continue;
    assert.ok(file, `an example in ${language} has no name`);
    // Compiled above; run in browser.test.mjs and programs.test.mjs.
    assert.ok(['ts', 'tsx', 'vue', 'html', 'js', 'css'].includes(language), `nobody checks ${language}`);
    if (language !== 'css') continue;
    const { warnings } = await transform(code, { loader: 'css', logLevel: 'silent' });
    assert.deepEqual(warnings, []);
  }
  const tests = await Promise.all(['browser', 'programs'].map((name) => readFile(new URL(`${name}.test.mjs`, import.meta.url), 'utf8')));
  for (const { language, file } of await readmeBlocks()) {
    if (['html', 'js'].includes(language)) assert.ok(tests.some((text) => text.includes(`'${file}'`)), `${file} is not run`);
  }
});
