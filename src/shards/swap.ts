import type { Placement } from './placement.ts';
import type { ImageWork } from './work.ts';

/** An image of the longest shard, and one of another shard that takes its place. */
export interface Swap {
  readonly image: ImageWork;
  readonly other: ImageWork;
  /** Of the longer one of both shards, afterwards. */
  readonly seconds: number;
}

/** Of its seconds, what a swap has to take off the longest shard. */
const leastGain = 1e-4;

/**
 * The swap that shortens the longest shard most. Where images are few or cost much the same, no single one can move: any shard
 * that took one more would be the longest then.
 * @param mostEffort of the placement's measure, after which the best of those that were looked at counts
 */
export function bestSwap(placement: Placement, from: number, mostEffort: number): Swap | undefined {
  const start = placement.effort;
  const longest = placement.seconds(from);
  const others = placement.work.images.filter((image) => placement.placeOf(image) !== from);
  let best: Swap | undefined;
  for (const image of [...placement.images(from)]) {
    if (placement.effort - start > mostEffort) break;
    const found = swapFor(placement, image, others, best?.seconds ?? longest * (1 - leastGain));
    if (found !== undefined) best = found;
  }
  return best;
}

/** @param most seconds that either shard has to stay below */
function swapFor(placement: Placement, image: ImageWork, others: readonly ImageWork[], most: number): Swap | undefined {
  const from = placement.placeOf(image);
  placement.take(image);
  let best: Swap | undefined;
  for (const other of others) {
    const limit = best?.seconds ?? most;
    const here = placement.seconds(from) + other.own.seconds;
    if (here >= limit || here + placement.addedSeconds(other, from) - other.own.seconds >= limit) continue;
    const there = placement.placeOf(other);
    placement.take(other);
    const seconds = Math.max(
      placement.seconds(from) + placement.addedSeconds(other, from),
      placement.seconds(there) + placement.addedSeconds(image, there),
    );
    placement.put(other, there);
    if (seconds < limit) best = { image, other, seconds };
  }
  placement.put(image, from);
  return best;
}
