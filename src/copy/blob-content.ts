import type { Readable } from 'node:stream';
import type { Digest } from '../model/digest.ts';
import { isReplicationError, type ReplicationError, toReplicationError } from '../model/errors.ts';
import type { Descriptor } from '../model/manifest.ts';
import type { ReadStore } from '../model/store.ts';
import { firstPart, noParts, rangedBlobBytes, rangedRead } from './ranged-read.ts';
import type { Slots } from './slots.ts';
import type { SpoolEntry } from './spool.ts';
import { verifiedStream, verifyBytes } from './verified-stream.ts';

/** A blob that is read once, to be sent any number of times: whole in memory, or on disk as far as it has come. */
export type BlobContent =
  | { readonly kind: 'memory'; readonly bytes: Uint8Array }
  | {
      readonly kind: 'spool';
      readonly entry: SpoolEntry;
      /** Fails when the source or the disk does; readers of the entry fail with the same. */
      readonly filled: Promise<void>;
    };

/** Where a blob can be read. */
export interface BlobSource {
  readonly store: ReadStore;
  readonly repository: string;
  /** Set for foreign layers: used when the registry does not hold the bytes. */
  readonly openUrl: ((signal: AbortSignal) => Promise<Readable>) | undefined;
}

/** Blobs up to this size are read whole before they are sent: one buffer costs less than a stream, and nothing unverified leaves. */
export const wholeBlobBytes = 1 << 20;
/**
 * Bytes of large blobs that are read ahead in parts: of one blob, so that its memory is what it would be in one piece and
 * a few buffers, and of all blobs together.
 */
const aheadBytes = { ofOne: 32 << 20, ofAll: 96 << 20 };

export interface BlobReaderOptions {
  readonly slots: Slots;
  readonly signal: AbortSignal;
  readonly onBytes: (count: number) => void;
  readonly onRetry: (error: ReplicationError, what: string, attempt: number) => void;
}

/** Reads blobs from their sources, verified. Errors are ReplicationErrors of side `source`. */
export interface BlobReader {
  /** A small blob, into memory. */
  whole(source: BlobSource, descriptor: Descriptor): Promise<Uint8Array>;
  /** Any blob, as a stream that fails before its last chunk when the content is wrong; large ones in parallel parts where the source can. */
  stream(source: BlobSource, descriptor: Descriptor, onPassed?: (count: number) => void): Promise<Readable>;
}

export function createBlobReader({ slots, signal, onBytes, onRetry }: BlobReaderOptions): BlobReader {
  /** Stores that ignore Range: asking for a part brings the whole blob, which would be read for nothing. */
  const withoutParts = new Set<ReadStore>();
  /** Blobs that were not right when they were read in parts: a source may send other parts than it says. */
  const inOnePiece = new Set<Digest>();
  let ahead = 0;
  let inPartsNow = 0;

  const inParts = async (source: BlobSource, descriptor: Descriptor): Promise<Readable | undefined> => {
    const { store, repository } = source;
    if (descriptor.size < rangedBlobBytes || withoutParts.has(store) || inOnePiece.has(descriptor.digest))
      return undefined;
    const open = (range: { readonly start: number; readonly end: number }): Promise<Readable> =>
      store.openBlob(repository, descriptor, { signal, range });
    let first: Readable;
    try {
      first = await open(firstPart(descriptor));
    } catch (error) {
      if (!noParts(error)) throw error;
      withoutParts.add(store);
      return undefined;
    }
    let aheadOfThis = 0;
    const spare = (bytes: number): (() => void) | undefined => {
      const share = Math.min(aheadBytes.ofOne, aheadBytes.ofAll / inPartsNow);
      if (aheadOfThis + bytes > share || ahead + bytes > aheadBytes.ofAll) return undefined;
      const release = slots.spare(store.name);
      if (release === undefined) return undefined;
      ahead += bytes;
      aheadOfThis += bytes;
      return () => {
        ahead -= bytes;
        aheadOfThis -= bytes;
        release();
      };
    };
    inPartsNow += 1;
    return rangedRead(first, {
      descriptor,
      open,
      spare,
      onRetry: (error, attempt) => onRetry(error, `part of blob ${descriptor.digest}`, attempt),
      onNoParts: () => withoutParts.add(store),
    }).on('close', () => (inPartsNow -= 1));
  };

  const notInParts = (error: unknown, { digest }: Descriptor): void => {
    if (isReplicationError(error, 'corrupt')) inOnePiece.add(digest);
  };

  const opened = async (source: BlobSource, descriptor: Descriptor): Promise<Readable> => {
    try {
      return (
        (await inParts(source, descriptor)) ?? (await source.store.openBlob(source.repository, descriptor, { signal }))
      );
    } catch (error) {
      notInParts(error, descriptor);
      if (source.openUrl !== undefined && isReplicationError(error, 'not-found')) return source.openUrl(signal);
      throw ofSource(error, descriptor);
    }
  };

  return {
    async whole(source, descriptor) {
      const stream = await opened(source, descriptor);
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
        throw ofSource(error, descriptor);
      }
      // One chunk is copied, too: it may be a small part of what was read at once, and would keep all of it.
      const bytes = Buffer.concat(chunks, size);
      verifyBytes(descriptor, bytes);
      return bytes;
    },
    async stream(source, descriptor, onPassed) {
      return verifiedStream(await opened(source, descriptor), descriptor, (count) => {
        onBytes(count);
        onPassed?.(count);
      }).on('error', (error) => notInParts(error, descriptor));
    },
  };
}

function ofSource(error: unknown, descriptor: Descriptor): ReplicationError {
  return toReplicationError(error, { side: 'source', digest: descriptor.digest });
}
