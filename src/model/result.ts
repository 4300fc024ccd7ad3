import type { Digest } from './digest.ts';
import type { ReplicationError, Side } from './errors.ts';

/** One thing that went wrong, told so that a reader can act on it. Free of secrets. */
export interface Failure {
  /** Which artifact: source reference of an image, `name version` of a chart, or the step that failed. */
  readonly artifact: string;
  readonly side: Side;
  readonly reference: string | undefined;
  readonly digest: string | undefined;
  readonly host: string | undefined;
  readonly code: ReplicationError['code'];
  readonly cause: string;
  readonly remedy: string | undefined;
}

export function failureOf(artifact: string, error: ReplicationError): Failure {
  return {
    artifact,
    side: error.side ?? 'module',
    reference: error.reference,
    digest: error.digest,
    host: error.host,
    code: error.code,
    cause: error.message,
    remedy: error.remedy,
  };
}

/** What became of one artifact. `bytes` are those sent to the target for it in this run. */
export type Outcome =
  | {
      readonly kind: 'copied';
      readonly artifact: string;
      readonly targets: readonly string[];
      readonly digest: Digest;
      readonly bytes: number;
      readonly seconds: number;
    }
  | {
      readonly kind: 'unchanged';
      readonly artifact: string;
      readonly targets: readonly string[];
      readonly digest: Digest;
    }
  | {
      readonly kind: 'failed';
      readonly artifact: string;
      readonly targets: readonly string[];
      readonly failures: readonly Failure[];
    };

/** Totals of a run. Bytes are blob and manifest bodies, as counted on our side. */
export interface Totals {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly blobsRead: number;
  readonly blobsWritten: number;
  readonly blobsMounted: number;
  readonly manifestsWritten: number;
  readonly seconds: number;
  readonly spent: Spent;
}

/**
 * Where the time went, in seconds of the clock: while blobs were read, while blobs and manifests were written, while requests
 * waited for a rate limit (the host where most waited). These overlap. `cpu`: seconds of processor time of the process.
 */
export interface Spent {
  readonly reading: number;
  readonly writing: number;
  readonly limited: number;
  readonly limitedBy: string | undefined;
  readonly cpu: number;
}

/** What a copy run did: outcomes in plan order, and notices about things that could not come along (refused referrers, foreign layers). */
export interface CopyResult {
  readonly outcomes: readonly Outcome[];
  readonly notices: readonly string[];
  readonly totals: Totals;
}
