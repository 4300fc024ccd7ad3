/** Adds up the time during which at least one of many overlapping things goes on. Times in milliseconds, monotonic. */
export class BusyTime {
  #count = 0;
  #since = 0;
  #total = 0;

  begin(now: number): void {
    if (this.#count === 0) this.#since = now;
    this.#count += 1;
  }

  end(now: number): void {
    this.#count -= 1;
    if (this.#count === 0) this.#total += now - this.#since;
  }

  /** Busy or not from now on, for things that are not counted. */
  set(busy: boolean, now: number): void {
    if (busy && this.#count === 0) this.begin(now);
    else if (!busy && this.#count > 0) {
      this.#count = 1;
      this.end(now);
    }
  }

  /** Busy time until now, in milliseconds. */
  total(now: number): number {
    return this.#total + (this.#count > 0 ? now - this.#since : 0);
  }
}
