/** Which end of a copy a problem belongs to; `module` is this program and its surroundings. */
export type Side = 'source' | 'target' | 'module';

/**
 * What kind of problem it is. Code decides by this, never by message text.
 * - `usage`, `configuration`: the user's input is wrong (exit status 2)
 * - `not-found`: the registry says the manifest, blob, tag, repository, chart or version is not there
 * - `unauthorized`: no or wrong credentials · `denied`: known, but not allowed
 * - `throttled`: still rate limited after all retries · `unavailable`: 5xx after all retries
 * - `unreachable`: DNS, TCP, TLS or proxy failure after all retries
 * - `conflict`: an immutable tag holds something else
 * - `blob-unknown`: a manifest was refused because something it refers to is not in the repository
 * - `unsupported`: the other side does not support what was asked (media type, digest algorithm, schema 1)
 * - `corrupt`: bytes do not match their digest or size, or an answer makes no sense
 * - `refused`: we refuse for safety's sake (redirect to a private address, realm on a foreign host, hostile archive)
 * - `storage`: local disk full, read-only or unreadable · `cancelled`: told to stop · `deadline`: own deadline passed
 * - `internal`: a defect of this program
 */
export type ErrorCode =
  | 'usage'
  | 'configuration'
  | 'not-found'
  | 'unauthorized'
  | 'denied'
  | 'throttled'
  | 'unavailable'
  | 'unreachable'
  | 'conflict'
  | 'blob-unknown'
  | 'unsupported'
  | 'corrupt'
  | 'refused'
  | 'storage'
  | 'cancelled'
  | 'deadline'
  | 'internal';

export interface ErrorDetail {
  readonly side?: Side | undefined;
  /** Reference, path or address of the thing that failed. */
  readonly reference?: string | undefined;
  readonly host?: string | undefined;
  /** HTTP status, where there was one. */
  readonly status?: number | undefined;
  readonly digest?: string | undefined;
  /** One sentence telling the reader what to do about it. */
  readonly remedy?: string | undefined;
  /** Whoever throws it has tried again already, as long as that made sense. */
  readonly final?: boolean | undefined;
  readonly cause?: unknown;
}

/**
 * The one error type that rooms throw to each other. The message is for the person who reads it: it names the thing,
 * the host and what it answered, and never carries a secret.
 */
export class ReplicationError extends Error {
  override readonly name = 'ReplicationError';
  readonly code: ErrorCode;
  readonly side: Side | undefined;
  readonly reference: string | undefined;
  readonly host: string | undefined;
  readonly status: number | undefined;
  readonly digest: string | undefined;
  readonly remedy: string | undefined;
  readonly final: boolean;

  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.code = code;
    this.side = detail.side;
    this.reference = detail.reference;
    this.host = detail.host;
    this.status = detail.status;
    this.digest = detail.digest;
    this.remedy = detail.remedy;
    this.final = detail.final ?? false;
  }

  /** The same error with details filled in that the thrower could not know (existing ones win). */
  with(detail: ErrorDetail): ReplicationError {
    return new ReplicationError(this.code, this.message, {
      side: this.side ?? detail.side,
      reference: this.reference ?? detail.reference,
      host: this.host ?? detail.host,
      status: this.status ?? detail.status,
      digest: this.digest ?? detail.digest,
      remedy: this.remedy ?? detail.remedy,
      final: this.final || detail.final,
      cause: this.cause ?? this,
    });
  }

  /** The same error about another reference and host: the ones that the reader asked for. */
  about(reference: string, host: string): ReplicationError {
    const { side, status, digest, remedy, final } = this;
    const cause = this.cause ?? this;
    return new ReplicationError(this.code, this.message, {
      reference,
      host,
      side,
      status,
      digest,
      remedy,
      final,
      cause,
    });
  }
}

/** Several problems found in one go (bad input is reported whole, not one error a run). */
export class ReplicationErrors extends Error {
  override readonly name = 'ReplicationErrors';
  readonly errors: readonly ReplicationError[];

  constructor(errors: readonly ReplicationError[]) {
    super(errors.map((error) => error.message).join('\n'));
    this.errors = errors;
  }
}

export function isReplicationError(error: unknown, ...codes: readonly ErrorCode[]): error is ReplicationError {
  return error instanceof ReplicationError && (codes.length === 0 || codes.includes(error.code));
}

/** Wraps anything thrown so that it can be listed; an unknown error becomes `internal` and keeps its cause. */
export function toReplicationError(error: unknown, detail: ErrorDetail = {}): ReplicationError {
  if (error instanceof ReplicationError) return error.with(detail);
  const message = error instanceof Error ? error.message : String(error);
  return new ReplicationError('internal', message, { ...detail, cause: error });
}

/** Exit status for an error: 2 for what the user has to correct in arguments or configuration, else 1. */
export function exitStatusFor(error: unknown): 1 | 2 {
  const errors = error instanceof ReplicationErrors ? error.errors : [error];
  return errors.length > 0 && errors.every((each) => isReplicationError(each, 'usage', 'configuration')) ? 2 : 1;
}
