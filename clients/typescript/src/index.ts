// The entry of the package.

export { Client, Job } from './client.js';
export type { Callbacks, ClientOptions, IterationOptions, WatchHandle, WatchOptions } from './client.js';
export { isControl } from './events.js';
export type {
  ControlEvent,
  EventData,
  GapEvent,
  JobEvent,
  MalformedEvent,
  OtherType,
  Outcome,
  ResetEvent,
  StoredEvent,
} from './events.js';
export { JobwireError, type FailureCode } from './failure.js';
export { localStorageStore, memoryStore, type Cursor, type CursorStore } from './store.js';
export type { TokenSource } from './tokens.js';
export type { WebSocketConstructor, WebSocketLike } from './transport.js';
export type { BackoffOptions } from './backoff.js';
export type { WatchState, WatchStateName, WatchTerms } from './watch.js';
