import { setTimeout as sleep } from 'node:timers/promises';
import type { Digest } from '../model/digest.ts';
import type { Descriptor } from '../model/manifest.ts';
import type { UploadSession, WriteStore } from '../model/store.ts';
import { BlobSender, type BlobSenderOptions } from './blob-sender.ts';
import {
  addHolder,
  type BlobNeed,
  type BlobState,
  type BlobTotals,
  type Lead,
  newBlobState,
  newLead,
} from './blob-state.ts';
import { type Ask, beginUpload } from './blob-upload.ts';
import { type ExpectedBytes, expectedBytes } from './expected-bytes.ts';
import { type Mounts, mountsOfRun, type MountState, refuseMounts } from './mounts.ts';

/** How long blobs wait to hear whether the target mounts, in milliseconds. */
const probePatienceMs = 400;

/**
 * Moves each unique blob from its source once, however many repositories need it: mounted where the target grants
 * that, else sent to every one of them from one read (memory for small blobs, a bounded spool for large ones).
 */
export class BlobMover {
  readonly totals: BlobTotals = { blobsRead: 0, blobsWritten: 0, blobsMounted: 0 };
  readonly #states = new Map<Digest, BlobState>();
  readonly #mounts: Mounts = mountsOfRun();
  readonly #expected: ExpectedBytes;
  readonly #sender: BlobSender;
  readonly #signal: AbortSignal;

  constructor(options: BlobSenderOptions) {
    this.#expected = expectedBytes(options.counters, this.#mounts);
    this.#sender = new BlobSender(options, this.#mounts, this.totals);
    this.#signal = options.signal;
  }

  /** Tells of a need before the moving starts, so that the one read can serve it. */
  announce(need: BlobNeed): void {
    const state = this.#stateOf(need.descriptor.digest);
    const announced = entryOf(state.announced, need.store, () => new Set<string>());
    // A second artifact in the same repository needs nothing more: both wait for the same upload.
    if (announced.has(need.repository)) return;
    announced.add(need.repository);
    state.open.set(need.store, (state.open.get(need.store) ?? 0) + 1);
    this.#expected.announced(need, announced.size === 1);
  }

  /** Whoever needs a blob has said so by now: content that nobody needs further is let go from here on. */
  allAnnounced(): void {
    this.#sender.settle();
    // A file that cannot be removed now goes with the spool's folder.
    for (const state of this.#states.values())
      if (state.open.size === 0) void this.#sender.release(state).catch(() => undefined);
  }

  /** Fulfils an announced need. Returns the bytes sent for it. Repeatable. @throws ReplicationError */
  fulfil(need: BlobNeed): Promise<number> {
    const state = this.#stateOf(need.descriptor.digest);
    const placed = entryOf(state.placed, need.store, () => new Map<string, Promise<number>>());
    const running = placed.get(need.repository);
    if (running !== undefined) return running.then(() => 0);
    const work = this.#place(need, state)
      .catch((error: unknown) => {
        placed.delete(need.repository);
        throw error;
      })
      .finally(() => this.#closeNeed(need, state));
    placed.set(need.repository, work);
    return work;
  }

  /** A repository was found to hold a blob already: others can mount it from there. */
  present(store: WriteStore, repository: string, digest: Digest): void {
    addHolder(this.#stateOf(digest), store, repository);
  }

  /** The repository's manifests now refer to these blobs: ECR lets others mount them from here on. */
  committed(store: WriteStore, repository: string, blobs: readonly Descriptor[]): void {
    for (const { digest } of blobs) {
      const state = this.#stateOf(digest);
      addHolder(state, store, repository);
      endLeadOf(state, store, repository);
    }
  }

  /** The artifact that would have committed these blobs failed: nobody should wait for it. */
  abandoned(store: WriteStore, repository: string, blobs: readonly Descriptor[]): void {
    for (const { digest } of blobs) endLeadOf(this.#stateOf(digest), store, repository);
  }

  /** Forgets that a repository holds a blob (it turned out not to). */
  forget(store: WriteStore, repository: string, digest: Digest): void {
    const state = this.#stateOf(digest);
    state.holders.get(store)?.delete(repository);
    // Whoever waits for this repository to hold the blob would wait for ever, the repository itself first.
    endLeadOf(state, store, repository);
    state.placed.get(store)?.delete(repository);
  }

  #stateOf(digest: Digest): BlobState {
    return entryOf(this.#states, digest, newBlobState);
  }

  async #closeNeed(need: BlobNeed, state: BlobState): Promise<void> {
    const open = (state.open.get(need.store) ?? 1) - 1;
    if (open > 0) state.open.set(need.store, open);
    else state.open.delete(need.store);
    if (state.open.size === 0) await this.#sender.release(state);
  }

  async #place(need: BlobNeed, state: BlobState): Promise<number> {
    const mount = this.#mounts.of(need.store);
    const probing = await this.#probed(need, state, mount);
    if (probing !== undefined) return probing;
    const turn = await this.#turn(need, state, mount);
    if (turn.kind === 'mount') return this.#mountFrom(need, state, mount, turn.from);
    return this.#lead(need, state, mount, turn.lead);
  }

  /**
   * The first blob of a store finds out whether it mounts; the others wait for that a moment.
   * @returns the bytes sent when this is the first, else `undefined`
   */
  async #probed(need: BlobNeed, state: BlobState, mount: MountState): Promise<number | undefined> {
    const { store, repository } = need;
    if (mount.verdict !== 'unknown' || store.mounting !== 'after-upload' || store.batchedExistence === true)
      return undefined;
    if (mount.probe !== undefined) {
      // No longer than this: the first blob may come from a source that is slow, or throttled.
      await Promise.race([mount.probe.catch(() => undefined), sleep(probePatienceMs, undefined, { ref: false })]);
      return undefined;
    }
    const lead = newLead(repository);
    state.leading.set(store, lead);
    const probing = this.#probe(need, state, mount).finally(() => endLead(state, store, lead));
    mount.probe = probing;
    return probing;
  }

  /** Places the store's first blob, then asks for it to be mounted where it already is: 201 says that mounts work here. */
  async #probe(need: BlobNeed, state: BlobState, mount: MountState): Promise<number> {
    const bytes = await this.#placeFirst(need, state, mount);
    addHolder(state, need.store, need.repository);
    try {
      const start = await this.#begin(need, need.repository);
      if (start === 'mounted') mount.verdict = 'granted';
      else if (mount.verdict === 'unknown') refuseMounts(mount);
    } catch {
      // The blob is where it should be; whether mounts work, the next attempt tells.
    }
    return bytes;
  }

  /** Waits until there is a repository to mount from, or until this one is the first to get the blob. */
  async #turn(
    { store, repository }: BlobNeed,
    state: BlobState,
    mount: MountState,
  ): Promise<{ readonly kind: 'mount'; readonly from: string } | { readonly kind: 'send'; readonly lead?: Lead }> {
    while (mount.verdict !== 'refused') {
      for (const from of state.holders.get(store) ?? []) if (from !== repository) return { kind: 'mount', from };
      const other = state.leading.get(store);
      if (other === undefined) {
        const lead = newLead(repository);
        state.leading.set(store, lead);
        return { kind: 'send', lead };
      }
      await Promise.race([other.done, mount.refused]);
      // A leader that is done without having become a holder has failed: the next one takes its place.
      if (state.leading.get(store) === other) state.leading.delete(store);
    }
    return { kind: 'send' };
  }

  /** Sends the blob; others that wait for it learn when they can mount it. */
  async #lead(need: BlobNeed, state: BlobState, mount: MountState, lead: Lead | undefined): Promise<number> {
    const { store, repository } = need;
    try {
      const bytes = await this.#placeFirst(need, state, mount);
      if (lead !== undefined && store.mounting === 'after-upload') addHolder(state, store, repository);
      if (store.mounting !== 'after-manifest') endLead(state, store, lead);
      return bytes;
    } catch (error) {
      endLead(state, store, lead);
      throw error;
    }
  }

  async #mountFrom(need: BlobNeed, state: BlobState, mount: MountState, from: string): Promise<number> {
    const start = await this.#begin(need, from);
    if (start === 'mounted') {
      mount.verdict = 'granted';
      this.totals.blobsMounted += 1;
      return this.#spared(need);
    }
    // One refusal says it for all where nothing was ever granted: nobody should wait for a mount that never comes.
    if (mount.verdict === 'unknown') refuseMounts(mount);
    // Where mounts work, a refusal says that the blob is lacking; elsewhere it says nothing. Another one's refusal may have
    // told so while this one was under way.
    const lacking = mount.verdict === 'granted' || need.missing || need.store.batchedExistence === true;
    return lacking ? this.#upload(need, state, start, 'nothing') : this.#upload(need, state, undefined, 'head');
  }

  /** Puts the blob into a repository that nothing can be mounted into yet. */
  #placeFirst(need: BlobNeed, state: BlobState, mount: MountState): Promise<number> {
    const known = need.missing || need.store.batchedExistence === true;
    // Where mounts are granted, asking for one from the repository itself is a HEAD and the start of the upload in one.
    return this.#upload(need, state, undefined, known ? 'nothing' : mount.verdict === 'granted' ? 'mount' : 'head');
  }

  async #upload(need: BlobNeed, state: BlobState, session: UploadSession | undefined, ask: Ask): Promise<number> {
    const sent = await this.#sender.upload(need, state, session, ask);
    if (sent === 'present') return this.#spared(need);
    this.#expected.sent(need);
    return sent;
  }

  #begin(need: BlobNeed, from: string): Promise<'mounted' | UploadSession> {
    return this.#sender.retries.run(need, () => beginUpload(need, from, this.#signal));
  }

  #spared(need: BlobNeed): number {
    this.#expected.spared(need);
    return 0;
  }
}

function endLead(state: BlobState, store: WriteStore, lead: Lead | undefined): void {
  if (lead === undefined) return;
  if (state.leading.get(store) === lead) state.leading.delete(store);
  lead.settle();
}

/** Whoever waits for this repository to get the blob, waits no more. */
function endLeadOf(state: BlobState, store: WriteStore, repository: string): void {
  const lead = state.leading.get(store);
  if (lead?.repository === repository) endLead(state, store, lead);
}

/** The map's entry for the key, made when there is none. */
function entryOf<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}
