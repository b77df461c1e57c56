// Follows an agent's task; a message that cannot be decoded is the last that it looks at.

import WebSocket from 'ws';

import { AgentContract } from '../contract.mjs';
import { finish, heed, options, report } from './report.mjs';

const { address, job } = options();
const contract = new AgentContract();
const socket = new WebSocket(`ws://${address}/ws/agent-progress/${job}`);

socket.on('open', () => report({ open: true }));
socket.on('message', (data, isBinary) => {
  const text = isBinary ? null : data.toString();
  report({ text });
  heed(() => contract.receive(text));
});
socket.on('error', (error) => finish(`the connection broke: ${error.message}`));
socket.on('close', (code) => {
  report({ closed: code });
  heed(() => {
    contract.closed(code);
    finish();
  });
});
