import { usualCost } from '../../src/shards/cost.ts';
import { describeShards } from '../../src/shards/describe.ts';
import type { Partition } from '../../src/shards/partition.ts';
import type { ShardInput } from '../../src/shards/work.ts';
import { uniform } from '../corpus/seeded.ts';

/** What a split would be that knows nothing of shared blobs. */
export interface BlindSplit {
  readonly bytesFactor: number;
  /** Of its longest shard, by the usual cost. */
  readonly seconds: number;
}

/** Deals artifacts out in an order that depends on the seed only, as many to each shard. */
export function dealtSplit(inputs: readonly ShardInput[], count: number, seed: string): BlindSplit {
  const order = new Map(inputs.map(({ index }) => [index, uniform(seed, `deal ${index}`)]));
  const place = (index: number): number => order.get(index) ?? 0;
  const dealt: number[][] = Array.from({ length: Math.min(count, inputs.length) }, () => []);
  const shuffled = inputs.map(({ index }) => index).sort((a, b) => place(a) - place(b));
  for (const [at, index] of shuffled.entries()) dealt[at % dealt.length]?.push(index);
  const shards = describeShards(inputs, dealt, usualCost);
  const unique = new Map(inputs.flatMap(({ blobs }) => blobs.map(({ digest, size }) => [digest, size] as const)));
  const bytes = sum(unique.values());
  const moved = sum(shards.map((shard) => shard.bytes));
  return { bytesFactor: bytes === 0 ? 1 : moved / bytes, seconds: shards[0]?.seconds ?? 0 };
}

/** What a split has to hold, as text for what it does not: every artifact in one shard, no shard empty, sums that agree. */
export function wrongWith(inputs: readonly ShardInput[], { shards, manifests }: Partition): readonly string[] {
  const placed = shards.flatMap(({ indexes }) => indexes).sort((a, b) => a - b);
  const expected = inputs.map(({ index }) => index).sort((a, b) => a - b);
  const wanted = sum(inputs.map((input) => input.manifests));
  return [
    ...(placed.join() === expected.join() ? [] : ['not every artifact is in exactly one shard']),
    ...(shards.some(({ indexes }) => indexes.length === 0) ? ['a shard is empty'] : []),
    ...(manifests === wanted ? [] : [`${manifests} manifests of ${wanted}`]),
  ];
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
