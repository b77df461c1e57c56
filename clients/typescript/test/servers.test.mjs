// On a server pages are only drawn: nothing is opened, and nothing of a browser is needed.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createElement } from 'react';
import { renderToString as renderReact } from 'react-dom/server';
import { createSSRApp, h } from 'vue';
import { renderToString as renderVue } from 'vue/server-renderer';

import { Client } from 'jobwire';
import { useJob } from 'jobwire/react';
import { useJob as useJobInVue } from 'jobwire/vue';

class NoSocket {
  constructor() {
    assert.fail('a connection was opened');
  }
}
const client = new Client({ url: 'http://127.0.0.1:1', WebSocket: NoSocket, fetch: () => assert.fail('a request was made') });

test('React draws a job that is being connected to', () => {
  const Page = () => createElement('p', null, useJob(client, 'a').connection.state);
  assert.equal(renderReact(createElement(Page)), '<p>connecting</p>');
});

test('Vue draws a job that is being connected to', async () => {
  const Page = {
    setup() {
      const job = useJobInVue(client, () => 'a');
      return () => h('p', job.value.connection.state);
    },
  };
  assert.equal(await renderVue(createSSRApp(Page)), '<p>connecting</p>');
});

test('the element can be imported', async () => {
  const { JobProgressElement } = await import('jobwire/element');
  assert.equal(typeof JobProgressElement, 'function');
});
