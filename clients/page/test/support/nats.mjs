// Publishing past the gateway, as producers do: in NATS's own protocol, as nothing else of it is needed.

import { connect } from 'node:net';

import { within } from '../../../typescript/test/support/reading.mjs';

/** Publishes events of a job; returns when the server has read all of them. */
export async function publishToNats(url, job, events, { kind = 'optimization' } = {}) {
  const socket = connect(new URL(url).port, '127.0.0.1');
  const answered = new Promise((resolve, reject) => {
    let heard = '';
    socket.on('error', reject);
    socket.on('data', (text) => {
      heard = (heard + text).slice(-100);
      if (heard.includes('-ERR')) reject(new Error(heard));
      if (heard.includes('PONG')) resolve();
    });
  });
  const lines = events.map((event) => {
    const payload = JSON.stringify(event);
    return `PUB jobs.${kind}.${job}.${event.eventType} ${Buffer.byteLength(payload)}\r\n${payload}\r\n`;
  });
  socket.write('CONNECT {"verbose":false}\r\n');
  for (let at = 0; at < lines.length; at += 1000) {
    // As fast as it is read, no faster: otherwise it would take us for a slow consumer.
    if (!socket.write(lines.slice(at, at + 1000).join(''))) await new Promise((drained) => socket.once('drain', drained));
  }
  socket.write('PING\r\n');
  await within('NATS reads what is published', answered, 60_000);
  socket.destroy();
}
