import type { WriteStore } from '../model/store.ts';
import { signalled } from './blob-state.ts';

/** What is known about mounts between repositories of one store. */
export interface MountState {
  verdict: 'unknown' | 'granted' | 'refused';
  /** Settles once the verdict is `refused`; never otherwise. */
  readonly refused: Promise<void>;
  readonly refuse: () => void;
  /** The first blob of a store finds out whether it mounts; the others wait that one moment instead of asking one by one. */
  probe: Promise<unknown> | undefined;
}

/** What this run has learned about mounts, by store. */
export interface Mounts {
  of(store: WriteStore): MountState;
}

export function mountsOfRun(): Mounts {
  const mounts = new Map<WriteStore, MountState>();
  return {
    of(store) {
      let state = mounts.get(store);
      if (state === undefined) {
        const { promise: refused, settle: refuse } = signalled();
        state = { verdict: store.mounting === 'never' ? 'refused' : 'unknown', refused, refuse, probe: undefined };
        if (state.verdict === 'refused') refuse();
        mounts.set(store, state);
      }
      return state;
    },
  };
}

/** Nobody waits for a mount of this store any more. */
export function refuseMounts(mount: MountState): void {
  mount.verdict = 'refused';
  mount.refuse();
}
