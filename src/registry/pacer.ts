import { cancellation } from './cancelled.ts';
import type { PacerClock } from './clock.ts';
import { LearnedRate } from './learned-rate.ts';
import type { Bucket, KnownRate } from './pacer-bucket.ts';
import { SharedBucket, type SharedRate } from './pacer-shared.ts';

export interface PacerOptions {
  /** Requests under way at once. */
  readonly concurrency: number;
  /**
   * Requests under way at once at first, one more with every second success: of a host that refuses what goes beyond its
   * limit, no more than are under way are refused when it is found. Default: all.
   */
  readonly begin?: number | undefined;
  /**
   * A request that has been under way for so long, in milliseconds, hangs, and does not count where fewer than `concurrency`
   * may be under way: one that the host will never answer would keep back all others. Default: none hangs.
   */
  readonly hangingMs?: number | undefined;
  /** A rate that is known beforehand (ECR PutImage: 10 a second, burst 10). Without it the rate starts unlimited and is learned. */
  readonly rate?: KnownRate | undefined;
  /** A rate that is spent together with other processes, instead of `rate`. */
  readonly shared?: SharedRate | undefined;
  /** First back-off without Retry-After, doubled with each further one, up to `maxMs`; half of it is left to chance. */
  readonly baseMs: number;
  readonly maxMs: number;
  readonly clock: PacerClock;
  /** Told how many requests wait because of a rate limit or a back-off now. */
  readonly onWaiting?: (count: number) => void;
}

/** Leave to send one request. Give it back with `release`. */
export interface Ticket {
  /** How many refusals the pacer had seen when it gave leave. */
  readonly epoch: number;
  /** When it gave leave, in milliseconds. */
  readonly at: number;
}

interface Waiter {
  readonly resolve: (ticket: Ticket) => void;
}

/**
 * Decides when requests of one class to one host may go: at most `concurrency` at once, at most a known or learned rate,
 * and none while the host has asked for a pause. After a pause one request probes; the others follow when it succeeds, so
 * that a limit is never answered with a storm (AWS Builders' Library, "Timeouts, retries, and backoff with jitter").
 *
 * Refusals (429) teach the rate that the host takes (`LearnedRate`), or all processes that share it (`SharedBucket`).
 */
export class Pacer {
  readonly #options: PacerOptions;
  readonly #queue: Waiter[] = [];
  /** Under way now, the oldest first. */
  readonly #active = new Set<Ticket>();
  /** How many may be under way now: cut by a refusal, one more with each success, so that no round of refusals is large. */
  #window: number;
  #neverRefused = true;
  #blockedUntil = 0;
  #strikes = 0;
  #probe: Ticket | undefined;
  #epoch = 0;
  #cancelWake: (() => void) | undefined;
  #wakeAt = Number.POSITIVE_INFINITY;
  #waiting = 0;
  readonly #bucket: Bucket;

  constructor(options: PacerOptions) {
    this.#options = options;
    this.#window = options.begin ?? options.concurrency;
    this.#bucket =
      options.shared === undefined
        ? new LearnedRate(options.rate, options.clock.now())
        : new SharedBucket(options.shared, options.clock, () => this.#pump());
  }

  /** The rate in requests per second that is in force now; Infinity while no limit is known. */
  get rate(): number {
    return this.#bucket.rate;
  }

  /**
   * Leave to send one request: at once where nothing stands against it, else a promise. `again` goes before those who
   * have not tried yet. @throws `cancelled` through the promise when the signal aborts
   */
  admit(signal: AbortSignal, again = false): Ticket | Promise<Ticket> {
    if (signal.aborted) return Promise.reject(cancellation(signal));
    if (this.#queue.length === 0 && this.#obstacle() === undefined) return this.#ticket();
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        resolve: (ticket) => {
          signal.removeEventListener('abort', onAbort);
          resolve(ticket);
        },
      };
      const onAbort = (): void => {
        const index = this.#queue.indexOf(waiter);
        if (index >= 0) this.#queue.splice(index, 1);
        reject(cancellation(signal));
        this.#pump();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      if (again) this.#queue.unshift(waiter);
      else this.#queue.push(waiter);
      this.#pump();
    });
  }

  /** The request's connection is free again. */
  release(ticket: Ticket): void {
    this.#active.delete(ticket);
    if (this.#probe === ticket) this.#probe = undefined;
    this.#pump();
  }

  /** The host answered the request, whatever it said (429 apart). */
  succeeded(ticket: Ticket): void {
    this.#bucket.succeeded(this.#options.clock.now());
    if (ticket.epoch !== this.#epoch) return;
    if (this.#window < this.#options.concurrency) this.#window += this.#neverRefused ? 0.5 : 1;
    if (this.#strikes === 0) return;
    this.#strikes = 0;
    this.#probe = undefined;
    this.#pump();
  }

  /**
   * The host asked for less. Requests that were already under way when it did so before count as the same refusal.
   * @param retryAfterMs what its Retry-After said
   * @returns how long the class pauses now, and whether this was a new refusal
   */
  throttled(ticket: Ticket, retryAfterMs: number | undefined): { readonly pauseMs: number; readonly fresh: boolean } {
    const now = this.#options.clock.now();
    const fresh = ticket.epoch === this.#epoch;
    if (fresh) {
      this.#strikes += 1;
      this.#neverRefused = false;
      this.#epoch += 1;
      const cut = this.rate === Number.POSITIVE_INFINITY ? 4 : 2;
      this.#window = Math.max(1, Math.floor(Math.min(this.#window, this.#active.size) / cut));
      this.#bucket.refused(now, { sentAt: ticket.at, retryAfterMs });
    }
    const { baseMs, maxMs, clock } = this.#options;
    // Where the rate is about known, the next place is not far off.
    const base =
      this.#strikes === 1
        ? Math.min(baseMs, this.rate === Number.POSITIVE_INFINITY ? baseMs : 1_500 / this.rate)
        : baseMs;
    const ceiling = Math.min(maxMs, base * 2 ** (this.#strikes - 1));
    if (fresh || retryAfterMs !== undefined) {
      // A little jitter on top of Retry-After keeps several processes from coming back in the same instant.
      const pause =
        retryAfterMs === undefined
          ? ceiling * (0.5 + clock.random() / 2)
          : retryAfterMs + clock.random() * Math.min(250, baseMs);
      this.#blockedUntil = Math.max(this.#blockedUntil, now + pause);
    }
    return { pauseMs: Math.max(0, this.#blockedUntil - now), fresh };
  }

  /** What keeps the next request from going: a time to wait until, or another request's end (`wait`). */
  #obstacle(): number | 'wait' | undefined {
    const now = this.#options.clock.now();
    const free = this.#freeAt();
    if (free === 'wait' || free > now) return free;
    if (now < this.#blockedUntil) return this.#blockedUntil;
    const ready = this.#bucket.readyAt(
      now,
      Math.max(1, Math.min(this.#queue.length, this.#window - this.#active.size)),
    );
    return ready > now ? ready : undefined;
  }

  /** When there is a place for one more request, if those under way stay: at once (0), or when enough of them count as hanging. */
  #freeAt(): number | 'wait' {
    const { concurrency, hangingMs } = this.#options;
    const places = Math.floor(this.#window);
    if (this.#active.size >= concurrency) return 'wait';
    const before = this.#strikes > 0 && this.#probe !== undefined ? this.#probe : undefined;
    const full = this.#active.size >= places ? [...this.#active].at(-places) : undefined;
    if (before === undefined && full === undefined) return 0;
    return hangingMs === undefined ? 'wait' : Math.max(before?.at ?? 0, full?.at ?? 0) + hangingMs;
  }

  #ticket(): Ticket {
    const at = this.#options.clock.now();
    const ticket = { epoch: this.#epoch, at };
    if (this.#strikes > 0) this.#probe = ticket;
    this.#active.add(ticket);
    this.#bucket.take(at);
    return ticket;
  }

  #pump(): void {
    let obstacle: number | 'wait' | undefined;
    while (this.#queue.length > 0) {
      obstacle = this.#obstacle();
      if (obstacle !== undefined) break;
      this.#queue.shift()?.resolve(this.#ticket());
    }
    const limited = typeof obstacle === 'number' || (obstacle === 'wait' && this.#window < this.#options.concurrency);
    this.#reportWaiting(limited ? this.#queue.length : 0);
    if (typeof obstacle === 'number') this.#wakeUpAt(obstacle);
    else this.#sleepOn();
  }

  #wakeUpAt(due: number): void {
    if (this.#wakeAt <= due) return;
    this.#cancelWake?.();
    this.#wakeAt = due;
    this.#cancelWake = this.#options.clock.after(Math.max(1, Math.ceil(due - this.#options.clock.now())), () => {
      this.#wakeAt = Number.POSITIVE_INFINITY;
      this.#cancelWake = undefined;
      this.#pump();
    });
  }

  #sleepOn(): void {
    this.#wakeAt = Number.POSITIVE_INFINITY;
    this.#cancelWake?.();
    this.#cancelWake = undefined;
  }

  #reportWaiting(count: number): void {
    if (count === this.#waiting) return;
    this.#waiting = count;
    this.#options.onWaiting?.(count);
  }
}
