// <job-progress>: a bar, a badge and a line of text for one job, for pages without a framework.
//
// Attributes: job, kind, url, label. A client with a token is given as the property `client`.
// Looks: the CSS variables below, and the parts label, badge, track, bar and text.

import { Client } from './index.js';
import { snapshots, type JobSnapshot } from './snapshot.js';

const STYLE = `
:host { display: block; font: var(--job-progress-font, 14px/1.4 system-ui, sans-serif); color: var(--job-progress-color, inherit) }
:host([hidden]) { display: none }
[part=head] { display: flex; gap: .5em; align-items: baseline; justify-content: space-between }
[part=badge] { font-size: .85em; padding: 0 .6em; border-radius: 1em; border: 1px solid; white-space: nowrap }
[part=badge][data-state=live] { color: var(--job-progress-live, #1a7f37) }
[part=badge][data-state=reconnecting], [part=badge][data-state=stale] { color: var(--job-progress-lost, #9a6700) }
[part=badge][data-state=closed], [part=badge][data-status=failed] { color: var(--job-progress-failed, #cf222e) }
[part=track] { height: var(--job-progress-height, .6em); margin: .35em 0; border-radius: 1em; overflow: hidden; background: var(--job-progress-track, #8884) }
[part=bar] { height: 100%; width: 0; border-radius: inherit; background: var(--job-progress-bar, #0969da); transition: width .2s }
[part=track][data-status=failed] [part=bar] { background: var(--job-progress-failed, #cf222e) }
@media (prefers-reduced-motion: reduce) { [part=bar] { transition: none } }
`;

const MARKUP = `<style>${STYLE}</style><div part="head"><span part="label" id="label"></span>
<span part="badge" role="status"></span></div>
<div part="track" role="progressbar" aria-labelledby="label" aria-valuemin="0" aria-valuemax="100"><div part="bar"></div></div>
<div part="text"></div>`;

/** Clients by address: elements of one gateway share its connection. */
const clients = new Map<string, Client>();

function clientOf(url: string): Client {
  let client = clients.get(url);
  if (!client) clients.set(url, (client = new Client(url ? { url: new URL(url, document.baseURI) } : {})));
  return client;
}

/** What the badge says: the job's end or refusal, else how the connection stands. */
function badgeOf({ connection, status, error }: JobSnapshot): string {
  if (error) return error.code === 'JOB_NOT_FOUND' ? 'not found' : error.code.toLowerCase().replace(/_/g, ' ');
  return connection.state === 'ended' ? status : connection.state.replace('-', ' ');
}

/** What has happened last, in words. */
function textOf({ last, error, gaps }: JobSnapshot): string {
  if (error) return error.message;
  if (!last) return '';
  const message = last.data?.message ?? last.stage ?? last.eventType.replace(/_/g, ' ');
  return `${message} · #${last.id}${gaps ? ' · events are missing' : ''}`;
}

// Modules are also loaded on servers, where there are no elements.
const Base = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

export class JobProgressElement extends Base {
  static readonly observedAttributes = ['job', 'kind', 'url', 'label'];
  #client: Client | undefined;
  #root: ShadowRoot | undefined;
  #stop: (() => void) | undefined;

  /** The client to use, for those with tokens or options of their own. */
  get client(): Client | undefined {
    return this.#client;
  }

  set client(client: Client | undefined) {
    this.#client = client;
    this.#start();
  }

  connectedCallback(): void {
    // Set before the element was known, it would hide the accessor.
    if (Object.hasOwn(this, 'client')) {
      const { client } = this;
      delete (this as { client?: Client | undefined }).client;
      this.#client = client;
    }
    if (!this.#root) {
      this.#root = this.attachShadow({ mode: 'open' });
      this.#root.innerHTML = MARKUP;
    }
    this.#start();
  }

  disconnectedCallback(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  attributeChangedCallback(): void {
    this.#start();
  }

  #start(): void {
    this.#stop?.();
    this.#stop = undefined;
    if (!this.isConnected || !this.#root) return;
    const id = this.getAttribute('job');
    const kind = this.getAttribute('kind') ?? undefined;
    const client = this.#client ?? clientOf(this.getAttribute('url') ?? '');
    const source = snapshots(id ? client.job(id, { kind }) : undefined, { keep: 1 });
    this.#draw(source.get());
    this.#stop = source.subscribe(() => this.#draw(source.get()));
  }

  #draw(snapshot: JobSnapshot): void {
    const part = (name: string) => this.#root!.querySelector<HTMLElement>(`[part=${name}]`)!;
    const { connection, status, progress } = snapshot;
    const write = (name: string, text: string) => {
      // The same text again would be read aloud again.
      if (part(name).textContent !== text) part(name).textContent = text;
    };
    write('label', this.getAttribute('label') ?? this.getAttribute('job') ?? '');
    write('badge', badgeOf(snapshot));
    write('text', textOf(snapshot));
    for (const name of ['badge', 'track']) Object.assign(part(name).dataset, { state: connection.state, status });
    const percent = Math.round((progress ?? 0) * 100);
    part('bar').style.width = `${percent}%`;
    if (progress === undefined) part('track').removeAttribute('aria-valuenow');
    else part('track').setAttribute('aria-valuenow', `${percent}`);
    this.dispatchEvent(new CustomEvent('job-progress', { detail: snapshot }));
  }
}

globalThis.customElements?.get('job-progress') ?? globalThis.customElements?.define('job-progress', JobProgressElement);

declare global {
  interface HTMLElementTagNameMap {
    'job-progress': JobProgressElement;
  }
}
