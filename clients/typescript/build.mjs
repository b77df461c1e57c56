// Builds dist/: one minified file for each entry, with its source map, and the types.

import { execFile } from 'node:child_process';
import { copyFile, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { build } from 'esbuild';

/** Names of properties that only the core's own modules use. They are shortened. */
const INTERNAL = [
  'accepted',
  'active',
  'begin',
  'changed',
  'check',
  'flush',
  'forget',
  'gap',
  'good',
  'isFinal',
  'isOpen',
  'isOver',
  'lifeCycleId',
  'lost',
  'mayFallBack',
  'parked',
  'receive',
  'refused',
  'renewAt',
  'retryAfter',
  'sink',
  'subscription',
  'sync',
  'take',
  'terms',
  'tokens',
  'wake',
  'watches',
  'webSocketUrl',
];

const here = fileURLToPath(new URL('.', import.meta.url));
const common = {
  absWorkingDir: here,
  outdir: 'dist',
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  sourcemap: true,
  logLevel: 'warning',
};

await rm(`${here}dist`, { recursive: true, force: true });
await Promise.all([
  // Server-Sent Events are a file of their own, loaded where they are needed.
  build({
    ...common,
    entryPoints: ['src/index.ts'],
    splitting: true,
    chunkNames: '[name]',
    mangleProps: new RegExp(`^(${INTERNAL.join('|')})$`),
  }),
  build({
    ...common,
    entryPoints: ['src/react.ts', 'src/vue.ts', 'src/element.ts'],
    external: ['react', 'vue', './index.js'],
  }),
  promisify(execFile)(process.execPath, [`${here}node_modules/typescript/bin/tsc`, '-p', here]).catch((error) => {
    throw new Error(`the types are wrong:\n${error.stdout}`);
  }),
  copyFile(`${here}../../LICENSE`, `${here}LICENSE`),
]);
