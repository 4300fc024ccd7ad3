import type { ImageStatus, StatusStore } from '../../status/status.ts';

/** Statuses that wait for a write, and milliseconds that they wait at most: a killed run loses no more. */
const mostWaiting = 100;
const longestWaitMs = 1_000;
/** Milliseconds until a store that has just failed is asked again; what it did not take waits. */
const afterTroubleMs = 10_000;

/** Statuses on their way to a store: few writes, one at a time, and none is overtaken by the one before it. */
export interface BatchedWrites {
  add(status: ImageStatus): void;
  /** Writes everything that waits, once: also what came while a write was under way. What the store did not take is tried again later. */
  flush(): Promise<void>;
  /** The same for the last time: nothing is tried again. @returns what the last write failed by; `undefined` when all is written */
  end(): Promise<unknown>;
  /** Writes nothing any more, of what waits neither. */
  abandon(): void;
}

/** @param known the newest status of each target: a failed write brings back none that is older */
export function batchedWrites(
  store: StatusStore,
  known: ReadonlyMap<string, ImageStatus>,
  signal: AbortSignal,
): BatchedWrites {
  const waiting = new Map<string, ImageStatus>();
  let writing: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let trouble: unknown;
  let abandoned = false;

  const write = async (): Promise<void> => {
    const batch = [...waiting.values()];
    waiting.clear();
    try {
      if (batch.length > 0) await store.record(batch, signal);
      trouble = undefined;
    } catch (error) {
      trouble = error;
      // What has a newer status meanwhile waits under that one, or has been written already.
      for (const status of batch) if (known.get(status.target) === status) waiting.set(status.target, status);
    }
  };
  const stopTimer = (): void => {
    clearTimeout(timer);
    timer = undefined;
  };
  const later = (): void => {
    if (abandoned || waiting.size === 0) return;
    timer ??= setTimeout(() => void next(), trouble === undefined ? longestWaitMs : afterTroubleMs).unref();
  };
  const next = (): Promise<void> => {
    stopTimer();
    writing ??= write().finally(() => {
      writing = undefined;
      later();
    });
    return writing;
  };

  const flush = async (): Promise<void> => {
    await writing;
    if (waiting.size > 0) await next();
  };

  return {
    add(status) {
      if (abandoned) return;
      waiting.set(status.target, status);
      if (waiting.size >= mostWaiting && trouble === undefined) void next();
      else later();
    },
    flush,
    async end() {
      await flush();
      stopTimer();
      return trouble;
    },
    abandon() {
      abandoned = true;
      stopTimer();
      waiting.clear();
    },
  };
}
