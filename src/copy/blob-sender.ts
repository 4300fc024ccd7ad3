import { setTimeout as sleep } from 'node:timers/promises';
import { isReplicationError, ReplicationError, toReplicationError } from '../model/errors.ts';
import type { UploadSession } from '../model/store.ts';
import type { ProgressCounters } from '../report/events.ts';
import { type BlobContent, readIntoSpool, readWhole, streamThrough, wholeBlobBytes } from './blob-content.ts';
import type { BlobNeed, BlobState, BlobTotals } from './blob-state.ts';
import type { Mounts } from './mounts.ts';
import type { Slots } from './slots.ts';
import type { Spool } from './spool.ts';

export interface BlobSenderOptions {
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

/** Reads a blob from its source, as a rule once in a run, and sends it to repositories. */
export interface BlobSender {
  /** Opens an upload; `mounted` when the store mounted the blob from the repository that was named. */
  begin(need: BlobNeed, from: string | undefined): Promise<'mounted' | UploadSession>;
  /** Puts the blob into the need's repository, in an upload that is open already or a new one. Returns the bytes sent. */
  upload(need: BlobNeed, state: BlobState, first: UploadSession | undefined): Promise<number>;
  /** Lets go of content that was kept for further repositories. */
  release(state: BlobState): Promise<void>;
  retrying<T>(need: BlobNeed, work: () => Promise<T>): Promise<T>;
}

export function createBlobSender(options: BlobSenderOptions, mounts: Mounts, totals: BlobTotals): BlobSender {
  const { slots, spool, counters, signal } = options;
  const attempts = options.attempts ?? 6;
  let memoryUsed = 0;

  /** How many uploads of this blob are still to be expected: one per store that mounts, one per need elsewhere. */
  const uploadsExpected = (state: BlobState): number => {
    let uploads = 0;
    for (const [store, open] of state.open)
      uploads += mounts.of(store).verdict === 'granted' ? Math.min(open, 1) : open;
    return uploads;
  };

  const release = async (state: BlobState): Promise<void> => {
    const content = state.content;
    state.content = undefined;
    const had = await content?.catch(() => undefined);
    if (had?.kind === 'memory') memoryUsed -= had.bytes.length;
    if (had?.kind === 'spool') await had.entry.drop();
  };

  const onRead = (count: number): void => {
    counters.readBytes += count;
  };

  /** The blob's content, read once for everybody; `undefined` when there is no room to keep it. */
  const keep = (need: BlobNeed, state: BlobState): Promise<BlobContent | undefined> => {
    state.content ??= slots.run(need.source.store.name, need.priority, async (): Promise<BlobContent | undefined> => {
      const { descriptor, source } = need;
      const read = async (): Promise<BlobContent | undefined> => {
        if (descriptor.size <= wholeBlobBytes && memoryUsed + descriptor.size <= memoryBudgetBytes) {
          memoryUsed += descriptor.size;
          try {
            return { kind: 'memory', bytes: await readWhole(source, descriptor, signal, onRead) };
          } catch (error) {
            memoryUsed -= descriptor.size;
            throw error;
          }
        }
        return readIntoSpool(source, descriptor, spool, signal, onRead);
      };
      const content = await retrying(need, read);
      if (content !== undefined) totals.blobsRead += 1;
      return content;
    });
    const current = state.content;
    // A failed read must not be remembered: the next repository tries anew.
    current.catch(() => {
      if (state.content === current) state.content = undefined;
    });
    return current;
  };

  const send = async (need: BlobNeed, session: UploadSession, content: BlobContent): Promise<void> => {
    const body = content.kind === 'memory' ? content.bytes : content.entry.read();
    await need.store.finishUpload(session, need.descriptor, body, signal).catch((error: unknown) => {
      throw toReplicationError(error, { side: 'target', digest: need.descriptor.digest });
    });
    counters.writtenBytes += need.descriptor.size;
  };

  const begin = async (need: BlobNeed, from: string | undefined): Promise<'mounted' | UploadSession> => {
    try {
      const start = await need.store.startUpload(need.repository, need.descriptor.digest, from, signal);
      return start.kind === 'mounted' ? 'mounted' : start.session;
    } catch (error) {
      throw toReplicationError(error, { side: 'target', digest: need.descriptor.digest });
    }
  };

  /** Reads and sends at the same time: for blobs that only one repository needs. */
  const stream = async (need: BlobNeed, first: UploadSession | undefined): Promise<void> => {
    let session = first;
    await slots.run(need.source.store.name, need.priority, () =>
      retrying(need, async () => {
        const { descriptor, source } = need;
        if (descriptor.size <= wholeBlobBytes) {
          const bytes = await readWhole(source, descriptor, signal, onRead);
          const open = session ?? (await begin(need, undefined));
          session = undefined;
          if (open !== 'mounted') await send(need, open, { kind: 'memory', bytes });
          return;
        }
        let sent = 0;
        const through = await streamThrough(source, descriptor, signal, (count) => {
          sent += count;
          counters.readBytes += count;
          counters.writtenBytes += count;
        });
        try {
          const open = session ?? (await begin(need, undefined));
          session = undefined;
          if (open !== 'mounted') await need.store.finishUpload(open, descriptor, through.body, signal);
          else through.abandon();
        } catch (error) {
          through.abandon();
          counters.writtenBytes -= sent;
          throw through.failure() ?? toReplicationError(error, { side: 'target', digest: descriptor.digest });
        }
      }),
    );
    totals.blobsRead += 1;
  };

  const upload = async (need: BlobNeed, state: BlobState, first: UploadSession | undefined): Promise<number> => {
    if (state.content === undefined && uploadsExpected(state) <= 1) {
      await stream(need, first);
    } else {
      const content = await keep(need, state);
      if (content === undefined) {
        await stream(need, first);
      } else {
        let session = first;
        await slots.run(`to ${need.store.name}`, need.priority, () =>
          retrying(need, async () => {
            const open = session ?? (await begin(need, undefined));
            session = undefined;
            if (open !== 'mounted') await send(need, open, content);
          }),
        );
      }
    }
    totals.blobsWritten += 1;
    return need.descriptor.size;
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
          !isReplicationError(error, 'unreachable', 'unavailable', 'throttled', 'corrupt', 'blob-unknown')
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

  return { begin, upload, release, retrying };
}
