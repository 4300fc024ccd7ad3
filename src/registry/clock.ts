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
