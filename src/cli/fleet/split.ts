import type { CopyRequest } from '../../copy/request.ts';
import { mostShards, partition } from '../../shards/partition.ts';
import type { ShardInput } from '../../shards/work.ts';
import type { Looked } from './look.ts';
import type { ShardArguments } from './options.ts';

/** Images of a run by the worker that copies them. */
export interface Split {
  readonly shards: readonly SplitShard[];
  /** Each blob once over all. */
  readonly bytes: number;
  readonly manifests: number;
  /** How often a blob leaves its source on average, by bytes. */
  readonly bytesFactor: number;
}

export interface SplitShard {
  /** Positions of the requests, in order. */
  readonly members: readonly number[];
  readonly bytes: number;
  readonly manifests: number;
}

/** @param together requests with the same text stay in one shard */
export function splitImages(
  requests: readonly CopyRequest[],
  looked: readonly Looked[],
  together: ((request: CopyRequest) => string) | undefined,
  { shardCount, workers }: Pick<ShardArguments, 'shardCount' | 'workers'>,
): Split {
  const groups = [...grouped(requests, together)];
  const inputs = groups.map((members, index): ShardInput => ({
    index,
    manifests: members.reduce((sum, member) => sum + (looked[member]?.manifests ?? 0), 0),
    blobs: members.flatMap((member) => looked[member]?.blobs ?? []),
    host: requests[members[0] ?? 0]?.source.store.name ?? '',
  }));
  const options = { workers: workers === undefined ? undefined : Math.min(workers, mostShards) };
  const found = partition(inputs, { count: shardCount ?? 'auto', ...options });
  return {
    shards: found.shards.map(({ indexes, bytes, manifests }) => ({
      members: indexes.flatMap((index) => groups[index] ?? []).sort((a, b) => a - b),
      bytes,
      manifests,
    })),
    bytes: found.bytes,
    manifests: found.manifests,
    bytesFactor: found.bytesFactor,
  };
}

function grouped(
  requests: readonly CopyRequest[],
  together: ((request: CopyRequest) => string) | undefined,
): Iterable<readonly number[]> {
  const groups = new Map<string, number[]>();
  for (const [position, request] of requests.entries()) {
    const key = together?.(request) ?? String(position);
    const known = groups.get(key);
    if (known === undefined) groups.set(key, [position]);
    else known.push(position);
  }
  return groups.values();
}
