import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isReplicationError, ReplicationError, toReplicationError } from '../model/errors.ts';
import type { Descriptor } from '../model/manifest.ts';
import type { ReadStore } from '../model/store.ts';
import type { Spool, SpoolEntry } from './spool.ts';
import { verifiedStream, verifyBytes } from './verified-stream.ts';

/** A blob that was read and verified once, to be sent any number of times. */
export type BlobContent =
  { readonly kind: 'memory'; readonly bytes: Uint8Array } | { readonly kind: 'spool'; readonly entry: SpoolEntry };

/** Where a blob can be read. */
export interface BlobSource {
  readonly store: ReadStore;
  readonly repository: string;
  /** Set for foreign layers: used when the registry does not hold the bytes. */
  readonly openUrl: ((signal: AbortSignal) => Promise<Readable>) | undefined;
}

/** Blobs up to this size are read whole before they are sent: one buffer costs less than a stream, and nothing unverified leaves. */
export const wholeBlobBytes = 1 << 20;

export async function openSource(source: BlobSource, descriptor: Descriptor, signal: AbortSignal): Promise<Readable> {
  try {
    return await source.store.openBlob(source.repository, descriptor, { signal });
  } catch (error) {
    if (source.openUrl !== undefined && isReplicationError(error, 'not-found')) return source.openUrl(signal);
    throw toReplicationError(error, { side: 'source', digest: descriptor.digest });
  }
}

/** Reads a small blob into memory. @throws ReplicationError of side `source` */
export async function readWhole(
  source: BlobSource,
  descriptor: Descriptor,
  signal: AbortSignal,
  onBytes: (count: number) => void,
): Promise<Uint8Array> {
  const stream = await openSource(source, descriptor, signal);
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of stream) {
      if (!Buffer.isBuffer(chunk)) continue;
      chunks.push(chunk);
      size += chunk.length;
      onBytes(chunk.length);
      if (size > descriptor.size) break;
    }
  } catch (error) {
    throw toReplicationError(error, { side: 'source', digest: descriptor.digest });
  }
  const bytes = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, size);
  verifyBytes(descriptor, bytes);
  return bytes;
}

/** Reads a blob into the spool, verified. `undefined` when there is no room. @throws ReplicationError of side `source`, or `storage` */
export async function readIntoSpool(
  source: BlobSource,
  descriptor: Descriptor,
  spool: Spool,
  signal: AbortSignal,
  onBytes: (count: number) => void,
): Promise<BlobContent | undefined> {
  const entry = spool.reserve(descriptor.digest, descriptor.size);
  if (entry === undefined) return undefined;
  try {
    const writer = await entry.writer();
    const stream = await openSource(source, descriptor, signal);
    await pipeline(verifiedStream(stream, descriptor, onBytes), writer, { signal });
    return { kind: 'spool', entry };
  } catch (error) {
    await entry.drop();
    throw storageError(error) ?? toReplicationError(error, { side: 'source', digest: descriptor.digest });
  }
}

/**
 * A verified stream over the source, for sending while reading. `failure()` tells afterwards whether it was the reading
 * side that broke (a receiver only sees a body that ends early).
 */
export async function streamThrough(
  source: BlobSource,
  descriptor: Descriptor,
  signal: AbortSignal,
  onBytes: (count: number) => void,
): Promise<{
  readonly body: Readable;
  readonly failure: () => ReplicationError | undefined;
  readonly abandon: () => unknown;
}> {
  const body = verifiedStream(await openSource(source, descriptor, signal), descriptor, onBytes);
  let failed: ReplicationError | undefined;
  body.on('error', (error) => {
    if (isReplicationError(error)) failed = error.with({ side: 'source', digest: descriptor.digest });
  });
  return { body, failure: () => failed, abandon: () => body.destroy() };
}

const storageCodes = new Set(['ENOSPC', 'EROFS', 'EACCES', 'EDQUOT', 'EMFILE', 'EIO']);

/** A local file problem told as such: a full disk must not look like a broken registry. */
export function storageError(error: unknown): ReplicationError | undefined {
  if (isReplicationError(error, 'storage')) return error;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (typeof code !== 'string' || !storageCodes.has(code)) return undefined;
  return new ReplicationError(
    'storage',
    `cannot keep a blob on disk: ${error instanceof Error ? error.message : code}`,
    {
      side: 'module',
      remedy: 'free disk space, or choose another folder for temporary files with TMPDIR',
      cause: error,
    },
  );
}
