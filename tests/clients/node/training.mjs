// Follows a training run to its end; the token is the second of two subprotocols.

import WebSocket from 'ws';

import { TrainingContract } from '../contract.mjs';
import { finish, heed, options, report } from './report.mjs';

const { address, job, path = 'ws', token } = options();
const contract = new TrainingContract(job);
const url = `ws://${address}/api/v1/training-jobs/${job}/${path}`;
const socket = new WebSocket(url, ['Bearer', token]);

socket.on('open', () => report({ open: true, selected: socket.protocol }));
socket.on('message', (data, isBinary) => {
  const text = isBinary ? null : data.toString();
  report({ text });
  heed(() => {
    const message = contract.receive(text);
    const percent = (100 * message.progress).toFixed(0);
    report({ shown: `${percent} %, epoch ${message.current_epoch} of ${message.total_epochs}` });
  });
});
socket.on('error', (error) => finish(`the connection broke: ${error.message}`));
socket.on('close', (code) => {
  report({ closed: code });
  heed(() => {
    contract.closed(code);
    finish();
  });
});
