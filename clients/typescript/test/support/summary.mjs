// What is printed of a run of a package's tests: each failure in full, and one line at the end.

import { basename } from 'node:path';
import { inspect } from 'node:util';

export default async function* summary(source) {
  let passed = 0;
  let skipped = 0;
  const failures = [];
  const notes = [];
  const begun = Date.now();
  for await (const { type, data } of source) {
    if (type === 'test:pass' && data.details.type !== 'suite') {
      if (data.skip !== undefined || data.todo !== undefined) skipped++;
      else passed++;
    }
    if (type === 'test:fail' && data.details.error?.failureType !== 'subtestsFailed') failures.push(data);
    if (type === 'test:diagnostic' && data.message.startsWith('size')) notes.push(data.message);
    if (type === 'test:stderr' && !data.message.includes('ExperimentalWarning') && !data.message.includes('--trace-warnings')) yield data.message;
  }
  for (const { name, file, line, details } of failures) {
    yield `\nFAILED  ${name}\n  ${file}:${line}\n${inspect(details.error.cause ?? details.error)}\n`;
  }
  for (const note of notes) yield `${note}\n`;
  const counts = `${passed} passed, ${failures.length} failed, ${skipped} skipped`;
  yield `clients/${basename(process.cwd())}: ${counts}, ${Math.round((Date.now() - begun) / 1000)} s\n`;
}
