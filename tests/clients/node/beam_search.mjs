// Follows a beam search that was just started, and leaves at its result or at any error.

import WebSocket from 'ws';

import { BeamSearchContract } from '../contract.mjs';
import { finish, heed, options, report } from './report.mjs';

const { address, job } = options();
const contract = new BeamSearchContract(job);
const socket = new WebSocket(`ws://${address}`);
let isOver = false;

socket.on('open', () => {
  report({ open: true });
  socket.send(JSON.stringify({ type: 'subscribe', jobId: job }));
});
socket.on('message', (data, isBinary) => {
  const text = isBinary ? null : data.toString();
  report({ text });
  heed(() => {
    const { type } = contract.receive(text);
    if (type !== 'complete' && type !== 'error') return;
    isOver = true;
    socket.close();
  });
});
socket.on('error', (error) => finish(`the connection broke: ${error.message}`));
socket.on('close', (code) => {
  report({ closed: code });
  finish(isOver ? null : `closed before the end: ${code}`);
});
