import { ReplicationError } from '../model/errors.ts';
import { clustersOf } from './clusters.ts';
import { checkCost, type CostModel, usualCost } from './cost.ts';
import { countFor } from './count.ts';
import { describeShards, type Shard } from './describe.ts';
import { fillEmpty, saveBytes, shortenLongest } from './improve.ts';
import { placeClusters } from './place.ts';
import type { Placement } from './placement.ts';
import { likelyOrders, placeRuns } from './runs.ts';
import { type ShardInput, type Work, workOf } from './work.ts';

export interface ShardOptions {
  /**
   * How many shards: exactly so many, or one an image where there are fewer images; `auto`: as many as are worth a worker
   * each, at most 1,000.
   */
  readonly count: number | 'auto';
  readonly cost?: CostModel | undefined;
  /** Workers that run at the same time, for `auto`: shards come out in rounds of so many. */
  readonly workers?: number | undefined;
}

export interface Partition {
  /** The longest first: what starts late should end soon. None is empty. */
  readonly shards: readonly Shard[];
  /** Of everything, each blob once. */
  readonly bytes: number;
  readonly manifests: number;
  /** What the shards' bytes add up to, divided by `bytes`: how often a byte leaves its source on average. At least 1. */
  readonly bytesFactor: number;
  /** Of the longest shard: how long all take when each has a worker of its own. */
  readonly seconds: number;
  /** No split into so many shards ends sooner: all work spread evenly, or the largest image. */
  readonly lowerBound: number;
}

/** Step Functions runs at most 10,000 children of a Distributed Map at a time. */
export const mostShards = 10_000;

/**
 * Splits artifacts over workers that know nothing of each other. Images that share blobs stay together where that saves bytes;
 * shards are balanced by the seconds that their bytes and manifests take. Same artifacts and options, same shards; the order of
 * artifacts and of their blobs does not matter.
 * @throws ReplicationError `usage` for options that make no sense, `internal` for two artifacts of the same index
 */
export function partition(inputs: readonly ShardInput[], options: ShardOptions): Partition {
  const { cost = usualCost } = options;
  check(inputs, options, cost);
  const work = workOf(inputs, cost);
  const splitInto = splitter(work);
  const finish = (count: number): Partition => finished(inputs, cost, work, splitInto(count));
  const { count } = options;
  if (count !== 'auto') return finish(Math.min(count, inputs.length));
  return countFor(work, options.workers, finish);
}

function check(inputs: readonly ShardInput[], { count, workers = 1 }: ShardOptions, cost: CostModel): void {
  checkCost(cost);
  for (const number of count === 'auto' ? [workers] : [count, workers])
    if (!Number.isInteger(number) || number < 1 || number > mostShards)
      throw new ReplicationError('usage', `${number} is no number of shards or workers`, {
        remedy: `use a whole number from 1 to ${mostShards.toLocaleString('en-US')}`,
      });
  if (new Set(inputs.map(({ index }) => index)).size < inputs.length)
    throw new ReplicationError('internal', 'two artifacts of a plan have the same index');
}

/** What a shard may take longer than the lower bound at first, in lower bounds; and how much more at each further attempt. */
const [firstSlack, moreSlack] = [0.005, 1.6];
/** No attempt begins after this effort, some five seconds. The largest real plan takes a quarter. */
const mostEffort = 80e6;

/** A plan is taken apart once, however many ways of splitting it are tried. */
function splitter(work: Work): (count: number) => readonly (readonly number[])[] {
  const clusters = clustersOf(work);
  const orders = likelyOrders(work, clusters);
  return (count) => {
    if (count === 0) return [];
    const bound = lowerBound(work, count);
    let best: readonly (readonly number[])[] = [];
    let least = Number.POSITIVE_INFINITY;
    let effort = 0;
    const consider = (placement: Placement): void => {
      const price = priceOf(placement, bound);
      if (price < least) [best, least] = [indexesOf(placement), price];
    };
    const improved = (placement: Placement, most: number): void => {
      fillEmpty(placement);
      saveBytes(placement, most);
      consider(placement);
      // Longer shards save bytes, but none is to be longer than that takes.
      shortenLongest(placement);
      consider(placement);
      effort += placement.effort;
    };
    for (const order of orders) {
      const placement = placeRuns(work, order, count);
      improved(placement, placement.seconds(placement.heaviest()));
    }
    // There is nothing to gain any more where their time alone costs as much as the best so far.
    for (let slack = firstSlack; 2 + slack / moreSlack < least && effort < mostEffort; slack *= moreSlack) {
      const most = bound * (1 + slack);
      improved(placeClusters(work, clusters, count, most), most);
    }
    return best;
  };
}

function indexesOf(placement: Placement): readonly (readonly number[])[] {
  return Array.from({ length: placement.count }, (_, shard) =>
    [...placement.images(shard)].map(({ index }) => index).sort((a, b) => a - b),
  );
}

/** A tenth more time is as bad as a tenth more bytes. */
function priceOf(placement: Placement, bound: number): number {
  const longest = placement.seconds(placement.heaviest());
  const { bytes } = placement.work.total;
  return (bound === 0 ? 1 : longest / bound) + (bytes === 0 ? 1 : placement.bytes / bytes);
}

function lowerBound({ images, total }: Work, count: number): number {
  const largest = images.reduce((most, { alone }) => Math.max(most, alone.seconds), 0);
  return Math.max(largest, count === 0 ? 0 : total.seconds / count);
}

function finished(
  inputs: readonly ShardInput[],
  cost: CostModel,
  work: Work,
  indexes: readonly (readonly number[])[],
): Partition {
  const shards = describeShards(inputs, indexes, cost);
  const { bytes } = work.total;
  const moved = shards.reduce((sum, shard) => sum + shard.bytes, 0);
  return {
    shards,
    bytes,
    manifests: shards.reduce((sum, { manifests }) => sum + manifests, 0),
    bytesFactor: bytes === 0 ? 1 : moved / bytes,
    seconds: shards[0]?.seconds ?? 0,
    lowerBound: lowerBound(work, shards.length),
  };
}
