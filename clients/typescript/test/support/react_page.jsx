// A page with React in strict mode: every effect is set up, taken down and set up again.

import { StrictMode, useState } from 'react';
import { createRoot } from 'react-dom/client';

import { Client } from 'jobwire';
import { useJob } from 'jobwire/react';

import { Progress } from './progress.tsx';

const { url, job } = window.scenario;
const client = new Client({ url, backoff: { first: 50, most: 300 } });
window.renders = 0;

function Ids({ id, name }) {
  window.renders++;
  const { events, connection, status, last } = useJob(client, id, { keep: 10_000 });
  return <pre id={name} data-state={connection.state} data-status={status} data-last={last?.id}>{JSON.stringify(events.map((event) => event.id ?? event.eventType))}</pre>;
}

function Page() {
  const [id, setId] = useState(job);
  const [isThere, setThere] = useState(true);
  return (
    <>
      <button id="toggle" onClick={() => setThere(!isThere)} />
      <button id="other" onClick={() => setId(`${job}-other`)} />
      {isThere && <Ids id={id} name="one" />}
      <Ids id={id} name="two" />
      <Progress id={job} />
    </>
  );
}

createRoot(document.getElementById('root')).render(<StrictMode><Page /></StrictMode>);
