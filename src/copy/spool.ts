import { type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type Digest, digestAlgorithm, digestHex } from '../model/digest.ts';
import { ReplicationError, toReplicationError } from '../model/errors.ts';

/**
 * A bounded folder for blobs that more than one repository needs while the target refuses mounts: read once from the
 * source, sent to each at its own pace, and while it still comes in. Removed when the last repository has it.
 */
export interface Spool {
  /** Room for a blob, or `undefined` when the bound would be passed; a bound of 0 has room for none. */
  reserve(digest: Digest, size: number): SpoolEntry | undefined;
  close(): Promise<void>;
}

export interface SpoolEntry {
  /**
   * Writes a verified stream; readers follow what is written. When it fails, so does every reader.
   * @throws ReplicationError `storage` when the disk is the problem, else what the stream fails with
   */
  fill(content: Readable): Promise<void>;
  /** The content from its first byte on: waits for what is not there yet, fails when the filling fails. */
  read(): Readable;
  drop(): Promise<void>;
}

/** @param limitBytes what the blobs in it may take on disk at the same time */
export function createSpool(directory: string, limitBytes: number): Spool {
  let used = 0;
  let made: Promise<unknown> | undefined;
  return {
    reserve(digest, size) {
      if (limitBytes === 0 || used + size > limitBytes) return undefined;
      used += size;
      made ??= mkdir(directory, { recursive: true });
      made.catch(() => undefined);
      const path = join(directory, `${digestAlgorithm(digest)}-${digestHex(digest)}`);
      return new Entry(path, made, () => (used -= size));
    },
    async close() {
      if (made !== undefined) await rm(directory, { recursive: true, force: true });
    },
  };
}

const readBytes = 256 * 1024;

class Entry implements SpoolEntry {
  readonly #path: string;
  readonly #made: Promise<unknown>;
  readonly #dropped: () => void;
  /** Opened by whoever comes first: the writer or a reader. */
  #file: Promise<FileHandle> | undefined;
  #written = 0;
  #state: 'filling' | 'whole' | { readonly failed: Error } = 'filling';
  #waiting: (() => void)[] = [];
  #gone = false;

  constructor(path: string, made: Promise<unknown>, dropped: () => void) {
    this.#path = path;
    this.#made = made;
    this.#dropped = dropped;
  }

  async fill(content: Readable): Promise<void> {
    try {
      // Told at once: it may fail while the file is being opened, before anybody reads it.
      content.on('error', () => undefined);
      const file = await this.#opened();
      for await (const chunk of content) {
        if (!Buffer.isBuffer(chunk)) continue;
        // A disk that is nearly full takes a part first, and refuses the rest when asked again.
        for (let taken = 0; taken < chunk.length;) {
          const { bytesWritten } = await file
            .write(chunk, taken, chunk.length - taken, this.#written)
            .catch((error: unknown) => {
              throw storageError(error);
            });
          taken += bytesWritten;
          this.#written += bytesWritten;
        }
        this.#wake();
      }
      this.#state = 'whole';
    } catch (error) {
      content.destroy();
      const failed = toReplicationError(error);
      this.#state = { failed };
      throw failed;
    } finally {
      this.#wake();
    }
  }

  read(): Readable {
    return Readable.from(this.#follow(), { objectMode: false, highWaterMark: readBytes });
  }

  async *#follow(): AsyncGenerator<Buffer> {
    const file = await this.#opened();
    for (let position = 0; ;) {
      if (typeof this.#state === 'object') throw this.#state.failed;
      if (position < this.#written) {
        const buffer = Buffer.allocUnsafeSlow(Math.min(readBytes, this.#written - position));
        const { bytesRead } = await file.read(buffer, 0, buffer.length, position).catch((error: unknown) => {
          // What failed is dropped at once, with whoever still reads it.
          throw typeof this.#state === 'object' ? this.#state.failed : storageError(error);
        });
        if (bytesRead === 0) throw storageError(new Error(`${this.#path} is shorter than what was written to it`));
        position += bytesRead;
        yield bytesRead === buffer.length ? buffer : buffer.subarray(0, bytesRead);
      } else if (this.#state === 'whole') return;
      else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  async drop(): Promise<void> {
    if (this.#gone) return;
    this.#gone = true;
    this.#dropped();
    const file = await this.#file?.catch(() => undefined);
    await file?.close();
    await rm(this.#path, { force: true });
  }

  #opened(): Promise<FileHandle> {
    this.#file ??= (async () => {
      try {
        await this.#made;
        return await open(this.#path, 'w+', 0o600);
      } catch (error) {
        throw storageError(error);
      }
    })();
    return this.#file;
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }
}

/** A local file problem told as such: a full disk must not look like a broken registry. */
function storageError(error: unknown): ReplicationError {
  return new ReplicationError(
    'storage',
    `cannot keep a blob on disk: ${error instanceof Error ? error.message : String(error)}`,
    {
      side: 'module',
      remedy: 'free disk space, or choose another folder for temporary files with TMPDIR',
      cause: error,
    },
  );
}
