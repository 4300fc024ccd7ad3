import type { Descriptor } from '../model/manifest.ts';
import type { WriteStore } from '../model/store.ts';
import type { BlobContent, BlobSource } from './blob-content.ts';

/** One repository's need for one blob. */
export interface BlobNeed {
  readonly descriptor: Descriptor;
  readonly source: BlobSource;
  readonly store: WriteStore;
  readonly repository: string;
  /** Bytes that the artifact lacks: small artifacts go first. */
  readonly priority: number;
  /** The repository certainly lacks it (just created, or asked). Otherwise the attempt to mount finds out. */
  readonly missing: boolean;
}

export interface BlobTotals {
  blobsRead: number;
  blobsWritten: number;
  blobsMounted: number;
}

/** The upload of a blob that others of the same store wait for before they mount it. */
export interface Lead {
  readonly repository: string;
  readonly done: Promise<void>;
  readonly settle: () => void;
}

/** What is known about one blob in this run, by store. */
export interface BlobState {
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

export function newBlobState(): BlobState {
  return {
    announced: new Map(),
    open: new Map(),
    holders: new Map(),
    leading: new Map(),
    placed: new Map(),
    content: undefined,
  };
}

export function addHolder(state: BlobState, store: WriteStore, repository: string): void {
  let holders = state.holders.get(store);
  if (holders === undefined) state.holders.set(store, (holders = new Set()));
  holders.add(repository);
}

export function newLead(repository: string): Lead {
  const { promise, settle } = signalled();
  return { repository, done: promise, settle };
}

/** A promise that is settled from outside. */
export function signalled(): { readonly promise: Promise<void>; readonly settle: () => void } {
  let settle = (): void => undefined;
  const promise = new Promise<void>((resolve) => (settle = resolve));
  return { promise, settle };
}
