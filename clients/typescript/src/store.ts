// Where the place in a job is kept, for those who go on where they were.

/** A place in a job: the last id, and the stream that it belongs to. null: nothing is known of it yet. */
export interface Cursor {
  readonly after: number | null;
  readonly epoch?: string | undefined;
}

/** Keeps cursors by `kind/job`. Only watches with `resume: true` read and write it. */
export interface CursorStore {
  get(key: string): Cursor | undefined | null | Promise<Cursor | undefined | null>;
  set(key: string, cursor: Cursor): void;
}

/** Lasts as long as the client. */
export function memoryStore(): CursorStore {
  const cursors = new Map<string, Cursor>();
  return {
    get: (key) => cursors.get(key),
    set: (key, cursor) => void cursors.set(key, cursor),
  };
}

/** Lasts in this browser. Where its storage is full or forbidden, the place is not kept. */
export function localStorageStore(prefix = 'jobwire:'): CursorStore {
  return {
    get(key) {
      try {
        return JSON.parse(localStorage.getItem(prefix + key)!) as Cursor | null;
      } catch {
        return undefined;
      }
    },
    set(key, cursor) {
      try {
        localStorage.setItem(prefix + key, JSON.stringify(cursor));
      } catch {
        // Going on from an older place is safe.
      }
    },
  };
}
