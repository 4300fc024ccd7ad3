import type { Answer } from './exchange.ts';
import { isLongRetryAfter } from './retry-after.ts';

/** Refusals for rate's sake do not mean failure: they have a budget of their own. Times in milliseconds. */
const budget = { tries: 15, leastMs: 20_000, ms: 300_000, longWaits: 2 };

/** The refusals for rate's sake that one request has met, made with the first of them. */
export class Refusals {
  readonly #started: number;
  #count = 0;
  #longWaits = 0;

  /** @param started when the request was first to be sent, in milliseconds */
  constructor(started: number) {
    this.#started = started;
  }

  get count(): number {
    return this.#count;
  }

  /**
   * Counts one more.
   * @returns whether the request has had its share: of tries, of time, or of pauses that nobody would wait for
   */
  exhaustedBy(answer: Answer, now: number): boolean {
    this.#count += 1;
    if (isLongRetryAfter(answer.headers['retry-after'], Date.now())) this.#longWaits += 1;
    const spent = now - this.#started;
    const over = (this.#count >= budget.tries && spent > budget.leastMs) || spent > budget.ms;
    return over || this.#longWaits > budget.longWaits;
  }
}
