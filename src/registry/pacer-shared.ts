import { LearnedRate } from './learned-rate.ts';
import type { Bucket, KnownRate, Refusal } from './pacer-bucket.ts';
import type { PacerClock } from './clock.ts';

/**
 * One rate that several processes spend together. It hands out places in time: each is good for one request, and no two
 * processes get the same. Nothing here rejects: where places cannot be had, the answer is to go on alone.
 */
export interface SharedRate {
  /** What the host takes from all processes together. */
  readonly known: KnownRate;
  /** What one process keeps to while it goes on alone. */
  readonly alone: KnownRate;
  /** Takes the next `count` free places. */
  reserve(count: number): Promise<Reservation>;
  /**
   * Tells all processes that the host refused a request.
   * @param agoMs how long ago that was sent
   * @returns the rate that is in force now, in requests per second, for all processes together
   */
  refused(agoMs: number, retryAfterMs: number | undefined): Promise<number>;
}

export type Reservation =
  /** `dueMs`: milliseconds from now, ascending, after which each place may be used. `perSecond`: the rate in force. */
  | { readonly kind: 'places'; readonly dueMs: readonly number[]; readonly perSecond: number }
  /** There are no places to be had; to be asked again after `forMs` milliseconds. */
  | { readonly kind: 'alone'; readonly forMs: number };

/** The shared rate of a host that is known to take so much; `undefined` where that host's rate is not shared. */
export type ShareRates = (host: string, known: KnownRate) => SharedRate | undefined;

/** Requests that come within so many milliseconds ask for their places together. */
const gatherMs = 4;
/** Places for so many seconds of the whole rate are asked for at once: few, as they are lost with a process that dies. */
const batchSeconds = 0.5;
/** While there are more places than are asked for, so many more are taken: the next request need not wait for an answer. */
const spareAtOnce = 2;
/** A place may be late by this share of the time in which the host saves up all that it can. */
const lateShare = 0.5;
/** A rate that fell to less than this share of what it was makes the places of the former rate worthless. */
const fallen = 0.9;

interface Place {
  readonly at: number;
  /** The rate that it was handed out at. */
  readonly perSecond: number;
}

/**
 * Keeps to a rate that is shared with other processes. Places are asked for only while requests wait: a few at a time (and
 * a few more while there is no lack of them), the next ones before the last are used up. A place may be used a little
 * late, as the host saves up meanwhile; after that it is lost.
 */
export class SharedBucket implements Bucket {
  readonly #shared: SharedRate;
  readonly #clock: PacerClock;
  readonly #wake: () => void;
  /** Places that may be used still, ascending. */
  #places: readonly Place[] = [];
  #rate: number;
  /** While there are no places to be had: what is kept to instead, and when to ask again. */
  #alone: { readonly bucket: LearnedRate; askAgainAt: number } | undefined;
  #asking = false;
  #wanted = 0;
  #spare = 0;

  /** @param wake called when what `readyAt` says has changed */
  constructor(shared: SharedRate, clock: PacerClock, wake: () => void) {
    this.#shared = shared;
    this.#clock = clock;
    this.#wake = wake;
    this.#rate = shared.known.perSecond;
  }

  get rate(): number {
    return this.#alone?.bucket.rate ?? this.#rate;
  }

  readyAt(now: number, wanted: number): number {
    this.#wanted = wanted;
    const { perSecond, burst } = this.#shared.known;
    const oldest = now - (lateShare * burst * 1000) / perSecond;
    if ((this.#places[0]?.at ?? now) < oldest) this.#places = this.#places.filter(({ at }) => at >= oldest);
    if (this.#alone === undefined || now >= this.#alone.askAgainAt) this.#askSoon();
    return this.#alone?.bucket.readyAt(now) ?? this.#places[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  take(): void {
    if (this.#alone === undefined) this.#places = this.#places.slice(1);
    else this.#alone.bucket.take();
  }

  succeeded(now: number): void {
    this.#alone?.bucket.succeeded(now);
  }

  refused(now: number, { sentAt, retryAfterMs }: Refusal): void {
    if (this.#alone === undefined) void this.#tellRefused(now - sentAt, retryAfterMs);
    else this.#alone.bucket.refused(now);
  }

  get #batch(): number {
    return Math.max(1, Math.min(10, Math.round(this.#rate * batchSeconds)));
  }

  #askSoon(): void {
    if (this.#asking || this.#places.length > this.#batch / 2 || this.#wanted <= this.#places.length) return;
    this.#asking = true;
    this.#clock.after(gatherMs, () => void this.#ask());
  }

  async #ask(): Promise<void> {
    const missing = this.#wanted - this.#places.length;
    if (missing > 0) this.#accept(await this.#shared.reserve(Math.min(missing + this.#spare, this.#batch)));
    this.#asking = false;
    this.#wake();
  }

  #accept(reservation: Reservation): void {
    const now = this.#clock.now();
    if (reservation.kind === 'alone') {
      const bucket = this.#alone?.bucket ?? new LearnedRate(this.#shared.alone, now);
      this.#alone = { bucket, askAgainAt: now + reservation.forMs };
      this.#places = [];
      return;
    }
    const { dueMs, perSecond } = reservation;
    this.#alone = undefined;
    this.#spare = dueMs.at(-1) === 0 ? spareAtOnce : 0;
    this.#adopt(perSecond);
    this.#places = [...this.#places, ...dueMs.map((due) => ({ at: now + due, perSecond }))];
  }

  async #tellRefused(agoMs: number, retryAfterMs: number | undefined): Promise<void> {
    this.#adopt(await this.#shared.refused(agoMs, retryAfterMs));
    this.#wake();
  }

  #adopt(perSecond: number): void {
    this.#rate = perSecond;
    this.#places = this.#places.filter((place) => perSecond >= fallen * place.perSecond);
  }
}
