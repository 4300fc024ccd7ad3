import type { ObjectStore } from '../aws/s3.ts';

/** What is put into the bucket, and in which order: `extra` first, `body` last. */
export interface Publication {
  readonly s3: ObjectStore;
  readonly bucket: string;
  readonly key: string;
  /** The result, as JSON text; its size is checked where it is made (sources/eks/result.ts). */
  readonly body: string;
  /** Objects beside the result (lock, proof, inventory, report), by their full key. */
  readonly extra: readonly { readonly key: string; readonly body: string; readonly contentType?: string }[];
  readonly signal: AbortSignal;
}

/**
 * Puts a result into the project's bucket, which is created when it is missing. What stands beside the result goes
 * first and the result itself last: consumers read only that, so they see either the old one or the new one, whole.
 */
export async function publishResult({ s3, bucket, key, body, extra, signal }: Publication): Promise<void> {
  if (!(await s3.bucketExists(bucket, signal))) await s3.createBucket(bucket, signal);
  await s3.secureBucket(bucket, signal);
  for (const each of extra)
    await s3.put(bucket, each.key, { body: each.body, contentType: each.contentType ?? 'application/json' }, signal);
  await s3.put(bucket, key, { body, contentType: 'application/json' }, signal);
}
