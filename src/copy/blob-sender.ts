import { setTimeout as sleep } from 'node:timers/promises';
import { isReplicationError, ReplicationError, toReplicationError } from '../model/errors.ts';
import type { UploadSession, WriteStore } from '../model/store.ts';
import type { ProgressCounters } from '../report/events.ts';
import { type BlobContent, createBlobReader, wholeBlobBytes } from './blob-content.ts';
import type { BlobNeed, BlobState, BlobTotals } from './blob-state.ts';
import type { Mounts } from './mounts.ts';
import type { Slots } from './slots.ts';
import type { Spool } from './spool.ts';

export interface BlobSenderOptions {
  /** All that anything is copied to in this run. */
  readonly stores: ReadonlySet<WriteStore>;
  readonly slots: Slots;
  readonly spool: Spool;
  readonly counters: ProgressCounters;
  readonly signal: AbortSignal;
  /** Tries per blob and repository. Default 6. */
  readonly attempts?: number;
  readonly onRetry: (host: string, what: string, reason: string, delaySeconds: number, attempt: number) => void;
}

/** Small blobs kept in memory for further repositories, in total; beyond it the spool on disk takes them. */
const memoryBudgetBytes = 48 << 20;

/** How to find out that a repository holds a blob already: not at all, by asking (HEAD), or by a mount from itself, which is the start of the upload, too. */
export type Ask = 'nothing' | 'head' | 'mount';

/** Reads a blob from its source, as a rule once in a run, and sends it to repositories. */
export interface BlobSender {
  /** Until the needs of all artifacts are known, what is read is kept for those who may still come. */
  readonly needs: { settled: boolean };
  /** Opens an upload; `mounted` when the store mounted the blob from the repository that was named. */
  begin(need: BlobNeed, from: string | undefined): Promise<'mounted' | UploadSession>;
  /**
   * Puts the blob into the need's repository, in an upload that is open already or a new one.
   * @returns the bytes sent, or `present` when asking told that it is there
   */
  upload(need: BlobNeed, state: BlobState, first: UploadSession | undefined, ask: Ask): Promise<number | 'present'>;
  /** Lets go of content that was kept for further repositories. */
  release(state: BlobState): Promise<void>;
  retrying<T>(need: BlobNeed, work: () => Promise<T>): Promise<T>;
}

function repeatable(error: ReplicationError): boolean {
  return isReplicationError(error, 'unreachable', 'unavailable', 'throttled', 'corrupt', 'blob-unknown', 'storage');
}

export function createBlobSender(options: BlobSenderOptions, mounts: Mounts, totals: BlobTotals): BlobSender {
  const { slots, spool, counters, signal } = options;
  const attempts = options.attempts ?? 6;
  /** Reads that were tried often enough already, whoever waits for them. */
  const final = new WeakSet<object>();
  const refusedOnce = new WeakSet<BlobNeed>();
  const staleToken = new WeakSet<object>();
  const reader = createBlobReader({
    slots,
    signal,
    onBytes: (count) => (counters.readBytes += count),
    onRetry: (error, what, attempt) => options.onRetry(error.host ?? 'the source', what, error.message, 0, attempt),
  });
  const needs = { settled: false };
  let memoryUsed = 0;
  /** The disk refused a blob: from then on each repository gets its own read of what does not fit into memory. */
  let spoolFailed = false;

  /** How many uploads of this blob are still to be expected: one per store that mounts, one per need elsewhere. */
  const uploadsExpected = (state: BlobState): number => {
    let uploads = 0;
    for (const [store, open] of state.open)
      uploads += mounts.of(store).verdict === 'granted' ? Math.min(open, 1) : open;
    return uploads;
  };

  /** Whether nobody else will come for these bytes: where the only store mounts, whoever needs the blob later mounts it. */
  const allKnown = ({ store }: BlobNeed): boolean =>
    needs.settled || (options.stores.size === 1 && mounts.of(store).verdict === 'granted');

  const drop = async (content: BlobContent): Promise<void> => {
    if (content.kind === 'memory') memoryUsed -= content.bytes.length;
    else await content.entry.drop();
  };

  const release = async (state: BlobState): Promise<void> => {
    const content = await state.content?.catch(() => undefined);
    state.content = undefined;
    if (content !== undefined) await drop(content);
  };

  const readToMemory = async ({ source, descriptor }: BlobNeed): Promise<BlobContent> => {
    memoryUsed += descriptor.size;
    try {
      const bytes = await reader.whole(source, descriptor);
      totals.blobsRead += 1;
      return { kind: 'memory', bytes };
    } catch (error) {
      memoryUsed -= descriptor.size;
      throw error;
    }
  };

  /** Begins to read into the spool: content that others can follow while it comes in. Holds its place at the source until it is all there. */
  const readToSpool = (need: BlobNeed): Promise<BlobContent | undefined> => {
    const { source, descriptor, priority } = need;
    const entry = spoolFailed ? undefined : spool.reserve(descriptor.digest, descriptor.size);
    if (entry === undefined) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      slots
        .run(source.store.name, priority, async () => {
          const filled = entry.fill(await retrying(need, () => reader.stream(source, descriptor)));
          resolve({ kind: 'spool', entry, filled });
          await filled;
          totals.blobsRead += 1;
        })
        .catch(async (error: unknown) => {
          if (isReplicationError(error, 'storage')) spoolFailed = true;
          await entry.drop();
          reject(error instanceof Error ? error : new Error(String(error)));
        });
    });
  };

  /** The blob's content, read once for everybody; `undefined` when there is no room to keep it. */
  const keep = (need: BlobNeed, state: BlobState): Promise<BlobContent | undefined> => {
    if (state.content !== undefined) return state.content;
    const { descriptor, source, priority } = need;
    const small = descriptor.size <= wholeBlobBytes && memoryUsed + descriptor.size <= memoryBudgetBytes;
    const current = small
      ? slots.run(source.store.name, priority, () => retrying(need, () => readToMemory(need)))
      : readToSpool(need);
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
        if (error instanceof Error && !isReplicationError(error, 'storage')) final.add(error);
        forget();
      },
    );
    return current;
  };

  const begin = async (need: BlobNeed, from: string | undefined): Promise<'mounted' | UploadSession> => {
    try {
      const start = await need.store.startUpload(need.repository, need.descriptor.digest, from, signal);
      return start.kind === 'mounted' ? 'mounted' : start.session;
    } catch (error) {
      throw toReplicationError(error, { side: 'target', digest: need.descriptor.digest });
    }
  };

  /** Whether the blob is there already; a mount that is not granted opens the upload. */
  const asked = async (need: BlobNeed, ask: Ask): Promise<'present' | UploadSession | undefined> => {
    if (ask === 'nothing') return undefined;
    if (ask === 'mount') {
      const start = await begin(need, need.repository);
      return start === 'mounted' ? 'present' : start;
    }
    const missing = await need.store.missingBlobs(need.repository, [need.descriptor], signal);
    return missing.has(need.descriptor.digest) ? undefined : 'present';
  };

  const newUpload = async (need: BlobNeed): Promise<UploadSession> => {
    const start = await begin(need, undefined);
    if (start !== 'mounted') return start;
    throw new ReplicationError('internal', 'a blob was mounted that nobody asked to mount', { side: 'target' });
  };

  const finish = async (
    need: BlobNeed,
    session: UploadSession,
    body: Parameters<typeof need.store.finishUpload>[2],
  ): Promise<number> => {
    try {
      await need.store.finishUpload(session, need.descriptor, body, signal);
      return need.descriptor.size;
    } catch (caught) {
      const error = toReplicationError(caught, { side: 'target', digest: need.descriptor.digest });
      // A stream cannot be sent again with the new token that a refusal brought: the next try uses it, once.
      const refused = isReplicationError(error, 'unauthorized', 'denied');
      if (refused && !(body instanceof Uint8Array) && !refusedOnce.has(need)) {
        refusedOnce.add(need);
        staleToken.add(error);
      }
      throw error;
    }
  };

  /** Reads and sends at the same time: for blobs that only one repository needs. The upload is opened while the source answers. */
  const stream = async (need: BlobNeed, session: UploadSession | undefined): Promise<number> => {
    const { descriptor, source } = need;
    const opening = session === undefined ? newUpload(need) : Promise.resolve(session);
    if (descriptor.size <= wholeBlobBytes) {
      const [open, bytes] = await Promise.all([opening, reader.whole(source, descriptor)]);
      const sent = await finish(need, open, bytes);
      counters.writtenBytes += sent;
      totals.blobsRead += 1;
      return sent;
    }
    let passed = 0;
    const onPassed = (count: number): void => {
      passed += count;
      counters.writtenBytes += count;
    };
    const [open, body] = await Promise.allSettled([opening, reader.stream(source, descriptor, onPassed)]);
    if (body.status === 'rejected') throw body.reason;
    if (open.status === 'rejected') {
      body.value.destroy();
      throw open.reason;
    }
    let broken: unknown;
    body.value.on('error', (error) => (broken = error));
    try {
      const sent = await finish(need, open.value, body.value);
      totals.blobsRead += 1;
      return sent;
    } catch (error) {
      body.value.destroy();
      counters.writtenBytes -= passed;
      // The target only sees a body that ends early: what the source said tells more.
      throw isReplicationError(broken) ? broken : error;
    }
  };

  const attempt = async (
    need: BlobNeed,
    state: BlobState,
    first: UploadSession | undefined,
    ask: Ask,
  ): Promise<number | 'present'> => {
    const alone = async (session: UploadSession | undefined): Promise<number | 'present'> =>
      slots.run(need.source.store.name, need.priority, async () => {
        const found = session ?? (await asked(need, ask));
        return found === 'present' ? found : stream(need, found);
      });
    if (state.content === undefined && allKnown(need) && uploadsExpected(state) <= 1) return alone(first);
    const found = first ?? (await asked(need, ask));
    if (found === 'present') return found;
    const content = await keep(need, state);
    if (content === undefined) return alone(found);
    return slots.run(`to ${need.store.name}`, need.priority, async () => {
      const session = found ?? (await newUpload(need));
      const sent = await finish(need, session, content.kind === 'memory' ? content.bytes : content.entry.read());
      counters.writtenBytes += sent;
      return sent;
    });
  };

  const upload = async (
    need: BlobNeed,
    state: BlobState,
    first: UploadSession | undefined,
    ask: Ask,
  ): Promise<number | 'present'> => {
    let session = first;
    const sent = await retrying(need, () => {
      const open = session;
      session = undefined;
      return attempt(need, state, open, ask);
    });
    if (sent !== 'present') totals.blobsWritten += 1;
    return sent;
  };

  /** Repeats what can be repeated; each try opens the source and the upload anew (ECR cannot resume one). */
  const retrying = async <T>(need: BlobNeed, work: () => Promise<T>): Promise<T> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await work();
      } catch (caught) {
        const error = toReplicationError(caught, { digest: need.descriptor.digest });
        // The transport already waits for the host's shared back-off, so being throttled costs patience, not tries.
        const limit = error.code === 'throttled' ? attempts * 3 : attempts;
        if (
          signal.aborted ||
          attempt >= limit ||
          error.final ||
          (caught instanceof Error && final.has(caught)) ||
          !(repeatable(error) || (caught instanceof Error && staleToken.delete(caught)))
        )
          throw error;
        const delay = Math.min(8, 0.1 * 2 ** attempt) * (0.5 + Math.random() / 2);
        options.onRetry(error.host ?? need.store.name, `blob ${need.descriptor.digest}`, error.message, delay, attempt);
        await sleep(delay * 1000, undefined, { signal }).catch(() => {
          throw new ReplicationError('cancelled', 'stopped while waiting to repeat a blob', { side: 'module' });
        });
      }
    }
  };

  return { needs, begin, upload, release, retrying };
}
