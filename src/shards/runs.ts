import { type Cluster, imagesOf } from './clusters.ts';
import { Placement } from './placement.ts';
import type { ImageWork, Work } from './work.ts';

/** Halvings of the span in which the shortest possible run lies. */
const steps = 30;

/** Orders in which neighbours have much in common: that of the plan (versions of a repository), and that of the tree. */
export function likelyOrders({ images }: Work, clusters: readonly Cluster[]): readonly (readonly ImageWork[])[] {
  return [images, clusters.flatMap((cluster) => [...imagesOf(cluster)].reverse())];
}

/**
 * Cuts a row of images into runs, at most one a shard, so that the longest is as short as it can be in this order (the first
 * that would be too much begins the next one, with a limit found by halving). What changes little by little, such as a
 * repository's versions, has no groups to be kept together, but each run of neighbours repeats little.
 * Shards may stay empty.
 */
export function placeRuns(work: Work, order: readonly ImageWork[], count: number): Placement {
  const cutter = new Cutter(work, order);
  let [least, most] = [0, work.total.seconds * 2 + order.reduce((sum, { own }) => Math.max(sum, own.seconds), 0)];
  while (cutter.runs(most) > count) most *= 2;
  for (let step = 0; step < steps && most - least > most * 1e-6; step += 1) {
    const middle = (least + most) / 2;
    if (cutter.runs(middle) > count) least = middle;
    else most = middle;
  }
  const placement = new Placement(work, count);
  cutter.runs(most, (image, run) => placement.put(image, run));
  return placement;
}

class Cutter {
  readonly #order: readonly ImageWork[];
  /** By group: the last run that had it; runs are numbered on and on. */
  readonly #last: Int32Array;
  #run = 0;

  constructor({ shared }: Work, order: readonly ImageWork[]) {
    this.#order = order;
    this.#last = new Int32Array(shared.length);
  }

  /** How many runs of at most so many seconds there are; a single image may be more. */
  runs(most: number, visit: (image: ImageWork, run: number) => void = () => undefined): number {
    const first = (this.#run += 1);
    let seconds = 0;
    for (const image of this.#order) {
      const more = this.#added(image);
      if (seconds > 0 && seconds + more > most) {
        this.#run += 1;
        seconds = image.alone.seconds;
      } else seconds += more;
      for (const group of image.shared) this.#last[group.id] = this.#run;
      visit(image, this.#run - first);
    }
    return this.#run - first + 1;
  }

  #added({ own, shared }: ImageWork): number {
    let { seconds } = own;
    for (const group of shared) if (this.#last[group.id] !== this.#run) seconds += group.seconds;
    return seconds;
  }
}
