import type { WriteStore } from '../model/store.ts';
import type { ProgressCounters } from '../report/events.ts';
import type { BlobNeed } from './blob-state.ts';
import type { Mounts } from './mounts.ts';

/** Keeps `expectedBytes` at what will be sent, as far as is known, so that the time left that people see is true. */
export interface ExpectedBytes {
  /** A repository needs a blob; `first`: as the first one of its store. Once for each need. */
  announced(need: BlobNeed, first: boolean): void;
  sent(need: BlobNeed): void;
  /** Mounted, or found to be there. */
  spared(need: BlobNeed): void;
}

interface StoreUses {
  /** Bytes of uses of a blob beside its first one, by repository and digest, that are not fulfilled. */
  readonly others: Map<string, number>;
  refused: boolean;
}

/**
 * A blob counts once for each store until mounts turn out to be refused there, and from then on once for each repository:
 * most images share layers, and the first one tells which of the two it is.
 */
export function expectedBytes(counters: ProgressCounters, mounts: Mounts): ExpectedBytes {
  const stores = new Map<WriteStore, StoreUses>();
  const usesOf = (store: WriteStore): StoreUses => {
    const known = stores.get(store);
    if (known !== undefined) return known;
    const uses: StoreUses = { others: new Map(), refused: mounts.of(store).verdict === 'refused' };
    stores.set(store, uses);
    if (!uses.refused)
      void mounts.of(store).refused.then(() => {
        uses.refused = true;
        for (const size of uses.others.values()) counters.expectedBytes += size;
      });
    return uses;
  };
  /** @returns whether the use is among what is expected */
  const closed = ({ store, repository, descriptor }: BlobNeed): boolean => {
    const uses = usesOf(store);
    return !uses.others.delete(`${repository}@${descriptor.digest}`) || uses.refused;
  };
  return {
    announced(need, first) {
      const { store, repository, descriptor } = need;
      const uses = usesOf(store);
      if (first || uses.refused) counters.expectedBytes += descriptor.size;
      if (!first) uses.others.set(`${repository}@${descriptor.digest}`, descriptor.size);
    },
    sent(need) {
      if (!closed(need)) counters.expectedBytes += need.descriptor.size;
    },
    spared(need) {
      if (closed(need)) counters.expectedBytes -= need.descriptor.size;
    },
  };
}
