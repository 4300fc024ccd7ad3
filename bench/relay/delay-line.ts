export interface DelayLineOptions {
  /** How long each byte is under way. */
  readonly delayMs: number;
  readonly bytesPerSecond: number | undefined;
  /** Nothing sets out before this much time from now: the handshake. */
  readonly firstByteMs: number;
  /** Takes what has arrived; `false` when it wants no more until {@link DelayLine.resume}. */
  deliver(bytes: Buffer): boolean;
  /** There is room again after the line was full. */
  roomAgain(): void;
  /** Everything has arrived after {@link DelayLine.end}. */
  ended(): void;
  /** How late a timer was, in milliseconds: a relay that cannot keep up shows here. */
  late(ms: number): void;
}

interface Parcel {
  readonly bytes: Buffer;
  readonly due: number;
}

/** A timer may fire early by what it rounds off. */
const toleranceMs = 0.5;
/** How much may be under way without slowing the sender, beyond what the delay itself holds at this bandwidth. */
const buffered = 512 * 1024;

/**
 * One direction of a connection over a long way: bytes arrive after a delay, and no faster than the bandwidth. The times
 * of arrival are reckoned, not slept: what a timer is late does not add up.
 */
export class DelayLine {
  readonly #options: DelayLineOptions;
  readonly #capacity: number;
  readonly #parcels: Parcel[] = [];
  #queuedBytes = 0;
  /** When the last byte so far leaves the sender. */
  #busyUntil: number;
  #timer: NodeJS.Timeout | undefined;
  #held = false;
  #full = false;
  #ending = false;

  constructor(options: DelayLineOptions) {
    this.#options = options;
    this.#busyUntil = performance.now() + options.firstByteMs;
    this.#capacity = buffered + ((options.bytesPerSecond ?? 1e9) * options.delayMs) / 1000;
  }

  /** The sender shall wait for `roomAgain`. */
  get full(): boolean {
    return this.#full;
  }

  push(bytes: Buffer): void {
    const { delayMs, bytesPerSecond } = this.#options;
    const now = performance.now();
    const start = Math.max(now, this.#busyUntil);
    this.#busyUntil = start + (bytesPerSecond === undefined ? 0 : (bytes.length / bytesPerSecond) * 1000);
    const due = this.#busyUntil + delayMs;
    if (this.#parcels.length === 0 && due <= now && !this.#held) {
      this.#held = !this.#options.deliver(bytes);
      this.#full = this.#held;
      return;
    }
    this.#parcels.push({ bytes, due });
    this.#queuedBytes += bytes.length;
    this.#schedule();
    this.#full ||= this.#queuedBytes >= this.#capacity;
  }

  /** The receiver wants more. */
  resume(): void {
    this.#held = false;
    this.#release();
  }

  /** Nothing more will be pushed. */
  end(): void {
    this.#ending = true;
    if (this.#parcels.length === 0) this.#options.ended();
  }

  /** Forgets everything under way. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#parcels.length = 0;
    this.#held = true;
  }

  #schedule(): void {
    const [next] = this.#parcels;
    if (next === undefined || this.#held || this.#timer !== undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#options.late(Math.max(0, performance.now() - next.due));
        this.#release();
      },
      Math.max(0, next.due - performance.now()),
    );
  }

  #release(): void {
    const now = performance.now();
    let taken = 0;
    for (const { bytes, due } of this.#parcels) {
      if (this.#held || due > now + toleranceMs) break;
      taken += 1;
      this.#queuedBytes -= bytes.length;
      this.#held = !this.#options.deliver(bytes);
    }
    this.#parcels.splice(0, taken);
    this.#schedule();
    if (this.#full && !this.#held && this.#queuedBytes < this.#capacity / 2) {
      this.#full = false;
      this.#options.roomAgain();
    }
    if (this.#ending && taken > 0 && this.#parcels.length === 0) this.#options.ended();
  }
}
