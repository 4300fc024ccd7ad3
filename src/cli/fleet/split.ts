import type { CopyRequest } from '../../copy/request.ts';
import { usualCost } from '../../shards/cost.ts';
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
  const guess = usualSeconds(looked);
  const inputs = groups.map((members, index): ShardInput => ({
    index,
    manifests: members.reduce((sum, member) => sum + (looked[member]?.manifests ?? 0), 0),
    blobs: members.flatMap((member) => looked[member]?.blobs ?? []),
    host: requests[members[0] ?? 0]?.source.store.name ?? '',
    seconds: members.reduce((sum, member) => sum + askSeconds + (mayBeThere(looked[member]) ? guess : 0), 0),
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

/** Asking for an image, though there is nothing to be moved: else all that is unchanged would go to one worker. */
const askSeconds = 0.05;
/** A source that answers so for an image has said that there is nothing to be read. */
const saidNo: ReadonlySet<string> = new Set(['not-found', 'denied', 'unauthorized']);

/** Nothing is known of it: its source could not be asked, which may be otherwise when its worker does. */
function mayBeThere(looked: Looked | undefined): boolean {
  return looked?.failure !== undefined && !saidNo.has(looked.failure.code);
}

/** Of an image that moves, by the cost model; 0 where none is known. */
function usualSeconds(looked: readonly Looked[]): number {
  const { bytesPerSecond, secondsPerManifest } = usualCost;
  const moving = looked.filter(({ manifests }) => manifests > 0);
  const seconds = moving.map(
    ({ manifests, blobs }) =>
      manifests * secondsPerManifest + blobs.reduce((sum, { size }) => sum + size, 0) / bytesPerSecond,
  );
  return seconds.reduce((sum, each) => sum + each, 0) / Math.max(1, seconds.length);
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
