import { isReplicationError } from '../model/errors.ts';
import type { UploadSession, WriteStore } from '../model/store.ts';
import type { ProgressCounters } from '../report/events.ts';
import { type BlobReader, createBlobReader, wholeBlobBytes } from './blob-content.ts';
import { BlobRetries, type BlobRetriesOptions } from './blob-retries.ts';
import type { BlobNeed, BlobState, BlobTotals } from './blob-state.ts';
import { type Ask, askWhether, finishUpload, newUpload } from './blob-upload.ts';
import { KeptContent } from './kept-content.ts';
import type { Mounts } from './mounts.ts';
import type { Slots } from './slots.ts';
import type { Spool } from './spool.ts';

export interface BlobSenderOptions extends BlobRetriesOptions {
  /** All that anything is copied to in this run. */
  readonly stores: ReadonlySet<WriteStore>;
  readonly slots: Slots;
  readonly spool: Spool;
  readonly counters: ProgressCounters;
}

/** Reads blobs from their sources, as a rule once in a run, and sends them to repositories. */
export class BlobSender {
  readonly retries: BlobRetries;
  readonly #options: BlobSenderOptions;
  readonly #mounts: Mounts;
  readonly #totals: BlobTotals;
  readonly #reader: BlobReader;
  readonly #kept: KeptContent;
  #needsKnown = false;

  constructor(options: BlobSenderOptions, mounts: Mounts, totals: BlobTotals) {
    const { slots, spool, counters, signal, onRetry } = options;
    this.#options = options;
    this.#mounts = mounts;
    this.#totals = totals;
    this.retries = new BlobRetries(options);
    this.#reader = createBlobReader({
      slots,
      signal,
      onBytes: (count) => (counters.readBytes += count),
      onRetry: (error, what, attempt) => onRetry(error.host ?? 'the source', what, error.message, 0, attempt),
    });
    this.#kept = new KeptContent({ slots, spool, reader: this.#reader, retries: this.retries, totals });
  }

  /** The needs of all artifacts are known now: until then, what is read is kept for those who may still come. */
  settle(): void {
    this.#needsKnown = true;
  }

  /** Nobody has an open need for the blob: what was kept of it goes, unless others may still come. */
  async release(state: BlobState): Promise<void> {
    if (this.#needsKnown) await this.#kept.release(state);
  }

  /**
   * Puts the blob into the need's repository, in an upload that is open already or a new one.
   * @returns the bytes sent, or `present` when asking told that it is there @throws ReplicationError
   */
  async upload(
    need: BlobNeed,
    state: BlobState,
    first: UploadSession | undefined,
    ask: Ask,
  ): Promise<number | 'present'> {
    let session = first;
    const sent = await this.retries.run(need, () => {
      const open = session;
      session = undefined;
      return this.#attempt(need, state, open, ask);
    });
    if (sent !== 'present') this.#totals.blobsWritten += 1;
    return sent;
  }

  async #attempt(
    need: BlobNeed,
    state: BlobState,
    first: UploadSession | undefined,
    ask: Ask,
  ): Promise<number | 'present'> {
    const { slots, counters, signal } = this.#options;
    if (state.content === undefined && this.#forThisOneOnly(need, state)) return this.#alone(need, first, ask);
    const found = first ?? (await askWhether(need, ask, signal));
    if (found === 'present') return found;
    const content = await this.#kept.of(need, state);
    if (content === undefined) return this.#alone(need, found, ask);
    return slots.run(`to ${need.store.name}`, need.priority, async () => {
      const session = found ?? (await newUpload(need, signal));
      const sent = await this.#finish(need, session, content.kind === 'memory' ? content.bytes : content.entry.read());
      counters.writtenBytes += sent;
      return sent;
    });
  }

  /** Reads and sends at the same time: for blobs that only one repository needs, or that nothing has room to keep. */
  #alone(need: BlobNeed, first: UploadSession | undefined, ask: Ask): Promise<number | 'present'> {
    const { slots, signal } = this.#options;
    return slots.run(need.source.store.name, need.priority, async () => {
      const found = first ?? (await askWhether(need, ask, signal));
      if (found === 'present') return found;
      // The upload is opened while the source answers.
      const opening = found === undefined ? newUpload(need, signal) : Promise.resolve(found);
      const sent = await (need.descriptor.size <= wholeBlobBytes
        ? this.#sendWhole(need, opening)
        : this.#sendStream(need, opening));
      this.#totals.blobsRead += 1;
      return sent;
    });
  }

  async #sendWhole(need: BlobNeed, opening: Promise<UploadSession>): Promise<number> {
    const [session, bytes] = await Promise.all([opening, this.#reader.whole(need.source, need.descriptor)]);
    const sent = await this.#finish(need, session, bytes);
    this.#options.counters.writtenBytes += sent;
    return sent;
  }

  async #sendStream(need: BlobNeed, opening: Promise<UploadSession>): Promise<number> {
    const { counters } = this.#options;
    let passed = 0;
    const onPassed = (count: number): void => {
      passed += count;
      counters.writtenBytes += count;
    };
    const reading = this.#reader.stream(need.source, need.descriptor, onPassed);
    const [session, body] = await Promise.allSettled([opening, reading]);
    if (body.status === 'rejected') throw body.reason;
    if (session.status === 'rejected') {
      body.value.destroy();
      throw session.reason;
    }
    let broken: unknown;
    body.value.on('error', (error) => (broken = error));
    try {
      return await this.#finish(need, session.value, body.value);
    } catch (error) {
      body.value.destroy();
      counters.writtenBytes -= passed;
      // The target only sees a body that ends early: what the source said tells more.
      throw isReplicationError(broken) ? broken : error;
    }
  }

  #finish(need: BlobNeed, session: UploadSession, body: Parameters<typeof finishUpload>[2]): Promise<number> {
    return finishUpload(need, session, body, { retries: this.retries, signal: this.#options.signal });
  }

  /** Whether nobody else will come for these bytes: where the only store mounts, whoever needs the blob later mounts it. */
  #forThisOneOnly({ store }: BlobNeed, state: BlobState): boolean {
    const known = this.#needsKnown || (this.#options.stores.size === 1 && this.#mounts.of(store).verdict === 'granted');
    return known && this.#uploadsExpected(state) <= 1;
  }

  /** How many uploads of this blob are still to be expected: one per store that mounts, one per need elsewhere. */
  #uploadsExpected(state: BlobState): number {
    let uploads = 0;
    for (const [store, open] of state.open)
      uploads += this.#mounts.of(store).verdict === 'granted' ? Math.min(open, 1) : open;
    return uploads;
  }
}
