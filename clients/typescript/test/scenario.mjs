// Watches one job and prints what the public API tells of it, one JSON object a line. For
// tests/scenarios, which plays the same to every client; its README.md has the contract. The argument:
//
// url, kind, job, after, epoch, onTruncated, token (text, or { file } that is read for each), transport,
// waitForJob, idleSeconds (a pause after each event), until ("end", "forever", { id } or { seconds }).

import { readFile } from 'node:fs/promises';

import { Client, JobwireError } from 'jobwire';
import { WebSocket } from 'ws';

// In one write: what ends the program must not cut a line.
const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

function wrong(message) {
  process.stderr.write(`scenario.mjs: ${message}\n`);
  process.exit(2);
}

function parse(text) {
  let scenario;
  try {
    scenario = JSON.parse(text);
  } catch {
    wrong('the argument has to be one JSON object');
  }
  const { url, kind, job, transport, until } = scenario ?? {};
  for (const [name, value] of Object.entries({ url, kind, job })) {
    if (typeof value !== 'string') wrong(`${name} has to be a text`);
  }
  if (!['websocket', 'sse'].includes(transport)) wrong('transport has to be "websocket" or "sse"');
  const isUntil = ['end', 'forever'].includes(until) || until?.id !== undefined || until?.seconds !== undefined;
  if (!isUntil) wrong('until has to be "end", "forever", {"id": n} or {"seconds": n}');
  return scenario;
}

const { url, kind, job, after, epoch, onTruncated, token, transport, waitForJob, idleSeconds = 0, until } = parse(process.argv[2]);

// The place, as the client keeps it for those who go on later.
let place = { after: after ?? 0, epoch };
const store = { get: () => undefined, set: (_key, cursor) => (place = cursor) };

const outcomes = { completed: 'completed', failed: 'failed', cancelled: 'cancelled' };
let outcome = null;
function onState({ state, reason }) {
  if (state === 'ended') outcome = outcomes[reason];
  if (state === 'closed') return; // Told below, after what was still to be read.
  print({ state: state === 'stale' ? 'reconnecting' : state, reason });
}

const client = new Client({
  url,
  transport,
  WebSocket,
  store,
  token: token?.file ? async () => (await readFile(token.file, 'utf8')).trim() : (token ?? undefined),
});
const options = { after, epoch: epoch ?? undefined, onTruncated, waitForJob, resume: true, keepWatching: until === 'forever', onState };
if (until.seconds !== undefined) options.signal = AbortSignal.timeout(until.seconds * 1000);

function tell(event) {
  const { eventType, ...fields } = event;
  if (eventType === '$gap') print({ gap: fields });
  else if (eventType === '$reset') print({ reset: fields });
  else if (eventType === '$malformed') print({ malformed: fields });
  else print({ event });
}

async function watch() {
  for await (const event of client.job(job, { kind }).events(options)) {
    tell(event);
    if (until.id !== undefined && event.id >= until.id) break;
    if (idleSeconds) await new Promise((resolve) => setTimeout(resolve, idleSeconds * 1000));
  }
}

let code = 0;
try {
  await watch();
} catch (error) {
  if (error instanceof JobwireError) {
    print({ error: { code: error.code, message: error.message } });
    code = 1;
  } else if (error.name !== 'TimeoutError') throw error;
}
if (outcome === null) print({ state: 'closed', reason: code ? 'refused' : 'until' });
print({ done: { outcome, lastEventId: place.after ?? 0, epoch: place.epoch ?? null } });
process.exitCode = code;
client.close();
