import { setTimeout as wait } from 'node:timers/promises';

/** Time as the scheduler needs it; tests give one of their own. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Ends after `ms`, or at once when aborted; never fails. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  async sleep(ms, signal) {
    try {
      await wait(ms, undefined, { signal });
    } catch {
      // Aborted: the caller looks at its signal.
    }
  },
};
