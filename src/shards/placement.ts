import type { Amount, ImageWork, Shared, Work } from './work.ts';

/** Which image is in which shard, and what that makes of the shards. Every blob counts once in each shard that has it. */
export class Placement {
  readonly work: Work;
  /** How many shards. */
  readonly count: number;
  /** Bytes of all shards. */
  bytes = 0;
  /** Places that surveys have looked at so far: what placing takes, told the same on any machine. */
  effort = 0;
  #total = 0;
  readonly #seconds: Float64Array;
  readonly #images: Set<ImageWork>[];
  readonly #places = new Map<ImageWork, number>();
  /** By group: how many images of a shard have it. */
  readonly #holders: Map<number, number>[];
  readonly #savedBytes: Float64Array;
  readonly #savedSeconds: Float64Array;
  #surveyed: number[] = [];
  /** By group: the last question that it was an answer to. */
  readonly #asked: Int32Array;
  #question = 0;

  constructor(work: Work, count: number) {
    this.work = work;
    this.count = count;
    this.#seconds = new Float64Array(count);
    this.#images = Array.from({ length: count }, () => new Set());
    this.#holders = work.shared.map(() => new Map<number, number>());
    this.#savedBytes = new Float64Array(count);
    this.#savedSeconds = new Float64Array(count);
    this.#asked = new Int32Array(work.shared.length);
  }

  seconds(shard: number): number {
    return this.#seconds[shard] ?? 0;
  }

  /** Of a shard, if all had as much to do. */
  meanSeconds(): number {
    return this.#total / this.count;
  }

  images(shard: number): ReadonlySet<ImageWork> {
    return this.#images[shard] ?? new Set();
  }

  placeOf(image: ImageWork): number {
    return this.#places.get(image) ?? -1;
  }

  put(image: ImageWork, shard: number): void {
    let { bytes, seconds } = image.own;
    for (const group of image.shared) {
      const holders = this.#holders[group.id];
      const held = holders?.get(shard) ?? 0;
      holders?.set(shard, held + 1);
      if (held > 0) continue;
      bytes += group.bytes;
      seconds += group.seconds;
    }
    this.#change(shard, bytes, seconds);
    this.#images[shard]?.add(image);
    this.#places.set(image, shard);
  }

  take(image: ImageWork): void {
    const shard = this.placeOf(image);
    const { bytes, seconds } = this.freedBy(image);
    for (const group of image.shared) {
      const holders = this.#holders[group.id];
      const held = holders?.get(shard) ?? 0;
      if (held > 1) holders?.set(shard, held - 1);
      else holders?.delete(shard);
    }
    this.#change(shard, -bytes, -seconds);
    this.#images[shard]?.delete(image);
    this.#places.delete(image);
  }

  move(image: ImageWork, shard: number): void {
    this.take(image);
    this.put(image, shard);
  }

  /** What its shard would be spared without an image. */
  freedBy(image: ImageWork): Amount {
    const shard = this.placeOf(image);
    let { bytes, seconds } = image.own;
    for (const group of image.shared) {
      if (this.#holders[group.id]?.get(shard) !== 1) continue;
      bytes += group.bytes;
      seconds += group.seconds;
    }
    return { bytes, seconds };
  }

  /** What images share with each other or with others, each once. */
  sharedBy(images: readonly ImageWork[]): readonly Shared[] {
    const [first] = images;
    if (first !== undefined && images.length === 1) return first.shared;
    this.#question += 1;
    const groups: Shared[] = [];
    for (const { shared } of images)
      for (const group of shared) {
        if (this.#asked[group.id] === this.#question) continue;
        this.#asked[group.id] = this.#question;
        groups.push(group);
      }
    return groups;
  }

  /** What a shard would have to do more with an image that is in none. */
  addedSeconds(image: ImageWork, shard: number): number {
    this.effort += 1 + image.shared.length;
    let { seconds } = image.own;
    for (const group of image.shared) if (this.#holders[group.id]?.has(shard) !== true) seconds += group.seconds;
    return seconds;
  }

  /**
   * Looks where some of these blobs are already.
   * @returns the shards; `savedBytes` and `savedSeconds` tell of them until the next survey
   */
  survey(groups: Iterable<Shared>): readonly number[] {
    for (const shard of this.#surveyed) this.#savedBytes[shard] = this.#savedSeconds[shard] = 0;
    this.#surveyed = [];
    this.effort += 4;
    for (const { id, bytes, seconds } of groups) {
      const holders = this.#holders[id];
      this.effort += 1 + (holders?.size ?? 0);
      for (const shard of holders?.keys() ?? []) {
        if (this.savedSeconds(shard) === 0) this.#surveyed.push(shard);
        this.#savedBytes[shard] = this.savedBytes(shard) + bytes;
        this.#savedSeconds[shard] = this.savedSeconds(shard) + seconds;
      }
    }
    return this.#surveyed;
  }

  savedBytes(shard: number): number {
    return this.#savedBytes[shard] ?? 0;
  }

  savedSeconds(shard: number): number {
    return this.#savedSeconds[shard] ?? 0;
  }

  /** The first of those with the least to do. */
  lightest(): number {
    let [best, least] = [0, Number.POSITIVE_INFINITY];
    for (let shard = 0; shard < this.count; shard += 1) {
      const seconds = this.seconds(shard);
      if (seconds < least) [best, least] = [shard, seconds];
    }
    return best;
  }

  /** The first of those with the most to do. */
  heaviest(): number {
    let [best, most] = [0, Number.NEGATIVE_INFINITY];
    for (let shard = 0; shard < this.count; shard += 1) {
      const seconds = this.seconds(shard);
      if (seconds > most) [best, most] = [shard, seconds];
    }
    return best;
  }

  #change(shard: number, bytes: number, seconds: number): void {
    this.bytes += bytes;
    this.#total += seconds;
    this.#seconds[shard] = this.seconds(shard) + seconds;
  }
}
