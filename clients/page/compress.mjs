// Puts a compressed copy beside each built file, for browsers that take one. Versions of zlib do not
// compress to the same bytes, so a copy that still stands for its file is left as it is.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';

export const COMPRESSED = ['index.html', 'page.css', 'page.js'];

export function isUpToDate(folder, name, text = readFileSync(join(folder, name))) {
  const copy = join(folder, `${name}.gz`);
  return existsSync(copy) && gunzipSync(readFileSync(copy)).equals(text);
}

if (process.argv[2]) {
  const folder = process.argv[2];
  for (const name of COMPRESSED) {
    if (isUpToDate(folder, name)) continue;
    writeFileSync(join(folder, `${name}.gz`), gzipSync(readFileSync(join(folder, name)), { level: 9 }));
  }
}
