import { setTimeout as sleep } from 'node:timers/promises';
import type { Digest } from '../model/digest.ts';
import type { Descriptor } from '../model/manifest.ts';
import type { UploadSession, WriteStore } from '../model/store.ts';
import { type Ask, createBlobSender, type BlobSenderOptions } from './blob-sender.ts';
import {
  addHolder,
  type BlobNeed,
  type BlobState,
  type BlobTotals,
  type Lead,
  newBlobState,
  newLead,
} from './blob-state.ts';
import { expectedBytes } from './expected-bytes.ts';
import { mountsOfRun, type MountState, refuseMounts } from './mounts.ts';

/** How long blobs wait to hear whether the target mounts, in milliseconds. */
const probePatienceMs = 400;

/**
 * Moves each unique blob from its source once, however many repositories need it: mounted where the target grants
 * that, else sent to every one of them from one read (memory for small blobs, a bounded spool for large ones).
 */
export interface BlobMover {
  /** Tells of a need before the moving starts, so that the one read can serve it. */
  announce(need: BlobNeed): void;
  /** Whoever needs a blob has said so by now: content that nobody needs further is let go from here on. */
  allAnnounced(): void;
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

export function createBlobMover(options: BlobSenderOptions): BlobMover {
  const states = new Map<Digest, BlobState>();
  const mounts = mountsOfRun();
  const expected = expectedBytes(options.counters, mounts);
  const totals: BlobTotals = { blobsRead: 0, blobsWritten: 0, blobsMounted: 0 };
  const sender = createBlobSender(options, mounts, totals);

  const stateOf = (digest: Digest): BlobState => {
    let state = states.get(digest);
    if (state === undefined) states.set(digest, (state = newBlobState()));
    return state;
  };

  const closeNeed = async (need: BlobNeed, state: BlobState): Promise<void> => {
    const open = (state.open.get(need.store) ?? 1) - 1;
    if (open > 0) state.open.set(need.store, open);
    else state.open.delete(need.store);
    if (state.open.size === 0 && sender.needs.settled) await sender.release(state);
  };

  const noUpload = (need: BlobNeed): number => {
    expected.spared(need);
    return 0;
  };

  const uploaded = async (
    need: BlobNeed,
    state: BlobState,
    session: UploadSession | undefined,
    ask: Ask,
  ): Promise<number> => {
    const sent = await sender.upload(need, state, session, ask);
    if (sent === 'present') return noUpload(need);
    expected.sent(need);
    return sent;
  };

  /** Puts the blob into a repository that nothing can be mounted into yet. */
  const placeFirst = (need: BlobNeed, state: BlobState, mount: MountState): Promise<number> => {
    const known = need.missing || need.store.batchedExistence === true;
    // Where mounts are granted, asking for one from the repository itself is a HEAD and the start of the upload in one.
    return uploaded(need, state, undefined, known ? 'nothing' : mount.verdict === 'granted' ? 'mount' : 'head');
  };

  /** Places the store's first blob, then asks for it to be mounted where it already is: 201 says that mounts work here. */
  const probe = async (need: BlobNeed, state: BlobState, mount: MountState): Promise<number> => {
    const bytes = await placeFirst(need, state, mount);
    addHolder(state, need.store, need.repository);
    try {
      const start = await sender.retrying(need, () => sender.begin(need, need.repository));
      if (start === 'mounted') mount.verdict = 'granted';
      else if (mount.verdict === 'unknown') refuseMounts(mount);
    } catch {
      // The blob is where it should be; whether mounts work, the next attempt tells.
    }
    return bytes;
  };

  const mountFrom = async (need: BlobNeed, state: BlobState, mount: MountState, from: string): Promise<number> => {
    const start = await sender.retrying(need, () => sender.begin(need, from));
    if (start === 'mounted') {
      mount.verdict = 'granted';
      totals.blobsMounted += 1;
      return noUpload(need);
    }
    // One refusal says it for all where nothing was ever granted: nobody should wait for a mount that never comes.
    if (mount.verdict === 'unknown') refuseMounts(mount);
    // Where mounts work, a refusal says that the blob is lacking; elsewhere it says nothing. Another one's refusal may have
    // told so while this one was under way.
    const lacking = mount.verdict === 'granted' || need.missing || need.store.batchedExistence === true;
    if (!lacking) return uploaded(need, state, undefined, 'head');
    return uploaded(need, state, start, 'nothing');
  };

  const place = async (need: BlobNeed, state: BlobState): Promise<number> => {
    const { store, repository } = need;
    const mount = mounts.of(store);
    if (mount.verdict === 'unknown' && store.mounting === 'after-upload' && store.batchedExistence !== true) {
      if (mount.probe === undefined) {
        const lead = newLead(repository);
        state.leading.set(store, lead);
        const probing = probe(need, state, mount).finally(() => unlead(state, store, lead));
        mount.probe = probing;
        return probing;
      }
      // No longer than this: the first blob may come from a source that is slow, or throttled.
      await Promise.race([mount.probe.catch(() => undefined), sleep(probePatienceMs, undefined, { ref: false })]);
    }
    let lead: Lead | undefined;
    while (mount.verdict !== 'refused') {
      for (const from of state.holders.get(store) ?? [])
        if (from !== repository) return mountFrom(need, state, mount, from);
      const other = state.leading.get(store);
      if (other === undefined) {
        lead = newLead(repository);
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
      expected.announced(need, announced.size === 1);
    },
    allAnnounced() {
      sender.needs.settled = true;
      // A file that cannot be removed now goes with the spool's folder.
      for (const state of states.values()) if (state.open.size === 0) void sender.release(state).catch(() => undefined);
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
      // Whoever waits for this repository to hold the blob would wait for ever, the repository itself first.
      const lead = state.leading.get(store);
      if (lead?.repository === repository) unlead(state, store, lead);
      state.placed.get(store)?.delete(repository);
    },
  };
}
