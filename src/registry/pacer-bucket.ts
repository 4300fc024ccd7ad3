/** A rate that a host is known to take: so many requests a second, and so many at once that were saved up. */
export interface KnownRate {
  readonly perSecond: number;
  readonly burst: number;
}

/** What a pacer counts with: tells when the next request is within the host's rate. Times in milliseconds of the pacer's clock. */
export interface Bucket {
  /** Requests per second that are allowed now; Infinity while no limit is known. */
  readonly rate: number;
  /**
   * When the next request may go: `now` or later; Infinity while that is being found out (the bucket calls then).
   * @param wanted how many requests would go if they might
   */
  readyAt(now: number, wanted: number): number;
  /** A request goes. */
  take(now: number): void;
  /** The host took a request. */
  succeeded(now: number): void;
  /** The host refused a request for its rate's sake. */
  refused(now: number, refusal: Refusal): void;
}

export interface Refusal {
  /** When the request was sent. */
  readonly sentAt: number;
  /** What the host's Retry-After said, in milliseconds. */
  readonly retryAfterMs: number | undefined;
}
