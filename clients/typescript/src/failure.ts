// What ends a watch other than the job's end.

/** Codes of the gateway, and three of the client: `CLOSED`, `UNAUTHORIZED`, `REFUSED`. */
export type FailureCode =
  | 'JOB_NOT_FOUND'
  | 'FORBIDDEN'
  | 'UNAUTHORIZED'
  | 'ORIGIN_FORBIDDEN'
  | 'LIMIT'
  | 'INVALID_JOB_ID'
  | 'HISTORY_TRUNCATED'
  | 'CLOSED'
  | 'REFUSED'
  | (string & {});

/** The watch is over and does not come back by itself. `code` is stable, `message` is for people. */
export class JobwireError extends Error {
  override readonly name = 'JobwireError';

  constructor(
    readonly code: FailureCode,
    message: string,
    /** Further fields of the gateway's answer, such as those of a gap. */
    readonly details: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
  }
}
