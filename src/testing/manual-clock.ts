/** A clock that moves only when it is told to. Times in milliseconds. */
export interface ManualClock {
  now(): number;
  random(): number;
  /** Calls back once after the delay; returns a function that cancels it. */
  after(ms: number, callback: () => void): () => void;
  /** Lets so much time pass, with everything that happens meanwhile. */
  advance(ms: number): Promise<void>;
  pass(ms: number): Promise<void>;
}

/**
 * @param turns so many promises that wait for each other are settled before time goes on
 * @param random what dice show
 */
export function manualClock(turns = 5, random: () => number = () => 0.5): ManualClock {
  let now = 0;
  const timers = new Set<{ readonly at: number; readonly callback: () => void }>();
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
  };
  const after: ManualClock['after'] = (ms, callback) => {
    const timer = { at: now + ms, callback };
    timers.add(timer);
    return () => timers.delete(timer);
  };
  return {
    now: () => now,
    random,
    after,
    pass: (ms) => new Promise((resolve) => after(ms, resolve)),
    async advance(ms) {
      const end = now + ms;
      await settle();
      for (;;) {
        const next = earliest(timers);
        if (next === undefined || next.at > end) break;
        now = Math.max(now, next.at);
        timers.delete(next);
        next.callback();
        await settle();
      }
      now = end;
      await settle();
    },
  };
}

function earliest<Timer extends { readonly at: number }>(timers: ReadonlySet<Timer>): Timer | undefined {
  let first: Timer | undefined;
  for (const timer of timers) if (first === undefined || timer.at < first.at) first = timer;
  return first;
}
