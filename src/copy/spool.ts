import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { type Digest, digestAlgorithm, digestHex } from '../model/digest.ts';
import { ReplicationError } from '../model/errors.ts';

/**
 * A bounded folder for blobs that more than one repository needs while the target refuses mounts: read once from the
 * source, sent to each. Content is verified before it is offered, and removed when the last repository has it.
 */
export interface Spool {
  /** Room for a blob, or `undefined` when the bound would be passed. */
  reserve(digest: Digest, size: number): SpoolEntry | undefined;
  close(): Promise<void>;
}

export interface SpoolEntry {
  writer(): Promise<Writable>;
  read(): Readable;
  drop(): Promise<void>;
}

export function createSpool(directory: string, limitBytes: number): Spool {
  let used = 0;
  let made: Promise<unknown> | undefined;
  let opened = false;
  return {
    reserve(digest, size) {
      if (used + size > limitBytes) return undefined;
      used += size;
      opened = true;
      const path = join(directory, `${digestAlgorithm(digest)}-${digestHex(digest)}`);
      let dropped = false;
      return {
        async writer() {
          made ??= mkdir(directory, { recursive: true });
          try {
            await made;
          } catch (cause) {
            throw new ReplicationError(
              'storage',
              `cannot make the folder ${directory} for blobs on their way: ${String(cause)}`,
              { side: 'module', cause },
            );
          }
          return createWriteStream(path, { flags: 'w', highWaterMark: 1 << 20 });
        },
        read: () => createReadStream(path, { highWaterMark: 1 << 18 }),
        async drop() {
          if (dropped) return;
          dropped = true;
          used -= size;
          await rm(path, { force: true });
        },
      };
    },
    async close() {
      if (opened) await rm(directory, { recursive: true, force: true });
    },
  };
}
