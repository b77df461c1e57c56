// A real gateway and a real NATS server, in folders and at ports of their own.

import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { eventually, within } from './reading.mjs';

const START = 30_000;

/** The program that an environment variable names; never skipped in silence. */
function program(variable) {
  const path = process.env[variable];
  if (!path) throw new Error(`${variable} has to be the path of a program: these tests need it`);
  return path;
}

/**
 * A port that nobody has, below those that outgoing connections take: one of them could sit on it before its
 * owner listens there, or while it is away.
 */
export async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer().listen(port, '127.0.0.1');
    const isFree = await once(server, 'listening').then(() => true, () => false);
    server.close();
    if (isFree) return once(server, 'close').then(() => port);
  }
}

async function stop(child, signal = 'SIGTERM') {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, 'exit');
}

/** The environment without what would configure another gateway. */
const cleanEnvironment = () =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(JOBWIRE|NATS)_/.test(name)));

const SECRET = 'a secret of more than thirty-two bytes';

/** A token that may watch everything, for so many seconds. */
export function sign(seconds, claims = { watch: ['*/*'] }) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${encode({ alg: 'HS256' })}.${encode({ exp: Math.floor(Date.now() / 1000) + seconds, ...claims })}`;
  return `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}`;
}

export class Deployment {
  static async start({ guarded = false } = {}) {
    const deployment = new Deployment();
    deployment.directory = await mkdtemp(join(tmpdir(), 'jobwire-typescript-'));
    const natsPort = await freePort();
    const nats = ['-js', '-a', '127.0.0.1', '-p', `${natsPort}`, '-sd', deployment.directory];
    deployment.nats = spawn(program('NATS_SERVER'), nats, { stdio: 'ignore' });
    deployment.natsUrl = `nats://127.0.0.1:${natsPort}`;
    deployment.port = await freePort();
    deployment.guarded = guarded;
    await deployment.#applyStream();
    await deployment.startGateway();
    return deployment;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async #run(...parameters) {
    const child = spawn(program('JOBWIRE_BIN'), parameters, { env: cleanEnvironment(), stdio: ['ignore', 'ignore', 'pipe'] });
    let complaint = '';
    child.stderr.on('data', (text) => (complaint += text));
    const [code] = await once(child, 'exit');
    return { code, complaint };
  }

  async #applyStream() {
    await eventually('the stream is made', async () => {
      const { code } = await this.#run('stream', 'apply', '--nats-url', this.natsUrl);
      return code === 0;
    });
  }

  async startGateway() {
    const parameters = ['serve', '--listen', `127.0.0.1:${this.port}`, '--admin-listen', '127.0.0.1:0', '--nats-url', this.natsUrl];
    parameters.push('--allowed-origins', '*', '--drain', '1s');
    if (this.guarded) parameters.push('--auth-mode', 'jwt', '--auth-leeway', '0s');
    else parameters.push('--publish');
    const env = { ...cleanEnvironment(), ...(this.guarded && { JOBWIRE_AUTH_SECRET: SECRET }) };
    this.gateway = spawn(program('JOBWIRE_BIN'), parameters, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let log = '';
    this.gateway.stderr.on('data', (text) => (log = (log + text).slice(-10_000)));
    const lines = createInterface({ input: this.gateway.stdout });
    const listening = new Promise((resolve, reject) => {
      let admin;
      lines.on('line', (line) => {
        if (line.startsWith('admin on')) admin = line.split(' ').at(-1);
        if (admin) resolve(admin);
      });
      this.gateway.once('exit', () => reject(new Error(`the gateway ended:\n${log}`)));
    });
    const admin = await within('the gateway listens', listening, START);
    await eventually('the gateway is ready', async () => (await fetch(`${admin.startsWith('http') ? '' : 'http://'}${admin}/readyz`)).ok);
  }

  kill() {
    return stop(this.gateway, 'SIGKILL');
  }

  /** Stops it as an operator does: connections are told when to come back. */
  drain() {
    return stop(this.gateway, 'SIGTERM');
  }

  /** Stores events of a job, acknowledged; their ids. */
  async publish(job, events, { kind = 'optimization' } = {}) {
    const headers = { 'content-type': 'application/x-ndjson' };
    if (this.guarded) headers.authorization = `Bearer ${sign(60, { watch: ['*/*'], publish: ['*/*'] })}`;
    const body = events.map((event) => JSON.stringify(event)).join('\n');
    const answer = await fetch(`${this.url}/api/v1/jobs/${kind}/${job}/events`, { method: 'POST', headers, body });
    if (!answer.ok) throw new Error(`not published: ${answer.status} ${await answer.text()}`);
    return (await answer.json()).events.map(({ id }) => id);
  }

  /** One request to JetStream, said in NATS's own protocol, as no other client of it is needed here. */
  async #jetStream(subject, payload = '') {
    const socket = connect(new URL(this.natsUrl).port, '127.0.0.1');
    let heard = '';
    socket.on('data', (text) => (heard += text));
    socket.write(`CONNECT {"verbose":false}\r\nSUB answer 1\r\nPUB $JS.API.${subject} answer ${payload.length}\r\n${payload}\r\nPING\r\n`);
    await eventually(`JetStream answers ${subject}`, () => /"success":true|"config"/.test(heard));
    socket.destroy();
  }

  /** Lets only so many of the stream's newest events stay, as retention does. */
  async keepNewest(count) {
    const definition = JSON.parse(await readFile(new URL('../../../../nats/stream.json', import.meta.url), 'utf8'));
    await this.#jetStream('STREAM.UPDATE.JOBS', JSON.stringify({ ...definition, max_msgs: count }));
    await this.#applyStream();
  }

  /** Makes the stream anew: ids start again. */
  async renewStream() {
    await this.#jetStream('STREAM.DELETE.JOBS');
    await this.#applyStream();
  }

  async stop() {
    await stop(this.gateway, 'SIGKILL');
    await stop(this.nats, 'SIGKILL');
    await rm(this.directory, { recursive: true, force: true });
  }
}
