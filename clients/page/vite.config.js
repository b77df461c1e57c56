// Builds the page into what the program embeds: fixed names, no hashes, everything in one script.

import { readFileSync } from 'node:fs';

import { defineConfig } from 'vite';

/** What goes into the file goes with its licence. */
const licences = ['preact', 'uplot'].map((name) => `${name}\n\n${readFileSync(`node_modules/${name}/LICENSE`, 'utf8').trim()}`);

export default defineConfig({
  base: '/',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: process.env.PAGE_OUT ?? '../../src/http/ui',
    // Compressed copies stay; see compress.mjs.
    emptyOutDir: false,
    target: 'es2022',
    modulePreload: false,
    reportCompressedSize: false,
    assetsInlineLimit: 0,
    rolldownOptions: {
      output: {
        // The client loads its fallback when it needs it; here it is part of the one file.
        codeSplitting: false,
        entryFileNames: 'page.js',
        postBanner: `/*! Contains:\n\n${licences.join('\n\n')}\n*/`,
        assetFileNames: 'page[extname]',
      },
    },
  },
});
