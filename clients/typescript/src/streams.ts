// Server-Sent Events for where no WebSocket is possible: one request for each job, over fetch, because
// an EventSource can neither send a token in a header nor tell why it failed.
//
// A file of its own, which is loaded only where it is needed.

import type { Http, Message, Receiver, Transport } from './transport.js';

/** The gateway sends a comment after 25 s of silence. */
const SILENCE = 60_000;
/** A job that is not there may appear within this time. */
const GRACE = 2_000;
/** How often a job that has ended is looked at, by those who wait for it to run again. */
const ENDED = 30_000;

/** Ends one stream: the message tells why. */
class Interruption extends Error {
  constructor(readonly told: Message) {
    super(told.error);
  }
}

const unavailable = (error: string, retry?: number) =>
  new Interruption({ type: 'error', code: 'UNAVAILABLE', error, retry });

/** What an answer that is no success means to the watch. */
async function refusalOf(answer: Response, http: Http): Promise<Interruption> {
  const told = await answer.json().catch(() => ({}));
  const error: string = told.error ?? `HTTP ${answer.status}`;
  if (answer.status === 401 && http.tokens.refused()) return unavailable(error, 0);
  if (answer.status > 428) return unavailable(error, http.retryAfter(answer));
  const code = answer.status === 401 ? 'UNAUTHORIZED' : 'REFUSED';
  return new Interruption({ type: 'error', isFinal: true, code, ...told, error });
}

/** Blocks of a stream of events, until it ends, is aborted or falls silent. */
async function* blocksOf(body: ReadableStream<Uint8Array>, signal: AbortSignal) {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  // Not every fetch ends a read that is under way when it is aborted.
  const cancel = () => void reader.cancel().catch(() => {});
  signal.addEventListener('abort', cancel);
  let rest = '';
  let block: Record<string, string> = {};
  for (;;) {
    const timer = setTimeout(cancel, SILENCE);
    const { done, value } = await reader.read().finally(() => clearTimeout(timer));
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      const [, name, text] = /^([^:]*):? ?(.*?)\r?$/.exec(line) as unknown as [string, string, string];
      if (name) block[name] = name in block ? `${block[name]}\n${text}` : text;
      else if (line[0] !== ':') {
        yield block;
        block = {};
      }
    }
  }
}

const sleep = (milliseconds: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => clearTimeout(timer));
  });

export function openStreams(http: Http, receive: Receiver): Transport {
  const streams = new Map<string, AbortController>();

  /** Where the job stands now. */
  async function stateOf(kind: string, jobId: string, signal: AbortSignal) {
    let answer = await http.get(kind, jobId, signal);
    if (answer.status === 404) {
      await sleep(GRACE, signal);
      answer = await http.get(kind, jobId, signal);
    }
    if (!answer.ok) throw await refusalOf(answer, http);
    http.tokens.accepted();
    return answer.json();
  }

  async function read({ kind, jobId, afterEventId, epoch }: Message, signal: AbortSignal) {
    const tell = (message: Message, size = 0) =>
      signal.aborted || receive({ kind, jobId, ...message }, size);
    const state = await stateOf(kind, jobId, signal);
    const after = afterEventId ?? state.position;
    tell({ type: 'subscribed', lastEventId: state.lastEventId, epoch: state.epoch });
    if (epoch && epoch !== state.epoch) {
      throw new Interruption({ type: 'error', code: 'CURSOR_INVALID', epoch: state.epoch });
    }
    if (after >= state.lastEventId) {
      // They say whether the job has ended; nobody gets them twice.
      tell({ type: 'replay', data: state.lastEvents });
      tell({ type: 'position', id: Math.max(after, state.position) });
    }
    const query = `/events?after=${after}&epoch=${state.epoch}`;
    const answer = await http.get(kind, jobId, signal, query, 'text/event-stream');
    if (answer.status === 204) throw unavailable('The job has ended', ENDED);
    if (!answer.ok) throw await refusalOf(answer, http);
    let retry: number | undefined;
    for await (const block of blocksOf(answer.body!, signal)) {
      if (block.retry) retry = Number(block.retry);
      if (!block.data) continue;
      const event = JSON.parse(block.data);
      if (block.event === 'error') throw new Interruption({ type: 'error', isFinal: true, ...event });
      tell({ type: 'event', event }, block.data.length);
    }
    throw unavailable('The stream ended', retry);
  }

  async function follow(request: Message, key: string) {
    const controller = new AbortController();
    streams.set(key, controller);
    const error = await read(request, controller.signal).catch((error: Error) => error);
    if (streams.get(key) !== controller) return;
    stop(key);
    const { told } = error instanceof Interruption ? error : unavailable((error as Error).message);
    const { kind, jobId } = request;
    receive({ kind, jobId, ...told }, 0);
    // The answer was the end of this stream, but not of the subscription: on from what is there.
    if (told.code === 'HISTORY_TRUNCATED') follow({ ...request, afterEventId: told.firstAvailable - 1 }, key);
    if (told.code === 'CURSOR_INVALID') follow({ ...request, afterEventId: 0, epoch: told.epoch }, key);
  }

  const stop = (key: string) => {
    const stream = streams.get(key);
    streams.delete(key);
    stream?.abort();
  };
  return {
    send(message) {
      const key = `${message.kind}/${message.jobId}`;
      if (message.type === 'unsubscribe') stop(key);
      if (message.type === 'subscribe') {
        stop(key);
        void follow(message, key);
      }
    },
    check() {},
    close: () => [...streams.keys()].forEach(stop),
  };
}
