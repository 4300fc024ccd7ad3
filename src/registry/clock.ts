import { cancellation } from './cancelled.ts';

/** How a pacer waits and rolls dice; replaced in tests. Times in milliseconds, `now` monotonic. */
export interface PacerClock {
  now(): number;
  /** Calls back once after the delay; returns a function that cancels it. */
  after(ms: number, callback: () => void): () => void;
  /** A number in [0, 1). */
  random(): number;
}

export const systemClock: PacerClock = {
  now: () => performance.now(),
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
};

/** @throws `cancelled`, at once when the signal aborts */
export function pause(clock: PacerClock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(cancellation(signal));
      return;
    }
    const cancel = clock.after(ms, () => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
    const onAbort = (): void => {
      cancel();
      reject(cancellation(signal));
    };
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
