// Follows a beam search that was just started, and leaves at its result or at any error.

import { BeamSearchContract } from './contract.mjs';

export function watch({ address, job }, { report, heed, finish }) {
  const contract = new BeamSearchContract(job);
  const socket = new WebSocket(`ws://${address}`);
  let isOver = false;

  socket.onopen = () => {
    report({ open: true });
    socket.send(JSON.stringify({ type: 'subscribe', jobId: job }));
  };
  socket.onmessage = ({ data }) => {
    report({ text: data });
    heed(() => {
      const { type } = contract.receive(data);
      if (type !== 'complete' && type !== 'error') return;
      isOver = true;
      socket.close();
    });
  };
  socket.onclose = ({ code }) => {
    report({ closed: code });
    finish(isOver ? null : `closed before the end: ${code}`);
  };
}
