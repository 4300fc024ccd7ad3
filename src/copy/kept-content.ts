import { isReplicationError } from '../model/errors.ts';
import { type BlobContent, type BlobReader, wholeBlobBytes } from './blob-content.ts';
import type { BlobRetries } from './blob-retries.ts';
import type { BlobNeed, BlobState, BlobTotals } from './blob-state.ts';
import type { Slots } from './slots.ts';
import type { Spool } from './spool.ts';

/** Small blobs kept in memory for further repositories, in total; beyond it the spool on disk takes them. */
const memoryBudgetBytes = 48 << 20;

export interface KeptContentOptions {
  readonly slots: Slots;
  readonly spool: Spool;
  readonly reader: BlobReader;
  readonly retries: BlobRetries;
  readonly totals: BlobTotals;
}

/** Blobs that several repositories need: read once, kept in memory or in the spool until the last of them has it. */
export class KeptContent {
  readonly #options: KeptContentOptions;
  #memoryUsed = 0;
  /** The disk refused a blob: from then on each repository gets its own read of what does not fit into memory. */
  #spoolFailed = false;

  constructor(options: KeptContentOptions) {
    this.#options = options;
  }

  /** The blob's content, read once for everybody; `undefined` when there is no room to keep it. @throws ReplicationError of side `source` */
  of(need: BlobNeed, state: BlobState): Promise<BlobContent | undefined> {
    if (state.content !== undefined) return state.content;
    const current = this.#read(need);
    state.content = current;
    // A failed read must not be remembered: the next repository tries anew.
    const forget = (): void => {
      if (state.content === current) state.content = undefined;
    };
    current.then(
      (content) => {
        if (content === undefined) forget();
        else if (content.kind === 'spool') content.filled.catch(forget);
      },
      (error: unknown) => {
        this.#options.retries.spent(error);
        forget();
      },
    );
    return current;
  }

  /** Lets go of it: nobody needs it any more. */
  async release(state: BlobState): Promise<void> {
    const content = await state.content?.catch(() => undefined);
    state.content = undefined;
    if (content === undefined) return;
    if (content.kind === 'memory') this.#memoryUsed -= content.bytes.length;
    else await content.entry.drop();
  }

  #read(need: BlobNeed): Promise<BlobContent | undefined> {
    const { slots, retries } = this.#options;
    const { descriptor, source, priority } = need;
    const small = descriptor.size <= wholeBlobBytes && this.#memoryUsed + descriptor.size <= memoryBudgetBytes;
    if (!small) return this.#readToSpool(need);
    return slots.run(source.store.name, priority, () => retries.run(need, () => this.#readToMemory(need)));
  }

  async #readToMemory({ source, descriptor }: BlobNeed): Promise<BlobContent> {
    const { reader, totals } = this.#options;
    this.#memoryUsed += descriptor.size;
    try {
      const bytes = await reader.whole(source, descriptor);
      totals.blobsRead += 1;
      return { kind: 'memory', bytes };
    } catch (error) {
      this.#memoryUsed -= descriptor.size;
      throw error;
    }
  }

  /** Begins to read: content that others can follow while it comes in. Holds its place at the source until it is all there. */
  #readToSpool(need: BlobNeed): Promise<BlobContent | undefined> {
    const { slots, spool, reader, retries, totals } = this.#options;
    const { source, descriptor, priority } = need;
    const entry = this.#spoolFailed ? undefined : spool.reserve(descriptor.digest, descriptor.size);
    if (entry === undefined) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      slots
        .run(source.store.name, priority, async () => {
          const filled = entry.fill(await retries.run(need, () => reader.stream(source, descriptor)));
          resolve({ kind: 'spool', entry, filled });
          await filled;
          totals.blobsRead += 1;
        })
        .catch(async (error: unknown) => {
          if (isReplicationError(error, 'storage')) this.#spoolFailed = true;
          await entry.drop();
          reject(error instanceof Error ? error : new Error(String(error)));
        });
    });
  }
}
