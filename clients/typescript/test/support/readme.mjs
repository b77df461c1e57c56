// The examples of the README, as files.

import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';

import { compileScript, parse } from 'vue/compiler-sfc';

const here = new URL('../../', import.meta.url);

/** Every block of code: its language, the name it is to have, and its text. */
export async function readmeBlocks() {
  const text = await readFile(new URL('README.md', here), 'utf8');
  const blocks = [...text.matchAll(/^```(\w*)(?: file=(\S+))?\n(.*?)^```$/gms)];
  return blocks.map(([, language, file, code]) => ({ language, file, code }));
}

export async function readmeBlock(name) {
  const block = (await readmeBlocks()).find(({ file }) => file === name);
  if (!block) throw new Error(`the README has no ${name}`);
  return block.code;
}

/** A single-file component as a module, its types kept; without its template for who checks types. */
export function compileVue(code, id, inlineTemplate = true) {
  const { descriptor, errors } = parse(code, { filename: `${id}.vue` });
  if (errors.length) throw errors[0];
  return compileScript(descriptor, { id, inlineTemplate }).content;
}

/** The address and the job of an example, replaced by those of a test. */
export const placed = (code, url, job) => code.replaceAll('http://localhost:8080', url).replaceAll('build-7', job);

/** A folder inside the package, so that examples find it by its name. */
export async function scratch(name) {
  const folder = new URL(`.scratch/${name}/`, here);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  return {
    folder,
    write: (file, text) => writeFile(new URL(file, folder), text),
    path: (file) => new URL(file, folder).pathname,
  };
}
