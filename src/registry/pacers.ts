import { BusyTime } from '../report/busy-time.ts';
import type { ProgressCounters } from '../report/events.ts';
import type { KnownRate } from './pacer-bucket.ts';
import type { ShareRates } from './pacer-shared.ts';
import type { PacerClock } from './clock.ts';
import { Pacer } from './pacer.ts';

/** Kinds of requests that a host limits apart from each other. */
export type RequestClass = 'head' | 'get' | 'blob-get' | 'upload-post' | 'blob-put' | 'manifest-put' | 'token' | 'api';

export function isTransfer(requestClass: RequestClass): boolean {
  return requestClass === 'blob-get' || requestClass === 'blob-put';
}

/** Where time under way with a request of this class belongs. */
export function busyTimeOf(requestClass: RequestClass, counters: ProgressCounters | undefined): BusyTime | undefined {
  if (requestClass === 'blob-get') return counters?.busy.reading;
  const writes = requestClass === 'blob-put' || requestClass === 'manifest-put' || requestClass === 'upload-post';
  return writes ? counters?.busy.writing : undefined;
}

export interface PacersOptions {
  /** Small requests under way to one host, per class. */
  readonly requestsPerHost: number;
  /** Blob bodies under way to or from one host, per direction. */
  readonly transfersPerHost: number;
  /** First and longest back-off, in milliseconds. */
  readonly baseMs: number;
  readonly maxMs: number;
  readonly clock: PacerClock;
  readonly counters: ProgressCounters | undefined;
}

/** Manifests on their way at once to a host whose limit is not known, at first: as many may be refused when it is found. */
const firstWrites = 4;

/** A small request without an answer for so long hangs, in milliseconds. Bodies of blobs take as long as they take. */
const hangingMs = 15_000;

/** The pacers of a run, one per origin and class of requests, and what they tell about waiting. */
export class Pacers {
  readonly #options: PacersOptions;
  readonly #pacers = new Map<string, Pacer>();
  readonly #rates = new Map<string, KnownRate>();
  #share: ShareRates | undefined;

  constructor(options: PacersOptions) {
    this.#options = options;
  }

  /** Tells the rate that a host is known to take. Counts for the first request of the class on. */
  limitRate(origin: string, requestClass: RequestClass, rate: KnownRate): void {
    const key = `${requestClass} ${origin}`;
    if (!this.#pacers.has(key)) this.#rates.set(key, rate);
  }

  /** Known rates are spent together with other processes. Counts for the first request of a class to a host on. */
  shareRates(share: ShareRates): void {
    this.#share = share;
  }

  of(origin: string, requestClass: RequestClass): Pacer {
    const key = `${requestClass} ${origin}`;
    let pacer = this.#pacers.get(key);
    if (pacer === undefined) this.#pacers.set(key, (pacer = this.#make(origin, requestClass, this.#rates.get(key))));
    return pacer;
  }

  #make(origin: string, requestClass: RequestClass, rate: KnownRate | undefined): Pacer {
    const { requestsPerHost, transfersPerHost, baseMs, maxMs, clock } = this.#options;
    const { host } = new URL(origin);
    let waiting = 0;
    return new Pacer({
      concurrency: isTransfer(requestClass) ? transfersPerHost : requestsPerHost,
      begin: rate === undefined && requestClass === 'manifest-put' ? firstWrites : undefined,
      hangingMs: isTransfer(requestClass) ? undefined : hangingMs,
      rate,
      shared: rate === undefined || requestClass !== 'manifest-put' ? undefined : this.#share?.(host, rate),
      baseMs: Math.max(baseMs, 1),
      maxMs,
      clock,
      onWaiting: (count) => {
        this.#tellWaiting(host, count - waiting);
        waiting = count;
      },
    });
  }

  #tellWaiting(host: string, more: number): void {
    const { counters } = this.#options;
    if (counters === undefined) return;
    const waiting = Math.max(0, (counters.throttled.get(host) ?? 0) + more);
    counters.throttled.set(host, waiting);
    let time = counters.busy.limited.get(host);
    if (time === undefined) counters.busy.limited.set(host, (time = new BusyTime()));
    time.set(waiting > 0, performance.now());
  }
}
