/** Where a budget gets its time from; replaced in tests. */
export interface BudgetClock {
  /** Milliseconds on a clock that never jumps, the one that the pacers use. */
  now(): number;
  /** Milliseconds since the epoch, as this machine's clock has it. */
  wall(): number;
}

/** When a request went out and its answer came in, by the clock that never jumps, and what the answer's `Date` said. */
export interface DatedExchange {
  readonly sentAt: number;
  readonly answeredAt: number;
  /** Milliseconds since the epoch, a whole second (RFC 9110 section 5.6.7); `undefined` where the answer had no Date. */
  readonly date: number | undefined;
}

/** A `Date` cuts off what is below its second. */
const secondMs = 1000;
/** Clocks of machines drift apart by up to this share of the time that passes. */
const drift = 100e-6;

/**
 * The time that all workers share: this machine's clock, as long as it agrees with the dates of the answers of the
 * service that all of them ask. Each answer says in which second it was written, which bounds how far the machine's
 * clock can be off; the bounds of many answers leave little (intersection of intervals, as in K. Marzullo's algorithm,
 * RFC 5905 section 11.2.1). A clock outside of the bounds is put into their middle. So what a worker's wrong clock can do
 * is bounded by half a second at its first request, and soon by some ten milliseconds.
 */
export class SharedClock {
  readonly #clock: BudgetClock;
  /** How far the shared time is ahead of the clock that never jumps: at least, and at most; as of `at`. */
  #bounds: { readonly least: number; readonly most: number; readonly at: number } | undefined;

  constructor(clock: BudgetClock) {
    this.#clock = clock;
  }

  /** Milliseconds since the epoch. */
  now(): number {
    const now = this.#clock.now();
    const own = this.#clock.wall() - now;
    const bounds = this.#boundsAt(now);
    if (bounds === undefined || (own >= bounds.least && own <= bounds.most)) return now + own;
    return now + (bounds.least + bounds.most) / 2;
  }

  learn({ sentAt, answeredAt, date }: DatedExchange): void {
    if (date === undefined) return;
    // It was written after the request went out, and before the answer came in.
    const least = date - answeredAt;
    const most = date + secondMs - sentAt;
    const known = this.#boundsAt(answeredAt);
    const both = { least: Math.max(least, known?.least ?? least), most: Math.min(most, known?.most ?? most) };
    // Answers that contradict each other come from machines with other clocks: the last one counts.
    this.#bounds = both.least <= both.most ? { ...both, at: answeredAt } : { least, most, at: answeredAt };
  }

  #boundsAt(now: number): { readonly least: number; readonly most: number } | undefined {
    if (this.#bounds === undefined) return undefined;
    const { least, most, at } = this.#bounds;
    const slack = Math.max(0, now - at) * drift;
    return { least: least - slack, most: most + slack };
  }
}
