import type { Readable } from 'node:stream';
import { ReplicationError, toReplicationError } from '../model/errors.ts';
import type { UploadSession } from '../model/store.ts';
import type { BlobRetries } from './blob-retries.ts';
import type { BlobNeed } from './blob-state.ts';

/** How to find out that a repository holds a blob already: not at all, by asking (HEAD), or by a mount from itself, which is the start of the upload, too. */
export type Ask = 'nothing' | 'head' | 'mount';

/** Opens an upload; `mounted` when the store mounted the blob from the repository that was named. @throws ReplicationError of side `target` */
export async function beginUpload(
  need: BlobNeed,
  from: string | undefined,
  signal: AbortSignal,
): Promise<'mounted' | UploadSession> {
  try {
    const start = await need.store.startUpload(need.repository, need.descriptor.digest, from, signal);
    return start.kind === 'mounted' ? 'mounted' : start.session;
  } catch (error) {
    throw toReplicationError(error, { side: 'target', digest: need.descriptor.digest });
  }
}

/** An upload of bytes that are certainly lacking. */
export async function newUpload(need: BlobNeed, signal: AbortSignal): Promise<UploadSession> {
  const start = await beginUpload(need, undefined, signal);
  if (start !== 'mounted') return start;
  throw new ReplicationError('internal', 'a blob was mounted that nobody asked to mount', { side: 'target' });
}

/** Whether the blob is there already; a mount that is not granted opens the upload. */
export async function askWhether(
  need: BlobNeed,
  ask: Ask,
  signal: AbortSignal,
): Promise<'present' | UploadSession | undefined> {
  if (ask === 'nothing') return undefined;
  if (ask === 'mount') {
    const start = await beginUpload(need, need.repository, signal);
    return start === 'mounted' ? 'present' : start;
  }
  const missing = await need.store.missingBlobs(need.repository, [need.descriptor], signal);
  return missing.has(need.descriptor.digest) ? undefined : 'present';
}

/** Sends the bytes. @returns how many @throws ReplicationError of side `target` */
export async function finishUpload(
  need: BlobNeed,
  session: UploadSession,
  body: Uint8Array | Readable,
  { retries, signal }: { readonly retries: BlobRetries; readonly signal: AbortSignal },
): Promise<number> {
  try {
    await need.store.finishUpload(session, need.descriptor, body, signal);
    return need.descriptor.size;
  } catch (caught) {
    const error = toReplicationError(caught, { side: 'target', digest: need.descriptor.digest });
    if (!(body instanceof Uint8Array)) retries.refusedStream(need, error);
    throw error;
  }
}
