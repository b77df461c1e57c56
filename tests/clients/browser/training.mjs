// Follows a training run to its end; the token is the second of two subprotocols, since a browser
// can send no header.

import { TrainingContract } from './contract.mjs';

export function watch({ address, job, path = 'ws', token }, { report, heed, finish }) {
  const contract = new TrainingContract(job);
  const url = `ws://${address}/api/v1/training-jobs/${job}/${path}`;
  const socket = new WebSocket(url, ['Bearer', token]);

  socket.onopen = () => report({ open: true, selected: socket.protocol });
  socket.onmessage = ({ data }) => {
    report({ text: data });
    heed(() => {
      const message = contract.receive(data);
      const percent = (100 * message.progress).toFixed(0);
      report({ shown: `${percent} %, epoch ${message.current_epoch} of ${message.total_epochs}` });
    });
  };
  socket.onclose = ({ code }) => {
    report({ closed: code });
    heed(() => {
      contract.closed(code);
      finish();
    });
  };
}
