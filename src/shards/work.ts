import { type CostModel, rateOf } from './cost.ts';

/** One artifact as far as the split of a plan is concerned. */
export interface ShardInput {
  /** Its place in the plan; no two have the same. */
  readonly index: number;
  /** Manifests to be written for it. */
  readonly manifests: number;
  /** Blobs to be moved for it, in any order. One that is named twice is moved once. */
  readonly blobs: readonly { readonly digest: string; readonly size: number }[];
  /** Registry that it is read from. */
  readonly host: string;
  /** What it takes beside manifests and blobs: asking for it, or a guess where nothing is known of it. */
  readonly seconds?: number | undefined;
}

/** What something costs a worker: bytes that move, and seconds as the cost model has them. */
export interface Amount {
  readonly bytes: number;
  readonly seconds: number;
}

/** Blobs that are shared by exactly the same images: whoever has one of them has all. */
export interface Shared extends Amount {
  readonly id: number;
  /** Places in `Work.images`, in order; two at least. */
  readonly images: readonly number[];
}

/** What one image costs, apart and together with others. `index` is its place in the plan. */
export interface ImageWork {
  readonly index: number;
  /** Manifests, and the blobs that no other image has. */
  readonly own: Amount;
  /** Everything. */
  readonly alone: Amount;
  readonly shared: readonly Shared[];
}

/** A plan reduced to what decides its split. */
export interface Work {
  /** In order of their index. */
  readonly images: readonly ImageWork[];
  readonly shared: readonly Shared[];
  /** Of everything, each blob once. */
  readonly total: Amount;
}

interface Blob {
  bytes: number;
  /** Of the fastest source that has it. */
  rate: number;
  readonly images: number[];
}

/** Blobs of a single image become a part of it, those of the same images become one: what is left is small. */
export function workOf(inputs: readonly ShardInput[], cost: CostModel): Work {
  const sorted = [...inputs].sort((a, b) => a.index - b.index);
  const own = sorted.map((input) => ({ bytes: 0, seconds: besideBlobs(input, cost) }));
  const shared: Shared[] = [];
  const sharedOf: Shared[][] = sorted.map(() => []);
  for (const { images, ...amount } of sameImages(blobsOf(sorted, cost))) {
    const first = images[0] ?? 0;
    if (images.length === 1) add(own[first], amount);
    else {
      const group: Shared = { id: shared.length, images, ...amount };
      shared.push(group);
      for (const image of images) sharedOf[image]?.push(group);
    }
  }
  const images = sorted.map(({ index }, at): ImageWork => {
    const [mine = { bytes: 0, seconds: 0 }, groups = []] = [own[at], sharedOf[at]];
    return { index, own: mine, alone: sum([mine, ...groups]), shared: groups };
  });
  return { images, shared, total: sum([...own, ...shared]) };
}

/** Seconds of the cost model for everything but blobs. */
export function besideBlobs({ manifests, seconds = 0 }: ShardInput, { secondsPerManifest }: CostModel): number {
  return manifests * secondsPerManifest + seconds;
}

function blobsOf(sorted: readonly ShardInput[], cost: CostModel): Iterable<Blob> {
  const blobs = new Map<string, Blob>();
  for (const [at, { blobs: named, host }] of sorted.entries()) {
    const rate = rateOf(cost, host);
    for (const { digest, size } of named) {
      const known = blobs.get(digest);
      if (known === undefined) blobs.set(digest, { bytes: size, rate, images: [at] });
      else {
        known.bytes = Math.max(known.bytes, size);
        known.rate = Math.max(known.rate, rate);
        if (known.images.at(-1) !== at) known.images.push(at);
      }
    }
  }
  // In an order of their own: sums of fractions differ in their last digits with the order of their parts.
  return [...blobs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, blob]) => blob);
}

function sameImages(blobs: Iterable<Blob>): readonly (Amount & { readonly images: readonly number[] })[] {
  const groups = new Map<string, { bytes: number; seconds: number; readonly images: readonly number[] }>();
  for (const { bytes, rate, images } of blobs) {
    const key = images.join();
    const group = groups.get(key) ?? { bytes: 0, seconds: 0, images };
    if (group.images === images) groups.set(key, group);
    add(group, { bytes, seconds: bytes / rate });
  }
  return [...groups.values()];
}

function add(to: { bytes: number; seconds: number } | undefined, { bytes, seconds }: Amount): void {
  if (to === undefined) return;
  to.bytes += bytes;
  to.seconds += seconds;
}

function sum(amounts: readonly Amount[]): Amount {
  const total = { bytes: 0, seconds: 0 };
  for (const amount of amounts) add(total, amount);
  return total;
}
