import type { Platform } from '../model/platform.ts';
import type { ProgressCounters, Reporter } from '../report/events.ts';
import type { Readable } from 'node:stream';
import type { ReadStore, WriteStore } from '../model/store.ts';

/** A manifest's place in a store that can be read. */
export interface SourcePlace {
  readonly store: ReadStore;
  readonly repository: string;
  /** Tag or digest. */
  readonly reference: string;
}

/** A place to write to. `reference` is a tag, or the digest for artifacts that have none. */
export interface TargetPlace {
  readonly store: WriteStore;
  readonly repository: string;
  readonly reference: string;
}

/** One artifact to copy: a graph of manifests and blobs, and every name it gets. */
export interface CopyRequest {
  /** Name for reports: the source reference of an image, `name version` of a chart. */
  readonly artifact: string;
  readonly source: SourcePlace;
  readonly targets: readonly TargetPlace[];
  /** `all` keeps every byte; a list cuts a new index out of the source's. */
  readonly platforms: 'all' | readonly Platform[];
  /** Copy even if the target has this digest already: something below it was found missing. */
  readonly repair?: boolean;
}

export interface CopyOptions {
  readonly reporter: Reporter;
  readonly counters: ProgressCounters;
  readonly signal: AbortSignal;
  /** Once aborted, nothing new is begun, while what is under way may end; the reason becomes the failure of what is left. */
  readonly admission?: AbortSignal;
  /** Folder for blobs that several repositories need; created when needed, emptied afterwards. */
  readonly spoolDirectory: string;
  /** Bytes that the spool may take on disk. Default 4 GiB; a blob that does not fit is read again from its source. */
  readonly spoolBytes?: number;
  /** Blobs moved at the same time, over all hosts. Default 24. */
  readonly transfers?: number;
  /** Blobs read from one source host at the same time. Default 16. */
  readonly transfersPerHost?: number;
  /** Artifacts whose manifests are read at the same time. Default 48. */
  readonly lookups?: number;
  /** Whether signatures, attestations and SBOMs that refer to an image come along. Default true. */
  readonly referrers?: boolean;
  /**
   * Look for referrers of images that are unchanged, too: a signature may have come later, or may have failed last time.
   * Default false: it costs requests that an unchanged image does not need otherwise.
   */
  readonly refreshReferrers?: boolean;
  /** Milliseconds that copying waits for slow sources to say what there is to copy. Default 10 s, more for long lists. */
  readonly lookupPatienceMs?: number;
  /** Fetches bytes of a foreign layer from one of its URLs; absent: foreign layers are taken from the registry or left out. */
  readonly openUrl?: (url: string, signal: AbortSignal) => Promise<Readable>;
}

export function placeName(place: {
  readonly store: ReadStore;
  readonly repository: string;
  readonly reference: string;
}): string {
  const separator = place.reference.includes(':') ? '@' : ':';
  return `${place.store.name}/${place.repository}${separator}${place.reference}`;
}
