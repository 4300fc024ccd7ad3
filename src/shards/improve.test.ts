import { describe, expect, it } from 'vitest';
import { usualCost } from './cost.ts';
import { fillEmpty, saveBytes, shortenLongest } from './improve.ts';
import { Placement } from './placement.ts';
import { workOf } from './work.ts';

/** Images with blobs by name and size in GB (10 s each), and the shard that each is in at first. */
function placed(count: number, images: readonly (readonly [Readonly<Record<string, number>>, number])[]): Placement {
  const inputs = images.map(([blobs], index) => ({
    index,
    manifests: 0,
    blobs: Object.entries(blobs).map(([digest, gigabytes]) => ({ digest, size: gigabytes * 1e9 })),
    host: 'docker.io',
  }));
  const work = workOf(inputs, usualCost);
  const placement = new Placement(work, count);
  for (const [at, image] of work.images.entries()) placement.put(image, images[at]?.[1] ?? 0);
  return placement;
}

const placesOf = (placement: Placement): readonly number[] =>
  placement.work.images.map((image) => placement.placeOf(image));
const secondsOf = (placement: Placement): readonly number[] =>
  Array.from({ length: placement.count }, (_, shard) => Math.round(placement.seconds(shard)));

describe('images are moved', () => {
  const parted = [
    [{ base: 5, a: 1 }, 0],
    [{ x: 3 }, 0],
    [{ base: 5, b: 1 }, 1],
    [{ y: 1 }, 1],
  ] as const;

  it('to where their blobs are, which is counted on both sides', () => {
    const placement = placed(2, parted);
    expect(secondsOf(placement)).toEqual([90, 70]);
    saveBytes(placement, 100);
    expect(placesOf(placement)).toEqual([1, 0, 1, 1]);
    expect(secondsOf(placement)).toEqual([30, 80]);
    expect(placement.bytes).toBe(11e9);
  });

  it('not to where they would take too long, nor out of a shard that they are all of', () => {
    const placement = placed(2, parted);
    saveBytes(placement, 75);
    expect(placesOf(placement)).toEqual([0, 0, 1, 1]);
    const lone = placed(2, [parted[0], parted[2]]);
    saveBytes(lone, 100);
    expect(placesOf(lone)).toEqual([0, 1]);
  });

  it('off the longest shard, the one that costs nothing rather than the one that shares', () => {
    const placement = placed(2, [...parted.slice(0, 2), [{ base: 5, b: 3 }, 0], [{ y: 1 }, 1]]);
    shortenLongest(placement);
    expect(placesOf(placement)).toEqual([0, 1, 0, 1]);
    expect(secondsOf(placement)).toEqual([90, 40]);
  });

  it('into empty shards: those that share nothing', () => {
    const placement = placed(2, [...parted.slice(0, 2), [{ base: 5, b: 3 }, 0]]);
    fillEmpty(placement);
    expect(placesOf(placement)).toEqual([0, 1, 0]);
  });
});
