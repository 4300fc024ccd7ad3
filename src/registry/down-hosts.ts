import { ReplicationError } from '../model/errors.ts';
import type { PacerClock } from './clock.ts';

interface Down {
  readonly error: ReplicationError;
  /** Ends, without an error, when the request that finds out whether the host is back has ended. */
  probe: Promise<void> | undefined;
  /** Until then nobody asks again, milliseconds of the clock. */
  quietUntil: number;
}

/** Longest time that a request waits for another one's finding: a large upload may be what finds out. */
const patienceMs = 5_000;
const leastQuietMs = 250;

/**
 * Hosts that answered nothing at all while one request used up its tries. One request at a time finds out whether they
 * are back, and others fail with it: whatever needs a dead host fails soon and together. A host that resets one blob
 * and serves others is not down.
 */
export class DownHosts {
  readonly #clock: PacerClock;
  readonly #down = new Map<string, Down>();
  readonly #answers = new Map<string, number>();

  constructor(clock: PacerClock) {
    this.#clock = clock;
  }

  has(origin: string): boolean {
    return this.#down.has(origin);
  }

  /** How many answers the host has given so far: what `gaveUp` is to be told of the time of the first failure. */
  answers(origin: string): number {
    return this.#answers.get(origin) ?? 0;
  }

  answered(origin: string): void {
    this.#answers.set(origin, this.answers(origin) + 1);
    this.#down.delete(origin);
  }

  /** A request has used up its tries. The host is down if it has answered nobody since the first of them failed. */
  gaveUp(origin: string, error: ReplicationError, answersThen: number): void {
    if (this.answers(origin) !== answersThen || this.#down.has(origin)) return;
    this.#down.set(origin, { error, probe: undefined, quietUntil: 0 });
  }

  /**
   * Does the work, unless the host is down and another request has just found that it still is.
   * @param what for messages: `manifest library/nginx:1.29`
   * @throws `unreachable`, final
   */
  async guard<T>(url: URL, what: string, work: () => Promise<T>): Promise<T> {
    const down = this.#down.get(url.origin);
    if (down === undefined) return work();
    if (down.probe === undefined && this.#clock.now() >= down.quietUntil) return this.#probing(down, work);
    if (down.probe !== undefined) await this.#atMost(patienceMs, down.probe);
    if (!this.#down.has(url.origin)) return work();
    throw new ReplicationError(
      'unreachable',
      `${down.error.message}; it has stopped answering, so this was not tried: ${what}`,
      { host: url.host, remedy: down.error.remedy, final: true, cause: down.error },
    );
  }

  async #probing<T>(down: Down, work: () => Promise<T>): Promise<T> {
    const started = this.#clock.now();
    const result = work();
    down.probe = result.then(
      () => undefined,
      () => undefined,
    );
    try {
      return await result;
    } finally {
      const ended = this.#clock.now();
      down.probe = undefined;
      // Half of the time at most goes into finding out: thousands of requests to a host that is gone end soon.
      down.quietUntil = ended + Math.max(leastQuietMs, ended - started);
    }
  }

  #atMost(ms: number, promise: Promise<void>): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(ms, resolve);
      void promise.then(() => {
        cancel();
        resolve();
      });
    });
  }
}
