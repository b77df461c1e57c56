// A WebSocket without a network, for tests of times: it does what the test says, at once.

export function fakeSockets() {
  const sockets = [];
  class FakeSocket {
    onopen = null;
    onmessage = null;
    onclose = null;
    onerror = null;
    sent = [];
    isClosed = false;

    constructor(url, protocols) {
      Object.assign(this, { url, protocols });
      sockets.push(this);
    }

    send(text) {
      this.sent.push(JSON.parse(text));
    }

    close() {
      this.isClosed = true;
    }

    // What the test does.
    open() {
      this.onopen?.({});
    }

    say(message) {
      this.onmessage?.({ data: JSON.stringify(message) });
    }

    end(code = 1006, reason = '') {
      this.onclose?.({ code, reason });
    }

    /** Answers the last subscribe. */
    subscribed(lastEventId = 0, more = {}) {
      const { jobId } = this.sent.findLast((message) => message.type === 'subscribe');
      this.say({ type: 'subscribed', jobId, lastEventId, epoch: 'e1', ...more });
      this.say({ type: 'position', jobId, id: lastEventId, caughtUp: true });
    }
  }
  return { FakeSocket, sockets };
}

/** Lets everything happen that waits for nothing but its turn. */
export async function settle() {
  for (let turn = 0; turn < 20; turn++) await null;
}
