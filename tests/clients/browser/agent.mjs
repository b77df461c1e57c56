// Follows an agent's task; a message that cannot be decoded is the last that it looks at.

import { AgentContract } from './contract.mjs';

export function watch({ address, job }, { report, heed, finish }) {
  const contract = new AgentContract();
  const socket = new WebSocket(`ws://${address}/ws/agent-progress/${job}`);

  socket.onopen = () => report({ open: true });
  socket.onmessage = ({ data }) => {
    report({ text: data });
    heed(() => contract.receive(data));
  };
  socket.onclose = ({ code }) => {
    report({ closed: code });
    heed(() => {
      contract.closed(code);
      finish();
    });
  };
}
