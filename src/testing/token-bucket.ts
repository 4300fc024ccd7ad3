/** A rate as AWS states its quotas: so many requests a second, with a burst on top. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** Returns a function that tells whether one more request is within the rate, and counts it if so. */
export function tokenBucket(rate: Rate): () => boolean {
  let tokens = rate.burst;
  let last = performance.now();
  return () => {
    const now = performance.now();
    tokens = Math.min(rate.burst, tokens + ((now - last) / 1000) * rate.perSecond);
    last = now;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  };
}
