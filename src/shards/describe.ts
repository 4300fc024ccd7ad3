import { type CostModel, rateOf } from './cost.ts';
import { besideBlobs, type ShardInput } from './work.ts';

/** What one worker gets. */
export interface Shard {
  /** Of its artifacts, in order. */
  readonly indexes: readonly number[];
  /** Of its blobs, each once. */
  readonly bytes: number;
  readonly blobs: number;
  readonly manifests: number;
  /** By the cost model. */
  readonly seconds: number;
  /** Source hosts that the worker reads from, sorted. */
  readonly hosts: readonly string[];
}

/** Adds up, from the artifacts themselves, what each shard takes; the longest first. */
export function describeShards(
  inputs: readonly ShardInput[],
  shards: readonly (readonly number[])[],
  cost: CostModel,
): readonly Shard[] {
  const rates = fastest(inputs, cost);
  const byIndex = new Map(inputs.map((input) => [input.index, input]));
  return shards
    .map((indexes) => {
      const members = indexes.flatMap((index) => byIndex.get(index) ?? []);
      return { indexes, ...sumOf(members, rates, cost) };
    })
    .sort((a, b) => b.seconds - a.seconds || (a.indexes[0] ?? 0) - (b.indexes[0] ?? 0));
}

/** Of each blob: bytes, and bytes a second of the fastest source that has it. */
type Blobs = ReadonlyMap<string, { readonly size: number; readonly rate: number }>;

function fastest(inputs: readonly ShardInput[], cost: CostModel): Blobs {
  const blobs = new Map<string, { size: number; rate: number }>();
  for (const { blobs: named, host } of inputs) {
    const rate = rateOf(cost, host);
    for (const { digest, size } of named) {
      const known = blobs.get(digest);
      if (known === undefined) blobs.set(digest, { size, rate });
      else Object.assign(known, { size: Math.max(known.size, size), rate: Math.max(known.rate, rate) });
    }
  }
  return blobs;
}

function sumOf(members: readonly ShardInput[], all: Blobs, cost: CostModel): Omit<Shard, 'indexes'> {
  const digests = new Set(members.flatMap(({ blobs }) => blobs.map(({ digest }) => digest)));
  let [bytes, reading] = [0, 0];
  for (const digest of [...digests].sort()) {
    const { size, rate } = all.get(digest) ?? { size: 0, rate: 1 };
    bytes += size;
    reading += size / rate;
  }
  const manifests = members.reduce((sum, each) => sum + each.manifests, 0);
  const hosts = [...new Set(members.map(({ host }) => host))].sort();
  const beside = members.reduce((sum, each) => sum + besideBlobs(each, cost), 0);
  return { bytes, blobs: digests.size, manifests, seconds: reading + beside, hosts };
}
