import type { CopyRequest } from '../../copy/request.ts';
import type { Looked } from './look.ts';

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
  /** Positions of the requests. */
  readonly members: readonly number[];
  readonly bytes: number;
  readonly manifests: number;
}

/** What is worth a worker: starting one takes about a minute, in which another one moves this. */
const bytesOfAShard = 4 * 2 ** 30;
const manifestsOfAShard = 400;

export function splitImages(
  requests: readonly CopyRequest[],
  looked: readonly Looked[],
  together: ((request: CopyRequest) => string) | undefined,
  count: number | undefined,
): Split {
  const groups = new Map<string, number[]>();
  for (const [position, request] of requests.entries()) {
    const key = together?.(request) ?? String(position);
    const known = groups.get(key);
    if (known === undefined) groups.set(key, [position]);
    else known.push(position);
  }
  const units = [...groups.values()].map((members) => weigh(members, looked));
  const all = weigh([...requests.keys()], looked);
  const wanted = count ?? Math.ceil(Math.max(all.bytes / bytesOfAShard, all.manifests / manifestsOfAShard, 1));
  const bins = Array.from({ length: Math.min(wanted, units.length, 1_000) }, () => ({
    members: [] as number[],
    cost: 0,
  }));
  const cost = ({ bytes, manifests }: SplitShard): number => bytes / bytesOfAShard + manifests / manifestsOfAShard;
  for (const unit of units.sort((a, b) => cost(b) - cost(a))) {
    const bin = bins.reduce((least, each) =>
      each.cost < least.cost || (each.cost === least.cost && each.members.length < least.members.length) ? each : least,
    );
    bin.members.push(...unit.members);
    bin.cost += cost(unit);
  }
  const shards = bins.map(({ members }) =>
    weigh(
      members.sort((a, b) => a - b),
      looked,
    ),
  );
  const moved = shards.reduce((sum, { bytes }) => sum + bytes, 0);
  return { shards, bytes: all.bytes, manifests: all.manifests, bytesFactor: all.bytes === 0 ? 1 : moved / all.bytes };
}

function weigh(members: readonly number[], looked: readonly Looked[]): SplitShard {
  const blobs = new Map<string, number>();
  let manifests = 0;
  for (const member of members) {
    const found = looked[member];
    manifests += found?.manifests ?? 0;
    for (const { digest, size } of found?.blobs ?? []) blobs.set(digest, size);
  }
  return { members, manifests, bytes: [...blobs.values()].reduce((sum, size) => sum + size, 0) };
}
