// What was built last, in front of a gateway that was built with something older: for work on the page
// alone, with PAGE_FROM_FILES set.

import { readFile } from 'node:fs/promises';
import { createServer, request as ask } from 'node:http';
import { connect } from 'node:net';

const built = new URL('../../../../src/http/ui/', import.meta.url);
const MEDIA_TYPES = { html: 'text/html', css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml' };

async function policy() {
  const source = await readFile(new URL('../page.rs', built), 'utf8');
  return /const POLICY: &str = "([^"]*)"/.exec(source)[1].replaceAll(/\\\s*/g, '');
}

/** A server that has the files, and leaves everything else to the gateway at this port. */
export async function serveFiles(port) {
  const headers = { 'content-security-policy': await policy() };
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, 'http://page').pathname;
    if (['/', '/page.css', '/page.js', '/favicon.svg'].includes(path)) {
      const file = path === '/' ? 'index.html' : path.slice(1);
      response.writeHead(200, { ...headers, 'content-type': MEDIA_TYPES[file.split('.').at(-1)] });
      return response.end(await readFile(new URL(file, built)));
    }
    const passed = ask({ port, host: '127.0.0.1', path: request.url, method: request.method, headers: request.headers });
    passed.on('response', (answer) => answer.pipe(response.writeHead(answer.statusCode, answer.headers)));
    passed.on('error', () => response.destroy());
    request.pipe(passed);
  });
  server.on('upgrade', (request, socket, head) => {
    const passed = connect(port, '127.0.0.1');
    const lines = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}\r\n`);
    passed.write(`GET ${request.url} HTTP/1.1\r\n${lines.join('')}\r\n`);
    passed.write(head);
    passed.pipe(socket).pipe(passed);
    for (const [one, other] of [[passed, socket], [socket, passed]]) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return server;
}
