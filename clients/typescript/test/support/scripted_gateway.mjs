// A gateway that says what a test wants it to say, over a real WebSocket and real HTTP.

import { once } from 'node:events';
import { createServer } from 'node:http';

import { WebSocket, WebSocketServer } from 'ws';

/** One connection, as the gateway sees it. */
class Peer {
  #messages = [];
  #wanted = [];

  constructor(socket, request) {
    this.socket = socket;
    this.protocols = request.headers['sec-websocket-protocol'];
    this.url = request.url;
    this.closed = once(socket, 'close');
    socket.on('message', (text) => {
      const message = JSON.parse(text);
      const wanted = this.#wanted.shift();
      if (wanted) wanted(message);
      else this.#messages.push(message);
    });
  }

  /** What the client sends next. */
  next() {
    if (this.#messages.length) return Promise.resolve(this.#messages.shift());
    return new Promise((resolve) => this.#wanted.push(resolve));
  }

  /** What was sent and not asked for yet. */
  get waiting() {
    return this.#messages.length;
  }

  send(...messages) {
    for (const message of messages) this.socket.send(JSON.stringify(message));
  }

  /** Answers the next subscribe; what it asked for. */
  async subscribed(lastEventId, more = {}) {
    const request = await this.next();
    const { jobId } = request;
    this.send({ type: 'subscribed', jobId, lastEventId, epoch: 'e1', ...more });
    return request;
  }

  history(jobId, ...ids) {
    this.send({ type: 'replay', jobId, data: ids.map((id) => event(id)) });
  }

  live(jobId, ...ids) {
    for (const id of ids) this.send({ type: 'event', jobId, event: event(id) });
  }

  end(jobId, id) {
    this.send({ type: 'event', jobId, event: event(id, 'job_completed') });
  }

  close(code, reason) {
    this.socket.close(code, reason);
  }

  drop() {
    this.socket.terminate();
  }
}

export const event = (id, eventType = 'progress', data = { n: id }) => ({
  id,
  eventType,
  data,
  timestamp: '2026-03-01T10:00:00Z',
});

/** `connections`: what to do with each connection, in turn. `http`: answers other requests. */
export async function scriptedGateway(test, { http, refusesUpgrades = false } = {}) {
  const requests = [];
  const server = createServer((request, response) => {
    requests.push({ url: request.url, authorization: request.headers.authorization });
    if (http) return http(request, response);
    response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"no","code":"JOB_NOT_FOUND"}');
  });
  const peers = [];
  const wanted = [];
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => (offered.has('Bearer') ? 'Bearer' : false) });
  let upgrades = 0;
  server.on('upgrade', (request, socket, head) => {
    upgrades++;
    if (refusesUpgrades) return socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n');
    sockets.handleUpgrade(request, socket, head, (socket) => {
      const peer = new Peer(socket, request);
      const resolve = wanted.shift();
      if (resolve) resolve(peer);
      else peers.push(peer);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  test.after(() => {
    for (const socket of sockets.clients) socket.terminate();
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    requests,
    get upgrades() {
      return upgrades;
    },
    get unclaimed() {
      return peers.length;
    },
    /** The next connection that a client makes. */
    accept: () => (peers.length ? Promise.resolve(peers.shift()) : new Promise((resolve) => wanted.push(resolve))),
  };
}

export { WebSocket };
