import type { ObjectStore } from '../aws/s3.ts';
import { ReplicationError } from '../model/errors.ts';

/**
 * Largest result, in bytes. The EKS module's build puts it into one environment variable, and Linux caps a single one at
 * 128 KiB (execve(2), MAX_ARG_STRLEN); the rest is room for its name and for what the module adds.
 */
export const maxResultBytes = 100 * 1024;

export interface Publication {
  readonly s3: ObjectStore;
  readonly bucket: string;
  readonly key: string;
  /** The result, as JSON text. */
  readonly body: string;
  /** Objects beside the result (lock, proof, inventory, report), by their full key. */
  readonly extra: readonly { readonly key: string; readonly body: string; readonly contentType?: string }[];
  readonly signal: AbortSignal;
}

/**
 * Puts a result into the project's bucket, which is created when it is missing. What stands beside the result goes
 * first and the result itself last: consumers read only that, so they see either the old one or the new one, whole.
 * @throws ReplicationError `refused` when the result is too large, before anything is written
 */
export async function publishResult({ s3, bucket, key, body, extra, signal }: Publication): Promise<void> {
  const size = Buffer.byteLength(body);
  if (size >= maxResultBytes)
    throw new ReplicationError('refused', `the result has ${size} bytes; it has to stay below ${maxResultBytes}`, {
      reference: key,
      remedy: 'the EKS module passes it in one environment variable: use fewer charts per module, or shorter values',
    });
  if (!(await s3.bucketExists(bucket, signal))) await s3.createBucket(bucket, signal);
  await s3.secureBucket(bucket, signal);
  for (const each of extra)
    await s3.put(bucket, each.key, { body: each.body, contentType: each.contentType ?? 'application/json' }, signal);
  await s3.put(bucket, key, { body, contentType: 'application/json' }, signal);
}
