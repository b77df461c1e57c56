// Watches one job on the shared connection, as the dashboard of that system does: it remembers the
// last id, comes back 2 s after a close, and pings every 30 s.

import { OptimizationContract, Violation, isFinal } from './contract.mjs';

export function watch({ address, job, after = null, pingEvery = 30_000 }, { report, heed, finish }) {
  const contract = new OptimizationContract(job, after);
  let lastEventId = after;
  let isOver = false;

  function connect() {
    const socket = new WebSocket(`ws://${address}/ws/optimization`);
    const send = (request) => socket.send(JSON.stringify(request));
    let pings;

    function onMessage(message) {
      const events = message.type === 'event' ? [message.event] : (message.data ?? []);
      for (const event of events) lastEventId = event.id;
      if (events.length > 0 && isFinal(events.at(-1))) send({ type: 'unsubscribe', jobId: job });
      // A button that is pressed too late.
      if (message.type === 'unsubscribed') send({ type: 'replay', jobId: job, afterEventId: 0 });
      if (message.type === 'error') onError(message.error);
    }

    function onError(error) {
      if (error !== 'Job not found' && error !== 'Not subscribed to job') {
        throw new Violation(`an error that this client does not know: ${error}`);
      }
      isOver = true;
      socket.close();
    }

    socket.onopen = () => {
      report({ open: true });
      send({ type: 'subscribe', jobId: job, afterEventId: lastEventId });
      pings = setInterval(() => send({ type: 'ping' }), pingEvery);
    };
    socket.onmessage = ({ data }) => {
      report({ text: data });
      heed(() => onMessage(contract.receive(data)));
    };
    socket.onclose = ({ code }) => {
      report({ closed: code });
      clearInterval(pings);
      if (isOver) finish();
      else setTimeout(connect, 2_000);
    };
  }

  connect();
}
