import type { ReadStore } from '../model/store.ts';

/** Remembers one promise per store and key, so that nothing is asked or written twice in a run; failures are forgotten. */
export interface StoreMemo<V> {
  get(store: ReadStore, key: string, make: () => Promise<V>): Promise<V>;
  delete(store: ReadStore, key: string): void;
}

export function storeMemo<V>(): StoreMemo<V> {
  const stores = new Map<ReadStore, Map<string, Promise<V>>>();
  return {
    get(store, key, make) {
      let entries = stores.get(store);
      if (entries === undefined) {
        entries = new Map<string, Promise<V>>();
        stores.set(store, entries);
      }
      const known = entries;
      const running = known.get(key);
      if (running !== undefined) return running;
      const work = make();
      known.set(key, work);
      work.catch(() => {
        if (known.get(key) === work) known.delete(key);
      });
      return work;
    },
    delete: (store, key) => void stores.get(store)?.delete(key),
  };
}
