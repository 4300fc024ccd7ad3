import { isReplicationError, type ReplicationError, toReplicationError } from '../model/errors.ts';
import type { BlobMover } from './blob-mover.ts';
import type { ManifestWriter } from './manifest-writer.ts';
import type { CopyOptions } from './request.ts';

/** What all artifacts of one run share. */
export interface Run {
  readonly options: CopyOptions;
  readonly mover: BlobMover;
  readonly writer: ManifestWriter;
  readonly notices: string[];
}

/** What went wrong; where the run was told to stop, the reason for that. */
export function asError(error: unknown, run: Run): ReplicationError {
  for (const stop of [run.options.signal, run.options.admission]) {
    if (stop?.aborted === true && !isReplicationError(error)) return toReplicationError(stop.reason);
  }
  return toReplicationError(error);
}
