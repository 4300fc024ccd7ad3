import { setTimeout as sleep } from 'node:timers/promises';
import type { Digest } from '../model/digest.ts';
import { isReplicationError, ReplicationError, toReplicationError } from '../model/errors.ts';
import type { Descriptor } from '../model/manifest.ts';
import type { UploadSession, WriteStore } from '../model/store.ts';
import type { ProgressCounters } from '../report/events.ts';
import {
  type BlobContent,
  type BlobSource,
  readIntoSpool,
  readWhole,
  streamThrough,
  wholeBlobBytes,
} from './blob-content.ts';
import type { Slots } from './slots.ts';
import type { Spool } from './spool.ts';

/** One repository's need for one blob. */
export interface BlobNeed {
  readonly descriptor: Descriptor;
  readonly source: BlobSource;
  readonly store: WriteStore;
  readonly repository: string;
  /** Position of the artifact in the run: earlier ones go first, and lead where others can mount from them. */
  readonly priority: number;
  /** The repository certainly lacks it (just created, or asked). Otherwise the attempt to mount finds out. */
  readonly missing: boolean;
}

export interface BlobTotals {
  blobsRead: number;
  blobsWritten: number;
  blobsMounted: number;
}

/**
 * Moves each unique blob from its source once, however many repositories need it: mounted where the target grants
 * that, else sent to every one of them from one read (memory for small blobs, a bounded spool for large ones).
 */
export interface BlobMover {
  /** Tells of a need before the moving starts, so that the one read can serve it. */
  announce(need: BlobNeed): void;
  /** Fulfils an announced need. Returns the bytes sent for it. Repeatable. @throws ReplicationError */
  fulfil(need: BlobNeed): Promise<number>;
  /** A repository was found to hold a blob already: others can mount it from there. */
  present(store: WriteStore, repository: string, digest: Digest): void;
  /** The repository's manifests now refer to these blobs: ECR lets others mount them from here on. */
  committed(store: WriteStore, repository: string, blobs: readonly Descriptor[]): void;
  /** The artifact that would have committed these blobs failed: nobody should wait for it. */
  abandoned(store: WriteStore, repository: string, blobs: readonly Descriptor[]): void;
  /** Forgets that a repository holds a blob (it turned out not to). */
  forget(store: WriteStore, repository: string, digest: Digest): void;
  readonly totals: BlobTotals;
}

/** The upload of a blob that others of the same store wait for before they mount it. */
interface Lead {
  readonly repository: string;
  readonly done: Promise<void>;
  readonly settle: () => void;
}

/** What is known about one blob in this run, by store. */
interface BlobState {
  /** Repositories that were announced. */
  readonly announced: Map<WriteStore, Set<string>>;
  /** Number of announced needs that are not fulfilled. */
  readonly open: Map<WriteStore, number>;
  /** Repositories to mount from. */
  readonly holders: Map<WriteStore, Set<string>>;
  readonly leading: Map<WriteStore, Lead>;
  readonly placed: Map<WriteStore, Map<string, Promise<number>>>;
  content: Promise<BlobContent | undefined> | undefined;
}

/** What is known about mounts between repositories of one store. */
interface MountState {
  verdict: 'unknown' | 'granted' | 'refused';
  /** Settles once the verdict is `refused`; never otherwise. */
  readonly refused: Promise<void>;
  readonly refuse: () => void;
  /** The first blob of a store finds out whether it mounts; the others wait that one moment instead of asking one by one. */
  probe: Promise<unknown> | undefined;
}

export interface BlobMoverOptions {
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

export function createBlobMover(options: BlobMoverOptions): BlobMover {
  const { slots, spool, counters, signal } = options;
  const attempts = options.attempts ?? 6;
  const states = new Map<Digest, BlobState>();
  const mounts = new Map<WriteStore, MountState>();
  const totals: BlobTotals = { blobsRead: 0, blobsWritten: 0, blobsMounted: 0 };
  let memoryUsed = 0;

  const stateOf = (digest: Digest): BlobState => {
    let state = states.get(digest);
    if (state === undefined) {
      state = {
        announced: new Map(),
        open: new Map(),
        holders: new Map(),
        leading: new Map(),
        placed: new Map(),
        content: undefined,
      };
      states.set(digest, state);
    }
    return state;
  };

  const mountsOf = (store: WriteStore): MountState => {
    let state = mounts.get(store);
    if (state === undefined) {
      const { promise: refused, settle: refuse } = signalled();
      state = { verdict: store.mounting === 'never' ? 'refused' : 'unknown', refused, refuse, probe: undefined };
      if (state.verdict === 'refused') refuse();
      mounts.set(store, state);
    }
    return state;
  };

  const refuseMounts = (mount: MountState): void => {
    mount.verdict = 'refused';
    mount.refuse();
  };

  const addHolder = (state: BlobState, store: WriteStore, repository: string): void => {
    let holders = state.holders.get(store);
    if (holders === undefined) state.holders.set(store, (holders = new Set()));
    holders.add(repository);
  };

  /** How many uploads of this blob are still to be expected: one per store that mounts, one per need elsewhere. */
  const uploadsExpected = (state: BlobState): number => {
    let uploads = 0;
    for (const [store, open] of state.open) uploads += mountsOf(store).verdict === 'granted' ? Math.min(open, 1) : open;
    return uploads;
  };

  const release = async (state: BlobState): Promise<void> => {
    const content = state.content;
    state.content = undefined;
    const had = await content?.catch(() => undefined);
    if (had?.kind === 'memory') memoryUsed -= had.bytes.length;
    if (had?.kind === 'spool') await had.entry.drop();
  };

  const closeNeed = async (need: BlobNeed, state: BlobState): Promise<void> => {
    const open = (state.open.get(need.store) ?? 1) - 1;
    if (open > 0) state.open.set(need.store, open);
    else state.open.delete(need.store);
    if (state.open.size === 0) await release(state);
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

  const noUpload = (need: BlobNeed): number => {
    counters.expectedBytes -= need.descriptor.size;
    return 0;
  };

  const absent = async (need: BlobNeed): Promise<boolean> => {
    const missing = await need.store.missingBlobs(need.repository, [need.descriptor], signal);
    return missing.has(need.descriptor.digest);
  };

  /** Puts the blob into a repository that nothing can be mounted into yet. */
  const placeFirst = async (need: BlobNeed, state: BlobState, mount: MountState): Promise<number> => {
    if (need.missing || need.store.batchedExistence === true) return upload(need, state, undefined);
    if (mount.verdict !== 'granted') return (await absent(need)) ? upload(need, state, undefined) : noUpload(need);
    // Where mounts are granted, asking for one from the repository itself is a HEAD and the start of the upload in one.
    const start = await retrying(need, () => begin(need, need.repository));
    return start === 'mounted' ? noUpload(need) : upload(need, state, start);
  };

  /** Places the store's first blob, then asks for it to be mounted where it already is: 201 says that mounts work here. */
  const probe = async (need: BlobNeed, state: BlobState, mount: MountState): Promise<number> => {
    const bytes = await placeFirst(need, state, mount);
    addHolder(state, need.store, need.repository);
    const start = await begin(need, need.repository);
    if (start === 'mounted') mount.verdict = 'granted';
    else refuseMounts(mount);
    return bytes;
  };

  const mountFrom = async (need: BlobNeed, state: BlobState, mount: MountState, from: string): Promise<number> => {
    const start = await retrying(need, () => begin(need, from));
    if (start === 'mounted') {
      mount.verdict = 'granted';
      totals.blobsMounted += 1;
      return noUpload(need);
    }
    // One refusal says it for all where nothing was ever granted: nobody should wait for a mount that never comes.
    if (mount.verdict === 'unknown') refuseMounts(mount);
    return upload(need, state, start);
  };

  const place = async (need: BlobNeed, state: BlobState): Promise<number> => {
    const { store, repository } = need;
    const mount = mountsOf(store);
    if (mount.verdict === 'unknown' && store.mounting === 'after-upload' && store.batchedExistence !== true) {
      if (mount.probe === undefined) {
        const probing = probe(need, state, mount);
        mount.probe = probing;
        return probing;
      }
      await mount.probe.catch(() => undefined);
    }
    let lead: Lead | undefined;
    while (mount.verdict !== 'refused') {
      for (const from of state.holders.get(store) ?? [])
        if (from !== repository) return mountFrom(need, state, mount, from);
      const other = state.leading.get(store);
      if (other === undefined) {
        lead = { repository, ...asLead(signalled()) };
        state.leading.set(store, lead);
        break;
      }
      await Promise.race([other.done, mount.refused]);
      // A leader that is done without having become a holder has failed: the next one takes its place.
      if (state.leading.get(store) === other) state.leading.delete(store);
    }
    try {
      const bytes = await placeFirst(need, state, mount);
      if (lead !== undefined && store.mounting === 'after-upload') addHolder(state, store, repository);
      if (store.mounting !== 'after-manifest') unlead(state, store, lead);
      return bytes;
    } catch (error) {
      unlead(state, store, lead);
      throw error;
    }
  };

  const unlead = (state: BlobState, store: WriteStore, lead: Lead | undefined): void => {
    if (lead === undefined) return;
    if (state.leading.get(store) === lead) state.leading.delete(store);
    lead.settle();
  };

  return {
    totals,
    announce(need) {
      const state = stateOf(need.descriptor.digest);
      let announced = state.announced.get(need.store);
      if (announced === undefined) state.announced.set(need.store, (announced = new Set()));
      // A second artifact in the same repository needs nothing more: both wait for the same upload.
      if (announced.has(need.repository)) return;
      announced.add(need.repository);
      state.open.set(need.store, (state.open.get(need.store) ?? 0) + 1);
      counters.expectedBytes += need.descriptor.size;
    },
    fulfil(need) {
      const state = stateOf(need.descriptor.digest);
      let placed = state.placed.get(need.store);
      if (placed === undefined) state.placed.set(need.store, (placed = new Map<string, Promise<number>>()));
      const repositories = placed;
      const running = repositories.get(need.repository);
      if (running !== undefined) return running.then(() => 0);
      const work = place(need, state)
        .catch((error: unknown) => {
          repositories.delete(need.repository);
          throw error;
        })
        .finally(() => closeNeed(need, state));
      repositories.set(need.repository, work);
      return work;
    },
    present(store, repository, digest) {
      addHolder(stateOf(digest), store, repository);
    },
    committed(store, repository, blobs) {
      for (const { digest } of blobs) {
        const state = stateOf(digest);
        addHolder(state, store, repository);
        const lead = state.leading.get(store);
        if (lead?.repository === repository) unlead(state, store, lead);
      }
    },
    abandoned(store, repository, blobs) {
      for (const { digest } of blobs) {
        const state = stateOf(digest);
        const lead = state.leading.get(store);
        if (lead?.repository === repository) unlead(state, store, lead);
      }
    },
    forget(store, repository, digest) {
      const state = stateOf(digest);
      state.holders.get(store)?.delete(repository);
      state.placed.get(store)?.delete(repository);
    },
  };
}

function signalled(): { readonly promise: Promise<void>; readonly settle: () => void } {
  let settle = (): void => undefined;
  const promise = new Promise<void>((resolve) => (settle = resolve));
  return { promise, settle };
}

function asLead(signal: { readonly promise: Promise<void>; readonly settle: () => void }): Omit<Lead, 'repository'> {
  return { done: signal.promise, settle: signal.settle };
}
