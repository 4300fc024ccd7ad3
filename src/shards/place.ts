import { type Cluster, imagesOf } from './clusters.ts';
import { Placement } from './placement.ts';
import { PriorityQueue } from './queue.ts';
import type { Shared, Work } from './work.ts';

/**
 * Longest processing time first (R. L. Graham, "Bounds on multiprocessing timing anomalies", 1969), over clusters: the largest is
 * placed first, where most of its bytes are already, else where there is the least to do. What goes in nowhere whole is taken
 * apart, and its parts wait for their turn. Shards may stay empty.
 * @param most seconds that a shard should have at most; only a single image that fits nowhere exceeds it
 */
export function placeClusters(work: Work, clusters: readonly Cluster[], count: number, most: number): Placement {
  const placement = new Placement(work, count);
  const queue = new PriorityQueue<Cluster>(
    (a, b) => a.seconds > b.seconds || (a.seconds === b.seconds && a.first < b.first),
  );
  for (const cluster of clusters) queue.push(cluster);
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const images = next.seconds <= most || next.image !== undefined ? imagesOf(next) : undefined;
    const shard = images && bestPlace(placement, next, placement.sharedBy(images), most);
    if (shard === undefined) for (const part of next.parts) queue.push(part);
    else for (const image of images ?? []) placement.put(image, shard);
  }
  return placement;
}

/** `undefined`: nowhere, but its parts may fit. */
function bestPlace(placement: Placement, cluster: Cluster, shared: Iterable<Shared>, most: number): number | undefined {
  const holders = placement.survey(shared);
  const after = (shard: number): number => placement.seconds(shard) + cluster.seconds - placement.savedSeconds(shard);
  let best: number | undefined;
  for (const shard of holders) {
    if (after(shard) > most) continue;
    const more = best === undefined ? 1 : placement.savedBytes(shard) - placement.savedBytes(best);
    if (best === undefined || more > 0 || (more === 0 && isBefore(placement, shard, best))) best = shard;
  }
  if (best !== undefined) return best;
  const lightest = placement.lightest();
  if (after(lightest) <= most) return lightest;
  if (cluster.image === undefined) return undefined;
  return holders.reduce((least, shard) => (after(shard) < after(least) ? shard : least), lightest);
}

function isBefore(placement: Placement, shard: number, other: number): boolean {
  const less = placement.seconds(shard) - placement.seconds(other);
  return less < 0 || (less === 0 && shard < other);
}
