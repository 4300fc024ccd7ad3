import type { Bucket, KnownRate } from './pacer-bucket.ts';

/** The host's bucket was empty at `at` (milliseconds); it had accepted so many requests until then. */
interface Emptied {
  readonly at: number;
  readonly accepted: number;
}

/** How far back the host's behaviour is looked at, in milliseconds: its limit may change. */
const horizonMs = 15_000;
/** Two refusals closer to each other than this say nothing about a rate, in milliseconds. */
const leastMs = 50;
/** So long without anything accepted is an outage, not a rate; in milliseconds. */
const outageMs = 2_000;
/** Growth of the rate per second while nothing is refused: at least, and at most; doubled every `patienceMs`. */
const growth = { least: 0.01, most: 1 };
const patienceMs = 3_000;

/**
 * A token bucket that mirrors the one of a host, learned from its refusals. Whenever a host that counts with a token
 * bucket refuses, its bucket is empty. So what it accepted between two refusals, divided by the time between them, is
 * its rate, exact to one request; and it fills in the same way as ours from then on, so that what could not be used
 * while there was nothing to send is not lost.
 */
export class LearnedRate implements Bucket {
  /** Requests per second that are allowed now; Infinity while no limit is known. */
  rate: number;
  readonly #ceiling: number;
  #burst: number;
  #tokens: number;
  #filledAt: number;
  #accepted = 0;
  #lastAcceptedAt: number;
  #emptied: Emptied[] = [];
  /** What the host seemed to take when it refused last. */
  #refusedRate = Number.POSITIVE_INFINITY;
  #refusedAt = Number.NEGATIVE_INFINITY;
  /** How far off the rate may be, as a share of it: it is approached from below by so much a second. */
  #doubt = growth.least;
  #grownAt = 0;
  /** Requests accepted in this second and in the one before. */
  #second = { start: 0, count: 0, before: 0 };

  constructor(known: KnownRate | undefined, now: number) {
    // One hundredth below what is known: two clocks are never quite alike, and a refusal costs more.
    this.rate = known === undefined ? Number.POSITIVE_INFINITY : known.perSecond * 0.99;
    this.#ceiling = this.rate;
    this.#burst = Math.max(1, known?.burst ?? 1);
    this.#tokens = this.#burst;
    this.#filledAt = now;
    this.#lastAcceptedAt = now;
    this.#second.start = now;
  }

  /** When there is a token: `now` or later. */
  readyAt(now: number): number {
    if (this.rate === Number.POSITIVE_INFINITY) return now;
    this.#fill(now);
    // A hair's breadth of tolerance: floating point must not cost another timer round.
    return this.#tokens >= 0.999 ? now : now + ((1 - this.#tokens) * 1000) / this.rate;
  }

  take(): void {
    if (this.rate !== Number.POSITIVE_INFINITY) this.#tokens -= 1;
  }

  succeeded(now: number): void {
    this.#accepted += 1;
    this.#lastAcceptedAt = now;
    const aged = now - this.#second.start;
    if (aged >= 1000) this.#second = { start: now, count: 0, before: aged < 2000 ? this.#second.count : 0 };
    this.#second.count += 1;
    if (this.rate < this.#ceiling) this.#grow(now);
  }

  refused(now: number): void {
    this.#fill(now);
    this.#emptied = this.#emptied.filter(({ at }) => now - at <= horizonMs);
    if (now - this.#lastAcceptedAt > outageMs) this.#emptied = [];
    const since = this.#emptied.find(({ at }) => now - at >= leastMs);
    const accepted = since === undefined ? 0 : this.#accepted - since.accepted;
    if (since !== undefined && accepted > 0) {
      const measured = (accepted * 1000) / (now - since.at);
      const lowest = this.rate === Number.POSITIVE_INFINITY ? 0.5 : this.rate / 2;
      this.rate = Math.min(Math.max(measured, lowest), this.#ceiling);
      this.#refusedRate = this.rate;
      this.#doubt = Math.min(1 / accepted, 0.5);
    } else if (this.rate === Number.POSITIVE_INFINITY) {
      // What it took at once is its burst, perhaps with some of what flowed in meanwhile: half of it is safe.
      const recent = this.#second.count + (now - this.#second.start < 1000 ? this.#second.before : 0);
      this.#burst = Math.min(Math.max(1, recent / 2), 50);
    }
    if (this.#emptied.at(-1)?.accepted !== this.#accepted) this.#emptied.push({ at: now, accepted: this.#accepted });
    this.#tokens = 0;
    this.#filledAt = now;
    this.#refusedAt = now;
    this.#grownAt = now;
  }

  #fill(now: number): void {
    if (this.rate === Number.POSITIVE_INFINITY) return;
    const tokens = this.#tokens + ((now - this.#filledAt) * this.rate) / 1000;
    // Full, as the host's is: what it lets pass from now on does not show how fast it fills.
    if (tokens > this.#burst + 1) this.#emptied = [];
    this.#tokens = Math.min(this.#burst, tokens);
    this.#filledAt = now;
  }

  #grow(now: number): void {
    const patience = Math.floor((now - this.#refusedAt) / patienceMs);
    const perSecond = Math.min(growth.most, Math.max(growth.least, this.#doubt) * 2 ** Math.min(patience, 16));
    this.#fill(now);
    this.rate *= 1 + (perSecond * Math.min(1_000, now - this.#grownAt)) / 1000;
    this.#grownAt = now;
    if (this.rate > 8 * this.#refusedRate) this.rate = this.#ceiling;
    this.rate = Math.min(this.rate, this.#ceiling);
  }
}
