import * as z from 'zod';
import { exceededLimits, mapRunUses } from '../../src/shards/limits.ts';
import { partition, type ShardOptions } from '../../src/shards/partition.ts';
import type { ShardInput } from '../../src/shards/work.ts';
import { dealtSplit, wrongWith } from './splits.ts';

const Figure = z.number().nonnegative();

/** One split of the same plan. Seconds of shards are those of the cost model. */
export const SplitRun = z.object({
  /** As asked for; `auto` with workers at the same time. */
  asked: z.string(),
  shards: Figure,
  seconds: Figure,
  lowerBound: Figure,
  /** What the bound comes from: the largest image, or all work spread evenly. */
  bound: z.enum(['largest image', 'even spread']),
  bytesFactor: Figure,
  /** Of artifacts that are dealt out without a look at their blobs. */
  dealt: z.object({ bytesFactor: Figure, seconds: Figure }),
  /** Bytes and manifests of the shards with the fewest and the most. */
  bytes: z.tuple([Figure, Figure]),
  manifests: z.tuple([Figure, Figure]),
  /** Of the clock, to split. */
  plannedIn: Figure,
  /** Largest so far, of the whole process. */
  peakRssBytes: Figure,
  /** Of `shards.json`, and of its largest item. */
  fileBytes: Figure,
  itemBytes: Figure,
  /** What is not as it must be; empty when all is well. */
  wrong: z.array(z.string()),
});
export type SplitRun = Readonly<z.infer<typeof SplitRun>>;

/** What issue and documentation promise of a plan of 10,000 images. */
const promised = { seconds: 1.1, bytesFactor: 1.1, plannedIn: 60, peakRssBytes: 2 ** 30 } as const;
const address = 's3://image-replication-111122223333-eu-west-1/runs/replication-2026-11-21T02-00-00Z/shards';

/** Splits once, and checks everything that is promised of it. */
export function measureSplit(inputs: readonly ShardInput[], options: ShardOptions, seed: string): SplitRun {
  const started = performance.now();
  const split = partition(inputs, options);
  const plannedIn = (performance.now() - started) / 1000;
  const peakRssBytes = process.resourceUsage().maxRSS * 1024;
  const { shards, seconds, lowerBound, bytesFactor } = split;
  const items = shards.map(({ indexes, bytes, manifests }, index) => {
    const name = `${String(index).padStart(4, '0')}.json`;
    return { shard: `${address}/${name}`, index, images: indexes.length, manifests, bytes };
  });
  const workSeconds = (split.bytes / 100e6 + split.manifests / 10) / Math.max(1, shards.length);
  const over = (what: keyof typeof promised, value: number): readonly string[] =>
    value > promised[what] ? [`${what} ${value.toFixed(3)} of at most ${promised[what]}`] : [];
  return {
    asked: options.count === 'auto' ? `auto, ${options.workers ?? 'all'} at once` : String(options.count),
    shards: shards.length,
    seconds,
    lowerBound,
    bound: lowerBound > workSeconds * (1 + 1e-9) ? 'largest image' : 'even spread',
    bytesFactor,
    dealt: dealtSplit(inputs, shards.length, seed),
    bytes: extremes(shards.map(({ bytes }) => bytes)),
    manifests: extremes(shards.map(({ manifests }) => manifests)),
    plannedIn,
    peakRssBytes,
    fileBytes: Buffer.byteLength(JSON.stringify(items)),
    itemBytes: extremes(items.map((item) => Buffer.byteLength(JSON.stringify(item))))[1],
    wrong: [
      ...wrongWith(inputs, split),
      ...over('seconds', lowerBound === 0 ? 1 : seconds / lowerBound),
      ...over('bytesFactor', bytesFactor),
      ...over('plannedIn', plannedIn),
      ...over('peakRssBytes', peakRssBytes),
      ...exceededLimits(mapRunUses(items)),
    ],
  };
}

function extremes(values: readonly number[]): [number, number] {
  const sorted = [...values].sort((a, b) => a - b);
  return [sorted[0] ?? 0, sorted.at(-1) ?? 0];
}
