// The WebSocket to the gateway, and how its silent death is noticed.

import type { Message, Receiver, Transport, WebSocketConstructor } from './transport.js';

/** Opening takes at most so long, and so does an answer to a ping; in milliseconds. */
const PATIENCE = 10_000;
const SILENT = 'The gateway does not answer';
/** After a sleep a shorter time must do. */
const IMPATIENCE = 5_000;

export interface SocketEvents {
  open(): void;
  message: Receiver;
  /** It is over. `code` is 0 where we gave it up. */
  close(code: number, reason: string): void;
}

export function openSocket(
  WebSocket: WebSocketConstructor,
  url: string,
  token: string | undefined,
  silence: number,
  events: SocketEvents,
): Transport {
  const socket = new WebSocket(url, token === undefined ? [] : ['Bearer', token]);
  let heard = 0;
  let timer = setTimeout(() => end(0, SILENT), PATIENCE);

  /** Whatever the socket still says is not listened to: closing a dead one can take minutes. */
  function close() {
    clearTimeout(timer);
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  function end(code: number, reason: string) {
    close();
    events.close(code, reason);
  }

  function send(message: Message) {
    socket.send(JSON.stringify(message));
  }

  function ask(patience: number) {
    send({ type: 'ping' });
    expect(patience, () => end(0, SILENT));
  }

  /** One timer that looks now and then: none is set for each message. */
  function expect(within: number, otherwise: () => void) {
    const before = heard;
    clearTimeout(timer);
    timer = setTimeout(() => (heard === before ? otherwise() : listen()), within);
  }

  function listen() {
    expect(silence, () => ask(PATIENCE));
  }

  socket.onopen = () => {
    listen();
    events.open();
  };
  socket.onmessage = ({ data }) => {
    heard++;
    try {
      events.message(JSON.parse(data), data.length);
    } catch {
      // What was taken of it is kept; the rest comes again.
      end(0, 'A message cannot be read');
    }
  };
  socket.onclose = ({ code, reason }) => end(code, reason);
  socket.onerror = () => {}; // A close follows, which tells as much.

  return { send, close, check: () => ask(IMPATIENCE) };
}
