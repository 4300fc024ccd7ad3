import { toReplicationError } from '../model/errors.ts';

/**
 * Admits work by priority, with one bound over all and one per host, so that a slow host cannot take every slot and
 * small images (whose manifests can then be written while big ones still move) go first.
 */
export interface Slots {
  /** Runs the work once there is room. Lower priority numbers go first; equal ones in order of arrival. */
  run<T>(host: string, priority: number, work: () => Promise<T>): Promise<T>;
  /** A place that nobody waits for, until it is given back; `undefined` when there is none. */
  spare(host: string): (() => void) | undefined;
}

interface Waiting {
  readonly host: string;
  readonly priority: number;
  readonly order: number;
  readonly start: () => void;
}

/** @param admission once aborted, work that has not started fails with its reason */
export function createSlots(total: number, perHost: number, admission?: AbortSignal): Slots {
  const waiting: Waiting[] = [];
  const active = new Map<string, number>();
  let running = 0;
  let order = 0;

  const dispatch = (): void => {
    for (let index = 0; index < waiting.length && running < total;) {
      const next = waiting[index];
      if (next === undefined) return;
      const busy = active.get(next.host) ?? 0;
      if (busy >= perHost) {
        index += 1;
        continue;
      }
      waiting.splice(index, 1);
      active.set(next.host, busy + 1);
      running += 1;
      next.start();
    }
  };

  const enqueue = (entry: Waiting): void => {
    // Binary search for the place behind everything that is at least as urgent.
    let low = 0;
    let high = waiting.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = waiting[middle];
      if (
        other !== undefined &&
        (other.priority < entry.priority || (other.priority === entry.priority && other.order < entry.order))
      ) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    waiting.splice(low, 0, entry);
  };

  const leave = (host: string): void => {
    running -= 1;
    active.set(host, (active.get(host) ?? 1) - 1);
    dispatch();
  };

  return {
    spare(host) {
      const busy = active.get(host) ?? 0;
      // Whoever waits does so because one of the two is full.
      if (running >= total || busy >= perHost || admission?.aborted === true) return undefined;
      running += 1;
      active.set(host, busy + 1);
      let given = false;
      return () => {
        if (given) return;
        given = true;
        leave(host);
      };
    },
    run<T>(host: string, priority: number, work: () => Promise<T>): Promise<T> {
      return new Promise<T>((resolve, reject) => {
        const start = (): void => {
          const begun = admission?.aborted === true ? Promise.reject<T>(toReplicationError(admission.reason)) : work();
          begun.then(resolve, reject).finally(() => leave(host));
        };
        enqueue({ host, priority, order: order++, start });
        dispatch();
      });
    },
  };
}
